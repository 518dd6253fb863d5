"""How the lab stands after `up`: what is counted, and what is a problem."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lab.stack import Stack, StackError
from lab.summary import Summary, settled, summarise

VM = "proxmoxve:index/vmLegacy:VmLegacy"


@dataclass
class Lab:
    """A lab of two nodes and an application, asked through a stand-in for kubectl."""

    folder: Path
    nodes: list[Any] = field(default_factory=list)
    applications: list[Any] = field(default_factory=list)
    pods: list[Any] = field(default_factory=list)

    def executable(self, name: str) -> Path:
        assert name == "kubectl"
        (self.folder / "nodes").write_text(json.dumps({"items": self.nodes}))
        (self.folder / "applications").write_text(json.dumps({"items": self.applications}))
        (self.folder / "pods").write_text(json.dumps({"items": self.pods}))
        (self.folder / "events").write_text(json.dumps({"items": []}))
        script = self.folder / name
        if not script.exists():
            script.write_text(
                f'#!/bin/sh\nfor last; do :; done\necho "$last" >> {self.folder}/used\ncat {self.folder}/"${{2%%.*}}"\n'
            )
            script.chmod(0o755)
        return script

    def summarise(self) -> Summary:
        return summarise(FakeStack("dev", {"PATH": "/usr/bin:/bin"}, self.folder), self)  # type: ignore[arg-type]

    def settled(self) -> Summary:
        return settled(FakeStack("dev", {"PATH": "/usr/bin:/bin"}, self.folder), self)  # type: ignore[arg-type]


class FakeStack(Stack):
    """A stack that was brought up."""

    def read(self, *arguments: str, stdin: str | None = None, folder: Path = Path()) -> str:
        assert (stdin, folder) == (None, Path())
        if arguments[1] == "output":
            nodes = {"server-1": "127.10.0.11", "agent-1": "127.10.0.21"}
            return json.dumps({"kubeconfig": "kind: Config", "api_url": "https://127.10.0.10:6443", "nodes": nodes})
        machines = [{"type": VM, "inputs": {"nodeName": host}} for host in ("pve1", "pve2", "pve1")]
        return json.dumps({"deployment": {"resources": [*machines, {"type": "pulumi:pulumi:Stack"}]}})


def node(name: str, ready: str | None = "True") -> dict[str, Any]:
    status: dict[str, Any] = {"nodeInfo": {"kubeletVersion": "v1.34.3+k3s1"}}
    if ready:
        status["conditions"] = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}]
    return {"metadata": {"name": name}, "status": status}


def application(name: str, sync: str = "Synced", health: str = "Healthy") -> dict[str, Any]:
    source = {"path": f"gitops/{name}"}
    return {
        "metadata": {"name": name},
        "spec": {"source": source, "destination": {"namespace": name}},
        "status": {"sync": {"status": sync, "comparedTo": {"source": source}}, "health": {"status": health}},
    }


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path, [node("server-1"), node("agent-1")], [application("hub")])


def test_a_lab_in_which_all_is_well_has_no_problem_and_says_what_it_is(lab: Lab) -> None:
    summary = lab.summarise()
    assert summary.problems == ()
    assert summary.layers == {
        "Infrastructure": "3 machines on 2 hosts",
        "Platform": "2 of 2 nodes Ready, v1.34.3+k3s1",
        "Services": "Argo CD with 1 application",
        "Applications": "hub Synced, Healthy",
    }
    assert summary.addresses["Kubernetes"] == "https://127.10.0.10:6443"


@pytest.mark.parametrize("ready", ["False", "Unknown", None])
def test_a_node_that_is_not_ready_is_a_problem(lab: Lab, ready: str | None) -> None:
    lab.nodes[1] = node("agent-1", ready)
    assert lab.summarise().problems == ("only 1 of 2 nodes are Ready",)


def test_a_node_that_the_cluster_does_not_know_is_a_problem(lab: Lab) -> None:
    del lab.nodes[1]
    assert lab.summarise().problems == ("node agent-1 is not in the cluster",)


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        (application("hub", health="Degraded")["status"], "Synced, Degraded"),
        (application("hub", sync="OutOfSync")["status"], "OutOfSync, Healthy"),
        ({}, "not synced, health unknown"),
    ],
)
def test_an_application_that_is_not_synced_and_healthy_is_a_problem(
    lab: Lab, status: dict[str, Any], standing: str
) -> None:
    lab.applications[0]["status"] = status
    assert lab.summarise().problems == (f"application hub is {standing}",)


def test_why_its_pods_do_not_run_is_told_and_that_time_will_not_mend_it(lab: Lab) -> None:
    lab.applications[0] = application("hub", health="Progressing")
    assert lab.summarise().may_pass
    state = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
    lab.pods = [{"metadata": {"name": "hub-1"}, "status": {"containerStatuses": [{"name": "hub", "state": state}]}}]
    summary = lab.summarise()
    assert not summary.may_pass
    assert summary.problems == (
        "application hub is Synced, Progressing: pod hub-1, container hub: ErrImagePull: not found",
    )


def test_a_lab_that_is_on_its_way_is_waited_for(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.applications[0] = application("hub", health="Progressing")
    slept = []

    def settle(seconds: float) -> None:
        slept.append(seconds)
        lab.applications[0] = application("hub")

    monkeypatch.setattr("lab.summary.time.sleep", settle)
    assert lab.settled().problems == ()
    assert len(slept) == 1


def test_what_time_will_not_mend_is_not_waited_for(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.summary.time.sleep", lambda _: pytest.fail("it waits"))
    lab.applications[0] = application("hub")
    condition = {"type": "ComparisonError", "message": "no such folder"}
    lab.applications[0]["status"] |= {"conditions": [condition], "health": {"status": "Degraded"}}
    assert lab.settled().problems == ("application hub is Synced, Degraded: no such folder",)


def test_every_problem_is_told(lab: Lab) -> None:
    lab.nodes[1] = node("agent-1", "Unknown")
    lab.applications += [application("metrics", health="Missing")]
    assert len(lab.summarise().problems) == 2


def test_a_cluster_that_does_not_answer_fails_in_the_words_of_kubectl(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "kubectl").write_text("#!/bin/sh\necho connection refused >&2\nexit 1\n")
    (tmp_path / "kubectl").chmod(0o755)
    with pytest.raises(StackError, match="the cluster does not answer: connection refused"):
        lab.summarise()


def test_the_kubeconfig_is_gone_afterwards(lab: Lab, tmp_path: Path) -> None:
    lab.summarise()
    used = {line.removeprefix("--kubeconfig=") for line in (tmp_path / "used").read_text().splitlines()}
    assert len(used) == 1
    assert not any(Path(path).exists() for path in used)


def test_the_table_has_every_line_and_the_time_of_each_step(lab: Lab) -> None:
    console = Console(width=200)
    with console.capture() as shown:
        console.print(lab.summarise().table({"toolchain": 1.0, "pulumi up": 20.5}))
    text = shown.get()
    assert "server-1 127.10.0.11" in text
    assert "agent-1 127.10.0.21" in text
    assert all(line in text for line in ("21.5 s in all", "1.0 s toolchain", "20.5 s pulumi up"))
