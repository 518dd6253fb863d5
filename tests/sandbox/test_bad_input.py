"""What goes wrong for people: the message says what happened and what to run next, and nothing is left half-made."""

import socket
import subprocess
import sys

import pytest

from tests.sandbox.lab import TestLab

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]


def test_a_busy_port_is_named_with_its_holder(lab: TestLab) -> None:
    endpoint = lab.settings.mirror
    with socket.create_server(tuple(endpoint)):
        refused = lab.run("lab", "up", expect=1)
    assert f"mirror needs {endpoint}, which is taken by" in refused.output
    assert "next: " in refused.output
    assert "Traceback" not in refused.output
    lab.run("sandbox", "up")


def test_a_busy_port_of_the_cluster_fails_the_node_by_name_and_the_next_up_succeeds(lab: TestLab) -> None:
    with socket.create_server(tuple(lab.settings.etcd)):
        refused = lab.run("lab", "up", expect=1)
    assert f"etcd needs {lab.settings.etcd}, which is taken by" in refused.output
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


def test_an_api_that_does_not_answer_is_told_with_the_next_command(provisioned: TestLab) -> None:
    provisioned.run("sandbox", "down")
    try:
        refused = provisioned.run("lab", "refresh", expect=1)
    finally:
        provisioned.run("sandbox", "up")
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
