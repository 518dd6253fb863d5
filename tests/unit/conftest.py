from collections.abc import Iterator
from typing import Any

import pytest

from providers import k3s_node, k3s_steps, kubeconfig, ssh
from tests.unit.fake_node import PRIVATE, USER, Boot, FakeCluster, FakeMachine, Loop


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(k3s_steps, "READY_PAUSE", 0.01)
    monkeypatch.setattr(k3s_steps, "READY_TIMEOUT", 0.2)
    monkeypatch.setattr(k3s_node, "BOOT_PATIENCE", 0.3)
    monkeypatch.setattr(k3s_node, "CONTACT_PATIENCE", 0.0)
    monkeypatch.setattr(kubeconfig, "CONTACT_PATIENCE", 0.0)
    monkeypatch.setattr(ssh, "RETRY_PAUSE", 0.05)


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def boot(loop: Loop) -> Iterator[Boot]:
    """Start machines; give `cluster` for those that belong together."""
    booted: list[FakeMachine] = []

    def start(number: int = 1, cluster: FakeCluster | None = None, **settings: Any) -> FakeMachine:
        # The machines of a lab listen on one port.
        port = booted[0].port if booted else 0
        machine = FakeMachine(f"127.0.9.{number}", cluster or FakeCluster(), port=port, **settings)
        loop.run(machine.listen())
        booted.append(machine)
        return machine

    yield start
    for machine in booted:
        loop.run(machine.shut())


@pytest.fixture
def machine(boot: Boot) -> FakeMachine:
    return boot()


@pytest.fixture
def contact(machine: FakeMachine) -> dict[str, Any]:
    """How a resource says where the machine is."""
    return {
        "name": "server-1",
        "address": machine.address,
        "port": machine.port,
        "user": USER,
        "private_key": PRIVATE,
        "host_key": machine.public_host_key,
    }
