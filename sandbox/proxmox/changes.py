"""Changes of a configuration: what takes effect at once, what waits for the machine to be off, what is refused."""

import hashlib
import json
import re
import secrets
from typing import Final

from sandbox.proxmox.datacenter import Datacenter
from sandbox.proxmox.disks import attach, check_storages, detach, volume_of
from sandbox.proxmox.drives import CARDS, format_size, is_cdrom, is_drive, join_drive, parse_size, split_drive
from sandbox.proxmox.errors import ApiError, ParameterError, RefusedError
from sandbox.proxmox.options import CLOUD_INIT, OPTIONS, SECRET
from sandbox.proxmox.schema import InvalidError, Value, entries
from sandbox.proxmox.state import Guest, Volume
from sandbox.proxmox.tasks import Log

_AT_ONCE: Final = {
    "name",
    "description",
    "tags",
    "onboot",
    "startup",
    "protection",
    "hotplug",
    "shares",
    "cpulimit",
    "cpuunits",
}
_RESTART: Final = {"aio", "cache", "discard", "iothread", "queues", "serial", "ssd", "ro", "format"}
_MASK: Final = "**********"


def digest(config: object) -> str:
    """Return what tells one state of a configuration, or of a list of rules, from another."""
    return hashlib.sha1(json.dumps(config, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def shown(config: dict[str, Value]) -> dict[str, Value]:
    """Return a configuration as the API shows it: with its digest, without the password."""
    return {**config, **({SECRET: _MASK} if SECRET in config else {}), "digest": digest(config)}


def check_lock(guest: Guest) -> None:
    """Refuse to touch a machine that something else is working on."""
    if guest.lock:
        raise RefusedError(f"VM is locked ({guest.lock})")


def without_secret(given: dict[str, Value]) -> dict[str, Value]:
    """Keep a salted hash in place of the password, as a host does."""
    if SECRET not in given:
        return given
    salt = secrets.token_bytes(16)
    hashed = hashlib.scrypt(str(given[SECRET]).encode(), salt=salt, n=2**14, r=8, p=1)
    return {**given, SECRET: f"scrypt${salt.hex()}${hashed.hex()}"}


def update(datacenter: Datacenter, guest: Guest, given: dict[str, Value]) -> None:
    """Change the configuration; what a running machine can't take waits for its next start."""
    unset = entries(str(given.pop("delete", "")))
    expected = given.pop("digest", None)
    check_lock(guest)
    if expected is not None and expected != digest(guest.next_config):
        raise RefusedError("detected modified configuration - file changed by other user? Try again.")
    for name in unset:
        if name in given:
            raise ParameterError({"delete": f"you can't use '-{name}' and '-delete {name}' at the same time"})
        if name not in OPTIONS and not re.fullmatch(r"unused\d+", name):
            raise ParameterError({"delete": f"unknown option '{name}'"})
    check_storages(datacenter, guest.node, given)
    made: list[Volume] = []
    given = without_secret(given)
    try:
        changes = {n: attach(datacenter, guest, n, str(v), made) if is_drive(n) else v for n, v in given.items()}
    except ApiError:
        for volume in made:
            datacenter.free(volume)
        raise
    for name in unset:
        if name in guest.next_config:
            _change(datacenter, guest, name, None)
    for name, value in changes.items():
        _change(datacenter, guest, name, value)
    datacenter.save()


def _change(datacenter: Datacenter, guest: Guest, name: str, value: Value | None) -> None:
    guest.pending.pop(name, None)
    guest.unset = [other for other in guest.unset if other != name]
    if value == guest.config.get(name):
        return
    if guest.running and not _hotpluggable(guest, name, value):
        if value is None:
            guest.unset.append(name)
        else:
            guest.pending[name] = value
    else:
        _set(datacenter, guest, name, value)


def _set(datacenter: Datacenter, guest: Guest, name: str, value: Value | None) -> None:
    if name in guest.config and (value is None or volume_of(value) != volume_of(guest.config[name])):
        detach(datacenter, guest, name)
    if value is not None:
        guest.config[name] = value
        for unused in [k for k, v in guest.config.items() if k.startswith("unused") and v == volume_of(value)]:
            del guest.config[unused]


def _hotpluggable(guest: Guest, name: str, value: Value | None) -> bool:
    features = set(str(guest.config.get("hotplug", "1")).split(","))
    features |= {"network", "disk", "usb"} if "1" in features else set()
    if name in CARDS:
        return "network" in features
    if is_drive(name):
        old, new = guest.config.get(name), value
        if "disk" not in features or not name.startswith(("scsi", "virtio")):
            return False
        if old is None or new is None or volume_of(old) != volume_of(new):
            return True
        before, after = split_drive(name, str(old)), split_drive(name, str(new))
        return not any(before.get(option) != after.get(option) for option in _RESTART)
    return name in _AT_ONCE or name in CLOUD_INIT or name.startswith(("ipconfig", "unused"))


def apply_pending(datacenter: Datacenter, guest: Guest) -> None:
    """Take over what waited for the machine to be off."""
    for name in guest.unset:
        _set(datacenter, guest, name, None)
    for name, value in guest.pending.items():
        _set(datacenter, guest, name, value)
    guest.pending, guest.unset = {}, []


async def resize(datacenter: Datacenter, guest: Guest, disk: str, size: str, user: str) -> str:
    """Start growing a disk to ``size``, or by it when it begins with a plus; disks never shrink."""

    async def work(log: Log) -> None:
        async with datacenter.locks[guest.vmid]:
            check_lock(guest)
            if disk not in guest.config:
                raise RefusedError(f"disk '{disk}' does not exist")
            options = split_drive(disk, str(guest.config[disk]))
            if is_cdrom(options):
                raise RefusedError("you can't resize a cdrom")
            volume = datacenter.volume(guest.node, options["file"])
            try:
                wanted = parse_size(size.removeprefix("+")) + (volume.size if size.startswith("+") else 0)
            except InvalidError as error:
                raise RefusedError(str(error)) from error
            if wanted < volume.size:
                raise RefusedError("shrinking disks is not supported")
            datacenter.ensure_space(guest.node, datacenter.storage(guest.node, volume.storage), wanted - volume.size)
            volume.size = wanted
            guest.config[disk] = join_drive({**options, "size": format_size(wanted)})
            if disk in guest.pending:
                waiting = split_drive(disk, str(guest.pending[disk]))
                guest.pending[disk] = join_drive({**waiting, "size": format_size(wanted)})
            log(f"resized {disk} to {format_size(wanted)}")

    return await datacenter.tasks.run(guest.node, "resize", str(guest.vmid), user, work)
