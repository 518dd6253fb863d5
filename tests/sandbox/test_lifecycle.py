"""From nothing to a lab and back to nothing, with the real engine, providers, API server and Argo CD."""

import os
import signal

import psutil
import pytest

from tests.sandbox.lab import TestLab, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(400)]


def test_a_lab_comes_up_stays_as_it_is_and_leaves_nothing_behind(lab: TestLab) -> None:
    first = lab.up()
    assert "5 machines on 3 hosts" in first.output
    assert "5 of 5 nodes Ready, v1.34.3+k3s1" in first.output
    assert "hub Synced, Healthy" in first.output
    assert "\x1b[" not in first.output, "colours must be off when the output is no terminal"

    lab.run("lab", "preview", "--", "--expect-no-changes")
    lab.run("lab", "refresh", "--", "--expect-no-changes")
    again = lab.up()
    assert "30 unchanged" in again.output
    assert again.seconds < 15

    lab.run("lab", "destroy")
    assert lab.machines() == []
    assert lab.state().get("resources", []) == []
    assert "nodes with a heartbeat: none" in lab.run("sandbox", "status").output
    assert not list((lab.settings.root / "machines").iterdir()), "a destroyed machine leaves no disk"
    assert not (lab.settings.root / "cluster" / "etcd").exists(), "the cluster ends with its last server"


def test_a_killed_sandbox_comes_back_as_it_was(lab: TestLab) -> None:
    lab.up()
    before = lab.ready()
    lab.kill_supervisor()
    assert lab.run("sandbox", "status", expect=3).output

    lab.run("sandbox", "up")
    assert lab.ready() == before
    lab.run("lab", "preview", "--", "--refresh", "--expect-no-changes")
    assert "30 unchanged" in lab.up().output


@pytest.mark.parametrize(
    "moment", ["VmLegacy k3s-server-1 creating", "Node k3s-server-2 creating", "Release argocd creating"]
)
def test_up_goes_on_after_pulumi_was_killed(lab: TestLab, moment: str) -> None:
    process = lab.start("lab", "up")
    assert process.stdout
    for line in process.stdout:
        if moment in line:
            break
    else:
        pytest.fail(f"{moment!r} was never printed")
    (pulumi,) = _children(process.pid)
    os.kill(pulumi, signal.SIGKILL)
    process.stdout.read()
    assert process.wait() == 1

    finished = lab.up()
    assert "was killed; its lock is released" in finished.output
    assert "5 of 5 nodes Ready" in finished.output
    lab.run("lab", "preview", "--", "--refresh", "--expect-no-changes")


def test_an_interrupted_up_saves_what_it_did_and_is_finished_by_the_next(lab: TestLab) -> None:
    process = lab.start("lab", "up")
    assert process.stdout
    for line in process.stdout:
        if "Node k3s-server-1 creating" in line:
            break
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.wait() != 0
    assert not lab.state().get("pending_operations"), "an interrupt lets Pulumi finish what it began"
    assert "5 of 5 nodes Ready" in lab.up().output


def _children(pid: int) -> list[int]:

    found: list[int] = []

    def seen() -> bool:
        found[:] = [child.pid for child in psutil.Process(pid).children() if child.name() == "pulumi"]
        return bool(found)

    eventually(seen, 10, "pulumi runs")
    return found
