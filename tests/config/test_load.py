"""From Pulumi's configuration to a lab and its secrets, or to one refusal with every fault."""

import json
from typing import Any

import pulumi
import pytest

from config import versions
from config.growth import machines
from config.load import installed, load
from config.model import Lab
from config.rules import read_lab
from tests.config.labs import MISSING, changed, development, production, smallest
from tests.harness import is_output_secret, record
from tests.stacks import API_TOKEN, SECRETS

TOKEN = "homelab:proxmoxApiToken"


def configure(lab: object, **secrets: str | None) -> None:
    given = {key: value for key, value in (SECRETS | secrets).items() if value is not None}
    values = {"homelab:lab": lab if isinstance(lab, str) else json.dumps(lab)}
    pulumi.runtime.set_all_config(values | given, list(given))


def refusal(last: dict[str, Any] | None = None) -> str:
    with pytest.raises(pulumi.RunError) as caught:
        record(load, last=last)
    return str(caught.value)


def loaded(last: dict[str, Any] | None = None) -> tuple[Any, Any]:
    found: list[Any] = []
    record(lambda: found.extend(load()), last=last)
    return found[0], found[1]


def test_loading_returns_the_lab_and_its_secrets_as_secrets() -> None:
    configure(production())
    lab, secrets = loaded()
    assert isinstance(lab, Lab)
    assert is_output_secret(secrets.proxmox_api_token)
    assert is_output_secret(secrets.pfsense_api_key)
    assert is_output_secret(secrets.cloudflare_api_token)
    assert API_TOKEN not in repr(lab)


def test_a_refusal_names_the_stack_the_faults_and_the_file_to_edit() -> None:
    configure(changed(development(), "protect", MISSING))
    assert refusal().splitlines() == [
        "the configuration of stack dev has 1 fault; nothing was changed:",
        (
            "  - lab.protect: is missing. Fix: true refuses to delete machines, their token and their key; "
            "false for a trial lab."
        ),
        "Edit Pulumi.dev.yaml and run again.",
    ]


def test_a_missing_secret_is_one_of_the_faults_with_the_command_that_sets_it() -> None:
    configure(changed(development(), "domain", MISSING), **{TOKEN: None})
    message = refusal()
    assert "has 2 faults" in message
    assert "proxmoxApiToken: is missing. Fix: make init STACK=dev" in message


@pytest.mark.parametrize(("key", "section"), [("pfsenseApiKey", "firewall"), ("cloudflareApiToken", "edge")])
def test_a_secret_is_asked_for_by_the_labs_that_need_it(key: str, section: str) -> None:
    configure(production(), **{f"homelab:{key}": None})
    assert f"{key}: is missing" in refusal()
    configure(changed(production(), section, MISSING), **{f"homelab:{key}": None})
    loaded()


@pytest.mark.parametrize("key", ["proxmoxApiToken", "pfsenseApiKey", "cloudflareApiToken"])
def test_a_malformed_secret_is_refused_without_being_shown(key: str) -> None:
    configure(production(), **{f"homelab:{key}": "SENTINEL!"})
    message = refusal()
    assert f"{key}: is not of the form: " in message
    assert "SENTINEL!" not in message


def test_a_lab_that_is_no_structure_is_refused() -> None:
    configure("{not json")
    assert "lab: is not structured data" in refusal()


def test_a_stack_without_a_lab_is_refused() -> None:
    pulumi.runtime.set_all_config(dict(SECRETS), list(SECRETS))
    assert "lab" in refusal()


def test_what_the_next_run_compares_with_is_exported() -> None:
    assert machines(read_lab(smallest())) == {"node-1": {"vm_id": 101, "disks": {"system": 32}}}
    assert installed(read_lab(smallest())) == {"argocd": versions.ARGOCD, "k3s": versions.K3S}


def test_a_disk_that_shrinks_or_goes_is_refused_against_what_the_last_up_left() -> None:
    disks = {"system": 40.0, "longhorn": 100.0}
    last = {"machines": {"node-1": {"vm_id": 101.0, "disks": disks}, "gone": {"vm_id": 1.0, "disks": {"system": 99.0}}}}
    configure(smallest())
    message = refusal(last=last)
    assert "lab.nodes[0].disks.system = 32: is smaller than the 40 GiB that node-1 has, and disks only grow" in message
    assert "lab.nodes[0].disks.longhorn: is gone, and with it the data on the 100 GiB that node-1 has there" in message
    assert message.count("or replace the machine by one with another name and vm_id") == 2


@pytest.mark.parametrize(("vm_id", "size"), [(101, 32), (101, 8), (102, 500)])
def test_a_disk_may_grow_and_another_machine_may_have_another_one(vm_id: int, size: int) -> None:
    configure(smallest())
    lab, _ = loaded({"machines": {"node-1": {"vm_id": vm_id, "disks": {"system": size}}}})
    assert lab.nodes[0].disks.system == 32


def test_a_step_over_a_minor_version_is_refused_against_what_the_last_up_left() -> None:
    configure(smallest())
    message = refusal(last={"versions": {"k3s": "v1.32.9+k3s1"}})
    assert "lab.kubernetes.version" in message
    assert "nothing was changed" in message


@pytest.mark.parametrize("last", [None, {}, {"versions": {}}, {"versions": {"k3s": "v1.33.6+k3s1"}}])
def test_a_first_run_and_a_single_step_are_let_through(last: dict[str, Any] | None) -> None:
    configure(smallest())
    lab, _ = loaded(last)
    assert lab.name == "tiny"
