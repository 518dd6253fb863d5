import itertools
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.settings import Settings
from tests.sandbox.lab import TestLab


def _is_free(network: str) -> bool:
    try:
        socket.create_server(tuple(Settings(Path(), network).control)).close()
    except OSError:
        return False
    return True


_networks = filter(_is_free, (f"127.{number}" for number in itertools.count(11)))


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
