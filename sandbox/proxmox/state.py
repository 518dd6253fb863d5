"""What a data centre is made of, and its one JSON file. No rules here: whoever changes the state saves it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from sandbox.pki import write_private
from sandbox.proxmox.access import Access, as_documented
from sandbox.proxmox.schema import Value

GIB: Final = 1024**3
FORMAT: Final = 2
INTERRUPTED: Final = "interrupted: the host went down"
_PLAIN: Final = ("backup_jobs", "ha_resources", "ha_rules")


@dataclass(frozen=True)
class Storage:
    """A storage of one host, or the same one of all hosts, by the content that it takes; capacity in bytes."""

    name: str
    type: str
    content: tuple[str, ...]
    capacity: int
    shared: bool = False


LOCAL: Final = Storage("local", "dir", ("iso", "vztmpl", "backup", "import", "snippets"), 100 * GIB)
LOCAL_LVM: Final = Storage("local-lvm", "lvmthin", ("images", "rootdir"), 500 * GIB)
CEPH: Final = Storage("ceph", "rbd", ("images", "rootdir"), 1500 * GIB, shared=True)
BACKUPS: Final = Storage("backups", "nfs", ("backup",), 2000 * GIB, shared=True)


@dataclass(frozen=True)
class Host:
    """A Proxmox VE host: what it is called, where it answers and what it has to give; memory in bytes."""

    name: str
    address: str
    cpus: int
    memory: int
    bridges: tuple[str, ...] = ("vmbr0",)
    storages: tuple[Storage, ...] = (LOCAL, LOCAL_LVM, CEPH, BACKUPS)


@dataclass
class Volume:
    """A file or a disk on a storage of one host; ``image`` is the volume that a disk was imported from."""

    node: str
    storage: str
    name: str
    content: str
    format: str
    size: int
    ctime: int
    vmid: int | None = None
    image: str | None = None

    @property
    def volid(self) -> str:
        """The name that is unique on a host."""
        return f"{self.storage}:{self.name}"


Rule = dict[str, Value]
"""A rule of Proxmox's firewall; its position in its list is all that names it."""


@dataclass
class SecurityGroup:
    """Rules that machines share."""

    comment: str = ""
    rules: list[Rule] = field(default_factory=list)


@dataclass
class GuestFirewall:
    """The firewall of a machine. It has a file of its own, which may be there without the machine."""

    options: dict[str, Value] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)


@dataclass
class Guest:
    """A virtual machine: its configuration, and what waits for its next start."""

    vmid: int
    node: str
    config: dict[str, Value] = field(default_factory=dict)
    pending: dict[str, Value] = field(default_factory=dict)
    unset: list[str] = field(default_factory=list)
    running: bool = False
    started: float = 0.0
    lock: str | None = None

    @property
    def next_config(self) -> dict[str, Value]:
        """The configuration that holds from the next start on; it is what the API shows unless asked otherwise."""
        return {key: value for key, value in {**self.config, **self.pending}.items() if key not in self.unset}

    @property
    def is_template(self) -> bool:
        """Whether it is there to be cloned and not to run."""
        return bool(self.config.get("template"))


@dataclass
class Task:
    """A task of a host; ``exitstatus`` is empty while it runs."""

    upid: str
    node: str
    pid: int
    pstart: int
    starttime: int
    type: str
    id: str
    user: str
    log: list[str] = field(default_factory=list)
    exitstatus: str = ""


@dataclass
class State:
    """Everything that a data centre remembers."""

    guests: dict[int, Guest] = field(default_factory=dict)
    volumes: list[Volume] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    next_pid: int = 1000
    access: Access = field(default_factory=as_documented)
    groups: dict[str, SecurityGroup] = field(default_factory=dict)
    firewalls: dict[int, GuestFirewall] = field(default_factory=dict)
    backup_jobs: dict[str, dict[str, Value]] = field(default_factory=dict)
    ha_resources: dict[str, dict[str, Value]] = field(default_factory=dict)
    ha_rules: dict[str, dict[str, Value]] = field(default_factory=dict)
    resuming: set[int] = field(default_factory=set)
    """Machines that ran when the hosts went down and have not been started again yet; saved as running."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the state as hosts come up after a power cut: nothing runs, half-made machines are gone.

        A real host would keep a half-made machine locked, for an administrator to look at; here nobody would.

        Raises:
            ValueError: the file is not the state of a data centre.
        """
        if not path.exists():
            return cls()
        try:
            state = cls._restored(json.loads(path.read_text()))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is not the state of a Proxmox stand-in ({error}); `python -m sandbox down --wipe` starts anew"
            ) from error
        for task in state.tasks:
            task.exitstatus = task.exitstatus or INTERRUPTED
        half_made = {vmid for vmid, guest in state.guests.items() if guest.lock in ("create", "clone")}
        state.guests = {vmid: guest for vmid, guest in state.guests.items() if vmid not in half_made}
        state.volumes = [volume for volume in state.volumes if volume.vmid not in half_made]
        state.resuming = {vmid for vmid, guest in state.guests.items() if guest.running}
        for guest in state.guests.values():
            guest.running = False
        return state

    @classmethod
    def _restored(cls, saved: dict[str, Any]) -> Self:
        if saved["format"] != FORMAT:
            raise ValueError(f"format {saved['format']!r}, not {FORMAT}")
        return cls(
            {guest["vmid"]: Guest(**guest) for guest in saved["guests"]},
            [Volume(**volume) for volume in saved["volumes"]],
            [Task(**task) for task in saved["tasks"]],
            saved["next_pid"],
            Access.restored(saved["access"]),
            {name: SecurityGroup(**group) for name, group in saved["groups"].items()},
            {int(vmid): GuestFirewall(**kept) for vmid, kept in saved["firewalls"].items()},
            *(saved[name] for name in _PLAIN),
        )

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all; only its owner can read it."""
        content = {
            "format": FORMAT,
            "guests": [
                {**asdict(guest), "running": guest.running or guest.vmid in self.resuming}
                for guest in self.guests.values()
            ],
            "volumes": [asdict(volume) for volume in self.volumes],
            "tasks": [asdict(task) for task in self.tasks],
            "next_pid": self.next_pid,
            "access": self.access.saved(),
            "groups": {name: asdict(group) for name, group in self.groups.items()},
            "firewalls": {str(vmid): asdict(kept) for vmid, kept in self.firewalls.items()},
            **{name: getattr(self, name) for name in _PLAIN},
        }
        write_private(path, json.dumps(content, indent=1).encode())
