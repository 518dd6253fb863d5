"""The node provider against real SSH servers: what it sends, in which order, and what it makes of the answers."""

import hashlib
from typing import Any

import asyncssh
import pytest
import yaml
from pulumi.output import Unknown

from providers import k3s_steps, ssh
from providers.k3s import K3sNodeProvider
from tests.unit.fake_node import BINARY, CONFIG, PRIVATE, RELEASES, USER, Boot, FakeCluster, FakeMachine, Loop, binary

VERSION = "v1.34.3+k3s1"
TOKEN = "SENTINEL-cluster-token"


def props(machine: FakeMachine, name: str = "server-1", **changes: Any) -> dict[str, Any]:
    return {
        "machine": "111",
        "name": name,
        "role": "server",
        "address": machine.address,
        "port": machine.port,
        "user": USER,
        "private_key": PRIVATE,
        "version": VERSION,
        "release_url": RELEASES,
        "sha256": "",
        "config": {"cluster-init": True, "node-name": name},
        "token": TOKEN,
        "peers": [],
        "__provider": "blob",
        **changes,
    }


def create(given: dict[str, Any]) -> dict[str, Any]:
    outs = K3sNodeProvider().create(given).outs
    assert outs is not None
    return outs


def peer(machine: FakeMachine, *, pinned: bool = True) -> dict[str, str]:
    return {"address": machine.address, "host_key": machine.public_host_key if pinned else ""}


def as_agent(machine: FakeMachine, *peers: FakeMachine) -> dict[str, Any]:
    config = {"node-name": "agent-1", "server": "https://127.0.9.1:6443"}
    return props(machine, "agent-1", role="agent", config=config, peers=[peer(one) for one in peers])


def test_a_server_is_installed_in_an_order_that_survives_interruption(boot: Boot) -> None:
    machine = boot()
    create(props(machine))
    said = [command.removeprefix("sudo -n ") for command in machine.commands]
    fetch = "curl --fail --silent --show-error --location --retry 3"
    assert said[:14] == [
        "cloud-init status --wait",
        f"sha256sum {CONFIG}",
        "uname -m",
        f"{fetch} --output /usr/local/bin/k3s.download {RELEASES}/v1.34.3%2Bk3s1/k3s",
        f"{fetch} {RELEASES}/v1.34.3%2Bk3s1/sha256sum-amd64.txt",
        "sha256sum /usr/local/bin/k3s.download",
        "install -m 0755 /usr/local/bin/k3s.download /usr/local/bin/k3s",
        "rm -f /usr/local/bin/k3s.download",
        f"install -D -m 0600 /dev/stdin {CONFIG}",
        "install -D -m 0644 /dev/stdin /etc/systemd/system/k3s.service",
        "systemctl daemon-reload",
        "systemctl enable k3s",
        "systemctl restart k3s",
        "k3s kubectl get node server-1 --output json --ignore-not-found",
    ]


def test_what_creation_returns_is_what_a_look_at_the_machine_returns(boot: Boot) -> None:
    machine = boot()
    outs = create(props(machine))
    assert (outs["version"], outs["active"], outs["ready"]) == (VERSION, True, True)
    assert outs["config_sha256"] == hashlib.sha256(machine.files[CONFIG]).hexdigest()
    assert outs["host_key"] == machine.public_host_key
    seen = K3sNodeProvider().read("server-1", dict(outs))
    assert (seen.id, seen.outs) == ("server-1", outs)


def test_the_unchanged_node_shows_no_difference(boot: Boot) -> None:
    machine = boot()
    outs = create(props(machine))
    assert K3sNodeProvider().diff("server-1", outs, props(machine)).changes is False


def test_the_token_reaches_the_machine_through_stdin_only(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = boot()
    printed: list[str] = []
    monkeypatch.setattr("pulumi.log.info", printed.append)
    create(props(machine))
    assert machine.config == {"cluster-init": True, "node-name": "server-1", "token": TOKEN}
    assert not any(TOKEN in command for command in machine.commands)
    assert "server-1: starting k3s" in printed
    assert TOKEN not in "".join(printed)


def test_an_interrupted_creation_can_be_run_again(boot: Boot) -> None:
    machine = boot(script={"systemctl enable": (1, "", "killed")})
    with pytest.raises(ssh.CommandError, match=r"systemctl enable k3s.*status 1: killed"):
        create(props(machine))
    machine.script.clear()
    assert create(props(machine))["ready"] is True
    assert machine.cluster.founded == 1


def test_an_agent_has_its_own_service_and_asks_with_the_kubelets_identity(boot: Boot) -> None:
    machine = boot()
    create(as_agent(machine))
    assert "ExecStart=/usr/local/bin/k3s agent" in machine.files["/etc/systemd/system/k3s-agent.service"].decode()
    assert machine.ran("restart k3s-agent") == 1
    assert machine.ran("--kubeconfig /var/lib/rancher/k3s/agent/kubelet.kubeconfig get node agent-1") > 0


def test_a_download_that_is_not_what_was_published_is_removed_and_not_installed(boot: Boot) -> None:
    machine = boot(published="f" * 64)
    with pytest.raises(k3s_steps.InstallError, match=f"not {'f' * 64} as published"):
        create(props(machine))
    assert "/usr/local/bin/k3s.download" not in machine.files
    assert BINARY not in machine.files


def test_a_pinned_checksum_takes_the_place_of_the_published_one(boot: Boot) -> None:
    machine = boot(published="f" * 64)
    create(props(machine, sha256=hashlib.sha256(binary(VERSION)).hexdigest()))
    assert machine.ran("sha256sum-amd64.txt") == 0


def test_an_architecture_without_a_release_is_named(boot: Boot) -> None:
    machine = boot(script={"uname": (0, "riscv64\n", "")})
    with pytest.raises(k3s_steps.InstallError, match="riscv64"):
        create(props(machine))


def test_a_release_without_a_checksum_for_the_file_is_refused(boot: Boot) -> None:
    machine = boot(script={"curl --fail --silent --show-error --location --retry 3 https": (0, "", "")})
    machine.files["/usr/local/bin/k3s.download"] = b"anything"
    with pytest.raises(k3s_steps.InstallError, match="lists no checksum for k3s"):
        create(props(machine))


def test_recoverable_faults_of_cloud_init_are_accepted_and_others_are_not(boot: Boot) -> None:
    create(props(boot(script={"cloud-init": (2, "status: done", "")})))
    broken = boot(2, script={"cloud-init": (1, "status: error", "")})
    with pytest.raises(ssh.RemoteError, match=r"cloud-init failed \(status 1\): status: error"):
        create(props(broken))


def test_a_service_that_does_not_start_shows_its_last_journal_lines(boot: Boot) -> None:
    machine = boot(script={"systemctl restart": (1, "", "Job for k3s.service failed")})
    with pytest.raises(k3s_steps.NotReadyError, match=r"(?s)Job for k3s.service failed.*the-last-words"):
        create(props(machine))


def test_a_command_that_does_not_end_is_given_up_and_named(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(k3s_steps, "START_TIMEOUT", 0.1)
    machine = boot(hangs_on="systemctl restart")
    with pytest.raises(k3s_steps.NotReadyError, match=r"(?s)systemctl restart k3s. did not end within.*the-last-words"):
        create(props(machine))


def test_a_key_that_is_none_is_named_without_being_shown(boot: Boot) -> None:
    with pytest.raises(ssh.RemoteError, match="server-1: its SSH key or pinned host key cannot be read") as caught:
        create(props(boot(), private_key="SENTINEL-not-a-key"))
    assert "SENTINEL" not in str(caught.value)


def test_a_node_that_does_not_become_ready_says_why_and_shows_its_journal(boot: Boot) -> None:
    machine = boot(ready_after=10_000)
    with pytest.raises(k3s_steps.NotReadyError, match=r"(?s)not Ready after .*kubelet says so.*the-last-words"):
        create(props(machine))


def test_a_node_that_is_slow_to_become_ready_is_waited_for(boot: Boot) -> None:
    machine = boot(ready_after=3)
    assert create(props(machine))["ready"] is True


def test_a_machine_that_is_still_booting_is_waited_for(boot: Boot, loop: Loop) -> None:
    machine = boot()
    loop.run(machine.shut())

    async def come_up_later() -> None:
        import asyncio  # noqa: PLC0415 - runs on the servers' loop

        asyncio.get_running_loop().call_later(0.1, lambda: asyncio.ensure_future(machine.listen()))

    loop.run(come_up_later())
    assert create(props(machine))["ready"] is True


def test_a_machine_that_never_answers_is_an_error_with_its_name_and_address(boot: Boot, loop: Loop) -> None:
    machine = boot()
    given = props(machine)
    loop.run(machine.shut())
    with pytest.raises(ssh.UnreachableError, match=rf"server-1: no SSH session with {USER}@127.0.9.1:\d+"):
        create(given)


def test_a_machine_that_refuses_the_key_is_an_error_that_says_so(boot: Boot) -> None:
    machine = boot()
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    with pytest.raises(ssh.UnreachableError, match=f"refused the key for user {USER}"):
        create(props(machine, private_key=other))


def test_a_machine_with_another_host_key_than_at_first_contact_is_refused(boot: Boot) -> None:
    machine = boot()
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    told = len(machine.commands)
    with pytest.raises(ssh.HostKeyError, match="does not show the host key pinned"):
        K3sNodeProvider().read("server-1", props(machine, host_key=other))
    assert len(machine.commands) == told


def test_an_update_holds_to_the_pinned_key_too_and_a_deletion_asks_nothing_of_a_stranger(boot: Boot) -> None:
    machine = boot()
    outs = create(props(machine))
    stranger = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    told = len(machine.commands)
    with pytest.raises(ssh.HostKeyError):
        K3sNodeProvider().update("server-1", {**outs, "host_key": stranger}, props(machine, version="v1.34.4+k3s1"))
    K3sNodeProvider().delete("server-1", {**outs, "host_key": stranger})
    assert len(machine.commands) == told


def test_a_node_whose_machine_was_made_anew_leaves_the_cluster_that_knew_it(boot: Boot) -> None:
    cluster = FakeCluster()
    first, second = boot(1, cluster), boot(2, cluster)
    create(props(first))
    outs = create(props(second, "server-2", config={"node-name": "server-2", "server": "x"}, peers=[peer(first)]))
    stranger = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    K3sNodeProvider().delete("server-2", {**outs, "host_key": stranger})
    assert first.ran("delete node server-2") == 1
    assert second.files[BINARY]


def test_an_unreachable_machine_is_never_taken_for_a_deleted_one(boot: Boot, loop: Loop) -> None:
    machine = boot()
    outs = create(props(machine))
    loop.run(machine.shut())
    with pytest.raises(ssh.UnreachableError):
        K3sNodeProvider().read("server-1", outs)


def test_a_reachable_machine_without_k3s_is_a_deleted_node(boot: Boot) -> None:
    machine = boot()
    outs = create(props(machine))
    machine.files.clear()
    assert K3sNodeProvider().read("server-1", outs).id == ""


@pytest.mark.parametrize("drift", ["version", "config", "service", "readiness"])
def test_drift_is_seen_by_a_refresh_and_mended_by_an_update(boot: Boot, drift: str) -> None:
    machine = boot()
    outs = create(props(machine))
    if drift == "version":
        machine.files[BINARY] = binary("v1.33.0+k3s1")
    elif drift == "config":
        machine.files[CONFIG] += b"# by hand\n"
    elif drift == "service":
        machine.active = False
    else:
        machine.cluster.nodes["server-1"] = False
    provider = K3sNodeProvider()
    seen = provider.read("server-1", dict(outs)).outs
    assert seen is not None
    assert seen != outs
    difference = provider.diff("server-1", seen, props(machine))
    assert (difference.changes, difference.replaces) == (True, [])
    assert provider.update("server-1", seen, props(machine)).outs == outs


def test_an_upgrade_installs_the_new_binary_and_restarts(boot: Boot) -> None:
    machine = boot()
    outs = create(props(machine))
    news = props(machine, version="v1.34.4+k3s1")
    assert K3sNodeProvider().diff("server-1", outs, news).replaces == []
    upgraded = K3sNodeProvider().update("server-1", outs, news).outs
    assert upgraded is not None
    assert upgraded["version"] == "v1.34.4+k3s1"
    assert machine.ran("systemctl restart k3s") == 2


def test_a_changed_configuration_restarts_without_a_download(boot: Boot) -> None:
    machine = boot()
    outs = create(props(machine))
    news = props(machine, config={"cluster-init": True, "node-name": "server-1", "tls-san": ["127.0.9.9"]})
    assert K3sNodeProvider().diff("server-1", outs, news).changes is True
    K3sNodeProvider().update("server-1", outs, news)
    assert machine.config["tls-san"] == ["127.0.9.9"]
    assert (machine.ran("k3s.download " + RELEASES), machine.ran("systemctl restart k3s")) == (1, 2)


def test_another_way_to_the_node_is_recorded_and_touches_nothing(boot: Boot) -> None:
    machine = boot()
    outs = create(props(machine))
    news = props(machine, peers=[{"address": "127.0.9.8", "host_key": ""}])
    assert K3sNodeProvider().diff("server-1", outs, news).changes is True
    updated = K3sNodeProvider().update("server-1", outs, news).outs
    assert updated is not None
    assert updated["peers"] == news["peers"]
    assert machine.ran("systemctl restart k3s") == 1


@pytest.mark.parametrize("key", ["machine", "name", "role", "address"])
def test_another_identity_replaces_the_node_and_the_old_one_goes_first(boot: Boot, key: str) -> None:
    machine = boot()
    outs = create(props(machine))
    difference = K3sNodeProvider().diff("server-1", outs, {**props(machine), key: "other"})
    assert (difference.replaces, difference.delete_before_replace) == ([key], True)


def test_a_preview_that_does_not_know_a_peers_key_finds_no_change(boot: Boot) -> None:
    machine = boot()
    outs = create(props(machine))
    news = props(machine, peers=[{"address": "127.0.9.2", "host_key": Unknown()}])
    assert K3sNodeProvider().diff("server-1", outs, news).changes is False


def test_the_token_of_a_running_cluster_cannot_be_changed(boot: Boot) -> None:
    machine = boot()
    olds, news = props(machine), props(machine, token="another")
    failures = K3sNodeProvider().check(olds, news).failures
    assert [failure.property for failure in failures] == ["token"]
    assert "another" not in failures[0].reason
    assert K3sNodeProvider().check(olds, props(machine)).failures == []
    assert K3sNodeProvider().check({}, news).failures == []


def test_a_leaving_node_is_drained_through_a_server_before_k3s_is_removed(boot: Boot) -> None:
    cluster = FakeCluster()
    server, agent = boot(1, cluster), boot(2, cluster)
    create(props(server))
    outs = create(as_agent(agent, server))
    server.commands.clear()
    agent.commands.clear()
    K3sNodeProvider().delete("agent-1", outs)
    kubectl = [command.removeprefix("sudo -n k3s kubectl ") for command in server.commands]
    assert kubectl == [
        "get node agent-1 --output json --ignore-not-found",
        "get node agent-1 --output json --ignore-not-found",
        "cordon agent-1",
        "drain agent-1 --ignore-daemonsets --delete-emptydir-data --force --timeout 120s",
        "delete node agent-1 --ignore-not-found --wait=true",
    ]
    assert [command.removeprefix("sudo -n ").split(" /")[0] for command in agent.commands] == [
        "systemctl disable --now k3s-agent",
        "rm -rf --one-file-system",
        "systemctl daemon-reload",
    ]
    assert not agent.files
    assert cluster.nodes == {"server-1": True}


def test_a_deletion_can_be_run_again_after_each_interruption(boot: Boot) -> None:
    cluster = FakeCluster()
    server, agent = boot(1, cluster), boot(2, cluster)
    create(props(server))
    outs = create(as_agent(agent, server))
    agent.script["rm"] = (1, "", "interrupted")
    with pytest.raises(ssh.CommandError, match="interrupted"):
        K3sNodeProvider().delete("agent-1", outs)
    agent.script.clear()
    K3sNodeProvider().delete("agent-1", outs)
    K3sNodeProvider().delete("agent-1", outs)
    assert server.ran("drain") == 1
    assert not agent.files


def test_a_drain_that_cannot_finish_keeps_the_node_and_says_why(boot: Boot) -> None:
    cluster = FakeCluster()
    server, agent = boot(1, cluster), boot(2, cluster)
    create(props(server))
    outs = create(as_agent(agent, server))
    server.script["k3s kubectl drain"] = (1, "", "cannot evict pod as it would violate the disruption budget")
    with pytest.raises(ssh.CommandError, match="disruption budget"):
        K3sNodeProvider().delete("agent-1", outs)
    assert agent.active


def test_the_last_server_leaves_without_a_cluster_to_ask(boot: Boot) -> None:
    machine, gone = boot(1), boot(2)
    outs = create(props(machine, peers=[peer(gone)]))
    K3sNodeProvider().delete("server-1", outs)
    assert not machine.files


def test_the_next_server_is_asked_when_the_first_does_not_answer(boot: Boot, loop: Loop) -> None:
    cluster = FakeCluster()
    first, second, agent = boot(1, cluster), boot(2, cluster), boot(3, cluster)
    create(props(first))
    create(props(second, "server-2", config={"node-name": "server-2", "server": "https://127.0.9.1:6443"}))
    outs = create(as_agent(agent, first, second))
    loop.run(first.shut())
    K3sNodeProvider().delete("agent-1", outs)
    assert second.ran("drain agent-1") == 1


def test_a_rebuilt_first_server_joins_the_cluster_that_lives_and_founds_no_second_one(boot: Boot) -> None:
    cluster = FakeCluster(nodes={"server-1": False, "server-2": True})
    rebuilt, living = boot(1, cluster), boot(2, cluster)
    living.files[BINARY] = binary(VERSION)
    living.active = True
    outs = create(props(rebuilt, peers=[peer(living, pinned=False)]))
    written = [yaml.safe_load(text) for text in rebuilt.stdins if "node-name" in text]
    assert living.ran("delete node server-1") == 1
    assert written[0] == {"node-name": "server-1", "server": "https://127.0.9.2:6443", "token": TOKEN}
    assert written[1] == {"node-name": "server-1", "cluster-init": True, "token": TOKEN}
    assert cluster.founded == 0
    assert K3sNodeProvider().diff("server-1", outs, props(rebuilt, peers=outs["peers"])).changes is False


def test_a_creation_that_is_run_again_does_not_forget_the_node_it_has_already_made(boot: Boot) -> None:
    cluster = FakeCluster()
    first, second = boot(1, cluster), boot(2, cluster)
    create(props(first))
    given = props(second, "server-2", config={"node-name": "server-2", "server": "x"}, peers=[peer(first)])
    create(given)
    create(given)
    assert first.ran("delete node") == 0


def test_a_removal_whose_service_keeps_running_deletes_no_file(boot: Boot) -> None:
    machine = boot()
    outs = create(props(machine))
    machine.script["systemctl disable"] = (1, "", "access denied")
    with pytest.raises(ssh.CommandError, match=r"(?s)access denied.*pulumi state delete"):
        K3sNodeProvider().delete("server-1", outs)
    assert BINARY in machine.files


def test_shell_syntax_in_a_value_stays_a_value(boot: Boot) -> None:
    machine = boot()
    create(props(machine, release_url="https://releases.test/$(reboot);x"))
    assert machine.ran("'https://releases.test/$(reboot);x/") == 2
