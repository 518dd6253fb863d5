"""What a change of a machine asks of whoever makes it, option by option (PVE/API2/Qemu.pm, PVE/Storage.pm)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sandbox.proxmox.access import denied
from sandbox.proxmox.disks import EMPTY, volume_of
from sandbox.proxmox.drives import CARDS, NEW_DISK, is_cdrom, is_drive, split_card, split_drive
from sandbox.proxmox.errors import RefusedError
from sandbox.proxmox.options import CLOUD_INIT
from sandbox.proxmox.routing import Call
from sandbox.proxmox.schema import Value
from sandbox.proxmox.state import Guest, Volume

_CPU: Final = ("cores", "cpu", "cpulimit", "cpuunits", "numa", "sockets", "vcpus")
_MEMORY: Final = ("memory", "balloon", "shares")
_HARDWARE: Final = ("acpi", "hotplug", "kvm", "machine", "scsihw", "smbios1", "tablet", "vga", "watchdog")
_GENERAL: Final = (
    *("agent", "autostart", "bios", "description", "keyboard", "localtime", "name", "onboot", "ostype", "protection"),
    *("reboot", "startdate", "startup", "tags", "tdf", "template"),
)
_PRIVILEGE: Final[Mapping[str, str]] = {
    **dict.fromkeys(_CPU, "VM.Config.CPU"),
    **dict.fromkeys(_MEMORY, "VM.Config.Memory"),
    **dict.fromkeys(_HARDWARE, "VM.Config.HWType"),
    **dict.fromkeys(_GENERAL, "VM.Config.Options"),
    **dict.fromkeys(CARDS, "VM.Config.Network"),
    "boot": "VM.Config.Disk",
}
CONFIGURE: Final = (
    *("VM.Config.Disk", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Network"),
    *("VM.Config.HWType", "VM.Config.Options", "VM.Config.Cloudinit"),
)
# Decided by the host when it makes a machine, and by nobody afterwards.
_ROOT_ONLY: Final = ("vmgenid", "meta")


def check_create(call: Call, given: Mapping[str, Value]) -> None:
    """Refuse to make a machine that whoever asks may not make."""
    vmid = int(given["vmid"])
    # What is granted on the pool that it is made in holds for it from the start.
    paths = [*([f"/pool/{given['pool']}"] if "pool" in given else []), f"/vms/{vmid}"]
    if not any(call.may(path, "VM.Allocate") for path in paths):
        raise denied()
    _check_storages(call, given, vmid)
    # Its tags are checked only when they change.
    _check_options(call, paths, [name for name in given if name not in ("vmid", "pool", "start", "storage", "tags")])
    _check_serials(call, paths, given)
    _check_bridges(call, given)


def check_update(call: Call, guest: Guest) -> None:
    """Refuse a change of a machine that whoever asks may not make."""
    path = f"/vms/{guest.vmid}"
    paths = [path]
    given = {name: value for name, value in call.given.items() if name not in ("delete", "digest")}
    gone = call.listed("delete")
    _check_storages(call, given, guest.vmid)
    _check_options(call, paths, [*given, *gone])
    for name, value in given.items():
        if is_drive(name):
            _check_drive(call, path, name, str(value))
    for name in gone:
        if is_drive(name) and name in guest.next_config:
            _check_drive(call, path, name, str(guest.next_config[name]))
        elif name.startswith("unused"):
            call.check(path, "VM.Config.Disk")
    _check_serials(call, paths, {**dict.fromkeys(gone, "socket"), **given})
    _check_bridges(call, given)


def check_resize(call: Call, guest: Guest) -> None:
    """Refuse to take more of a storage that whoever asks may not fill."""
    volume = volume_of(guest.config.get(call.text("disk")))
    if volume:
        call.check(f"/storage/{volume.partition(':')[0]}", "Datastore.AllocateSpace")


def check_clone(call: Call, guest: Guest) -> None:
    """Refuse a copy of a machine that whoever asks may not make."""
    call.check(f"/vms/{call.values['newid']}", "VM.Allocate")
    for name in filter(is_drive, guest.config):
        volume = volume_of(guest.config[name])
        storage = call.values.get("storage") or volume.partition(":")[0]
        if storage:
            call.check(f"/storage/{storage}", "Datastore.AllocateSpace")
    _check_bridges(call, guest.config)


def reads_volume(call: Call, volume: Volume, vmid: int | None = None) -> bool:
    """Tell whether whoever asks may read a volume; ``vmid`` is the machine that he asks for."""
    path = f"/storage/{volume.storage}"
    if call.may(path, "Datastore.Allocate"):
        return True
    if volume.content in ("iso", "vztmpl", "import"):
        return call.may(path, "Datastore.AllocateSpace", "Datastore.Audit")
    if volume.vmid is None:
        return False
    own = vmid == volume.vmid
    return own or (call.may(path, "Datastore.Audit") and call.may(f"/vms/{volume.vmid}", "VM.Config.Disk"))


def _check_storages(call: Call, given: Mapping[str, Value], vmid: int) -> None:
    for name, value in given.items():
        if not is_drive(name):
            continue
        options = split_drive(name, str(value))
        file = options["file"]
        if file not in EMPTY and not file.endswith(":cloudinit"):
            if NEW_DISK.fullmatch(file):
                call.check(f"/storage/{file.partition(':')[0]}", "Datastore.AllocateSpace")
            else:
                _check_volume(call, file, vmid)
        if source := options.get("import-from"):
            _check_volume(call, source, None)


def _check_volume(call: Call, volid: str, vmid: int | None) -> None:
    volume = call.datacenter.volumes_by_id(call.node).get(volid)
    if volume is None:
        # What is not there is refused where it is used, with its name.
        return
    storage = f"/storage/{volume.storage}"
    if call.may(storage, "Datastore.Allocate"):
        return
    if volume.content in ("iso", "vztmpl", "import"):
        call.check_any(storage, "Datastore.AllocateSpace", "Datastore.Audit")
    elif volume.vmid is None:
        raise RefusedError(f"missing privileges to access {volid}")
    elif volume.vmid != vmid:
        call.check(storage, "Datastore.Audit")
        call.check(f"/vms/{volume.vmid}", "VM.Config.Disk")


def _check_machine(call: Call, paths: Sequence[str], *privileges: str) -> None:
    """Ask for one of ``privileges`` on one of ``paths``; a refusal names the last."""
    if not any(call.may(path, *privileges) for path in paths[:-1]):
        call.check_any(paths[-1], *privileges)


def _check_options(call: Call, paths: Sequence[str], names: Iterable[str]) -> None:
    for name in names:
        if is_drive(name) or name.startswith(("serial", "unused")):
            continue
        if name in CLOUD_INIT or name.startswith("ipconfig"):
            _check_machine(call, paths, "VM.Config.Cloudinit", "VM.Config.Network")
        elif name in _PRIVILEGE:
            _check_machine(call, paths, _PRIVILEGE[name])
            if name == "startup":
                call.check("/", "Sys.Modify")
        elif name in _ROOT_ONLY:
            raise RefusedError(f"only root can set '{name}' config")


def _check_drive(call: Call, path: str, name: str, value: str) -> None:
    options = split_drive(name, value)
    file = options["file"]
    if file.endswith((":cloudinit", "-cloudinit")):
        call.check(path, "VM.Config.Cloudinit", "VM.Config.CDROM")
    elif is_cdrom(options):
        call.check(path, "VM.Config.CDROM")
    else:
        call.check(path, "VM.Config.Disk")


def _check_serials(call: Call, paths: Sequence[str], given: Mapping[str, Value]) -> None:
    for name, value in given.items():
        if name.startswith("serial"):
            if value != "socket":
                raise RefusedError(f"only root can set '{name}' config for real devices")
            _check_machine(call, paths, "VM.Config.HWType")


def _check_bridges(call: Call, given: Mapping[str, Value]) -> None:
    for name in CARDS:
        if name not in given:
            continue
        card = split_card(name, str(given[name]))
        if bridge := card.get("bridge"):
            zone = f"/sdn/zones/localnetwork/{bridge}"
            call.check(f"{zone}/{card['tag']}" if "tag" in card else zone, "SDN.Use")
