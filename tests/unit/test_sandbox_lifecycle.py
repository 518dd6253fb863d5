"""The supervisor seen from outside: its API, its lock, and what starting, stopping and wiping say when they can't."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox import control, lifecycle
from sandbox.control import Control, NotRunningError, RefusedError
from sandbox.credentials import Credentials
from sandbox.faults import Faults
from sandbox.lifecycle import SandboxError
from sandbox.mirror.charts import ChartError
from sandbox.pki import Authority
from sandbox.settings import Endpoint, Settings
from sandbox.supervisor import AlreadyRunningError, exclusive
from tests.unit.sandbox_parts import https

# Holds the lock as `exclusive` does, without the time that importing the supervisor takes.
HOLDER = """
import fcntl, os, sys, time
file = open(sys.argv[1], "a+")
fcntl.flock(file, fcntl.LOCK_EX)
file.write(str(os.getpid()))
file.flush()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "sandbox")


@contextmanager
def standing_for_a_supervisor(monkeypatch: pytest.MonkeyPatch, *command: str) -> Iterator["subprocess.Popen[str]"]:
    """Take a process that says `ready` for the supervisor."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            monkeypatch.setattr(lifecycle, "running_pid", lambda _: process.pid)
            yield process
        finally:
            process.kill()


def answering(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[], None],
    refresh: Callable[[], None] = lambda: None,
) -> None:
    """Do ``work`` while the API of a supervisor answers; ``refresh`` is what it is asked to do."""
    authority = Authority.at(settings.authority.parent, "test CA")
    token = Credentials.at(settings.credentials).control_token

    async def refreshed() -> None:
        refresh()

    async def scenario() -> None:
        api = control.application(token, lambda: {"ready": True, "services": []}, refreshed, Faults())
        async with https(api, authority) as url:
            host, _, port = url.removeprefix("https://").partition(":")
            monkeypatch.setattr(Settings, "control", Endpoint(host, int(port)))
            await asyncio.to_thread(work)

    asyncio.run(scenario())


def test_the_api_answers_the_one_who_has_the_token(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def work() -> None:
        api = Control(settings)
        assert api.status() == {"ready": True, "services": []}
        assert asked == []
        api.refresh()
        assert asked == ["refresh"]
        settings.credentials.write_text('{"control_token": "guessed"}')
        with pytest.raises(RefusedError, match="a bearer token is needed"):
            api.status()
        with pytest.raises(RefusedError):
            api.refresh()
        assert asked == ["refresh"]

    answering(settings, monkeypatch, work, lambda: asked.append("refresh"))


def test_a_chart_that_is_not_valid_is_told_in_the_words_of_helm(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise ChartError("helm package: Error: validation: chart.metadata.version is required")

    def work() -> None:
        monkeypatch.setattr(lifecycle, "running_pid", lambda _: 1)
        with pytest.raises(SandboxError, match=r"not read anew: helm package: .*version is required"):
            lifecycle.start(settings)

    answering(settings, monkeypatch, work, refuse)


def test_a_sandbox_that_does_not_run_is_no_failure_of_tls(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotRunningError, match="never started"):
        Control(settings).status()
    monkeypatch.setattr(Settings, "control", Endpoint("127.0.7.51", 9))
    Authority.at(settings.authority.parent, "test CA")
    Credentials.at(settings.credentials)
    with pytest.raises(NotRunningError, match="not running"):
        Control(settings).status()


def test_one_supervisor_holds_a_sandbox_which_is_its_owners_only(settings: Settings) -> None:
    assert lifecycle.running_pid(settings) is None
    with exclusive(settings):
        assert lifecycle.running_pid(settings) == os.getpid()
        with pytest.raises(AlreadyRunningError, match=str(settings.root)), exclusive(settings):
            pytest.fail("two hold it")
        assert lifecycle.running_pid(settings) == os.getpid()
    assert lifecycle.running_pid(settings) is None, "a lock file that nobody holds is no supervisor"
    assert settings.root.stat().st_mode & 0o077 == 0


def test_a_supervisor_that_is_killed_holds_nothing(settings: Settings) -> None:
    settings.root.mkdir()
    command = [sys.executable, "-IS", "-c", HOLDER, str(settings.lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert lifecycle.running_pid(settings) == process.pid
        process.kill()
    assert lifecycle.running_pid(settings) is None


def test_stopping_ends_the_supervisor_and_keeps_the_state(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not lifecycle.stop(settings)
    (settings.root / "state").mkdir(parents=True)
    script = f"trap 'touch {settings.root}/asked; exit' TERM; echo ready; while :; do sleep 0.05; done"
    with standing_for_a_supervisor(monkeypatch, "/bin/sh", "-c", script) as process:
        assert lifecycle.stop(settings)
        assert process.poll() is not None, "it has ended, and its end was waited for"
    assert (settings.root / "asked").exists(), "it was asked to, and not killed"
    assert (settings.root / "state").exists()


def test_a_supervisor_that_does_not_end_is_named_with_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "STOP_WITHIN", 0.2)
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    with (
        standing_for_a_supervisor(monkeypatch, "/bin/sh", "-c", script) as process,
        pytest.raises(SandboxError, match=f"kill -9 {process.pid}"),
    ):
        lifecycle.stop(settings)


def test_wiping_forgets_a_sandbox_but_not_one_that_runs_nor_what_is_none(settings: Settings, tmp_path: Path) -> None:
    with exclusive(settings):
        with pytest.raises(SandboxError, match="make down"):
            lifecycle.wipe(settings)
        assert settings.lock.exists()
    lifecycle.wipe(settings)
    assert not settings.root.exists()

    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("precious")
    with pytest.raises(SandboxError, match="no sandbox of this project"):
        lifecycle.wipe(Settings(home))
    assert (home / "thesis.txt").exists()
    lifecycle.wipe(Settings(tmp_path / "nowhere"))


def test_a_supervisor_that_dies_at_its_start_is_reported_with_its_last_words(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$HOMELAB_SANDBOX $HOMELAB_SANDBOX_NETWORK" >&2\necho out of luck >&2\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(SandboxError, match=f"did not start: out of luck\n  log: {settings.log('supervisor')}"):
        lifecycle.start(settings)
    assert f"{settings.root} 127.10" in settings.log("supervisor").read_text()


def test_a_supervisor_that_is_never_ready_is_given_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "START_WITHIN", 0.2)
    monkeypatch.setattr(lifecycle, "running_pid", lambda _: 1)
    begun = time.monotonic()
    with pytest.raises(SandboxError, match="was not ready within"):
        lifecycle.start(settings)
    assert time.monotonic() - begun < 5


def test_the_api_is_for_its_two_questions_only(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        api: Any = Control(settings)
        for method, path in (("POST", "/status"), ("GET", "/refresh"), ("GET", "/credentials")):
            with pytest.raises(RefusedError, match=r"40[45]"):
                api._call(method, path)

    answering(settings, monkeypatch, work)
