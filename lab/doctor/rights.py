"""The rights that the program's calls ask of Proxmox, and the commands that grant them (docs/real-lab.md says why)."""

from collections.abc import Mapping
from dataclasses import dataclass

from config.model import Lab

USER = "homelab@pve"

_CONFIG = ("CDROM", "CPU", "Cloudinit", "Disk", "HWType", "Memory", "Network", "Options")


@dataclass(frozen=True)
class Right:
    """A role that the program's user needs on a path, with its privileges."""

    path: str
    role: str
    privileges: tuple[str, ...]


def rights(lab: Lab) -> tuple[Right, ...]:
    """Return what the program needs for ``lab``."""
    return (
        Right(
            "/vms",
            "HomelabMachines",
            ("VM.Allocate", "VM.Audit", "VM.PowerMgmt", *(f"VM.Config.{name}" for name in _CONFIG)),
        ),
        Right(f"/storage/{lab.proxmox.disks}", "HomelabDisks", ("Datastore.AllocateSpace", "Datastore.Audit")),
        Right(
            f"/storage/{lab.proxmox.images}",
            "HomelabImages",
            ("Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit"),
        ),
        Right("/nodes", "HomelabHosts", ("Sys.AccessNetwork", "Sys.Audit")),
        Right("/sdn/zones/localnetwork", "HomelabBridges", ("SDN.Use",)),
    )


def missing(right: Right, held: Mapping[str, object]) -> tuple[str, ...]:
    """Return the privileges of ``right`` that are not among those ``held`` on its path."""
    return tuple(name for name in right.privileges if name not in held)


def steps(right: Right) -> tuple[str, str]:
    """Return the commands, to be run on a host, after which ``right`` is held whether its role existed or not."""
    privileges = " ".join(right.privileges)
    return (
        f'pveum role modify {right.role} --privs "{privileges}" || pveum role add {right.role} --privs "{privileges}"',
        f"pveum acl modify {right.path} --users {USER} --roles {right.role}",
    )


def token_steps() -> tuple[str, ...]:
    """Return the commands that make the user and its token, and how the value gets into the stack."""
    return (
        f"pveum user add {USER}",
        f"pveum user token add {USER} pulumi --privsep 0",
        f"make init STACK=<stack> with {USER}!pulumi=<the value that was printed>",
    )
