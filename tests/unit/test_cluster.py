"""One founder, joiners in single file, agents last, and a kubeconfig for whoever comes after."""

from typing import Any

import pulumi
import pytest

from components.cluster import Cluster, ClusterArgs
from config.model.infrastructure import Node, Ssh
from config.model.platform import Kubernetes
from tests.harness import Recording, is_secret, record

NODE = "pulumi-python:dynamic/k3s:Node"
KUBECONFIG = "pulumi-python:dynamic/k3s:Kubeconfig"
TOKEN = "pulumi-python:dynamic/generated:Token"
COMPUTED = {
    TOKEN: {"value": "SENTINEL-token"},
    NODE: {"host_key": "ssh-ed25519 PINNED"},
    KUBECONFIG: {"kubeconfig": "SENTINEL-kubeconfig"},
}
MEMBERS = ("s1", "s2", "s3", "a1", "a2")


def node(name: str, number: int) -> Node:
    role = "server" if name.startswith("s") else "agent"
    return Node.model_validate(
        {"name": name, "role": role, "host": "pve", "vm_id": 100 + number, "address": f"10.0.0.{number}"}
    )


def run(*, protect: bool = False) -> Recording:
    args = ClusterArgs(
        nodes=[node(name, 11 + index) for index, name in enumerate(MEMBERS)],
        domain="lab.test",
        machine_ids={name: f"id-{name}" for name in MEMBERS},
        addresses={name: f"10.0.0.{11 + index}" for index, name in enumerate(MEMBERS)},
        kubernetes=Kubernetes.model_validate({"api_address": "10.0.0.10", "release_url": "https://releases.test"}),
        ssh=Ssh(),
        private_key=pulumi.Output.secret("SENTINEL-key"),
        protect=protect,
    )
    return record(lambda: Cluster("cluster", args), outputs=COMPUTED)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return run()


def waits_for(recording: Recording, name: str) -> set[str]:
    """The nodes that `name` names as dependencies."""
    return {urn.rpartition("::")[2] for urn in recording.request(NODE, name).dependencies if NODE in urn}


def config_of(recording: Recording, name: str) -> dict[str, Any]:
    return dict(recording.inputs(NODE, name)["config"])


def test_only_the_first_server_founds_a_cluster(recording: Recording) -> None:
    founders = [name for name in MEMBERS if "cluster-init" in config_of(recording, name)]
    assert founders == ["s1"]
    assert {config_of(recording, name)["server"] for name in MEMBERS[1:]} == {"https://10.0.0.11:6443"}


def test_servers_join_one_at_a_time(recording: Recording) -> None:
    assert waits_for(recording, "s1") == set()
    assert "s1" in waits_for(recording, "s2")
    assert "s2" in waits_for(recording, "s3")


def test_agents_come_after_every_server_and_do_not_wait_for_each_other(recording: Recording) -> None:
    assert waits_for(recording, "a1") == waits_for(recording, "a2") == {"s1", "s2", "s3"}


def test_what_uses_the_cluster_waits_for_the_whole_of_it(recording: Recording) -> None:
    urns = recording.request(KUBECONFIG).dependencies
    assert {urn.rpartition("::")[2] for urn in urns if NODE in urn} == set(MEMBERS)


def test_the_kubeconfig_is_read_from_the_first_server_and_names_the_api_address(recording: Recording) -> None:
    inputs = recording.inputs(KUBECONFIG)
    assert (inputs["address"], inputs["api_address"]) == ("10.0.0.11", "10.0.0.10")
    assert inputs["host_key"] == "ssh-ed25519 PINNED"


# A mismatch in one of these keeps a server from joining (docs.k3s.io, cli/server).
EQUAL = ("cluster-cidr", "service-cidr", "flannel-backend", "disable", "secrets-encryption")


def test_servers_agree_on_what_k3s_wants_equal_on_all(recording: Recording) -> None:
    first, *others = (config_of(recording, name) for name in MEMBERS[:3])
    for other in others:
        assert {key: other[key] for key in EQUAL} == {key: first[key] for key in EQUAL}
    assert first["disable"] == ["traefik", "servicelb", "local-storage"]
    assert first["secrets-encryption"] is True


def test_servers_are_known_by_the_api_address_and_keep_their_kubeconfig_to_root(recording: Recording) -> None:
    config = config_of(recording, "s2")
    assert config["tls-san"] == ["10.0.0.10", "api.lab.test"]
    assert config["write-kubeconfig-mode"] == "0600"


def test_agents_are_given_no_key_that_only_servers_know(recording: Recording) -> None:
    assert set(config_of(recording, "a1")) == {"node-name", "node-ip", "server"}


def test_each_node_is_bound_to_its_machine_so_that_a_new_one_is_a_new_node(recording: Recording) -> None:
    assert [recording.inputs(NODE, name)["machine"] for name in MEMBERS] == [f"id-{name}" for name in MEMBERS]


def test_a_node_asks_the_other_servers_and_pins_those_built_before_it(recording: Recording) -> None:
    assert recording.inputs(NODE, "s2")["peers"] == [
        {"address": "10.0.0.11", "host_key": "ssh-ed25519 PINNED"},
        {"address": "10.0.0.13", "host_key": ""},
    ]
    asked = [peer["address"] for peer in recording.inputs(NODE, "a1")["peers"]]
    assert asked == ["10.0.0.11", "10.0.0.12", "10.0.0.13"]


def test_token_and_key_are_secret_on_the_way_in_and_in_the_state(recording: Recording) -> None:
    raw = recording.raw_inputs(NODE, "s1")
    assert is_secret(raw["token"])
    assert is_secret(raw["private_key"])
    assert set(recording.request(NODE, "s1").additionalSecretOutputs) == {"token", "private_key"}
    assert set(recording.request(KUBECONFIG).additionalSecretOutputs) == {"kubeconfig", "private_key"}


def test_the_kubeconfig_leaves_the_layer_as_a_secret(recording: Recording) -> None:
    assert is_secret(recording.outputs[recording.urn_of("homelab:cluster:Cluster")]["kubeconfig"])


@pytest.mark.parametrize("protect", [True, False])
def test_the_token_is_protected_when_the_lab_is(protect: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    assert run(protect=protect).request(TOKEN).protect is protect
