import os
from collections.abc import Iterator

import pulumi
import pytest

# An output that ends in a string is a fault of the program, not a line of its log.
os.environ["PULUMI_ERROR_OUTPUT_STRING"] = "true"


@pytest.fixture(autouse=True)
def _no_configuration_left_over() -> Iterator[None]:
    yield
    pulumi.runtime.set_all_config({})
