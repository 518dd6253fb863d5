"""Things that go wrong on purpose: which requests to a stand-in are refused or answered late, and how often."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Any, Final, Self, TypeVar

SERVICES: Final = ("pve", "pfsense", "registry", "containers")
WRITES: Final = ("POST", "PUT", "PATCH", "DELETE")
LOCKED: Final = "VM is locked (backup)"
NO_QUORUM: Final = "cluster not ready - no quorum?"
# Until it is cleared.
ALWAYS: Final = 10**9
_Answer = TypeVar("_Answer")


@dataclass
class Fault:
    """Requests to ``service`` by one of ``methods`` to a path like ``path``, a glob, are struck ``times`` times more.

    They are answered ``delay`` seconds later, and with ``status`` and ``message`` unless that is 0. With a status, what
    they ask for is not done; or, ``after``, it is done and only its answer is lost.

    A registry is asked for the images of pods, whose names are the paths here, and ``containers`` are those of a pod
    that end at once, by its namespace and name: ``hub/hub-*``.

    With ``task``, a kind of Proxmox's tasks such as ``qmcreate``, no request is struck but the tasks of that kind: they
    begin, and fail with ``message`` midway.
    """

    service: str
    methods: tuple[str, ...] = ("GET", *WRITES)
    path: str = "*"
    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    message: str = "this was asked for by `sandbox fault`"
    delay: float = 0.0
    times: int = 1
    after: bool = False
    task: str = ""

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Read what `asdict` gave.

        Raises:
            ValueError: it makes no sense.
        """
        fault = cls(**{**data, "methods": tuple(data.get("methods", cls.methods))})
        if fault.service not in SERVICES:
            raise ValueError(f"there is no stand-in {fault.service!r}; there are: {', '.join(SERVICES)}")
        if fault.status and not HTTPStatus.BAD_REQUEST <= fault.status <= HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED:
            raise ValueError(f"{fault.status} is no status of an error: use one from 400 to 511, or 0 for none")
        if fault.task and fault.service != "pve":
            raise ValueError("only the stand-in pve has tasks")
        if fault.times < 1 or fault.delay < 0 or not (fault.status or fault.delay):
            raise ValueError("it would do nothing: give it times, and a status or a delay")
        return fault

    def __str__(self) -> str:
        what = f"{self.status} {self.message}" if self.status else "no error"
        late = f", {self.delay:g} s late" if self.delay else ""
        often = "until cleared" if self.times > ALWAYS // 2 else f"{self.times} times more"
        what += " after it is done" if self.status and self.after else ""
        struck = f"task {self.task}" if self.task else f"{'|'.join(self.methods)} {self.path}"
        return f"{self.service} {struck}: {what}{late}, {often}"


class Faults:
    """Those that are waiting for their requests; they go when the sandbox stops."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Let one wait."""
        self._waiting.append(fault)

    def clear(self) -> None:
        """Forget all of them."""
        self._waiting.clear()

    def listing(self) -> list[dict[str, Any]]:
        """Return those that are still waiting, as JSON takes them."""
        return [asdict(fault) for fault in self._waiting]

    def strike(self, service: str, method: str, path: str) -> Fault | None:
        """Return what happens to a request, and count it; the first that fits strikes."""
        for fault in self._waiting:
            asked = method in fault.methods and fnmatchcase(path, fault.path)
            if fault.service == service and asked and not fault.task:
                return self._counted(fault)
        return None

    async def answer(
        self,
        request: tuple[str, str, str],
        work: Callable[[], Awaitable[_Answer]],
        refusal: Callable[[int, str], Exception],
    ) -> _Answer:
        """Return what ``work`` returns, unless the request (service, method, path) is struck, before it or after."""
        fault = self.strike(*request)
        if fault is None:
            return await work()
        await asyncio.sleep(fault.delay)
        if fault.status and not fault.after:
            raise refusal(fault.status, fault.message)
        answer = await work()
        if fault.status:
            raise refusal(fault.status, fault.message)
        return answer

    def strike_task(self, kind: str) -> Fault | None:
        """Return what happens to a task, and count it; the first that fits strikes."""
        return next((self._counted(fault) for fault in self._waiting if fault.task == kind), None)

    def _counted(self, fault: Fault) -> Fault:
        fault.times -= 1
        if fault.times == 0:
            self._waiting.remove(fault)
        return fault
