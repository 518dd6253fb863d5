"""What holds for all tests: the fast ones run first."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("sandbox") is not None)
