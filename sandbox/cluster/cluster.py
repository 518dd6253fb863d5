"""Which K3s servers and agents make up the cluster, and when its control plane runs.

The rules are those of K3s with embedded etcd: the first server makes the cluster, others join with its token, the API
answers while a majority of the members runs, and a member that left for good has to be removed through its Node.
"""

import asyncio
import hmac
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from kubernetes_asyncio import client, config

from sandbox.cluster.controlplane import ClusterSettings, ControlPlane, Tools
from sandbox.cluster.kubelet import Kubelet, NodeFacts
from sandbox.pki import write_private
from sandbox.settings import Settings

# Values that docs.k3s.io (cli/server) says must be equal on all servers, as far as they are read here.
CRITICAL: Final = ("cluster-cidr", "service-cidr", "flannel-backend", "secrets-encryption", "disable-network-policy")

API_WITHIN: Final = 60.0

logger = logging.getLogger(__name__)


class JoinError(RuntimeError):
    """K3s would exit with this message."""


@dataclass
class _State:
    """What is kept on disk of the cluster."""

    token: str = field(default="", repr=False)
    critical: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)
    node_passwords: dict[str, str] = field(default_factory=dict, repr=False)


class Cluster:
    """The one cluster that the sandbox's API address can serve."""

    def __init__(self, sandbox: Settings, tools: Tools) -> None:
        self._sandbox = sandbox
        self._tools = tools
        self._file = sandbox.root / "cluster.json"
        self._state = _State(**json.loads(self._file.read_text())) if self._file.exists() else _State()
        self._running: dict[str, str] = {}
        self._kubelets: dict[str, Kubelet] = {}
        self._lock = asyncio.Lock()
        self._api: client.ApiClient | None = None
        self.control_plane = self._new_control_plane()

    @property
    def exists(self) -> bool:
        return bool(self._state.members)

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(self._state.members)

    @property
    def quorum(self) -> bool:
        return len(self._running.keys() & set(self._state.members)) > len(self._state.members) // 2

    @property
    def nodes(self) -> tuple[str, ...]:
        """Nodes whose kubelet is beating."""
        return tuple(self._kubelets)

    def api(self) -> client.ApiClient:
        """Return a client with an administrator's rights, good until the control plane stops.

        Raises:
            JoinError: the control plane does not run.
        """
        if not self.control_plane.running or self._api is None:
            raise JoinError("the Kubernetes API is not running")
        return self._api

    async def start_server(self, node: str, address: str, settings: Mapping[str, Any], *, has_datastore: bool) -> None:
        """Make the cluster, join it, or come back to it as the server called ``node`` at ``address``.

        ``settings`` is the server's config.yaml; ``has_datastore`` tells whether its disk holds etcd's data, in which
        case `cluster-init` and `server` are ignored, as K3s does.

        Raises:
            JoinError: as K3s would refuse.
            ChildError: a process of the control plane does not come up.
        """
        async with self._lock:
            before = replace(self._state, members=list(self._state.members))
            if has_datastore:
                self._come_back(node)
            elif "server" in settings:
                self._join(settings)
                self._add_member(node)
            else:
                self._create(node, settings)
            self._running[node] = address
            try:
                if self.quorum and not self.control_plane.running:
                    await self._stop_control_plane()  # one of its processes may have been given up
                    await self._start_control_plane()
            except BaseException:
                self._running.pop(node)
                self._state = before
                await self._stop_control_plane()
                raise
            self._save()

    async def until_api_answers(self) -> None:
        """Wait until the control plane runs: servers that boot together wait for each other's vote, agents for all.

        Raises:
            JoinError: it does not, in the time that the stand-in grants.
        """
        for _ in range(int(API_WITHIN / 0.2)):
            if self.control_plane.running and self._api:
                return
            await asyncio.sleep(0.2)
        raise JoinError(
            f"the API did not answer within {API_WITHIN:.0f} s: {len(self._running)} of the servers "
            f"{', '.join(self.members) or '(none)'} run"
        )

    def check_agent(self, settings: Mapping[str, Any]) -> None:
        """Raise a JoinError if an agent with this config.yaml could not join."""
        self._join(settings, agent=True)

    async def add_node(self, facts: NodeFacts, password: str) -> None:
        """Register a node and keep it Ready until `silence`.

        Raises:
            JoinError: another machine registered under this name before, or the API does not run.
        """
        known = self._state.node_passwords.setdefault(facts.name, password)
        if not hmac.compare_digest(known, password):
            raise JoinError(
                "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match "
                "server node-passwd entry, try enabling a unique node name with the --with-node-id flag"
            )
        self._save()
        kubelet = Kubelet(facts, self.api)
        await kubelet.start()
        self._kubelets[facts.name] = kubelet

    async def silence(self, node: str) -> None:
        """Stop what ``node`` runs: its kubelet, and its part in the control plane if it is a server."""
        if kubelet := self._kubelets.pop(node, None):
            await kubelet.stop()
        async with self._lock:
            self._running.pop(node, None)
            if self.control_plane.running and not self.quorum:
                logger.warning("no quorum: %d of %d servers run; the API stops", len(self._running), len(self.members))
                await self._stop_control_plane()

    async def remove(self, node: str) -> None:
        """Forget a node whose Node object was deleted: its password, and its etcd membership."""
        async with self._lock:
            self._state.node_passwords.pop(node, None)
            if node in self._state.members and len(self._state.members) > 1:
                self._state.members.remove(node)
            self._save()

    async def lose_datastore(self, node: str) -> None:
        """Note that the disk of ``node`` is gone or wiped. With the last member's, the cluster is gone too."""
        async with self._lock:
            if self._state.members != [node]:
                return
            self._running.pop(node, None)
            await self._stop_control_plane()
            self.control_plane.forget()
            self._file.unlink(missing_ok=True)
            self._state = _State()
            self.control_plane = self._new_control_plane()
            logger.info("the last server is gone, and the cluster with it")

    async def stop(self) -> None:
        """Stop everything and keep the data."""
        for node in list(self._kubelets):
            await self._kubelets.pop(node).stop()
        self._running.clear()
        await self._stop_control_plane()

    def _new_control_plane(self) -> ControlPlane:
        return ControlPlane(self._sandbox.root / "cluster", self._sandbox, self._tools)

    def _create(self, node: str, settings: Mapping[str, Any]) -> None:
        if self.exists:
            raise JoinError(
                f"starting kubernetes: {node} would make a second cluster beside the one of {', '.join(self.members)}: "
                "a server that is added or replaced needs `server:` in its config.yaml"
            )
        if not settings.get("token"):
            raise JoinError(
                "starting kubernetes: the stand-in needs a token in config.yaml; real K3s would make one up"
            )
        self._state = _State(
            token=str(settings["token"]),
            critical={key: settings.get(key) for key in CRITICAL},
            settings=asdict(
                ClusterSettings(
                    cluster_cidr=str(settings.get("cluster-cidr", "10.42.0.0/16")),
                    service_cidr=str(settings.get("service-cidr", "10.43.0.0/16")),
                    tls_san=(san,) if isinstance(san := settings.get("tls-san", ()), str) else tuple(san),
                    secrets_encryption=bool(settings.get("secrets-encryption", False)),
                )
            ),
            members=[node],
        )

    def _join(self, settings: Mapping[str, Any], *, agent: bool = False) -> None:
        url = str(settings.get("server", ""))
        addresses = (*self._running.values(), self._sandbox.kubernetes_api.host)
        answering = {f"https://{address}:6443" for address in addresses}
        if not self.control_plane.running or url.rstrip("/") not in answering:
            raise JoinError(f'failed to get CA certs: Get "{url}/cacerts": dial tcp: connect: connection refused')
        if not hmac.compare_digest(str(settings.get("token", "")), self._state.token):
            raise JoinError("failed to validate token: not authorized")
        if agent:
            return
        different = [key for key in CRITICAL if settings.get(key) != self._state.critical.get(key)]
        if different:
            raise JoinError(
                f"failed to validate server configuration: critical configuration value mismatch: {different}"
            )

    def _add_member(self, node: str) -> None:
        if node in self._state.members:
            raise JoinError(
                "etcd cluster join failed: duplicate node name found, please use a unique name for this node"
            )
        self._state.members.append(node)

    def _come_back(self, node: str) -> None:
        if node not in self._state.members:
            raise JoinError(f"etcd: {node} is no longer a member of this cluster: delete its datastore and join again")

    async def _start_control_plane(self) -> None:
        known = dict(self._state.settings)
        known["tls_san"] = tuple(known["tls_san"])
        await self.control_plane.start(ClusterSettings(**known))
        self._api = await config.new_client_from_config(config_file=str(self.control_plane.admin_kubeconfig))

    async def _stop_control_plane(self) -> None:
        if self._api:
            await self._api.close()
            self._api = None
        await self.control_plane.stop()

    def _save(self) -> None:
        write_private(self._file, json.dumps(asdict(self._state), indent=2).encode())
