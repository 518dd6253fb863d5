"""What is to go wrong on purpose: which requests are struck, how often, and what is refused as senseless."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox import control
from sandbox.control import Control, NotRunningError, RefusedError
from sandbox.credentials import Credentials
from sandbox.faults import ALWAYS, NO_QUORUM, WRITES, Fault, Faults
from sandbox.pki import Authority
from sandbox.settings import Endpoint, Settings
from tests.unit.sandbox_parts import https


def test_a_fault_strikes_as_often_as_it_says_and_then_no_more() -> None:
    faults = Faults()
    faults.add(Fault("pve", times=2))
    assert [bool(faults.strike("pve", "GET", "/version")) for _ in range(3)] == [True, True, False]
    assert faults.listing() == []


@pytest.mark.parametrize(
    ("service", "method", "path", "struck"),
    [
        ("pve", "POST", "/nodes/pve1/qemu", True),
        ("pve", "POST", "/nodes/pve2/qemu", True),
        ("pve", "GET", "/nodes/pve1/qemu", False),
        ("pve", "POST", "/nodes/pve1/qemu/111/status/start", False),
        ("other", "POST", "/nodes/pve1/qemu", False),
    ],
)
def test_only_requests_of_its_service_method_and_path_are_struck(
    service: str,
    method: str,
    path: str,
    struck: bool,  # noqa: FBT001 - a parameter of pytest
) -> None:
    faults = Faults()
    faults.add(Fault("pve", ("POST",), "/nodes/pve?/qemu"))
    assert bool(faults.strike(service, method, path)) is struck


def test_a_fault_of_a_task_strikes_no_request_and_no_other_task() -> None:
    faults = Faults()
    faults.add(Fault("pve", task="qmcreate"))
    assert faults.strike("pve", "POST", "/nodes/pve1/qemu") is None
    assert faults.strike_task("qmstart") is None
    assert "pve task qmcreate: 500" in str(faults.strike_task("qmcreate"))
    assert faults.strike_task("qmcreate") is None
    with pytest.raises(ValueError, match="only the stand-in pve has tasks"):
        Fault.read({"service": "pfsense", "task": "qmcreate"})


def test_the_first_that_fits_strikes_and_what_is_cleared_does_not() -> None:
    faults = Faults()
    faults.add(Fault("pve", path="/nodes*", message="one"))
    faults.add(Fault("pve", message="two"))
    struck = [faults.strike("pve", "GET", "/version"), faults.strike("pve", "GET", "/nodes")]
    assert [fault.message for fault in struck if fault] == ["two", "one"]
    faults.add(Fault("pve", WRITES, message=NO_QUORUM, times=ALWAYS))
    faults.clear()
    assert faults.strike("pve", "POST", "/nodes") is None


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"service": "nas"}, "there is no stand-in 'nas'; there are: pve"),
        ({"service": "pve", "status": 200}, "200 is no status of an error"),
        ({"service": "pve", "status": 0}, "it would do nothing"),
        ({"service": "pve", "times": 0}, "it would do nothing"),
        ({"service": "pve", "delay": -1}, "it would do nothing"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Fault.read(given)


def answering(settings: Settings, monkeypatch: pytest.MonkeyPatch, faults: Faults, work: Callable[[], None]) -> None:
    """Do ``work`` while a supervisor with ``faults`` answers."""
    authority = Authority.at(settings.authority.parent, "test CA")
    token = Credentials.at(settings.credentials).control_token

    async def nothing() -> None:
        """Refresh nothing."""

    async def scenario() -> None:
        async with https(control.application(token, dict, nothing, faults), authority) as url:
            host, _, port = url.removeprefix("https://").partition(":")
            monkeypatch.setattr(Settings, "control", Endpoint(host, int(port)))
            await asyncio.to_thread(work)

    asyncio.run(scenario())


def test_faults_are_added_listed_and_cleared_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, faults = Settings(tmp_path, "127.10"), Faults()

    def work() -> None:
        api = Control(settings)
        assert api.faults() == []
        wanted = Fault("pve", ("PUT",), "/nodes/*", 503, "gone", 1.5, 4)
        assert api.add_fault(wanted) == [wanted]
        assert str(wanted) == "pve PUT /nodes/*: 503 gone, 1.5 s late, 4 times more"
        with pytest.raises(RefusedError, match="there is no stand-in"):
            api.add_fault(Fault("nas"))
        assert faults.listing()[0]["times"] == 4
        api.clear_faults()
        assert api.faults() == []

    answering(settings, monkeypatch, faults, work)


def test_without_a_sandbox_nothing_can_go_wrong(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError):
        Control(Settings(tmp_path, "127.10")).faults()
