"""What goes wrong for people: the message says what happened and what to run next, and nothing is left half-made."""

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.stack import Stack, StackError
from tests.sandbox.lab import TestLab, changed_stack, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]


def test_a_busy_port_is_named_with_its_holder_and_the_next_up_succeeds(lab: TestLab) -> None:
    with socket.create_server(tuple(lab.settings.mirror)):
        early = lab.run("lab", "up", expect=1)
    assert f"mirror needs {lab.settings.mirror}, which is taken by" in early.output
    assert "next: " in early.output
    assert "Traceback" not in early.output

    with socket.create_server(tuple(lab.settings.etcd)):
        late = lab.run("lab", "up", expect=1)
    assert f"etcd needs {lab.settings.etcd}, which is taken by" in late.output
    assert "k3s-server-1" in late.output

    assert "5 of 5 nodes Ready" in lab.up().output


def test_a_wrong_passphrase_is_called_one(provisioned: TestLab) -> None:
    passphrase = provisioned.settings.root / "passphrase"
    right = passphrase.read_text()
    passphrase.write_text("wrong")
    try:
        refused = provisioned.run("lab", "preview", expect=1)
    finally:
        passphrase.write_text(right)
    assert "the passphrase is not the one" in refused.output
    assert "next: " in refused.output
    assert right not in refused.output


def test_a_lab_that_is_off_is_told_at_once_with_the_next_command(provisioned: TestLab) -> None:
    provisioned.run("sandbox", "down")
    try:
        refused = [provisioned.run("lab", command, expect=1) for command in ("preview", "refresh", "destroy")]
    finally:
        provisioned.run("sandbox", "up")
    assert all(
        "the sandbox is not running" in one.output and "next: python -m sandbox up" in one.output for one in refused
    )
    assert all(one.seconds < 5 for one in refused)
    provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes")


def test_a_machine_that_is_off_fails_the_refresh_by_name(provisioned: TestLab) -> None:
    provisioned.proxmox("POST", "/nodes/pve2/qemu/122/status/stop")
    try:
        refused = provisioned.run("lab", "refresh", expect=1)
    finally:
        provisioned.run("lab", "up")  # the state knows by now that the machine is off
        eventually(lambda: provisioned.ready().get("k3s-agent-2") == "True", 60, "k3s-agent-2 is Ready again")
    assert "k3s-agent-2: no SSH session with" in refused.output
    assert "something that the program talks to does not answer" in refused.output
    assert "next: python -m sandbox status" in refused.output
    provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes")


def test_a_stack_without_configuration_is_refused_by_name(lab: TestLab) -> None:
    refused = lab.run("lab", "preview", "--stack", "nowhere", expect=1)
    assert "there is no Pulumi.nowhere.yaml" in refused.output
    assert "prod" in refused.output


def test_a_network_outside_of_loopback_is_refused(lab: TestLab) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "up"],
        env={**lab.environment, "HOMELAB_SANDBOX_NETWORK": "10.0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "10.0" in done.stderr


def requests_to_proxmox(lab: TestLab) -> int:
    """How many requests the stand-in has logged."""
    return len(re.findall(r" (?:GET|POST|PUT|DELETE) /\S+: \d{3}", lab.settings.log("supervisor").read_text()))


@pytest.mark.parametrize(
    "command", [("preview",), ("up", "--yes", "--skip-preview"), ("destroy", "--yes", "--run-program")]
)
def test_a_configuration_with_faults_is_refused_before_any_provider_is_called(
    provisioned: TestLab, tmp_path: Path, command: tuple[str, ...]
) -> None:
    def spoil(lab: Any) -> None:
        lab["nodes"][1]["address"] = lab["nodes"][0]["address"]
        lab["nodes"][2]["memory"] = 1_000_000
        lab["applications"]["hub"]["replicas"] = 50

    stack, copy = changed_stack(provisioned, tmp_path, spoil)
    before = requests_to_proxmox(provisioned)
    with pytest.raises(StackError) as refused:
        stack.read(*command, "--config-file", str(copy))
    assert "has 2 faults; nothing was changed" in str(refused.value)
    assert "lab.nodes[1].address" in str(refused.value)
    assert "lab.applications.hub.replicas = 50: is more than the 5 nodes" in str(refused.value)
    assert requests_to_proxmox(provisioned) == before

    # The same count sees a run that is let through.
    stack.read("preview", "--refresh", "--config-file", str(stack.config_file))
    assert requests_to_proxmox(provisioned) > before


def test_sizes_that_do_not_fit_are_refused_by_the_program(provisioned: TestLab, tmp_path: Path) -> None:
    def spoil(lab: Any) -> None:
        lab["nodes"][2]["memory"] = 1_000_000

    stack, copy = changed_stack(provisioned, tmp_path, spoil)
    with pytest.raises(StackError, match=r"lab\.proxmox\.hosts\[2\]\.memory: machines ask for 1000000 MiB"):
        stack.read("preview", "--config-file", str(copy))


def test_an_older_k3s_is_refused_against_the_version_of_the_last_up(provisioned: TestLab, tmp_path: Path) -> None:
    def spoil(lab: Any) -> None:
        lab["kubernetes"] |= {"version": "v1.33.1+k3s1"}

    stack, copy = changed_stack(provisioned, tmp_path, spoil)
    before = requests_to_proxmox(provisioned)
    with pytest.raises(StackError, match=r"lab\.kubernetes\.version = v1\.33\.1\+k3s1"):
        stack.read("preview", "--config-file", str(copy))
    assert requests_to_proxmox(provisioned) == before


def test_a_disk_grows_in_place_and_neither_shrinks_nor_goes(lab: TestLab, tmp_path: Path) -> None:
    lab.up()

    def with_disks(disks: dict[str, int]) -> tuple[Stack, Path]:
        return changed_stack(lab, tmp_path, lambda data: data["nodes"][3].update(disks=disks))

    stack, copy = with_disks({"system": 40})
    done = stack.read("up", "--yes", "--skip-preview", "--config-file", str(copy))
    assert "~ 1 updated" in done
    assert lab.proxmox("GET", "/nodes/pve1/qemu/121/config")["scsi0"].split(",").count("size=40G") == 1
    stack.read("preview", "--refresh", "--expect-no-changes", "--config-file", str(copy))

    before = requests_to_proxmox(lab)
    smaller = lab.run("lab", "up", expect=1)
    assert "lab.nodes[3].disks.system = 32: is smaller than the 40 GiB that k3s-agent-1 has" in smaller.output
    assert requests_to_proxmox(lab) == before
