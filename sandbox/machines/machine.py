"""A running virtual machine: its disk, its services and what they wrote into the journal."""

import logging
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from sandbox.machines.disk import Disk
from sandbox.proxmox import Machine as Specification

logger = logging.getLogger(__name__)


class ServiceError(RuntimeError):
    """A service exited while it started; its reason is in the journal."""


class Service(Protocol):
    """Something that systemd runs."""

    async def start(self, machine: "RunningMachine", unit: str) -> None: ...

    async def stop(self, machine: "RunningMachine") -> None: ...


@dataclass
class RunningMachine:
    """One booted machine."""

    specification: Specification
    disk: Disk
    service: Service
    active: set[str] = field(default_factory=set)
    journal: deque[str] = field(default_factory=lambda: deque(maxlen=500))

    @property
    def name(self) -> str:
        return self.specification.name

    def log(self, unit: str, message: str) -> None:
        """Write a line of ``unit`` into the machine's journal and into the sandbox's log."""
        stamp = datetime.now(UTC).strftime("%b %d %H:%M:%S")
        self.journal.append(f"{stamp} {self.name} {unit}: {message}")
        logger.info("%s %s: %s", self.name, unit, message)

    def unit_file(self, unit: str) -> str:
        return f"/etc/systemd/system/{unit}.service"

    @property
    def enabled_units(self) -> tuple[str, ...]:
        folder = self.disk.locate("/etc/systemd/system/multi-user.target.wants")
        return tuple(sorted(path.stem for path in folder.glob("*.service"))) if folder.exists() else ()

    def enable(self, unit: str) -> None:
        self.disk.write(f"/etc/systemd/system/multi-user.target.wants/{unit}.service", b"", 0o644)

    def disable(self, unit: str) -> None:
        self.disk.remove(f"/etc/systemd/system/multi-user.target.wants/{unit}.service")

    async def start(self, unit: str) -> None:
        """Start ``unit`` and wait until it is up, as for a unit of type notify.

        Raises:
            ServiceError: it exits.
        """
        await self.stop(unit)
        await self.service.start(self, unit)
        self.active.add(unit)

    async def stop(self, unit: str) -> None:
        """Stop ``unit`` if it runs."""
        if unit in self.active:
            self.active.discard(unit)
            await self.service.stop(self)
