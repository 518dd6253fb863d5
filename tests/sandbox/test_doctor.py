"""Before the first up: a stack that is made ready with the real Pulumi, and a doctor that finds what was taken away."""

import shutil
from pathlib import Path

import pytest

from config import versions
from lab.doctor.examination import examine
from lab.doctor.finding import State
from lab.initialise import initialise
from lab.stack import REPOSITORY, StackError, real_stack
from tests.sandbox.lab import TestLab
from toolchain import ensure

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]

TOKEN = "homelab@pve!pulumi=11111111-2222-3333-4444-555555555555"


def test_a_lab_that_is_up_has_nothing_to_mend(provisioned: TestLab) -> None:
    found = provisioned.run("lab", "doctor")
    assert "nothing to mend" in found.output
    for what in (
        "rights on /pool/homelab",
        "pve3: bridge vmbr0",
        "Git repository",
        f"K3s {versions.K3S}",
        "k3s-agent-2",
    ):
        assert what in found.output
    assert "✗" not in found.output


def test_a_right_that_is_taken_away_is_found_with_the_commands_that_give_it_back(provisioned: TestLab) -> None:
    role = "/access/roles/HomelabMachines"
    held = list(provisioned.proxmox("GET", role))
    provisioned.proxmox("PUT", role, privs=",".join(set(held) - {"VM.PowerMgmt"}))
    try:
        found = provisioned.run("lab", "doctor", expect=1)
    finally:
        provisioned.proxmox("PUT", role, privs=",".join(held))
    assert "✗ Proxmox, rights on /pool/homelab: VM.PowerMgmt missing" in found.output
    assert (
        'pveum role modify HomelabMachines --privs "Pool.Audit VM.Allocate VM.Audit VM.Backup VM.PowerMgmt'
        in found.output
    )
    assert "pveum acl modify /pool/homelab --users homelab@pve --roles HomelabMachines" in found.output
    assert "1 of 58 checks found something to mend" in found.output
    assert "next: make doctor STACK=dev" in found.output
    assert "nothing to mend" in provisioned.run("lab", "doctor").output


def test_a_machine_that_is_off_and_a_sandbox_that_is_off_are_found(provisioned: TestLab) -> None:
    provisioned.run("sandbox", "down")
    try:
        off = provisioned.run("lab", "doctor", expect=1)
    finally:
        provisioned.run("sandbox", "up")
    assert "✗ Stack, sandbox: is not running" in off.output
    assert "    python -m sandbox up" in off.output
    assert off.seconds < 10


def test_a_stack_is_made_ready_and_its_secrets_are_kept_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = tmp_path / "state"
    backend.mkdir()
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse")
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{backend}?metadata=skip")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(passphrase))
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    for file in ("Pulumi.yaml", "Pulumi.prod.yaml"):
        shutil.copy(REPOSITORY / file, tmp_path)
    comments = (tmp_path / "Pulumi.prod.yaml").read_text().count("#")

    stack = real_stack(ensure(), "prod", tmp_path)
    made = initialise(stack, given={"proxmoxApiToken": TOKEN}, ask=None, replace=False, environment={})
    assert (made.made, made.set) == (True, ("proxmoxApiToken",))
    text = stack.config_file.read_text()
    assert TOKEN not in text
    assert "secure: v1:" in text
    assert text.count("#") == comments
    again = initialise(stack, given={"proxmoxApiToken": TOKEN}, ask=None, replace=False, environment={})
    assert (again.made, again.set, again.kept) == (False, (), ("proxmoxApiToken",))
    assert stack.config_file.read_text() == text
    assert stack.read("config", "get", "proxmoxApiToken", folder=tmp_path).strip() == TOKEN

    passphrase.write_text("wrong")
    with pytest.raises(StackError) as refused:
        stack.read("config", "get", "proxmoxApiToken", folder=tmp_path)
    assert refused.value.hint
    assert "passphrase" in refused.value.hint.cause


def test_a_real_labs_example_is_told_what_it_still_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    ensure()
    wrong = {finding.what: finding.steps for finding in examine("prod") if finding.state is State.WRONG}
    assert set(wrong) == {"passphrase", "lab.proxmox.image.checksum"}
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in wrong["passphrase"][0]
