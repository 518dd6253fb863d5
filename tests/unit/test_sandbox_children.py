"""Child processes: their ports, their last words, how often they come back, and that none outlives the supervisor."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from sandbox import children
from sandbox.children import Child, ChildError, Program, environment, last_line, refuse_busy_port
from sandbox.settings import REPOSITORY, Endpoint

ADDRESS = "127.0.7.31"


async def at_once() -> bool:
    return True


async def never() -> bool:
    return False


def program(folder: Path, script: str, ready: Callable[[], Awaitable[bool]] = at_once, **more: Any) -> Program:
    return Program(
        name="etcd",
        arguments=["/bin/sh", "-c", script],
        environment=environment(),
        log=folder / "logs" / "etcd.log",
        ready=ready,
        **more,
    )


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have every pause end at once, and note how long it would have been."""
    pauses: list[float] = []
    really = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await really(0.001)

    monkeypatch.setattr("sandbox.children.asyncio.sleep", sleep)
    return pauses


def test_a_child_runs_until_it_is_stopped(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = Child(program(tmp_path, "exec sleep 60"))
        await child.start()
        pid = child.pid
        assert child.running
        assert pid is not None
        assert psutil.pid_exists(pid)
        await child.stop()
        assert not child.running
        assert child.pid is None
        assert not psutil.pid_exists(pid)

    run(scenario())


def test_a_child_that_ignores_the_request_to_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "STOP_WITHIN", 0.2)

    async def trapped() -> bool:
        return (tmp_path / "trapped").exists()

    async def scenario() -> None:
        script = f"trap '' TERM; touch {tmp_path}/trapped; while :; do sleep 0.05; done"
        child = Child(program(tmp_path, script, trapped))
        await child.start()
        pid = child.pid
        assert pid is not None
        await child.stop()
        assert not psutil.pid_exists(pid)

    run(scenario())


@pytest.mark.parametrize("listening", [ADDRESS, "0.0.0.0"])  # noqa: S104 - taken by mistake is what is tested
def test_a_taken_port_is_refused_by_the_name_of_its_holder(tmp_path: Path, listening: str) -> None:
    async def scenario(port: int) -> None:
        child = Child(program(tmp_path, f"touch {tmp_path}/ran; exec sleep 60", listens=[Endpoint(ADDRESS, port)]))
        expected = f"etcd needs {ADDRESS}:{port}, which is taken by {psutil.Process().name()} \\(pid {os.getpid()}\\)"
        with pytest.raises(ChildError, match=expected):
            await child.start()
        assert not child.running
        assert not (tmp_path / "ran").exists()

    with socket.create_server((listening, 0)) as taken:
        run(scenario(taken.getsockname()[1]))


def test_a_port_that_is_taken_on_another_address_or_only_connected_is_free() -> None:
    with socket.create_server(("127.0.7.32", 0)) as other:
        port = other.getsockname()[1]
        refuse_busy_port("etcd", Endpoint(ADDRESS, port))
        with socket.create_connection(("127.0.7.32", port), source_address=(ADDRESS, 0)) as client:
            refuse_busy_port("etcd", Endpoint(ADDRESS, client.getsockname()[1]))


def test_a_child_that_exits_while_it_starts_is_reported_with_its_last_words(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = Child(program(tmp_path, "echo one; echo no space left >&2; echo; exit 3", never))
        log = tmp_path / "logs" / "etcd.log"
        with pytest.raises(ChildError, match=f"^etcd exited with 3; last line of {log}: no space left$"):
            await child.start()
        assert not child.running

    run(scenario())


def test_a_program_that_cannot_be_run_is_reported_by_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        missing = Program("etcd", [str(tmp_path / "etcd")], {}, tmp_path / "etcd.log", at_once)
        with pytest.raises(ChildError, match=r"etcd can't be run: .*No such file"):
            await Child(missing).start()

    run(scenario())


def test_a_child_that_is_not_ready_in_time_is_ended_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "READY_WITHIN", 0.3)

    async def scenario() -> None:
        child = Child(program(tmp_path, f"echo $$ > {tmp_path}/pid; echo electing; exec sleep 60", never))
        with pytest.raises(ChildError, match=r"etcd was not ready within 0 s; last line of .*: electing"):
            await child.start()
        assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))

    run(scenario())


def test_a_child_that_dies_is_started_again_with_the_reason_noted(tmp_path: Path, no_pauses: list[float]) -> None:
    async def scenario() -> None:
        child = Child(program(tmp_path, "echo serving; exec sleep 60"))
        await child.start()
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        while child.pid in (first, None):  # noqa: ASYNC110 - the child has no event to wait for
            await asyncio.sleep(0)
        assert child.restarts == 1
        assert child.problem.startswith("etcd was ended by SIGKILL; last line of ")
        await child.stop()
        assert child.problem == ""

    run(scenario())
    assert 1.0 in no_pauses


def test_a_child_that_keeps_dying_is_given_up_after_growing_pauses(tmp_path: Path, no_pauses: list[float]) -> None:
    async def scenario() -> None:
        child = Child(program(tmp_path, "echo bad flag; exit 1"))
        await child.start()
        assert child._watch is not None
        await child._watch
        assert not child.running
        assert child.restarts == 5
        assert child.problem.endswith("bad flag")
        await child.stop()

    run(scenario())
    assert [pause for pause in no_pauses if pause >= 1] == [1, 2, 4, 8, 10]
    assert (tmp_path / "logs" / "etcd.log").read_text().count("bad flag") == 6


def test_a_port_that_was_taken_meanwhile_is_the_problem_of_a_restart(tmp_path: Path, no_pauses: list[float]) -> None:
    async def scenario(port: int) -> None:
        child = Child(program(tmp_path, "exec sleep 60", listens=[Endpoint(ADDRESS, port)]))
        await child.start()
        with socket.create_server((ADDRESS, port)):
            os.kill(child.pid or 0, signal.SIGKILL)
            assert child._watch is not None
            await child._watch
        assert f"etcd needs {ADDRESS}:{port}" in child.problem
        await child.stop()

    with socket.create_server((ADDRESS, 0)) as probe:
        free = probe.getsockname()[1]
    run(scenario(free))
    assert len([pause for pause in no_pauses if pause >= 1]) == 5


def test_no_child_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import asyncio, pathlib\n"
        "from sandbox.children import Child, Program, environment\n"
        "async def ready():\n    return True\n"
        "async def main():\n"
        f"    log = pathlib.Path({str(tmp_path)!r}, 'log')\n"
        "    child = Child(Program('etcd', ['sleep', '60'], environment(), log, ready))\n"
        "    await child.start()\n"
        "    print(child.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, str(parent)], env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert psutil.Process(pid).name() == "sleep"
        process.kill()
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.01)


def test_a_child_gets_nothing_of_the_operators_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "secret")

    async def written() -> bool:
        return (tmp_path / "environment").exists() and "PATH" in (tmp_path / "environment").read_text()

    async def scenario() -> None:
        child = Child(program(tmp_path, f"env > {tmp_path}/environment; exec sleep 60", written))
        await child.start()
        await child.stop()

    run(scenario())
    given = (tmp_path / "environment").read_text()
    assert "secret" not in given
    assert {line.split("=")[0] for line in given.splitlines()} <= {"PATH", "LANG", "PWD", "SHLVL", "_", "OLDPWD"}


def test_a_log_that_has_grown_too_long_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LOG_LIMIT", 10)
    log = tmp_path / "logs" / "etcd.log"
    log.parent.mkdir()
    log.write_text("more than ten bytes\n")

    async def scenario() -> None:
        child = Child(program(tmp_path, "exec sleep 60"))
        await child.start()
        await child.stop()

    run(scenario())
    assert log.with_suffix(".log.1").read_text() == "more than ten bytes\n"
    assert log.read_text() == ""


@pytest.mark.parametrize(
    ("content", "expected"),
    [("one\ntwo\n\n", "two"), ("", "(nothing)"), ("a" * 9000 + "\nlast", "last"), (None, "(no log)")],
)
def test_the_last_line_of_a_log_is_the_last_one_with_words(tmp_path: Path, content: str | None, expected: str) -> None:
    log = tmp_path / "log"
    if content is not None:
        log.write_text(content)
    assert last_line(log) == expected
