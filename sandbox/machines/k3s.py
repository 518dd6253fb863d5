"""K3s as a service of a machine: reads the file that K3s reads, refuses what it refuses, and joins the cluster."""

import re
import secrets
from typing import Any, Final

import yaml
from kubernetes_asyncio.client.exceptions import ApiException

from sandbox.children import ChildError
from sandbox.cluster.cluster import Cluster, JoinError
from sandbox.cluster.kubeconfig import certificate_user, kubeconfig
from sandbox.cluster.kubelet import NodeFacts
from sandbox.machines.machine import RunningMachine, ServiceError

BINARY: Final = "/usr/local/bin/k3s"
CONFIG: Final = "/etc/rancher/k3s/config.yaml"
KUBECONFIG: Final = "/etc/rancher/k3s/k3s.yaml"
DATASTORE: Final = "/var/lib/rancher/k3s/server/db/etcd/name"
KUBELET_KUBECONFIG: Final = "/var/lib/rancher/k3s/agent/kubelet.kubeconfig"
NODE_PASSWORD: Final = "/etc/rancher/node/password"  # noqa: S105 - a path

# Keys of the config file, docs.k3s.io/cli/server and /cli/agent: those that this lab could reasonably set.
AGENT_KEYS: Final = frozenset(
    """token token-file server node-name node-ip node-external-ip node-label node-taint with-node-id data-dir
    private-registry resolv-conf flannel-iface flannel-conf kubelet-arg kube-proxy-arg protect-kernel-defaults selinux
    lb-server-port debug v log alsologtostderr container-runtime-endpoint pause-image snapshotter
    disable-default-registry-endpoint nonroot-devices prefer-bundled-bin""".split()  # noqa: SIM905 - a list of a line each would hide it
)
SERVER_KEYS: Final = AGENT_KEYS | frozenset(
    """cluster-init agent-token agent-token-file tls-san tls-san-security cluster-cidr service-cidr cluster-dns
    cluster-domain service-node-port-range flannel-backend flannel-ipv6-masq flannel-external-ip egress-selector-mode
    disable disable-scheduler disable-cloud-controller disable-kube-proxy disable-network-policy disable-helm-controller
    secrets-encryption secrets-encryption-provider write-kubeconfig write-kubeconfig-mode write-kubeconfig-group
    etcd-expose-metrics etcd-disable-snapshots etcd-snapshot-name etcd-snapshot-schedule-cron etcd-snapshot-retention
    etcd-snapshot-dir etcd-snapshot-compress etcd-s3 etcd-s3-config-secret etcd-s3-endpoint etcd-s3-bucket
    etcd-s3-region etcd-s3-folder etcd-s3-access-key etcd-s3-secret-key etcd-arg kube-apiserver-arg
    kube-controller-manager-arg kube-scheduler-arg kube-cloud-controller-manager-arg embedded-registry
    supervisor-metrics advertise-address advertise-port bind-address https-listen-port default-local-storage-path
    servicelb-namespace helm-job-image datastore-endpoint""".split()  # noqa: SIM905
)


def version_of(machine: RunningMachine) -> str | None:
    """Return the version that the installed binary reports, or None without a binary."""
    if not machine.disk.exists(BINARY):
        return None
    found = re.search(rb"^# stand-in for k3s (v\S+)$", machine.disk.read(BINARY), re.MULTILINE)
    return found.group(1).decode() if found else None


class K3s:
    """What `systemctl start k3s` and `k3s-agent` run."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        # By VM id, the node that runs there: the configuration may name another one by the time that it is stopped.
        self._nodes: dict[int, str] = {}

    async def start(self, machine: RunningMachine, unit: str) -> None:
        """Start K3s on ``machine`` as its unit file says.

        Raises:
            ServiceError: it exits; the journal has the reason.
        """
        try:
            await self._start(machine, unit)
        except (JoinError, ChildError, ApiException) as error:
            await self.stop(machine)
            machine.log(unit, f'level=fatal msg="{error}"')
            raise ServiceError(str(error)) from error
        except BaseException:
            await self.stop(machine)
            raise

    async def stop(self, machine: RunningMachine) -> None:
        """Have the node of ``machine`` fall silent, if it has one."""
        if node := self._nodes.pop(machine.specification.vm_id, None):
            await self._cluster.silence(node)

    async def _start(self, machine: RunningMachine, unit: str) -> None:
        version = version_of(machine)
        if version is None:
            raise JoinError(f"{unit}.service: Failed at step EXEC spawning {BINARY}: No such file or directory")
        role = self._role(machine, unit)
        settings = self._settings(machine, role)
        name = str(settings.get("node-name") or machine.name)
        machine.log(unit, f'level=info msg="Starting k3s {role} {version}"')
        if role == "server":
            await self._cluster.start_server(
                name,
                str(settings.get("node-ip") or machine.specification.address),
                settings,
                has_datastore=machine.disk.exists(DATASTORE),
            )
            self._nodes[machine.specification.vm_id] = name
            machine.disk.write(DATASTORE, name.encode())
            await self._cluster.until_api_answers()
            self._write_kubeconfig(machine)
        else:
            await self._cluster.until_api_answers()
            self._cluster.check_agent(settings)
        await self._add_node(machine, name, role, settings, version)
        self._nodes[machine.specification.vm_id] = name
        machine.log(unit, f'level=info msg="Node {name} is up"')

    def _role(self, machine: RunningMachine, unit: str) -> str:
        content = machine.disk.read(machine.unit_file(unit)).decode()
        found = re.search(rf"^ExecStart={BINARY} (server|agent)\b", content, re.MULTILINE)
        if not found:
            raise JoinError(f"{unit}.service has no ExecStart={BINARY} server|agent")
        return found.group(1)

    def _settings(self, machine: RunningMachine, role: str) -> dict[str, Any]:
        if not machine.disk.exists(CONFIG):
            return {}
        try:
            settings = yaml.safe_load(machine.disk.read(CONFIG)) or {}
        except yaml.YAMLError as error:
            raise JoinError(f"{CONFIG}: {error}") from error
        if not isinstance(settings, dict):
            raise JoinError(f"{CONFIG}: it holds no mapping")
        known = SERVER_KEYS if role == "server" else AGENT_KEYS
        for key in settings:
            if str(key).rstrip("+") not in known:
                raise JoinError(f"flag provided but not defined: -{key}")
        if role == "agent" and not settings.get("server"):
            raise JoinError("--server is required")
        if role == "agent" and not settings.get("token"):
            raise JoinError("--token is required")
        return settings

    def _write_kubeconfig(self, machine: RunningMachine) -> None:
        plane = self._cluster.control_plane
        pair = plane.authority.issue("client-k3s-admin", common_name="system:admin", organization="system:masters")
        user = certificate_user(pair)
        machine.disk.write(KUBECONFIG, kubeconfig("https://127.0.0.1:6443", plane.authority.certificate, user))

    async def _add_node(
        self, machine: RunningMachine, name: str, role: str, settings: dict[str, Any], version: str
    ) -> None:
        plane = self._cluster.control_plane
        pair = plane.authority.issue(f"node-{name}", common_name=f"system:node:{name}", organization="system:nodes")
        user = certificate_user(pair)
        machine.disk.write(KUBELET_KUBECONFIG, kubeconfig(plane.server, plane.authority.certificate, user))
        if not machine.disk.exists(NODE_PASSWORD):
            machine.disk.write(NODE_PASSWORD, secrets.token_hex(16).encode())
        labels = dict(label.split("=", 1) for label in settings.get("node-label", ()))
        if role == "server":
            labels |= {"node-role.kubernetes.io/control-plane": "true", "node-role.kubernetes.io/etcd": "true"}
        specification = machine.specification
        facts = NodeFacts(
            name=name,
            address=str(settings.get("node-ip") or specification.address),
            kubelet_version=version,
            capacity={
                "cpu": str(specification.cores),
                "memory": str(specification.memory),
                "ephemeral-storage": str(max(specification.disks.values(), default=0)),
                "pods": "110",
            },
            labels=labels,
        )
        await self._cluster.add_node(facts, machine.disk.read(NODE_PASSWORD).decode())
