"""Where the sandbox lives: every path, address and port of it, and nothing that starts or stops anything."""

import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final, NamedTuple, Self

REPOSITORY: Final = Path(__file__).resolve().parent.parent
DEFAULT_NETWORK: Final = "127.10"

PROXMOX_NODES: Final = ("pve1", "pve2", "pve3")
SSH_PORT: Final = 2222


class SettingsError(ValueError):
    """A variable of the environment says what no sandbox can have."""


class Endpoint(NamedTuple):
    """An address and a TCP port that something of the sandbox listens on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Settings:
    """One sandbox: its folder, and its /16 of loopback as the first two numbers of an address, like ``127.10``."""

    root: Path
    network: str = DEFAULT_NETWORK

    def __post_init__(self) -> None:
        if not re.fullmatch(r"127\.(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])", self.network):
            raise SettingsError(
                f"HOMELAB_SANDBOX_NETWORK is {self.network!r}; give two numbers of loopback, such as 127.11"
            )

    @classmethod
    def from_environment(cls) -> Self:
        """Read HOMELAB_SANDBOX (a folder) and HOMELAB_SANDBOX_NETWORK (``127.N``); both have defaults.

        Raises:
            SettingsError: the network is not two numbers of loopback.
        """
        root = Path(os.environ.get("HOMELAB_SANDBOX") or REPOSITORY / ".sandbox")
        return cls(root.absolute(), os.environ.get("HOMELAB_SANDBOX_NETWORK") or DEFAULT_NETWORK)

    def _service(self, port: int) -> Endpoint:
        return Endpoint(f"{self.network}.0.1", port)

    @property
    def cidr(self) -> IPv4Network:
        return IPv4Network(f"{self.network}.0.0/16")

    @property
    def control(self) -> Endpoint:
        return self._service(8440)

    @property
    def git(self) -> Endpoint:
        return self._service(8443)

    @property
    def mirror(self) -> Endpoint:
        return self._service(8444)

    @property
    def pfsense(self) -> Endpoint:
        return self._service(8445)

    @property
    def etcd(self) -> Endpoint:
        return self._service(2379)

    @property
    def etcd_peer(self) -> Endpoint:
        return self._service(2380)

    @property
    def controller_manager(self) -> Endpoint:
        return self._service(10257)

    @property
    def scheduler(self) -> Endpoint:
        return self._service(10259)

    @property
    def kwok(self) -> Endpoint:
        return self._service(10247)

    @property
    def redis(self) -> Endpoint:
        return self._service(6379)

    @property
    def repo_server(self) -> Endpoint:
        return self._service(8081)

    @property
    def repo_server_metrics(self) -> Endpoint:
        return self._service(8084)

    @property
    def application_controller_metrics(self) -> Endpoint:
        return self._service(8082)

    @property
    def kubernetes_api(self) -> Endpoint:
        """The address that kube-vip would hold in a real lab."""
        return Endpoint(f"{self.network}.0.10", 6443)

    @property
    def proxmox(self) -> dict[str, Endpoint]:
        return {name: Endpoint(f"{self.network}.0.{2 + i}", 8006) for i, name in enumerate(PROXMOX_NODES)}

    @property
    def authority(self) -> Path:
        """The certificate of the sandbox's own CA: what its clients have to trust."""
        return self.root / "pki" / "ca.crt"

    @property
    def credentials(self) -> Path:
        return self.root / "credentials.json"

    @property
    def lock(self) -> Path:
        return self.root / "supervisor.lock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"
