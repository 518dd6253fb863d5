"""Disks and network cards as strings: how requests spell them, and how a configuration spells them back."""

import re
import secrets
from collections.abc import Mapping
from typing import Final

from sandbox.proxmox.schema import (
    InvalidError,
    Kind,
    Value,
    boolean,
    choice,
    each,
    integer,
    number,
    split_properties,
    text,
)

KIB: Final = 1024
UNITS: Final = {"": 1, "K": KIB, "M": KIB**2, "G": KIB**3, "T": KIB**4}
EXTENT: Final = 4 * KIB**2
BUSES: Final = {"ide": 4, "sata": 6, "scsi": 31, "virtio": 16}
DRIVES: Final = tuple(f"{bus}{index}" for bus, count in BUSES.items() for index in range(count))
CARDS: Final = tuple(f"net{index}" for index in range(32))
CARD_MODELS: Final = (
    *("e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er"),
    *("ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3"),
)
VOLUME_ID: Final = re.compile(r"(?P<storage>[A-Za-z][A-Za-z0-9\-_.]*[A-Za-z0-9]):(?P<name>.+)")
NEW_DISK: Final = re.compile(r"(?P<storage>[A-Za-z][A-Za-z0-9\-_.]*[A-Za-z0-9]):(?P<gibibytes>\d+(\.\d+)?)")

_SIZE = text(r"\d+(\.\d+)?[KMGT]?", "value does not look like a valid disk size")
_LIMIT = integer(0)
_RATE = number(0)
_COMMON: Final[Mapping[str, Kind]] = {
    "file": text(r"[^,\s]+", "value does not look like a valid volume"),
    "import-from": text(r"[^,\s]+", "value does not look like a valid volume"),
    "media": choice("cdrom", "disk"),
    "format": choice("raw", "qcow", "qed", "qcow2", "vmdk", "cloop"),
    "size": _SIZE,
    "cache": choice("none", "writethrough", "writeback", "unsafe", "directsync"),
    "aio": choice("native", "threads", "io_uring"),
    "discard": choice("ignore", "on"),
    "rerror": choice("ignore", "report", "stop"),
    "werror": choice("enospc", "ignore", "report", "stop"),
    "serial": text(longest=60),
    **dict.fromkeys(("backup", "replicate", "snapshot", "shared", "detect_zeroes"), boolean),
    **dict.fromkeys(("iops", "iops_rd", "iops_wr", "iops_max", "iops_rd_max", "iops_wr_max"), _LIMIT),
    **dict.fromkeys(("mbps", "mbps_rd", "mbps_wr", "mbps_max", "mbps_rd_max", "mbps_wr_max"), _RATE),
}
_BUS_FIELDS: Final[Mapping[str, Mapping[str, Kind]]] = {
    "ide": {**_COMMON, "ssd": boolean, "model": text(longest=120)},
    "sata": {**_COMMON, "ssd": boolean},
    "scsi": {**_COMMON, "ssd": boolean, "iothread": boolean, "queues": integer(2), "ro": boolean, "scsiblock": boolean},
    "virtio": {**_COMMON, "iothread": boolean, "ro": boolean},
}
_MAC = text(r"(?i)[a-f0-9][02468ace](:[a-f0-9]{2}){5}", "value does not look like a valid unicast MAC address")
_CARD_FIELDS: Final[Mapping[str, Kind]] = {
    "model": choice(*CARD_MODELS),
    "macaddr": _MAC,
    "bridge": text(r"[-_.\w]+", "invalid bridge name"),
    "firewall": boolean,
    "link_down": boolean,
    "mtu": integer(1, 65520),
    "queues": integer(0, 64),
    "rate": _RATE,
    "tag": integer(1, 4094),
    "trunks": each(text(r"\d+(-\d+)?", "value does not look like a VLAN or a range of them"), ";"),
}


def is_drive(name: str) -> bool:
    """Tell disks from other options."""
    return name in DRIVES


def split_drive(name: str, given: str) -> dict[str, str]:
    """Return the options of a disk, its volume under ``file``."""
    fields = _BUS_FIELDS[name.rstrip("0123456789")]
    return split_properties(name, given, fields, "file", ("file",))


def drive(name: str, given: str) -> Value:
    """Check a disk parameter; the caller turns it into volumes, so the text is kept as it was sent."""
    split_drive(name, given)
    return given


def join_drive(options: Mapping[str, str]) -> str:
    """Write a disk as a configuration shows it: the volume first, then the options by name."""
    rest = sorted((key, value) for key, value in options.items() if key not in ("file", "format", "import-from"))
    return ",".join([options["file"], *(f"{key}={value}" for key, value in rest)])


def is_cdrom(options: Mapping[str, str]) -> bool:
    """Tell a disk from a drive that only reads."""
    return options.get("media") == "cdrom"


def split_card(name: str, given: str) -> dict[str, str]:
    """Return the options of a network card; ``virtio=MAC`` stands for ``model=virtio,macaddr=MAC``."""
    parts = []
    for part in given.split(","):
        key, separator, value = part.partition("=")
        parts.append(f"model={key},macaddr={value}" if separator and key in CARD_MODELS else part)
    return split_properties(name, ",".join(parts), _CARD_FIELDS, "model", ("model",))


def card(name: str, given: str) -> Value:
    """Return a network card as a configuration shows it; one without a MAC address is given a random one."""
    options = split_card(name, given)
    mac = options.pop("macaddr", "") or random_mac()
    if "tag" in options and "bridge" not in options:
        raise InvalidError("invalid format - a VLAN tag needs a bridge")
    head = f"{options.pop('model')}={mac}"
    return ",".join([head, *(f"{key}={value}" for key, value in sorted(options.items()))])


def random_mac() -> str:
    """Return an address with Proxmox's own prefix."""
    return ":".join(["BC", "24", "11", *(f"{byte:02X}" for byte in secrets.token_bytes(3))])


def parse_size(given: str) -> int:
    """Return the bytes of ``20G``, ``0.5T`` or a bare number of bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", given)
    if not match:
        raise InvalidError(f"value '{given}' does not look like a valid disk size")
    return int(float(match[1]) * UNITS[match[2]]) if "." in match[1] else int(match[1]) * UNITS[match[2]]


def format_size(size: int) -> str:
    """Write bytes with the largest unit that loses nothing."""
    unit = ""
    for larger in ("K", "M", "G", "T"):
        if size % UNITS[larger]:
            break
        unit = larger
    return f"{size // UNITS[unit]}{unit}" if size else "0"
