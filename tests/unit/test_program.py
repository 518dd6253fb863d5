"""The whole program under both stacks: its contract with the engine, its secrets, its protection and its inventory."""

import json
import re
import runpy
from pathlib import Path

import pulumi
import pytest
import yaml

from tests.harness import SECRET, Recording, is_secret, open_strings, plain, record
from tests.stacks import API_TOKEN, COMPUTED, SECRETS

ROOT = Path(__file__).parents[2]
STACKS = ("dev", "prod")
SENTINELS = (
    API_TOKEN,
    "SENTINEL-generated-token",
    "SENTINEL-private-key",
    "SENTINEL-kubeconfig",
)


def run(stack: str) -> Recording:
    config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    lab = config["homelab:lab"]
    # The production example leaves the checksum to the operator.
    lab["proxmox"]["image"].setdefault("checksum", "0" * 128)
    pulumi.runtime.set_all_config({"homelab:lab": json.dumps(lab), **SECRETS}, list(SECRETS))
    return record(lambda: runpy.run_path(str(ROOT / "__main__.py")), stack=stack, outputs=COMPUTED)


@pytest.fixture(scope="module", params=STACKS)
def recording(request: pytest.FixtureRequest) -> Recording:
    return run(request.param)


@pytest.fixture(scope="module")
def prod() -> Recording:
    return run("prod")


def test_every_resource_has_a_component_a_provider_and_registered_outputs(recording: Recording) -> None:
    recording.assert_well_formed()


@pytest.mark.parametrize("sentinel", SENTINELS)
def test_a_secret_is_found_only_below_a_mark_of_secrecy(recording: Recording, sentinel: str) -> None:
    seen = 0
    everything = [
        *((urn, recording.raw_inputs(request.type, request.name)) for urn, request in recording.requests.items()),
        *((f"outputs of {urn}", outputs) for urn, outputs in recording.outputs.items()),
        ("exports", recording.exports),
    ]
    for where, properties in everything:
        leaks = [path for path, text in open_strings(properties) if sentinel in text]
        assert not leaks, f"{where} shows a secret at {leaks}"
        seen += sentinel in json.dumps(plain(properties))
    assert seen, "the sentinel reached nothing, so its absence proves nothing"


def test_the_providers_pickled_code_holds_no_secret(recording: Recording) -> None:
    for urn in recording.requests:
        if "pulumi-python:dynamic" in urn:
            request = recording.requests[urn]
            blob = recording.raw_inputs(request.type, request.name)["__provider"]
            assert isinstance(blob, str), f"{urn}: a secret was captured by the provider"


def test_exports_are_few_and_the_kubeconfig_is_secret(recording: Recording) -> None:
    assert set(recording.exports) == {"api_url", "nodes", "applications", "machines", "versions", "kubeconfig"}
    assert [name for name, value in recording.exports.items() if is_secret(value)] == ["kubeconfig"]
    assert recording.exports["applications"] == ["hub"]
    assert recording.exports["api_url"].endswith(":6443")
    assert len(recording.exports["nodes"]) == len(recording.urns_of("pulumi-python:dynamic/k3s:Node"))


def test_what_cannot_be_made_again_is_protected_in_production(prod: Recording) -> None:
    protected = {urn.rpartition("::")[2] for urn, request in prod.requests.items() if request.protect}
    machines = {prod.requests[urn].name for urn in prod.urns_of("proxmoxve:index/vmLegacy:VmLegacy")}
    assert protected == {*machines, "compute-key", "cluster-token"}
    assert len(machines) == 6


def test_a_trial_lab_can_be_destroyed() -> None:
    assert not [urn for urn, request in run("dev").requests.items() if request.protect]


def test_the_cluster_provider_is_replaced_only_when_the_lab_is_another_one(recording: Recording) -> None:
    assert recording.inputs("pulumi:providers:kubernetes")["clusterIdentifier"] in {"dev", "homelab"}


@pytest.mark.parametrize("stack", STACKS)
def test_the_inventory_is_the_one_that_was_reviewed(stack: str) -> None:
    """A renamed resource is a deletion and a creation. If it is meant, give it an alias and correct the list."""
    listed = "".join(f"{re.sub(r'^urn:pulumi:[^:]*::[^:]*::', '', urn)}\n" for urn in sorted(run(stack).requests))
    assert listed == (Path(__file__).parent / f"inventory.{stack}.txt").read_text()


@pytest.mark.parametrize("stack", STACKS)
def test_default_providers_with_credentials_are_off_and_no_secret_is_committed(stack: str) -> None:
    text = (ROOT / f"Pulumi.{stack}.yaml").read_text()
    assert yaml.safe_load(text)["config"]["pulumi:disable-default-providers"] == ["kubernetes", "proxmoxve"]
    assert "secure:" not in text
    assert not re.search(r"^\s*homelab:\w+(Token|Key)\b", text, re.MULTILINE)


def test_the_program_stays_a_table_of_contents() -> None:
    assert len((ROOT / "__main__.py").read_text().splitlines()) < 80


def test_the_program_knows_nothing_of_the_embedded_lab() -> None:
    packages = [path for folder in ("components", "config", "providers") for path in ROOT.glob(f"{folder}/**/*.py")]
    # The pins are those of everybody.
    for path in {ROOT / "__main__.py", *packages} - {ROOT / "config" / "versions.py"}:
        assert "sandbox" not in path.read_text().lower(), path


def test_a_refused_configuration_makes_no_resource_at_all() -> None:
    pulumi.runtime.set_all_config({"homelab:lab": "{}"})
    recordings: list[Recording] = []
    with pytest.raises(pulumi.RunError, match="nothing was changed"):
        recordings.append(record(lambda: runpy.run_path(str(ROOT / "__main__.py"))))
    assert recordings == []


def test_the_mark_of_secrecy_is_what_the_sweep_takes_it_for() -> None:
    marked = {SECRET: "1b47061264138c4ac30d75fd1eb44270", "value": "hidden"}
    assert list(open_strings({"a": [marked, "open"]})) == [(".a[1]", "open")]
