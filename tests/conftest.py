"""What holds for all tests: the fast ones run first, and none leaves an event loop or a configuration to the next."""

import os
from collections.abc import Iterator

import pulumi
import pytest

from tests.harness import use_event_loop

# An output that ends in a string is a fault of the program, not a line of its log.
os.environ["PULUMI_ERROR_OUTPUT_STRING"] = "true"


@pytest.fixture(autouse=True)
def _a_current_event_loop() -> None:
    use_event_loop()


@pytest.fixture(autouse=True)
def _no_configuration_left_over() -> Iterator[None]:
    yield
    pulumi.runtime.set_all_config({})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("sandbox") is not None)
