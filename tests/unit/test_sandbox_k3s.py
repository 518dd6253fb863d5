"""K3s on machines: what it refuses, in its own words, and what a node leaves in the cluster."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.machines import k3s
from tests.unit.sandbox_parts import VERSION, FakeControlPlane, Lab, machines, plane

FIRST = {"cluster-init": True, "token": "secret", "node-name": "server-1", "node-ip": "127.0.7.11"}
JOIN = {"server": "https://127.0.7.11:6443", "token": "secret"}
AGENT = {**JOIN, "node-name": "agent-1"}


def in_a_lab(root: Path, work: Callable[[Lab], Awaitable[None]]) -> None:
    async def scenario() -> None:
        async with machines(root) as lab:
            await work(lab)

    asyncio.run(scenario())


async def started(lab: Lab, number: int, config: Any, role: str = "server") -> str:
    """Boot a machine, install K3s and start it; return what it died of."""
    session = await lab.boot(number)
    await session.install_k3s(role, config)
    return await session.start_k3s(role)


def test_the_first_server_makes_a_cluster_and_writes_its_kubeconfig_for_root(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        config = {**FIRST, "cluster-cidr": "10.99.0.0/16", "tls-san": ["127.0.7.10"], "secrets-encryption": True}
        assert await started(lab, 11, config) == ""
        assert lab.cluster.members == lab.cluster.nodes == ("server-1",)
        settings = plane(lab.cluster).settings
        assert settings is not None
        assert (settings.cluster_cidr, settings.service_cidr) == ("10.99.0.0/16", "10.43.0.0/16")
        assert (settings.tls_san, settings.secrets_encryption) == (("127.0.7.10",), True)

        file = lab.disk() / k3s.KUBECONFIG.lstrip("/")
        assert file.stat().st_mode & 0o777 == 0o600
        assert yaml.safe_load(file.read_text())["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"

    in_a_lab(tmp_path, work)


def test_the_node_reports_the_machine_that_it_runs_on(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        await started(lab, 11, FIRST)
        await started(lab, 21, {**AGENT, "node-label": ["zone=a"]}, "agent")
        server, agent = (lab.cluster._kubelets[name].facts for name in ("server-1", "agent-1"))
        assert server.address == "127.0.7.11"
        assert server.labels["node-role.kubernetes.io/control-plane"] == "true"
        assert (agent.address, agent.labels) == ("127.0.7.21", {"zone": "a"})
        assert agent.kubelet_version == VERSION
        assert (agent.capacity["cpu"], agent.capacity["memory"]) == ("2", str(2**31))
        assert not (lab.disk(21) / k3s.KUBECONFIG.lstrip("/")).exists(), "an agent has no administrator's kubeconfig"

    in_a_lab(tmp_path, work)


@pytest.mark.parametrize(
    ("role", "config", "said"),
    [
        ("server", {**FIRST, "tls-sans": ["a"]}, "flag provided but not defined: -tls-sans"),
        ("agent", {**AGENT, "disable": ["traefik"]}, "flag provided but not defined: -disable"),
        ("server", {"cluster-init": True}, "needs a token"),
        ("agent", {"token": "secret"}, "--server is required"),
        ("agent", {"server": "https://127.0.7.11:6443"}, "--token is required"),
        ("agent", {**AGENT, "token": "wrong"}, "failed to validate token: not authorized"),
        ("server", {**JOIN, "token": "wrong"}, "failed to validate token: not authorized"),
        ("server", {"server": JOIN["server"]}, "failed to validate token: not authorized"),
        ("server", {**JOIN, "server": "https://127.0.7.99:6443"}, "connection refused"),
        ("agent", {**AGENT, "server": "http://127.0.7.11:6443"}, "connection refused"),
        ("server", {**JOIN, "cluster-cidr": "10.0.0.0/16"}, "critical configuration value mismatch: ['cluster-cidr']"),
        ("server", {**JOIN, "secrets-encryption": True}, "value mismatch: ['secrets-encryption']"),
        ("server", {"cluster-init": True, "token": "other"}, "would make a second cluster beside the one of server-1"),
        ("server", {**JOIN, "node-name": "server-1"}, "duplicate node name found, please use a unique name"),
        ("agent", {**AGENT, "node-name": "server-1"}, "Node password rejected, duplicate hostname"),
        ("server", "no mapping", "it holds no mapping"),
        ("server", 5, "it holds no mapping"),
    ],
)
def test_what_k3s_refuses_changes_nothing(tmp_path: Path, role: str, config: Any, said: str) -> None:
    async def work(lab: Lab) -> None:
        if config != {"cluster-init": True}:
            assert await started(lab, 11, FIRST) == ""
        before = (lab.cluster.members, lab.cluster.nodes, lab.cluster.quorum, dict(lab.cluster._running))
        assert said in await started(lab, 12, config, role)
        assert (lab.cluster.members, lab.cluster.nodes, lab.cluster.quorum, dict(lab.cluster._running)) == before
        assert not (lab.disk(12) / k3s.DATASTORE.lstrip("/")).exists()
        if before[0]:
            assert lab.cluster.control_plane.running

    in_a_lab(tmp_path, work)


def test_a_config_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        session = await lab.boot()
        await session.install_k3s("server", FIRST)
        await session.start_k3s()
        await session.put(k3s.CONFIG, "token: [")
        assert f"fatal msg={chr(34)}{k3s.CONFIG}: " in await session.start_k3s()
        assert lab.cluster.nodes == (), "the restart stopped the node, and it did not come up again"

    in_a_lab(tmp_path, work)


def test_without_a_binary_or_a_unit_that_runs_it_nothing_starts(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        session = await lab.boot()
        await session.install_k3s("server", FIRST)
        await session.put("/etc/systemd/system/k3s.service", "[Service]\nExecStart=/bin/true\n")
        assert "no ExecStart" in await session.start_k3s()
        await session.root(f"rm -f {k3s.BINARY}")
        assert "Failed at step EXEC" in await session.start_k3s()
        assert not lab.cluster.exists

    in_a_lab(tmp_path, work)


def test_a_binary_that_is_not_of_a_release_is_no_k3s(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        session = await lab.boot()
        await session.put(k3s.BINARY, "#!/bin/sh\nexit 0\n", "0755")
        assert (await session.run("k3s --version")).code == 127

    in_a_lab(tmp_path, work)


def test_a_server_with_a_datastore_ignores_cluster_init_and_server(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        await started(lab, 11, FIRST)
        await started(lab, 12, {**JOIN, "node-name": "server-2"})
        session = await lab.login(12)
        await session.configure({"cluster-init": True, "token": "secret", "node-name": "server-2"})
        assert await session.start_k3s() == ""
        await session.configure({"server": "https://127.0.7.99:6443", "token": "secret", "node-name": "server-2"})
        assert await session.start_k3s() == ""
        assert lab.cluster.members == ("server-1", "server-2")

    in_a_lab(tmp_path, work)


def test_a_member_that_was_removed_comes_back_only_with_an_empty_datastore(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        await started(lab, 11, FIRST)
        await started(lab, 12, {**JOIN, "node-name": "server-2"})
        await lab.cluster.remove("server-2")
        session = await lab.login(12)
        assert "server-2 is no longer a member of this cluster" in await session.start_k3s()
        await session.root("rm -rf /var/lib/rancher")
        assert await session.start_k3s() == ""
        assert lab.cluster.members == ("server-1", "server-2")

    in_a_lab(tmp_path, work)


def test_the_cluster_ends_when_its_last_server_is_wiped_and_the_next_one_is_another(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        await started(lab, 11, FIRST)
        session = await lab.login()
        await session.root("systemctl disable --now k3s")
        await session.root("rm -rf /etc/rancher /var/lib/rancher")
        assert not lab.cluster.exists
        await session.install_k3s("server", {**FIRST, "token": "another"})
        assert await session.start_k3s() == ""

    in_a_lab(tmp_path, work)


def test_a_rebuilt_machine_gets_its_name_back_only_after_its_node_was_deleted(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        await started(lab, 11, FIRST)
        await started(lab, 21, AGENT, "agent")
        await lab.host.discard(121)
        assert "Node password rejected" in await started(lab, 21, AGENT, "agent")
        await lab.cluster.remove("agent-1")
        assert await (await lab.login(21)).start_k3s("agent") == ""
        assert lab.cluster.nodes == ("server-1", "agent-1")

    in_a_lab(tmp_path, work)


def test_a_node_that_is_renamed_while_it_runs_falls_silent_under_its_old_name(tmp_path: Path) -> None:
    async def work(lab: Lab) -> None:
        await started(lab, 11, FIRST)
        await started(lab, 21, AGENT, "agent")
        session = await lab.login(21)
        await session.configure({**AGENT, "node-name": "agent-2"})
        assert await session.start_k3s("agent") == ""
        assert lab.cluster.nodes == ("server-1", "agent-2")
        await session.root("rm -rf /etc/rancher")
        await session.root("systemctl stop k3s-agent")
        assert list(lab.cluster.nodes) == ["server-1"]

    in_a_lab(tmp_path, work)


def test_an_agent_waits_for_the_api_and_gives_up_with_the_servers_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.cluster.cluster.API_WITHIN", 0.2)

    async def work(lab: Lab) -> None:
        await started(lab, 11, FIRST)
        await lab.host.halt(111)
        refused = await started(lab, 21, AGENT, "agent")
        assert "the API did not answer" in refused
        assert "0 of the servers server-1 run" in refused

    in_a_lab(tmp_path, work)


def test_a_control_plane_that_does_not_start_leaves_nothing_and_the_next_try_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(lab: Lab) -> None:
        monkeypatch.setattr(FakeControlPlane, "broken", "etcd needs 127.10.0.1:2379, which is taken by nc (pid 7)")
        assert "which is taken by nc (pid 7)" in await started(lab, 11, FIRST)
        assert not lab.cluster.exists
        assert not (lab.disk() / k3s.DATASTORE.lstrip("/")).exists()
        assert lab.cluster._running == {}
        monkeypatch.setattr(FakeControlPlane, "broken", "")
        assert await (await lab.login()).start_k3s() == ""
        assert lab.cluster.members == ("server-1",)

    in_a_lab(tmp_path, work)
