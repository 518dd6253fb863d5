"""Endpoints: a method, a path with names in it, the parameters that are allowed, and what answers."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sandbox.proxmox.access import Access, denied
from sandbox.proxmox.datacenter import Datacenter
from sandbox.proxmox.errors import ApiError, ParameterError
from sandbox.proxmox.firewall import GROUP_NAME
from sandbox.proxmox.options import POOL_ID, STORAGE_ID, VM_ID
from sandbox.proxmox.schema import Kind, Parameter, Value, check, entries, integer, text
from sandbox.proxmox.state import Guest

IN_PATH: Final[Mapping[str, Kind]] = {
    "node": text(
        r"[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?", "invalid format - value does not look like a valid node name"
    ),
    "vmid": VM_ID,
    "storage": STORAGE_ID,
    "poolid": POOL_ID,
    "volume": text(r".+"),
    "roleid": text(r"[A-Za-z0-9.\-_]+"),
    "group": GROUP_NAME,
    "pos": integer(0),
    "sid": text(r"(vm|ct):[1-9][0-9]+|[1-9][0-9]+", "invalid format - value does not look like a valid HA resource"),
    **dict.fromkeys(("id", "rule"), text(r"(?i)[a-z][a-z0-9_-]+", "invalid format - invalid configuration ID")),
    "upid": text(r"UPID:.+:", "invalid format - unable to parse worker upid"),
}


Needs = Callable[[Access, str, Mapping[str, str]], None]


def on(path: str, *privileges: str) -> Needs:
    """Ask for all of ``privileges`` on ``path``, in which names stand for the request's parameters."""
    return lambda access, asking, given: access.check(asking, path.format_map(given), *privileges)


def on_any(path: str, *privileges: str) -> Needs:
    """Ask for one of ``privileges`` on ``path``."""
    return lambda access, asking, given: access.check_any(asking, path.format_map(given), *privileges)


def both(*needs: Needs) -> Needs:
    """Ask for all that ``needs`` ask for."""

    def check(access: Access, asking: str, given: Mapping[str, str]) -> None:
        for need in needs:
            need(access, asking, given)

    return check


def either(*needs: Needs) -> Needs:
    """Ask for what one of ``needs`` asks for; a host does not say which one would have done."""

    def check(access: Access, asking: str, given: Mapping[str, str]) -> None:
        for need in needs:
            try:
                return need(access, asking, given)
            except ApiError:
                continue
        raise denied()

    return check


@dataclass(frozen=True)
class Call:
    """A request that passed its checks: who asks the datacenter, and the values of path, query and body together."""

    datacenter: Datacenter
    user: str
    values: dict[str, Value]

    @property
    def node(self) -> str:
        """The host that the path names."""
        return str(self.values["node"])

    @property
    def guest(self) -> Guest:
        """The machine that the path names."""
        return self.datacenter.guest(self.node, int(self.values["vmid"]))

    def text(self, name: str) -> str:
        """Return a value that is text."""
        return str(self.values[name])

    def listed(self, name: str) -> list[str]:
        """Return the entries of a value that is a list in one string."""
        return entries(str(self.values.get(name, "")))

    def check(self, path: str, *privileges: str) -> None:
        """Refuse the request unless the asking token has all of ``privileges`` on ``path``."""
        self.datacenter.state.access.check(self.user, path, *privileges)

    def check_any(self, path: str, *privileges: str) -> None:
        """Refuse the request unless the asking token has one of ``privileges`` on ``path``."""
        self.datacenter.state.access.check_any(self.user, path, *privileges)

    def may(self, path: str, *privileges: str) -> bool:
        """Tell whether the asking token has one of ``privileges`` on ``path``: what a list leaves out otherwise."""
        return self.datacenter.state.access.has_any(self.user, path, *privileges)

    @property
    def given(self) -> dict[str, Value]:
        """What the client sent, apart from the host and the machine that the path names."""
        return {name: value for name, value in self.values.items() if name not in ("node", "vmid")}


Handler = Callable[[Call], Awaitable[object]]


@dataclass(frozen=True)
class Route:
    """One endpoint. ``needs`` looks at who asks, ``before`` at the raw parameters; both come first."""

    method: str
    path: str
    handler: Handler
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    before: Callable[[Mapping[str, str]], None] | None = None
    needs: Needs | None = None

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the values in ``path``, None when it is another endpoint's."""
        expression = re.sub(r"\{(\w+)\}", lambda m: f"(?P<{m[1]}>{'.+' if m[1] == 'volume' else '[^/]+'})", self.path)
        found = re.fullmatch(expression, path) if method == self.method else None
        return found.groupdict() if found else None

    def check(self, in_path: Mapping[str, str], given: Mapping[str, str]) -> dict[str, Value]:
        """Return the typed values of a request; those of the path may be sent once more.

        Raises:
            ParameterError: with all faults.
        """
        for name, value in in_path.items():
            if given.get(name, value) != value:
                raise ParameterError({name: "duplicate parameter (already defined in URI) with conflicting values!"})
        if self.before:
            self.before(given)
        known = {**self.parameters, **{name: Parameter(IN_PATH[name], required=True) for name in in_path}}
        return check({**given, **in_path}, known)
