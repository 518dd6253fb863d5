"""From nothing to a lab and back to nothing, with the real engine, providers, API server and Argo CD."""

import json
import os
import signal
from subprocess import Popen

import psutil
import pytest

from config import versions
from tests.sandbox.lab import TestLab, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(400)]


def test_a_lab_comes_up_stays_as_it_is_and_leaves_nothing_behind(lab: TestLab) -> None:
    first = lab.up()
    assert "5 machines on 3 hosts" in first.output
    assert f"5 of 5 nodes Ready, {versions.K3S}" in first.output
    assert "hub Synced, Healthy" in first.output
    assert first.seconds < 90, "with the tools at hand"
    assert "\x1b[" not in first.output, "colours must be off when the output is no terminal"

    lab.run("lab", "preview", "--", "--expect-no-changes")
    lab.run("lab", "refresh", "--", "--expect-no-changes")
    again = lab.up()
    assert "79 unchanged" in again.output
    assert again.seconds < 15

    lab.run("lab", "destroy")
    assert lab.machines() == []
    for host in ("pve1", "pve2", "pve3"):
        assert lab.proxmox("GET", f"/nodes/{host}/storage/local/content") == []
        assert lab.proxmox("GET", f"/nodes/{host}/storage/local-lvm/content") == []
    firewall = json.loads((lab.settings.root / "pfsense" / "config.json").read_text())
    assert [rule["descr"][:17] for rule in firewall["config"]["rules"]] == ["Default allow LAN"] * 2
    assert [firewall["config"][kind] for kind in ("aliases", "hosts", "mappings")] == [[], [], []]
    assert firewall["in_force"] == firewall["config"], "what was deleted is still in force"
    assert (firewall["dirty"], firewall["notices"]) == ([], [])
    assert lab.state().get("resources", []) == []
    assert "nodes with a heartbeat: none" in lab.run("sandbox", "status").output
    assert not list((lab.settings.root / "machines").iterdir()), "a destroyed machine leaves no disk"
    assert not (lab.settings.root / "cluster" / "etcd").exists(), "the cluster ends with its last server"


def test_up_goes_on_however_often_and_wherever_it_was_stopped(lab: TestLab) -> None:
    for moment in ("VmLegacy k3s-server-1 creating", "Node k3s-server-2 creating", "Release argocd creating"):
        with lab.start("lab", "up") as process:
            _read_until(process, moment)
            (pulumi,) = _children(process.pid)
            os.kill(pulumi, signal.SIGKILL)
            process.communicate()
        assert process.returncode == 1

    with lab.start("lab", "up") as process:
        before = _read_until(process, "Release argocd creating")
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode != 0
    assert "was killed; its lock is released" in before
    assert not lab.state().get("pending_operations"), "after an interrupt Pulumi finishes what it began, and saves"

    assert "5 of 5 nodes Ready" in lab.up().output
    lab.run("lab", "preview", "--", "--refresh", "--expect-no-changes")


def _read_until(process: Popen[str], moment: str) -> str:
    assert process.stdout
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if moment in line:
            return "".join(lines)
    pytest.fail(f"{moment!r} was never printed:\n{''.join(lines)}")


def _children(pid: int) -> list[int]:

    found: list[int] = []

    def seen() -> bool:
        found[:] = [child.pid for child in psutil.Process(pid).children() if child.name() == "pulumi"]
        return bool(found)

    eventually(seen, 10, "pulumi runs")
    return found
