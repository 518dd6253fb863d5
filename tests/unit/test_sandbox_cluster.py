"""The cluster's rules: who is a member, when the API runs, and what outlives a restart of the sandbox."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sandbox.children import ChildError
from sandbox.cluster.cluster import Cluster, JoinError
from sandbox.cluster.controlplane import ClusterSettings, ControlPlane
from sandbox.cluster.kubelet import NodeFacts
from sandbox.settings import Settings
from tests.unit.sandbox_parts import FakeControlPlane, fake_cluster

FIRST = {"cluster-init": True, "token": "secret"}
JOIN = {"server": "https://10.0.0.1:6443", "token": "secret"}
FACTS = NodeFacts("server-1", "10.0.0.1", "v1.34.3+k3s1", {})


async def start(cluster: Cluster, number: int, settings: dict[str, Any] | None = None) -> None:
    """Start server ``number``; without settings it has a datastore and comes back."""
    await cluster.start_server(f"server-{number}", f"10.0.0.{number}", settings or {}, has_datastore=settings is None)


async def three(cluster: Cluster) -> None:
    await start(cluster, 1, FIRST)
    await start(cluster, 2, JOIN)
    await start(cluster, 3, JOIN)


def test_the_api_runs_while_most_members_do(tmp_path: Path) -> None:
    async def scenario() -> None:
        with fake_cluster(tmp_path) as cluster:
            await three(cluster)
            running = [cluster.control_plane.running]
            for silent in (1, 2, 3):
                await cluster.silence(f"server-{silent}")
                running.append(cluster.control_plane.running)
            assert running == [True, True, False, False]
            with pytest.raises(JoinError, match="the Kubernetes API is not running"):
                cluster.api()
            await start(cluster, 3)
            assert not cluster.control_plane.running, "one of three is no majority"
            await start(cluster, 1)
            assert cluster.control_plane.running
            assert cluster.api() is not None
            await cluster.stop()

    asyncio.run(scenario())


def test_a_server_that_was_removed_has_no_vote(tmp_path: Path) -> None:
    async def scenario() -> None:
        with fake_cluster(tmp_path) as cluster:
            await three(cluster)
            await cluster.remove("server-3")
            assert cluster.members == ("server-1", "server-2")
            await cluster.silence("server-1")
            assert not cluster.quorum
            assert not cluster.control_plane.running
            await cluster.stop()

    asyncio.run(scenario())


def test_the_last_member_is_never_removed_by_deleting_its_node(tmp_path: Path) -> None:
    async def scenario() -> None:
        with fake_cluster(tmp_path) as cluster:
            await start(cluster, 1, FIRST)
            await cluster.remove("server-1")
            assert cluster.members == ("server-1",)
            await cluster.stop()

    asyncio.run(scenario())


def test_losing_one_of_several_disks_keeps_the_member_and_losing_the_last_ends_the_cluster(tmp_path: Path) -> None:
    async def scenario() -> None:
        with fake_cluster(tmp_path) as cluster:
            await start(cluster, 1, FIRST)
            await start(cluster, 2, JOIN)
            await cluster.lose_datastore("server-2")
            assert cluster.members == ("server-1", "server-2")
            await cluster.remove("server-2")
            before = cluster.control_plane.authority.certificate.read_bytes()
            await cluster.lose_datastore("server-1")
            assert not cluster.exists
            assert not cluster.control_plane.running
            assert not (tmp_path / "cluster.json").exists()
            await start(cluster, 1, {**FIRST, "token": "another"})
            assert list(cluster.members) == ["server-1"]
            assert cluster.control_plane.authority.certificate.read_bytes() != before, "it is another cluster"
            await cluster.stop()

    asyncio.run(scenario())


def test_what_is_known_outlives_the_process_in_a_file_of_its_owner_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        with fake_cluster(tmp_path) as cluster:
            await start(cluster, 1, {**FIRST, "tls-san": ["10.0.0.10"], "flannel-backend": "vxlan"})
            await cluster.add_node(FACTS, "password")
            await cluster.stop()
            assert not cluster.control_plane.running
        assert (tmp_path / "cluster.json").stat().st_mode & 0o777 == 0o600

        with fake_cluster(tmp_path) as again:
            assert (again.members, again.nodes) == (("server-1",), ())
            await start(again, 1)
            assert isinstance(again.control_plane, FakeControlPlane)
            assert again.control_plane.settings is not None
            assert again.control_plane.settings.tls_san == ("10.0.0.10",)
            with pytest.raises(JoinError, match="duplicate hostname"):
                await again.add_node(FACTS, "another password")
            with pytest.raises(JoinError, match="flannel-backend"):
                await start(again, 2, JOIN)
            await again.add_node(FACTS, "password")
            await again.stop()

    asyncio.run(scenario())


def test_a_deleted_node_frees_its_name_for_another_machine(tmp_path: Path) -> None:
    async def scenario() -> None:
        with fake_cluster(tmp_path) as cluster:
            await start(cluster, 1, FIRST)
            await cluster.add_node(FACTS, "password")
            await cluster.remove("server-1")
            await cluster.add_node(FACTS, "another password")
            await cluster.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("settings", [FIRST, JOIN])
def test_a_start_that_is_cut_off_leaves_the_cluster_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    begun = asyncio.Event()

    async def never(_: FakeControlPlane, __: ClusterSettings) -> None:
        begun.set()
        await asyncio.sleep(60)

    async def scenario() -> None:
        with fake_cluster(tmp_path) as cluster:
            joins = settings is JOIN
            if joins:
                await three(cluster)
                await cluster.stop()
            before = cluster.members
            monkeypatch.setattr(FakeControlPlane, "start", never)
            if joins:
                await start(cluster, 1)
            task = asyncio.create_task(start(cluster, 2 if joins else 1, None if joins else settings))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert cluster.members == before
            assert set(cluster._running) == ({"server-1"} if joins else set())
            await cluster.stop()

    asyncio.run(scenario())


def test_a_control_plane_that_lost_a_process_is_replaced_by_the_next_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        with fake_cluster(tmp_path) as cluster:
            await three(cluster)
            old = cluster.api()
            assert isinstance(cluster.control_plane, FakeControlPlane)
            cluster.control_plane.up = False
            await start(cluster, 2)
            assert cluster.control_plane.running
            assert cluster.api() is not old
            await cluster.stop()

    asyncio.run(scenario())


def test_a_server_may_join_by_the_api_address_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        with fake_cluster(tmp_path) as cluster:
            await start(cluster, 1, FIRST)
            url = f"https://{Settings(tmp_path).kubernetes_api}/"
            await start(cluster, 2, {**JOIN, "server": url})
            cluster.check_agent({**JOIN, "server": url})
            assert cluster.members == ("server-1", "server-2")
            await cluster.stop()

    asyncio.run(scenario())


class Scripts:
    """A toolchain of shell scripts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def executable(self, name: str) -> Path:
        return self.folder / name

    def add(self, name: str, script: str) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.folder / name).chmod(0o755)


def test_a_control_plane_stops_what_it_started_when_the_next_process_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = Scripts(tmp_path)
    tools.add("etcd", f"echo $$ > {tmp_path}/etcd.pid; exec sleep 60")
    tools.add("kube-apiserver", "echo no more space on this disk >&2; exit 1")
    settings = Settings(tmp_path, "127.7")

    async def etcd_is_ready(self: Any) -> bool:
        return ":2379" in self._url and (tmp_path / "etcd.pid").exists()

    monkeypatch.setattr("sandbox.cluster.controlplane.Ready.__call__", etcd_is_ready)

    async def scenario() -> None:
        plane = ControlPlane(tmp_path / "cluster", settings, tools)
        with pytest.raises(ChildError, match=r"kube-apiserver exited with 1.*no more space on this disk"):
            await plane.start(ClusterSettings("10.42.0.0/16", "10.43.0.0/16", (), secrets_encryption=False))
        assert plane.children == []
        assert not plane.running

    asyncio.run(scenario())
    pid = (tmp_path / "etcd.pid").read_text().strip()
    assert not Path("/proc", pid).exists()


def test_no_secret_of_the_control_plane_is_readable_by_others_or_on_a_command_line(tmp_path: Path) -> None:
    plane = ControlPlane(tmp_path / "cluster", Settings(tmp_path), Scripts(tmp_path))
    settings = ClusterSettings("10.42.0.0/16", "10.43.0.0/16", ("10.0.0.10",), secrets_encryption=True)
    programs = [plane._etcd(), plane._api_server(settings), plane._controller_manager(settings), plane._kwok(settings)]
    encryption = plane._encryption_configuration()
    again = encryption.read_text()
    assert f"--encryption-provider-config={encryption}" in programs[1].arguments
    assert plane._encryption_configuration().read_text() == again, "the key stays, or Secrets could not be read again"
    files = [encryption, *tmp_path.rglob("*.key"), *tmp_path.rglob("*.kubeconfig")]
    assert len(files) > 5
    assert [file for file in files if file.stat().st_mode & 0o077] == []
    secrets = [line for file in files for line in file.read_text().splitlines() if len(line) > 40]
    words = " ".join(word for program in programs for word in program.arguments)
    assert [secret for secret in secrets if secret in words] == []
