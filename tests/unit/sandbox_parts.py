"""Parts of the sandbox for its tests: a cluster without processes, machines on loopback, and an HTTPS server."""

import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, ClassVar

import asyncssh
import pytest
import yaml
from aiohttp import web

from config import versions
from sandbox.children import ChildError
from sandbox.cluster import cluster
from sandbox.cluster.controlplane import ClusterSettings, ControlPlane
from sandbox.machines import host, k3s
from sandbox.machines.commands import Shell
from sandbox.mirror.releases import k3s_binary
from sandbox.pki import Authority
from sandbox.proxmox import Machine
from sandbox.settings import Settings

USER = "debian"
KEY = asyncssh.generate_private_key("ssh-ed25519")
PUBLIC = KEY.export_public_key().decode()
VERSION = versions.K3S


class NoTools:
    """A toolchain without tools: whatever runs one is not for a fast test."""

    def executable(self, name: str) -> Path:
        raise AssertionError(f"{name} was asked for")


class FakeControlPlane(ControlPlane):
    """The real certificates and kubeconfigs, and no processes."""

    broken: ClassVar[str] = ""
    settings: ClusterSettings | None = None
    up = False

    @property
    def running(self) -> bool:
        return self.up

    async def start(self, settings: ClusterSettings) -> None:
        if FakeControlPlane.broken:
            raise ChildError(FakeControlPlane.broken)
        self.settings = settings
        self.up = True

    async def stop(self) -> None:
        self.up = False


class FakeKubelet:
    """A kubelet that says nothing to anybody."""

    def __init__(self, facts: Any, _: Any) -> None:
        self.facts = facts

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End."""


@contextmanager
def fake_cluster(root: Path) -> Iterator[cluster.Cluster]:
    """A cluster whose control plane and kubelets are fakes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "ControlPlane", FakeControlPlane)
        patch.setattr(cluster, "Kubelet", FakeKubelet)
        patch.setattr(FakeControlPlane, "broken", "")
        yield cluster.Cluster(Settings(root), NoTools())


def plane(of: cluster.Cluster) -> FakeControlPlane:
    assert isinstance(of.control_plane, FakeControlPlane)
    return of.control_plane


def machine(number: int = 11, **changes: Any) -> Machine:
    """What the data centre would hand over for the machine at 127.0.7.``number``."""
    known: dict[str, Any] = {
        "vm_id": 100 + number,
        "name": f"server-{number}",
        "node": "pve1",
        "address": IPv4Address(f"127.0.7.{number}"),
        "user": USER,
        "authorized_keys": (PUBLIC,),
        "disks": {"scsi0": 2**30},
        "cores": 2,
        "memory": 2**31,
        "mac": "BC:24:11:00:01:11",
        "image": "local:import/debian.qcow2",
        "instance_id": "1",
    }
    return Machine(**(known | changes))


@dataclass
class Answer:
    """What a command left behind."""

    code: int
    out: str
    error: str


@dataclass
class Lab:
    """Machines, and how they are reached."""

    root: Path
    cluster: cluster.Cluster
    host: host.MachineHost
    port: int
    sessions: list[asyncssh.SSHClientConnection] = field(default_factory=list)

    async def boot(self, number: int = 11, **changes: Any) -> "Login":
        await self.host.boot(machine(number, **changes))
        return await self.login(number)

    async def login(self, number: int = 11, **options: Any) -> "Login":
        connection = await self.connect(number, **options)
        self.sessions.append(connection)
        return Login(connection)

    async def connect(self, number: int = 11, **options: Any) -> asyncssh.SSHClientConnection:
        defaults: dict[str, Any] = {"username": USER, "client_keys": [KEY], "known_hosts": None}
        return await asyncssh.connect(
            f"127.0.7.{number}", self.port, config=None, agent_path=None, **(defaults | options)
        )

    def disk(self, number: int = 11) -> Path:
        return self.root / "machines" / str(100 + number) / "disk"


@dataclass
class Login:
    """A session on a machine."""

    connection: asyncssh.SSHClientConnection

    async def run(self, command: str, stdin: str = "") -> Answer:
        feed: dict[str, Any] = {"input": stdin} if stdin else {"stdin": asyncssh.DEVNULL}
        done = await self.connection.run(command, **feed)
        assert done.exit_status is not None, f"{command}: the connection broke"
        return Answer(done.exit_status, str(done.stdout), str(done.stderr))

    async def root(self, command: str, stdin: str = "") -> Answer:
        return await self.run(f"sudo -n {command}", stdin)

    async def put(self, path: str, content: str, mode: str = "0600") -> Answer:
        return await self.root(f"install -D -m {mode} /dev/stdin {path}", content)

    async def install_k3s(self, role: str, config: Mapping[str, Any], version: str = VERSION) -> None:
        """Put in place what a K3s installation consists of."""
        await self.put(k3s.BINARY, k3s_binary(version, "k3s").decode(), "0755")
        unit = f"[Service]\nExecStart={k3s.BINARY} {role}\n"
        await self.put(f"/etc/systemd/system/{unit_of(role)}.service", unit, "0644")
        await self.configure(config)

    async def configure(self, config: Any) -> None:
        await self.put(k3s.CONFIG, yaml.safe_dump(config))

    async def start_k3s(self, role: str = "server") -> str:
        """Start the service; return what it died of, or nothing."""
        done = await self.root(f"systemctl restart {unit_of(role)}")
        if done.code == 0:
            return ""
        return (await self.root(f"journalctl --unit {unit_of(role)} --lines 1 --no-pager")).out


def unit_of(role: str) -> str:
    return "k3s" if role == "server" else "k3s-agent"


@asynccontextmanager
async def machines(root: Path, trust: ssl.SSLContext | None = None) -> AsyncIterator[Lab]:
    """Machines on loopback with a fake cluster; all are off at the end."""
    # Not the port that machines have, so that two runs of the tests do not meet.
    with socket.create_server(("127.0.7.11", 0)) as probe:
        port = probe.getsockname()[1]
    with fake_cluster(root) as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "SSH_PORT", port)
        shell = Shell(made, NoTools(), trust or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        lab = Lab(root, made, host.MachineHost(root / "machines", k3s.K3s(made), shell, made), port)
        try:
            yield lab
        finally:
            for session in lab.sessions:
                session.close()
                await session.wait_closed()
            await lab.host.stop()
            await made.stop()


@asynccontextmanager
async def https(app: web.Application, authority: Authority, address: str = "127.0.7.1") -> AsyncIterator[str]:
    """Serve ``app`` with a certificate of ``authority``; yield its URL."""
    pair = authority.issue("server", hosts=[address])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, 0, ssl_context=context)
        await site.start()
        (_, port), *_ = runner.addresses
        yield f"https://{address}:{port}"
    finally:
        await runner.cleanup()
