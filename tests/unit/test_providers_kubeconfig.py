"""The kubeconfig as a resource: pointed at the cluster, checked, and never quoted in an error."""

from typing import Any

import pytest
import yaml
from pulumi.output import Unknown

from providers.kubeconfig import K3sKubeconfigProvider, KubeconfigError, rewrite
from tests.unit.fake_node import KUBECONFIG, FakeMachine

PATH = "/etc/rancher/k3s/k3s.yaml"
TEXT = yaml.safe_dump(KUBECONFIG)


def without_authority() -> str:
    document = yaml.safe_load(TEXT)
    document["clusters"][0]["cluster"] = {"server": "x", "certificate-authority": "/a/file"}
    return str(yaml.safe_dump(document))


def test_the_loopback_gives_way_to_the_clusters_address_and_nothing_else_changes() -> None:
    rewritten = yaml.safe_load(rewrite(TEXT, server="server-1", api_address="10.0.0.10"))
    assert rewritten["clusters"][0]["cluster"].pop("server") == "https://10.0.0.10:6443"
    original = yaml.safe_load(TEXT)
    del original["clusters"][0]["cluster"]["server"]
    assert rewritten == original


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("client-key-data: SENTINEL: [", "is no kubeconfig"),
        ("SENTINEL", "is no kubeconfig"),
        ("", "is no kubeconfig"),
        ("clusters: []\nusers: []", "embeds no certificate authority"),
        (without_authority(), "embeds no certificate authority"),
    ],
)
def test_what_is_no_usable_kubeconfig_is_named_and_never_quoted(text: str, complaint: str) -> None:
    with pytest.raises(KubeconfigError, match=complaint) as caught:
        rewrite(text, server="server-1", api_address="10.0.0.10")
    assert "server-1" in str(caught.value)
    assert "SENTINEL" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_it_is_read_from_the_server_and_read_again_by_a_refresh(machine: FakeMachine, contact: dict[str, Any]) -> None:
    machine.files[PATH] = TEXT.encode()
    provider = K3sKubeconfigProvider()
    created = provider.create({**contact, "api_address": "10.0.0.10"}).outs
    assert created is not None
    assert provider.read("server-1", created).outs == created
    machine.files[PATH] = TEXT.replace("SENTINEL-client-key", "rotated").encode()
    refreshed = provider.read("server-1", created).outs
    assert refreshed is not None
    assert "rotated" in refreshed["kubeconfig"]


def test_a_server_that_has_none_any_more_has_no_cluster(contact: dict[str, Any]) -> None:
    props = {**contact, "api_address": "10.0.0.10", "kubeconfig": TEXT}
    assert K3sKubeconfigProvider().read("server-1", props).id == ""


def test_a_preview_that_does_not_know_the_host_key_keeps_the_kubeconfig_known() -> None:
    olds = {"api_address": "10.0.0.10", "host_key": "ssh-ed25519 AAAA", "kubeconfig": TEXT}
    diff = K3sKubeconfigProvider().diff
    assert diff("id", olds, {"api_address": "10.0.0.10", "host_key": Unknown()}).changes is False
    assert diff("id", olds, {"api_address": "10.0.0.11", "host_key": "ssh-ed25519 AAAA"}).changes is True
