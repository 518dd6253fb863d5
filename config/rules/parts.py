"""What of a lab's data could be understood, part by part."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from config.model import (
    Application,
    Backups,
    Databases,
    Edge,
    Host,
    Hostname,
    Kubernetes,
    Networks,
    Node,
    Observability,
    Proxmox,
    Storage,
)
from config.model.infrastructure import Firewall
from config.model.values import Domain

_Part = TypeVar("_Part", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts that parse. None is a part that does not, or that is left out; items are kept by index or name."""

    data: Mapping[str, Any]
    domain: str | None
    proxmox: Proxmox | None
    hosts: Mapping[int, Host]
    networks: Networks | None
    nodes: Mapping[int, Node]
    kubernetes: Kubernetes | None
    applications: Mapping[str, Application]
    storage: Storage | None
    databases: Databases | None
    observability: Observability | None
    backups: Backups | None
    firewall: Firewall | None
    edge: Edge | None
    hostnames: Mapping[int, Hostname]

    @classmethod
    def of(cls, data: object) -> Self:
        """Read what can be read; nothing is reported here."""
        raw = _mapping(data)
        edge = _mapping(raw.get("edge"))
        return cls(
            data=raw,
            domain=_domain(raw.get("domain")),
            proxmox=_part(Proxmox, raw.get("proxmox")),
            hosts=_items(Host, _mapping(raw.get("proxmox")).get("hosts")),
            networks=_part(Networks, raw.get("networks")),
            nodes=_items(Node, raw.get("nodes")),
            kubernetes=_part(Kubernetes, raw.get("kubernetes")),
            applications={
                str(name): part
                for name, item in _mapping(raw.get("applications")).items()
                if (part := _part(Application, item)) is not None
            },
            storage=_part(Storage, raw.get("storage")),
            databases=_part(Databases, raw.get("databases", {})),
            observability=_part(Observability, raw.get("observability", {})),
            backups=_part(Backups, raw.get("backups")),
            firewall=_part(Firewall, raw.get("firewall")),
            edge=_part(Edge, {**edge, "hostnames": ()}) if edge else None,
            hostnames=_items(Hostname, edge.get("hostnames")),
        )

    @property
    def all_nodes(self) -> bool:
        """Whether no node was left out, so that counting them means something."""
        return bool(self.nodes) and len(self.nodes) == len(self.data["nodes"])

    @property
    def all_hosts(self) -> bool:
        """Whether no host was left out."""
        return bool(self.hosts) and len(self.hosts) == len(self.data["proxmox"]["hosts"])

    def has(self, section: str) -> bool:
        """Whether the data has the section, even one that does not parse."""
        return self.data.get(section) is not None


def _domain(data: object) -> str | None:
    try:
        return TypeAdapter(Domain).validate_python(data)
    except ValidationError:
        return None


def _mapping(data: object) -> Mapping[str, Any]:
    return data if isinstance(data, Mapping) else {}


def _items(model: type[_Part], data: object) -> dict[int, _Part]:
    listed = data if isinstance(data, list | tuple) else ()
    parsed = {index: _part(model, item) for index, item in enumerate(listed)}
    return {index: part for index, part in parsed.items() if part is not None}


def _part(model: type[_Part], data: object) -> _Part | None:
    try:
        return model.model_validate(data)
    except ValidationError:
        return None
