"""The options of a virtual machine that this stand-in models, and the ones that it knows and does not."""

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address
from typing import Final
from urllib.parse import unquote

from sandbox.proxmox.drives import CARDS, DRIVES, card, drive
from sandbox.proxmox.errors import NotServedError
from sandbox.proxmox.schema import (
    InvalidError,
    Kind,
    Parameter,
    Value,
    boolean,
    choice,
    each,
    entries,
    integer,
    number,
    properties,
    split_properties,
    text,
)

_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])?"
_CPU_MODELS: Final = (
    *("host", "max", "kvm32", "kvm64", "qemu32", "qemu64", "x86-64-v2", "x86-64-v2-AES", "x86-64-v3", "x86-64-v4"),
    *("Broadwell", "Cascadelake-Server", "Cooperlake", "Haswell", "Icelake-Server", "IvyBridge", "Nehalem", "Penryn"),
    *("SandyBridge", "SapphireRapids", "GraniteRapids", "Skylake-Client", "Skylake-Server", "Westmere", "Conroe"),
    *("EPYC", "EPYC-Rome", "EPYC-Milan", "EPYC-Genoa", "Opteron_G5", "phenom", "athlon", "core2duo", "486"),
)
# A host knows these too. Naming them keeps "this stand-in lacks it" apart from "no such option".
_NOT_MODELLED: Final = re.compile(
    r"(hostpci|usb|numa|parallel|audio|virtiofs)\d+|efidisk0|tpmstate0|ivshmem|rng0|args|hookscript|amd-sev|arch"
    r"|archive|bwlimit|cdrom|cicustom|force|freeze|hugepages|import-working-storage|keephugepages|live-restore|lock"
    r"|migrate_(downtime|speed)|skiplock|smp|spice_enhancements|unique|vmstatestorage|background_delay"
)
SECRET: Final = "cipassword"  # noqa: S105 - the name of an option
CLOUD_INIT: Final = ("ciuser", SECRET, "sshkeys", "nameserver", "searchdomain", "citype", "ciupgrade")


def _cpu(name: str, given: str) -> Value:
    fields: dict[str, Kind] = {
        "cputype": text(),
        "flags": each(text(r"[+-][a-z0-9\-_]+", "value does not look like a CPU flag"), ";"),
        "hidden": boolean,
        "hv-vendor-id": text(r"[A-Za-z0-9]{1,12}"),
        "phys-bits": text(r"host|\d+"),
    }
    model = split_properties(name, given, fields, "cputype").get("cputype", "kvm64")
    if model not in _CPU_MODELS and not model.startswith("custom-"):
        raise InvalidError(f"Built-in cputype '{model}' is not defined (missing 'custom-' prefix?)")
    return given


def _address(_: str, given: str) -> Value:
    try:
        ip_address(given)
    except ValueError:
        raise InvalidError("invalid format - value does not look like a valid IP address") from None
    return given


def _ip_config(name: str, given: str) -> Value:
    """``ip=10.0.0.11/24,gw=10.0.0.1``, or dhcp; a gateway belongs to an address of its own family."""

    def interface(kind: type[IPv4Interface] | type[IPv6Interface], *words: str) -> Kind:
        def read(_: str, value: str) -> Value:
            try:
                if value not in words and ("/" not in value or not kind(value)):
                    raise AddressValueError(value)
            except ValueError:
                family = "ipv4" if kind is IPv4Interface else "ipv6"
                raise InvalidError(
                    f"invalid format - value does not look like a valid {family} network configuration"
                ) from None
            return value

        return read

    def gateway(kind: type[IPv4Address] | type[IPv6Address]) -> Kind:
        def read(_: str, value: str) -> Value:
            try:
                return str(kind(value))
            except ValueError:
                raise InvalidError("invalid format - value does not look like a valid IP address") from None

        return read

    found = split_properties(
        name,
        given,
        {
            "ip": interface(IPv4Interface, "dhcp"),
            "ip6": interface(IPv6Interface, "dhcp", "auto"),
            "gw": gateway(IPv4Address),
            "gw6": gateway(IPv6Address),
        },
    )
    for family in ("", "6"):
        if f"gw{family}" in found and found.get(f"ip{family}", "dhcp") in ("dhcp", "auto"):
            raise InvalidError(f"invalid format - gw{family} needs an address in ip{family} that is not dhcp")
    return given


def _ssh_keys(_: str, given: str) -> Value:
    if re.search(r"%(?![0-9a-fA-F]{2})|[\s]", given):
        raise InvalidError("invalid format - invalid urlencoded string: " + given[:40])
    for line in filter(None, unquote(given).splitlines()):
        if not re.match(r"(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/=]+", line):
            raise InvalidError("SSH public key validation error")
    return given


def _tags(_: str, given: str) -> Value:
    """Tags are kept once each, in lower case and in order, as a data centre with default settings does."""
    found = entries(given)
    for tag in found:
        if not re.fullmatch(r"(?i)[a-z0-9_][a-z0-9_\-+.]*", tag):
            raise InvalidError("invalid format - invalid characters in tag")
    return ";".join(sorted({tag.lower() for tag in found}))


def _memory(name: str, given: str) -> Value:
    split_properties(name, given, {"current": integer(16)}, "current", ("current",))
    return given.removeprefix("current=")


DNS_NAME: Final = text(rf"{_LABEL}(\.{_LABEL})*", "invalid format - value does not look like a valid DNS name")
STORAGE_ID: Final = text(
    r"[A-Za-z][A-Za-z0-9\-_.]*[A-Za-z0-9]", "invalid format - storage ID contains illegal characters"
)
POOL_ID: Final = text(r"[A-Za-z0-9._\-]+(/[A-Za-z0-9._\-]+){0,2}", "invalid format - value is not a valid pool name")
VM_ID: Final = integer(100, 999999999)

_KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(("acpi", "autostart", "kvm", "localtime", "numa", "onboot", "protection", "reboot"), boolean),
    **dict.fromkeys(("tablet", "tdf", "template", "ciupgrade"), boolean),
    **dict.fromkeys(("cores", "sockets", "vcpus"), integer(1)),
    "agent": properties(
        {
            "enabled": boolean,
            "fstrim_cloned_disks": boolean,
            "freeze-fs-on-backup": boolean,
            "type": choice("virtio", "isa"),
        },
        "enabled",
        ("enabled",),
    ),
    "affinity": text(r"\d+(-\d+)?(,\d+(-\d+)?)*", "invalid format - value is not a list of CPUs"),
    "balloon": integer(0),
    "bios": choice("seabios", "ovmf"),
    "boot": properties({"legacy": text(r"[acdn]{1,4}"), "order": each(text(r"[a-z]+\d+"), ";")}, "legacy"),
    "cpu": _cpu,
    "cpulimit": number(0, 128),
    "cpuunits": integer(1, 262144),
    "description": text(),
    "hotplug": each(choice("0", "1", "network", "disk", "usb", "memory", "cpu", "cloudinit"), ","),
    "keyboard": text(r"[a-z]{2}(-[a-z]{2})?"),
    "machine": text(r"(pc|q35|virt)([-.\w+]*)(,.*)?", longest=40),
    "memory": _memory,
    "name": DNS_NAME,
    "ostype": choice(
        "other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11", "l24", "l26", "solaris"
    ),
    "scsihw": choice("lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi"),
    "shares": integer(0, 50000),
    "smbios1": text(r"([a-z0-9]+=[^,]*)(,[a-z0-9]+=[^,]*)*", "invalid format - format error", longest=512),
    "startdate": text(r"now|\d{4}-\d{1,2}-\d{1,2}(T\d{1,2}:\d{1,2}:\d{1,2})?"),
    "startup": properties({"order": integer(0), "up": integer(0), "down": integer(0)}, "order"),
    "tags": _tags,
    "vga": properties({"type": text(r"[a-z0-9]+"), "memory": integer(4, 512), "clipboard": choice("vnc")}, "type"),
    "vmgenid": text(r"(?i)[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}|[01]"),
    "watchdog": properties({"model": choice("i6300esb", "ib700"), "action": text(r"[a-z]+")}, "model", ("model",)),
    "citype": choice("configdrive2", "nocloud", "opennebula"),
    "ciuser": text(r"[^\s:]+"),
    SECRET: text(),
    "nameserver": each(_address, r"[\s,]+"),
    "searchdomain": text(),
    "sshkeys": _ssh_keys,
    **{
        f"serial{index}": text(r"/dev/.+|socket", "invalid format - value is neither a device nor socket")
        for index in range(4)
    },
    **{f"ipconfig{index}": _ip_config for index in range(32)},
    **dict.fromkeys(CARDS, card),
    **dict.fromkeys(DRIVES, drive),
}
OPTIONS: Final[Mapping[str, Parameter]] = {name: Parameter(kind) for name, kind in _KINDS.items()}


def refuse_not_modelled(given: Mapping[str, str]) -> None:
    """Say which options a real host would take and this stand-in would have to fake.

    Raises:
        NotServedError: at least one of them was given.
    """
    found = sorted(name for name in given if _NOT_MODELLED.fullmatch(name))
    if found:
        raise NotServedError(f"Parameter {', '.join(found)} of a virtual machine")
