"""What a disk parameter of a machine does to volumes: new ones, imported ones, a cloud-init drive, detached ones."""

import re
from collections.abc import Mapping
from typing import Final

from sandbox.proxmox.datacenter import Datacenter
from sandbox.proxmox.drives import (
    EXTENT,
    NEW_DISK,
    UNITS,
    VOLUME_ID,
    format_size,
    is_cdrom,
    is_drive,
    join_drive,
    split_drive,
)
from sandbox.proxmox.errors import ParameterError, RefusedError
from sandbox.proxmox.schema import Value
from sandbox.proxmox.state import Guest, Volume
from sandbox.proxmox.storages import virtual_size

EMPTY: Final = ("none", "cdrom")


def check_storages(datacenter: Datacenter, node: str, config: Mapping[str, Value]) -> None:
    """Refuse, before anything is made, disks on a storage that is not there or takes no disks."""
    for name, value in config.items():
        if not is_drive(name):
            continue
        options = split_drive(name, str(value))
        volume = VOLUME_ID.fullmatch(options["file"])
        if volume is None and options["file"] not in EMPTY:
            raise ParameterError({name: f"invalid format - unable to parse volume ID '{options['file']}'"})
        if volume and (NEW_DISK.fullmatch(options["file"]) or volume["name"] == "cloudinit"):
            datacenter.storage_for(node, volume["storage"], "images")
        source = VOLUME_ID.fullmatch(options.get("import-from", ""))
        if source:
            kind = datacenter.storage(node, source["storage"]) and source["name"].partition("/")[0]
            if "/" in source["name"] and kind != "import":
                raise ParameterError({name: f"'{source[0]}' has type '{kind}' - not 'images' or 'import'"})
        elif "import-from" in options:
            raise ParameterError({name: f"invalid format - unable to parse volume ID '{options['import-from']}'"})


def attach(datacenter: Datacenter, guest: Guest, name: str, given: str, made: list[Volume]) -> str:
    """Return a disk as the configuration shall hold it; volumes that had to be made for it are added to ``made``."""
    options = split_drive(name, given)
    source = options.pop("import-from", "")
    if options["file"] in EMPTY:
        return join_drive({**options, "media": "cdrom"})
    storage_name = options["file"].partition(":")[0]
    if options["file"].endswith(":cloudinit"):
        storage = datacenter.storage_for(guest.node, storage_name, "images")
        volume = datacenter.allocate(guest, storage, EXTENT, name=f"vm-{guest.vmid}-cloudinit")
        made.append(volume)
        return join_drive({"file": volume.volid, "media": "cdrom"})
    if new := NEW_DISK.fullmatch(options["file"]):
        storage = datacenter.storage_for(guest.node, storage_name, "images")
        size, image = int(float(new["gibibytes"]) * UNITS["G"]), None
        if source:
            original = datacenter.volume(guest.node, source)
            image = original.volid if original.content == "import" else original.image
            size = virtual_size(datacenter.file(original)) if original.content == "import" else original.size
        volume = datacenter.allocate(guest, storage, size, image=image)
        made.append(volume)
    else:
        volume = datacenter.volume(guest.node, options["file"])
        if volume.content == "iso" and not is_cdrom(options):
            raise ParameterError({name: f"'{volume.volid}' is an ISO image, which needs media=cdrom"})
        if volume.content == "images" and volume.vmid != guest.vmid:
            raise RefusedError(f"volume '{volume.volid}' is owned by VM {volume.vmid}")
    return join_drive({**options, "file": volume.volid, "size": format_size(volume.size)})


def detach(datacenter: Datacenter, guest: Guest, name: str) -> None:
    """Take an entry out of the configuration; a disk is kept as ``unusedN``, an unused one is freed."""
    value = str(guest.config.pop(name))
    if not (is_drive(name) or name.startswith("unused")):
        return
    volume = datacenter.volumes_by_id(guest.node).get(value.split(",", 1)[0])
    if volume is None or volume.vmid != guest.vmid:
        return
    if name.startswith("unused") or volume.name.endswith("-cloudinit"):
        datacenter.free(volume)
    else:
        guest.config[next(f"unused{n}" for n in range(256) if f"unused{n}" not in guest.config)] = volume.volid


def volume_of(value: Value | None) -> str:
    """Return the volume id of a disk in a configuration."""
    return str(value or "").split(",", 1)[0]


def referenced(guest: Guest) -> set[str]:
    """Return the ids of all volumes that a machine's configuration names."""
    entries = [*guest.config.items(), *guest.pending.items()]
    return {volume_of(value) for name, value in entries if is_drive(name) or re.fullmatch(r"unused\d+", name)}
