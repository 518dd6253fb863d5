"""What runs on the platform: applications, databases, observability, backups, and the way in from outside."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from config.model.values import HEX_ID, Domain, Label, Section

# Docker's reference grammar: a repository with an optional host and port, then a tag or a digest.
IMAGE = (
    r"^[a-z0-9]+([._-]+[a-z0-9]+)*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})?$"
)
# Longhorn's forms: the region is part of the URL, and the path ends with a slash.
BACKUP_TARGET = r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]@[a-z0-9-]+/([\w./-]*/)?|nfs://[a-z0-9.-]+:/[\w./-]+)$"
CRON = r"^(\*|[0-9*,/-]+)( [0-9*,/-]+){4}$"
# One person, or everybody of a mail domain.
PERSON = r"^[^@\s]*@[a-z0-9.-]+\.[a-z]+$"

Days = Annotated[int, Field(ge=1, le=3650, description="days, 1 or more")]
VolumeSize = Annotated[int, Field(ge=1, le=16384, description="a volume's size in GiB, 1 to 16384")]
Memory = Annotated[int, Field(ge=16, le=1_048_576, description="memory in MiB that a pod asks for")]


class Application(Section):
    """One application of the lab's own, whose manifests are in the folder of gitops/ of the same name."""

    image: str | None = Field(
        default=None,
        pattern=IMAGE,
        description="an image with a tag that never moves, as ghcr.io/owner/name followed by :1.2.3; "
        "or no key for the one in gitops/",
    )
    replicas: int = Field(default=2, ge=1, le=100, description="pods, 1 to 100; each on a node of its own")
    cpu: int = Field(default=50, ge=1, le=128_000, description="thousandths of a CPU core that a pod asks for")
    memory: Memory = 64


class Database(Section):
    """One database server and its volume."""

    volume: VolumeSize
    memory: Memory = 1024


class MongoDB(Database):
    """A MongoDB replica set; each member has a volume."""

    members: Literal[1, 3] = Field(default=1, description="1, or 3 for a replica set that survives a node")


class Databases(Section):
    """The databases that the lab has; leave out what it does not need."""

    mysql: Database | None = None
    mongodb: MongoDB | None = None
    influxdb: Database | None = None


class Metrics(Section):
    """Prometheus, Alertmanager and Grafana."""

    volume: VolumeSize = 30
    memory: Memory = 2048
    retention_days: Days = 15


class Logs(Section):
    """Elasticsearch, Kibana and Elastic Agent."""

    nodes: Literal[1, 3] = Field(default=1, description="1, or 3 for an Elasticsearch that survives a node")
    volume: VolumeSize = 50
    memory: Memory = Field(default=2048, ge=1024, description="MiB for each node of Elasticsearch, 1024 or more")
    retention_days: Days = 14


class Traces(Section):
    """Tempo and its collectors."""

    volume: VolumeSize = 20
    retention_days: Days = 7


class Observability(Section):
    """What is known about the lab; leave out what is not wanted."""

    metrics: Metrics | None = None
    logs: Logs | None = None
    traces: Traces | None = None


class Backups(Section):
    """Where volumes and dumps go, outside of the lab. The credentials are secrets of the stack."""

    target: str = Field(
        pattern=BACKUP_TARGET, description="s3://bucket@region/ or s3://bucket@region/path/ or nfs://host:/path"
    )
    schedule: str = Field(default="0 3 * * *", pattern=CRON, description="five fields of cron, such as 0 3 * * *")
    keep: int = Field(default=14, ge=1, le=1000, description="how many backups of a volume are kept, 1 or more")


class Hostname(Section):
    """A name on the internet, the service behind it, and who may reach it."""

    name: Domain = Field(description="a name directly below the lab's domain, such as hub.lab.example.com")
    service: Label = Field(description="an application, or argocd, grafana, alertmanager, prometheus, kibana")
    access: tuple[Label, ...] = Field(default=(), description="one or more of edge.groups")
    public: bool = Field(default=False, description="true lets everybody in; then there is no access")


class Edge(Section):
    """The Cloudflare tunnel: the only way in."""

    account: str = Field(pattern=HEX_ID, description="the Cloudflare account's id, 32 hex digits")
    zone: str = Field(pattern=HEX_ID, description="the id of the zone whose name is the lab's domain, 32 hex digits")
    groups: Mapping[Label, tuple[Annotated[str, Field(pattern=PERSON)], ...]] = Field(
        default_factory=dict, description="mail addresses by group; @example.com stands for all of a domain"
    )
    hostnames: tuple[Hostname, ...] = Field(default=(), description="one entry for each name on the internet")
