"""The rights that the program's calls ask of Proxmox, and the commands that grant them (docs/real-lab.md says why)."""

from collections.abc import Mapping
from dataclasses import dataclass

from config.model import Lab
from config.model.infrastructure import DataCentre

USER = "homelab@pve"

_CONFIG = ("CDROM", "CPU", "Cloudinit", "Disk", "HWType", "Memory", "Network", "Options")


@dataclass(frozen=True)
class Right:
    """A role that the program's user needs on a path, with its privileges; below it too if it propagates."""

    path: str
    role: str
    privileges: tuple[str, ...]
    propagate: bool = True


def rights(lab: Lab) -> tuple[Right, ...]:
    """Return what the program needs for ``lab``."""
    wanted = lab.proxmox.datacenter
    backup = ("VM.Backup",) if wanted.backups else ()
    machines = (
        "Pool.Audit",
        "VM.Allocate",
        "VM.Audit",
        *backup,
        "VM.PowerMgmt",
        *(f"VM.Config.{one}" for one in _CONFIG),
    )
    needed = [
        Right(f"/pool/{lab.proxmox.pool}", "HomelabMachines", machines),
        # A host refuses to say that a machine is gone to whoever may not read it.
        Right("/vms", "HomelabReader", ("VM.Audit",)),
        Right(f"/storage/{lab.proxmox.disks}", "HomelabDisks", ("Datastore.AllocateSpace", "Datastore.Audit")),
        Right(
            f"/storage/{lab.proxmox.images}",
            "HomelabImages",
            ("Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit"),
        ),
        Right("/nodes", "HomelabHosts", ("Sys.AccessNetwork", "Sys.Audit")),
        Right("/sdn/zones/localnetwork", "HomelabBridges", ("SDN.Use",)),
    ]
    if wanted.backups:
        storage = f"/storage/{wanted.backups.datastore}"
        needed.append(Right(storage, "HomelabBackups", ("Datastore.Allocate", "Datastore.Audit")))
    if whole := _on_all(wanted):
        needed.append(Right("/", "HomelabDatacenter", whole, propagate=False))
    return tuple(needed)


def _on_all(wanted: DataCentre) -> tuple[str, ...]:
    """Return what the parts of ``wanted`` ask for on the whole data centre."""
    read = wanted.firewall_group or wanted.backups or wanted.high_availability
    modify = wanted.start_order or wanted.firewall_group or wanted.backups
    asked = {"Sys.Audit": read, "Sys.Console": wanted.high_availability, "Sys.Modify": modify}
    return tuple(name for name, needed in asked.items() if needed)


def missing(right: Right, held: Mapping[str, object]) -> tuple[str, ...]:
    """Return the privileges of ``right`` that are not among those ``held`` on its path."""
    return tuple(name for name in right.privileges if name not in held)


def steps(right: Right) -> tuple[str, str]:
    """Return the commands, to be run on a host, after which ``right`` is held whether its role existed or not."""
    privileges = " ".join(right.privileges)
    reach = "" if right.propagate else " --propagate 0"
    return (
        f'pveum role modify {right.role} --privs "{privileges}" || pveum role add {right.role} --privs "{privileges}"',
        f"pveum acl modify {right.path} --users {USER} --roles {right.role}{reach}",
    )


def token_steps() -> tuple[str, ...]:
    """Return the commands that make the user and its token, and how the value gets into the stack."""
    return (
        f"pveum user add {USER}",
        f"pveum user token add {USER} pulumi --privsep 0",
        f"make init STACK=<stack> with {USER}!pulumi=<the value that was printed>",
    )
