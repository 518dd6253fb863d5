"""Who may do what: roles, which of them users have on which paths, and pools (PVE::AccessControl, PVE::RPCEnvironment).

A token here is not separated from its user: it may do what the user may.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from sandbox.proxmox.errors import ApiError, ParameterError, RefusedError

ADMINISTRATOR: Final = "root@pam"
# What is always looked at, beside the paths that somebody has a role on.
TOP_PATHS: Final = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")
# The privileges of Proxmox VE 9 that the endpoints of this stand-in ask for, and those that go with them.
PRIVILEGES: Final = frozenset(
    {
        *(f"Datastore.{name}" for name in ("Allocate", "AllocateSpace", "AllocateTemplate", "Audit")),
        *(f"Pool.{name}" for name in ("Allocate", "Audit")),
        *(f"SDN.{name}" for name in ("Allocate", "Audit", "Use")),
        *(f"Sys.{name}" for name in ("AccessNetwork", "Audit", "Console", "Incoming", "Modify", "PowerMgmt", "Syslog")),
        *(f"VM.{name}" for name in ("Allocate", "Audit", "Backup", "Clone", "Console", "Migrate", "PowerMgmt")),
        *(f"VM.Config.{name}" for name in ("CDROM", "CPU", "Cloudinit", "Disk", "HWType", "Memory", "Network")),
        "VM.Config.Options",
        "VM.GuestAgent.Audit",
        "VM.Snapshot",
        *("Group.Allocate", "Mapping.Audit", "Mapping.Modify", "Mapping.Use", "Permissions.Modify", "Realm.Allocate"),
        "User.Modify",
    }
)
BUILT_IN: Final[Mapping[str, frozenset[str]]] = {"Administrator": PRIVILEGES, "NoAccess": frozenset()}


@dataclass
class Grant:
    """A role that a user has on a path, and below it unless it does not propagate."""

    path: str
    user: str
    role: str
    propagate: bool = True


@dataclass
class Pool:
    """Machines that are granted together."""

    comment: str = ""
    machines: list[int] = field(default_factory=list)


@dataclass
class Access:
    """The user.cfg of a data centre: roles of its own, grants, and pools."""

    users: list[str] = field(default_factory=list)
    roles: dict[str, list[str]] = field(default_factory=dict)
    grants: list[Grant] = field(default_factory=list)
    pools: dict[str, Pool] = field(default_factory=dict)

    @classmethod
    def restored(cls, saved: Mapping[str, Any]) -> Self:
        """Read what `saved` gave."""
        return cls(
            list(saved["users"]),
            {role: list(privileges) for role, privileges in saved["roles"].items()},
            [Grant(**grant) for grant in saved["grants"]],
            {name: Pool(**pool) for name, pool in saved["pools"].items()},
        )

    def saved(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return asdict(self)

    def privileges_of(self, role: str) -> frozenset[str]:
        """Return what a role allows.

        Raises:
            RefusedError: there is no such role.
        """
        if role in BUILT_IN:
            return BUILT_IN[role]
        if role not in self.roles:
            raise RefusedError(f"role '{role}' does not exist")
        return frozenset(self.roles[role])

    def permissions(self, asking: str, path: str) -> dict[str, bool]:
        """Return the privileges of a user or a user's token on ``path``, each with whether it propagates.

        Roles on a deeper path replace those of the paths above it. A machine has those on its pool beside its own.
        """
        user = asking.partition("!")[0]
        if user == ADMINISTRATOR:
            return dict.fromkeys(PRIVILEGES, True)
        roles = self._roles(user, path)
        pool = self.pool_of(path.removeprefix("/vms/"))
        if path.startswith("/vms/") and pool is not None:
            roles = {**dict.fromkeys(self._roles(user, f"/pool/{pool}"), False), **roles}
        if "NoAccess" in roles:
            return {}
        found: dict[str, bool] = {}
        for role, propagate in roles.items():
            for privilege in self.privileges_of(role):
                found[privilege] = found.get(privilege, False) or propagate
        return found

    def _roles(self, user: str, path: str) -> dict[str, bool]:
        roles: dict[str, bool] = {}
        for level in _levels(path):
            here = {
                grant.role: grant.propagate
                for grant in self.grants
                if grant.user == user and grant.path == level and (grant.propagate or level == path)
            }
            roles = here or roles
        return roles

    def pool(self, name: str) -> Pool:
        """Return a pool.

        Raises:
            RefusedError: there is none of the name.
        """
        if name not in self.pools:
            raise RefusedError(f"pool '{name}' does not exist")
        return self.pools[name]

    def pool_of(self, vmid: int | str) -> str | None:
        """Return the name of the pool that a machine is in."""
        return next((name for name, pool in self.pools.items() if str(vmid) in map(str, pool.machines)), None)

    def forget(self, vmid: int) -> None:
        """Take a machine that is no more out of its pool, and drop the grants on it."""
        if (name := self.pool_of(vmid)) is not None:
            self.pools[name].machines.remove(vmid)
        self.grants = [grant for grant in self.grants if grant.path != f"/vms/{vmid}"]

    def dump(self, asking: str) -> dict[str, dict[str, int]]:
        """Return the permissions on every path that matters, as ``GET /access/permissions`` does."""
        members = (f"/vms/{vmid}" for pool in self.pools.values() for vmid in pool.machines)
        paths = {*TOP_PATHS, *(grant.path for grant in self.grants), *members}
        found = {path: self.permissions(asking, path) for path in sorted(paths)}
        return {path: {name: int(on) for name, on in sorted(held.items())} for path, held in found.items() if held}

    def has(self, asking: str, path: str, *privileges: str) -> bool:
        """Tell whether ``asking`` has all of ``privileges`` on ``path``."""
        return self.permissions(asking, path).keys() >= set(privileges)

    def has_any(self, asking: str, path: str, *privileges: str) -> bool:
        """Tell whether ``asking`` has one of ``privileges`` on ``path``."""
        return bool(self.permissions(asking, path).keys() & set(privileges))

    def check(self, asking: str, path: str, *privileges: str) -> None:
        """Refuse with status 403 and the first of ``privileges`` that is missing on ``path``."""
        for privilege in privileges:
            if not self.has(asking, path, privilege):
                raise denied(f"{path}, {privilege}")

    def check_any(self, asking: str, path: str, *privileges: str) -> None:
        """Refuse with status 403 unless ``asking`` has one of ``privileges`` on ``path``."""
        if not self.has_any(asking, path, *privileges):
            raise denied(f"{path}, {'|'.join(privileges)}")

    def set_role(self, role: str, privileges: Iterable[str]) -> None:
        """Make a role, or give an existing one other privileges."""
        wanted = sorted(set(privileges))
        if unknown := [name for name in wanted if name not in PRIVILEGES]:
            raise RefusedError(f"invalid privilege '{unknown[0]}'")
        if role in BUILT_IN:
            raise RefusedError(f"auto-generated role '{role}' cannot be modified")
        self.roles[role] = wanted

    def grant(self, path: str, users: Iterable[str], roles: Iterable[str], *, propagate: bool, remove: bool) -> None:
        """Add grants, or remove them."""
        path = _normal(path)
        for role in roles:
            self.privileges_of(role)
            for user in users:
                if user not in (ADMINISTRATOR, *self.users):
                    raise RefusedError(f"user '{user}' does not exist")
                key = (path, user, role)
                self.grants = [one for one in self.grants if (one.path, one.user, one.role) != key]
                if not remove:
                    self.grants.append(Grant(path, user, role, propagate))


def denied(what: str = "") -> ApiError:
    """Return the refusal of a host: what is missing, unless several things would have done."""
    return ApiError(403, f"Permission check failed ({what})" if what else "Permission check failed")


def _levels(path: str) -> list[str]:
    parts = path.strip("/").split("/") if path != "/" else []
    return ["/", *("/" + "/".join(parts[:depth]) for depth in range(1, len(parts) + 1))]


def _normal(path: str) -> str:
    normal = "/" + "/".join(part for part in path.split("/") if part)
    if not path.startswith("/") or not re.fullmatch(r"(/[A-Za-z0-9.\-_]+)*|/", normal):
        raise ParameterError({"path": f"invalid ACL path '{path}'"})
    return normal


# What docs/real-lab.md has an operator grant to the program's user.
OPERATORS_ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "HomelabMachines": (
        "Pool.Audit",
        "VM.Allocate",
        "VM.Audit",
        "VM.Backup",
        "VM.Config.CDROM",
        "VM.Config.CPU",
        "VM.Config.Cloudinit",
        "VM.Config.Disk",
        "VM.Config.HWType",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.Options",
        "VM.PowerMgmt",
    ),
    "HomelabReader": ("VM.Audit",),
    "HomelabDisks": ("Datastore.AllocateSpace", "Datastore.Audit"),
    "HomelabImages": (
        "Datastore.Allocate",
        "Datastore.AllocateSpace",
        "Datastore.AllocateTemplate",
        "Datastore.Audit",
    ),
    "HomelabBackups": ("Datastore.Allocate", "Datastore.Audit"),
    "HomelabDatacenter": ("Sys.Audit", "Sys.Modify"),
    "HomelabHosts": ("Sys.AccessNetwork", "Sys.Audit"),
    "HomelabBridges": ("SDN.Use",),
}
OPERATORS_GRANTS: Final[Mapping[str, str]] = {
    "/": "HomelabDatacenter",
    "/pool/homelab": "HomelabMachines",
    "/vms": "HomelabReader",
    "/storage/local-lvm": "HomelabDisks",
    "/storage/local": "HomelabImages",
    "/storage/backups": "HomelabBackups",
    "/nodes": "HomelabHosts",
    "/sdn/zones/localnetwork": "HomelabBridges",
}
PROGRAM: Final = "homelab@pve"
POOL: Final = "homelab"


def as_documented() -> Access:
    """Return the access of a data centre whose operator has followed docs/real-lab.md."""
    access = Access(users=[PROGRAM], pools={POOL: Pool()})
    for role, privileges in OPERATORS_ROLES.items():
        access.set_role(role, privileges)
    for path, role in OPERATORS_GRANTS.items():
        # What is granted on the whole data centre must not reach down to machines and storages of others.
        access.grant(path, [PROGRAM], [role], propagate=path != "/", remove=False)
    return access
