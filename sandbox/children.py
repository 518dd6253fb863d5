"""Child processes of the supervisor: started when their ports are free, watched, restarted a few times."""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from sandbox.settings import Endpoint

READY_WITHIN: Final = 60.0
STOP_WITHIN: Final = 5.0
RESTARTS: Final = 5
STEADY_AFTER: Final = 60.0
LOG_LIMIT: Final = 20 * 2**20
ALL_ADDRESSES: Final = ("0.0.0.0", "::")  # noqa: S104 - looked for, never listened on

logger = logging.getLogger(__name__)


class ChildError(RuntimeError):
    """A child could not be started or does not stay up; the message names it, the cause and its log."""


@dataclass(frozen=True)
class Program:
    """What a child runs.

    ``environment`` is the whole environment, never merged with the supervisor's, so that no credential of the operator
    leaks in. ``ready`` is asked until it answers true.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    ready: Callable[[], Awaitable[bool]]
    listens: Sequence[Endpoint] = ()
    folder: Path | None = None


@dataclass
class Child:
    """One running program and how it fares."""

    program: Program
    restarts: int = 0
    problem: str = ""
    _process: asyncio.subprocess.Process | None = None
    _watch: asyncio.Task[None] | None = None
    _in_a_row: int = 0
    # Not only a cancelled watch: wait_for of Python 3.11 can lose a cancellation that comes as it ends.
    _stopping: bool = field(default=False, repr=False)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self.running else None

    async def start(self) -> None:
        """Start the program and wait until it is ready.

        Raises:
            ChildError: a port of it is taken, it exits, or it is not ready in time.
        """
        self._stopping = False
        await self._spawn()
        self._watch = asyncio.create_task(self._stay_up(), name=f"watch {self.program.name}")

    async def stop(self) -> None:
        """Ask the program to end, then make it."""
        self._stopping = True
        if self._watch:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        await self._end()
        self.problem = ""

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_WITHIN)
        except TimeoutError:
            logger.warning("%s did not end within %.0f s and is killed", self.program.name, STOP_WITHIN)
            process.kill()
            await process.wait()

    async def _spawn(self) -> None:
        program = self.program
        for endpoint in program.listens:
            refuse_busy_port(program.name, endpoint)
        program.log.parent.mkdir(parents=True, exist_ok=True)
        if program.log.exists() and program.log.stat().st_size > LOG_LIMIT:
            program.log.replace(program.log.with_suffix(".log.1"))
        with program.log.open("ab") as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *program.arguments,
                    env=dict(program.environment),
                    cwd=program.folder,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=end_with_parent,
                )
            except OSError as error:
                raise ChildError(f"{program.name} can't be run: {error}") from error
        logger.info("%s started (pid %d)", program.name, self._process.pid)
        try:
            await asyncio.wait_for(self._until_ready(self._process), READY_WITHIN)
        except TimeoutError:
            await self._end()
            raise ChildError(
                f"{program.name} was not ready within {READY_WITHIN:.0f} s; "
                f"last line of {program.log}: {last_line(program.log)}"
            ) from None

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        while not await self.program.ready():
            if process.returncode is not None:
                raise ChildError(self._obituary(process.returncode))
            await asyncio.sleep(0.1)

    async def _stay_up(self) -> None:
        while not self._stopping and self._process:
            begun = asyncio.get_running_loop().time()
            code = await self._process.wait()
            if asyncio.get_running_loop().time() - begun > STEADY_AFTER:
                self._in_a_row = 0
            self.problem = self._obituary(code)
            logger.error("%s", self.problem)
            while True:
                if self._in_a_row >= RESTARTS:
                    logger.error("%s was restarted %d times and is given up", self.program.name, RESTARTS)
                    return
                self._in_a_row += 1
                self.restarts += 1
                await asyncio.sleep(min(2.0 ** (self._in_a_row - 1), 10.0))
                try:
                    await self._spawn()
                except ChildError as error:
                    self.problem = str(error)
                    logger.warning("%s", error)
                else:
                    break

    def _obituary(self, code: int) -> str:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        return f"{self.program.name} {how}; last line of {self.program.log}: {last_line(self.program.log)}"


def last_line(log: Path) -> str:
    """Return the last line of a log that is not blank."""
    if not log.exists():
        return "(no log)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "(nothing)"


def refuse_busy_port(name: str, endpoint: Endpoint) -> None:
    """Raise a ChildError that says who holds ``endpoint``, if somebody does."""
    for connection in psutil.net_connections("tcp"):
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or connection.laddr.port != endpoint.port:
            continue
        if connection.laddr.ip in (endpoint.host, *ALL_ADDRESSES):
            raise ChildError(
                f"{name} needs {endpoint}, which is taken by {_holder(connection.pid)}; end that and go on"
            )


def _holder(pid: int | None) -> str:
    if pid is None:
        return "a process of another user"
    with contextlib.suppress(psutil.Error):
        return f"{psutil.Process(pid).name()} (pid {pid})"
    return f"pid {pid}"


def end_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel signal this process when its parent dies, however it dies: no orphan keeps a port or a lock."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, number)


def environment(**extra: str) -> dict[str, str]:
    """Return the environment that every child gets: where programs are, and nothing of the operator's."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **extra}
