import itertools
from collections.abc import Iterator

import pytest

from tests.sandbox.lab import TestLab

_networks = (f"127.{number}" for number in itertools.count(11))


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestLab]:
    """A lab in which nothing was ever started."""
    made = TestLab(tmp_path_factory.mktemp("lab"), next(_networks))
    yield made
    made.wipe()


@pytest.fixture(scope="session")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestLab]:
    """A lab that is up; a test that changes it puts it back."""
    made = TestLab(tmp_path_factory.mktemp("provisioned"), next(_networks))
    try:
        made.up()
        yield made
    finally:
        made.wipe()
