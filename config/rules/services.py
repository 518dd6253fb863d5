"""Rules of what runs in the cluster: room for copies, pinned images, storage beneath data, and who may come in."""

from collections.abc import Iterator

from config.compatibility import unsupported
from config.faults import Fault
from config.rules.parts import Parts

# Namespaces of the cluster itself and of the lab's own parts; an application has one of its own name.
TAKEN_NAMESPACES = frozenset(
    {
        "argocd",
        "cloudflared",
        "databases",
        "default",
        "elastic-system",
        "logging",
        "longhorn-system",
        "monitoring",
        "tracing",
    }
)
MOVING_TAGS = frozenset({"latest", "stable", "main", "master", "edge", "nightly", "dev", "develop"})


def service_rules(parts: Parts) -> Iterator[Fault]:
    """Yield what is wrong between services, and between them and the nodes."""
    yield from _namespaces(parts)
    yield from _images(parts)
    yield from _copies(parts)
    yield from _volumes(parts)
    yield from _names(parts)
    yield from _doors(parts)
    yield from _release(parts)


def _namespaces(parts: Parts) -> Iterator[Fault]:
    for name in parts.applications:
        if name in TAKEN_NAMESPACES or name.startswith("kube-"):
            problem = "is the name of a namespace of the lab's own"
            yield Fault(f"lab.applications.{name}", None, problem, "call the application, and its folder, otherwise")


def _images(parts: Parts) -> Iterator[Fault]:
    for name, application in parts.applications.items():
        if application.image is None:
            continue
        tag = application.image.rpartition("/")[2].partition(":")[2]
        fix = "name a version, as in ghcr.io/owner/name:1.2.3, or a digest"
        path = f"lab.applications.{name}.image"
        if not tag:
            yield Fault(path, application.image, "has no tag, so it would be another one each day", fix)
        elif tag in MOVING_TAGS:
            yield Fault(path, application.image, f"has the moving tag {tag}", fix)


def _copies(parts: Parts) -> Iterator[Fault]:
    """Each copy goes to a node of its own: two on one are lost together."""
    if not parts.all_nodes:
        return
    wanted = {f"applications.{name}.replicas": one.replicas for name, one in parts.applications.items()}
    if parts.databases and parts.databases.mongodb:
        wanted["databases.mongodb.members"] = parts.databases.mongodb.members
    if parts.observability and parts.observability.logs:
        wanted["observability.logs.nodes"] = parts.observability.logs.nodes
    for path, copies in wanted.items():
        if copies > len(parts.nodes):
            problem = f"is more than the {len(parts.nodes)} nodes"
            yield Fault(f"lab.{path}", copies, problem, f"use {len(parts.nodes)} or less, or add nodes")


def _volumes(parts: Parts) -> Iterator[Fault]:
    kept = [f"databases.{name}" for name, one in parts.databases or () if one is not None]
    observed = [f"observability.{name}" for name, one in parts.observability or () if one is not None]
    if not parts.has("storage"):
        for path in [*kept, *observed]:
            fix = "add storage: {} and give nodes disks.longhorn, or remove it"
            yield Fault(f"lab.{path}", None, "needs volumes, and the lab has no storage", fix)
        if parts.has("backups"):
            yield Fault("lab.backups", None, "has nothing to back up: the lab has no storage", "add storage: {}")
    if kept and parts.data.get("protect") is True and not parts.has("backups"):
        problem = "holds databases that no backup covers, in a lab that is protected"
        fix = "add backups with a target, or set protect: false if the data may be lost"
        yield Fault("lab.databases", None, problem, fix)


def _names(parts: Parts) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for index, hostname in parts.hostnames.items():
        path = f"lab.edge.hostnames[{index}].name"
        label, _, rest = hostname.name.partition(".")
        if parts.domain is not None and rest != parts.domain:
            # Cloudflare's free certificate covers the zone and the names directly below it.
            problem = f"is not directly below the domain {parts.domain}"
            yield Fault(path, hostname.name, problem, f"use a name such as {label}.{parts.domain}")
        if hostname.name in first:
            problem = f"is also that of edge.hostnames[{first[hostname.name]}]"
            yield Fault(path, hostname.name, problem, "list each name once")
        first.setdefault(hostname.name, index)


def _doors(parts: Parts) -> Iterator[Fault]:
    services = _services(parts)
    groups = parts.edge.groups if parts.edge else None
    for index, hostname in parts.hostnames.items():
        path = f"lab.edge.hostnames[{index}]"
        if hostname.service not in services:
            problem = "is no service of this lab"
            fix = f"use one of {', '.join(services)}"
            yield Fault(f"{path}.service", hostname.service, problem, fix)
        if hostname.public and hostname.access:
            problem = "is public and has an access rule"
            yield Fault(f"{path}.public", True, problem, "decide for one: remove public, or access")  # noqa: FBT003
        if not hostname.public and not hostname.access:
            problem = f"{hostname.name} has no access rule"
            yield Fault(f"{path}.access", None, problem, "name one or more of edge.groups, or set public: true")
        for group in hostname.access:
            if groups is not None and not groups.get(group):
                known = ", ".join(sorted(groups)) or "none yet"
                problem = "is an empty group" if group in groups else "is not in edge.groups"
                fix = f"add mail addresses to edge.groups.{group}, or use another one; known: {known}"
                yield Fault(f"{path}.access", group, problem, fix)


def _services(parts: Parts) -> list[str]:
    """Return what a hostname may lead to. What is malformed counts: its own fault is reported."""
    applications = parts.data.get("applications")
    services = [str(name) for name in applications] if isinstance(applications, dict) else []
    services.append("argocd")
    if parts.observability is None or parts.observability.metrics:
        services += ["alertmanager", "grafana", "prometheus"]
    if parts.observability is None or parts.observability.logs:
        services.append("kibana")
    return services


def _release(parts: Parts) -> Iterator[Fault]:
    if parts.kubernetes is None:
        return
    version = parts.kubernetes.version
    for one in unsupported(version, _charts(parts)):
        yield Fault("lab.kubernetes.version", version, one.problem, one.fix)


def _charts(parts: Parts) -> list[str]:
    """Return the parts of the lab of which it is known what Kubernetes they work with."""
    chosen = {"argocd": True, "longhorn": parts.has("storage")}
    if parts.observability:
        chosen["prometheus"] = parts.observability.metrics is not None
        chosen["eck"] = parts.observability.logs is not None
        chosen["collector"] = chosen["tempo"] = parts.observability.traces is not None
    if parts.databases:
        chosen["mongodb"] = parts.databases.mongodb is not None
    return [name for name, used in chosen.items() if used]
