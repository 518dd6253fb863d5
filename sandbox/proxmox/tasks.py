"""Tasks: what a request starts and does not wait for. Clients ask for the status and the log by UPID."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from sandbox.faults import Faults
from sandbox.proxmox.errors import ApiError, RefusedError
from sandbox.proxmox.state import INTERRUPTED, State, Task

Log = Callable[[str], None]
Work = Callable[[Log], Awaitable[None]]
REMEMBERED: Final = 200
GRACE: Final = 0.25
"""Seconds that the answer to a request waits for its task. Clients look once a second, and most tasks need less."""

logger = logging.getLogger(__name__)


class Tasks:
    """The tasks of all hosts of a data centre."""

    def __init__(self, state: State, save: Callable[[], None], faults: Faults) -> None:
        self._state = state
        self._save = save
        self._faults = faults
        self._born = time.monotonic()
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self, node: str, kind: str, subject: str, user: str, work: Work) -> str:
        """Start ``work`` as a task and return its UPID, once it has ended or after a moment."""
        self._state.next_pid += 1
        now, pstart = int(time.time()), int((time.monotonic() - self._born) * 100)
        pid = self._state.next_pid
        upid = f"UPID:{node}:{pid:08X}:{pstart:08X}:{now:08X}:{kind}:{subject}:{user}:"
        task = Task(upid, node, pid, pstart, now, kind, subject, user)
        del self._state.tasks[: len(self._state.tasks) + 1 - REMEMBERED]
        self._state.tasks.append(task)
        self._save()
        job = asyncio.create_task(self._carry_out(task, work), name=upid)
        self._running[upid] = job
        job.add_done_callback(lambda _: self._running.pop(upid, None))
        await asyncio.wait([job], timeout=GRACE)
        return upid

    async def _carry_out(self, task: Task, work: Work) -> None:
        try:
            await self._done(task, work)
        except ApiError as error:
            task.exitstatus = str(error)
        except asyncio.CancelledError:
            task.exitstatus = INTERRUPTED
        except Exception as error:  # a broken task must not take the hosts down with it
            logger.exception("task %s broke", task.upid)
            task.exitstatus = f"{type(error).__name__}: {error}"
        else:
            task.exitstatus = "OK"
        task.exitstatus = " ".join(task.exitstatus.split())
        task.log.append("TASK OK" if task.exitstatus == "OK" else f"TASK ERROR: {task.exitstatus}")
        logger.info("%s %s %s: %s", task.node, task.type, task.id, task.exitstatus)
        self._save()

    async def _done(self, task: Task, work: Work) -> None:
        """Do the work; a task that was asked to fail does so at its first line of log, or at its end if it has none."""
        fault = self._faults.strike_task(task.type)
        if fault is None:
            return await work(task.log.append)
        failure = RefusedError(fault.message)

        def fail(line: str) -> None:
            task.log.append(line)
            raise failure

        await asyncio.sleep(fault.delay)
        await work(fail if fault.status else task.log.append)
        if fault.status:
            raise failure
        return None

    def find(self, node: str, upid: str) -> Task:
        """Return a task of a host."""
        for task in self._state.tasks:
            if task.upid == upid and task.node == node:
                return task
        raise RefusedError(f"no such task '{upid}'")

    async def stop(self, node: str, upid: str) -> None:
        """Interrupt a task; one that has ended is left as it is."""
        self.find(node, upid)
        if job := self._running.get(upid):
            job.cancel()
            await asyncio.wait([job])

    async def close(self) -> None:
        """Interrupt all that is still running."""
        jobs = list(self._running.values())
        for job in jobs:
            job.cancel()
        if jobs:
            await asyncio.wait(jobs)
