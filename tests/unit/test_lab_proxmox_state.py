"""Where the state and Proxmox disagree: what Pulumi is asked for then, and what it is not."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab.proxmox_state import BACKUP_JOB, MACHINE, PARENT, PROVIDER, mend, read_again
from lab.stack import Stack, StackError

URN = "urn:pulumi:dev::homelab::"


def resource(typ: str, name: str, **more: Any) -> dict[str, Any]:
    return {"urn": f"{URN}{typ}::{name}", "type": typ, **more}


COMPONENT, ACCESS = resource(PARENT, "safeguards"), resource(PROVIDER, "proxmox")
SERVER = resource(MACHINE, "server-1", id="111", inputs={"nodeName": "pve1"})
NODE = resource("pulumi-python:dynamic/k3s:Node", "server-1")
JOB = resource(BACKUP_JOB, "safeguards-backups")
JOB_GONE = "Reason: Parameter verification failed. (id: No such job 'homelab'): Unable to Read Backup Job"


@dataclass(frozen=True)
class FakeStack(Stack):
    """A stack that remembers what was asked of Pulumi, and answers from memory."""

    resources: list[Mapping[str, Any]] = field(default_factory=list)
    result: str = "failed"
    fails: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    imported: list[Any] = field(default_factory=list)

    def read(self, *arguments: str, **_: Any) -> str:
        self.asked.append(arguments)
        if arguments[0] in self.fails:
            raise StackError(self.fails[arguments[0]])
        if arguments[0] == "import":
            self.imported.append(json.loads(Path(arguments[2]).read_text()))
        if arguments[:2] == ("stack", "history"):
            return json.dumps([{"result": self.result}] if self.result else [])
        return json.dumps({"deployment": {"resources": self.resources}}) if arguments[1:] == ("export",) else ""

    @property
    def commands(self) -> list[str]:
        return [arguments[0] for arguments in self.asked]


def stack(*resources: Mapping[str, Any], **known: Any) -> FakeStack:
    return FakeStack("dev", {}, Path("Pulumi.dev.yaml"), resources=list(resources), **known)


# --- after a command that failed


@pytest.mark.parametrize("result", ["", "succeeded"])
def test_after_a_command_that_went_well_nothing_is_read_again(result: str) -> None:
    well = stack(SERVER, result=result)
    assert read_again(well) == []
    assert well.commands == ["stack"]


def test_after_a_command_that_failed_what_proxmox_has_is_read_again_and_nothing_else() -> None:
    failed = stack(NODE, SERVER, JOB)
    assert read_again(failed) == ["the last command failed: what Proxmox has was read again"]
    assert failed.asked[-1] == (
        *("refresh", "--yes", "--skip-preview", "--config-file", "Pulumi.dev.yaml"),
        *("--target", SERVER["urn"], "--target", JOB["urn"]),
    )


def test_where_nothing_was_made_before_the_failure_there_is_nothing_to_read() -> None:
    failed = stack(NODE)
    assert read_again(failed) == []
    assert "refresh" not in failed.commands


def test_a_proxmox_that_cannot_be_read_again_is_an_error() -> None:
    with pytest.raises(StackError, match="connection refused"):
        read_again(stack(SERVER, JOB, fails={"refresh": "connection refused"}))


# --- a backup job that somebody deleted


def test_a_backup_job_that_somebody_deleted_is_dropped_from_the_state() -> None:
    failed = stack(SERVER, JOB, fails={"refresh": JOB_GONE})
    assert read_again(failed) == ["safeguards-backups: somebody deleted it; it is made again"]
    assert failed.asked[-1] == ("state", "delete", JOB["urn"], "--yes")


@pytest.mark.parametrize(
    "said",
    ["", "VM is locked (backup)", "no such vzdump job", "Unable to Read Backup Job: received an HTTP 500: no quorum"],
)
def test_nothing_is_dropped_for_another_fault(said: str) -> None:
    asked = stack(SERVER, JOB)
    assert mend(asked, said) == []
    assert asked.commands == ["stack"]


# --- what is there and not in the state


def diagnostic(typ: str, name: str, said: str) -> str:
    return f"Diagnostics:\n  {typ} ({name}):\n    error:   sdk-v2: {said}: provider=proxmox@8\n    error: {said}\n\n"


@pytest.mark.parametrize(
    ("typ", "name", "said", "taken"),
    [
        (
            "proxmoxve:backup:Job",
            "safeguards-backups",
            "error creating backup job: it already exists\n    Reason: Job 'homelab' already exists",
            ("proxmoxve:backup/job:Job", "homelab"),
        ),
        (
            "proxmoxve:index:Haresource",
            "safeguards-ha-server-1",
            "Reason: create resource failed: resource ID 'vm:111' already defined",
            ("proxmoxve:index/haresource:Haresource", "vm:111"),
        ),
        (
            "proxmoxve:index:Harule",
            "safeguards-apart",
            "Reason: create ha rule failed: HA rule 'homelab-servers' already defined",
            ("proxmoxve:index/harule:Harule", "homelab-servers"),
        ),
        (
            "proxmoxve:firewall:RulesLegacy",
            "safeguards-rules-server-1",
            "1 error occurred:\n    \t* Existing rules detected. Aborting...",
            ("proxmoxve:firewall/rulesLegacy:RulesLegacy", "vm/pve1/111"),
        ),
    ],
)
def test_what_is_there_from_an_earlier_run_is_taken_into_the_state(
    typ: str, name: str, said: str, taken: tuple[str, str]
) -> None:
    known = stack(COMPONENT, ACCESS, SERVER)
    assert mend(known, diagnostic(typ, name, said)) == [f"{name}: is there from an earlier run; it is taken over"]
    (imported,) = known.imported
    assert imported["nameTable"] == {"parent": COMPONENT["urn"], "provider": ACCESS["urn"]}
    assert imported["resources"] == [
        {"type": taken[0], "name": name, "id": taken[1], "parent": "parent", "provider": "provider"}
    ]
    assert not Path(known.asked[-1][2]).exists(), "the file is of no use to anybody"


def test_several_are_taken_over_at_once_and_other_faults_beside_them_are_left_alone() -> None:
    said = (
        diagnostic("proxmoxve:backup:Job", "safeguards-backups", "Reason: Job 'homelab' already exists")
        + diagnostic("proxmoxve:index:VmLegacy", "server-1", "Reason: Job 'other' already exists")
        + diagnostic("proxmoxve:index:Haresource", "safeguards-ha-server-1", "Reason: no quorum")
        + diagnostic("proxmoxve:firewall:RulesLegacy", "safeguards-rules-server-1", "Existing rules detected")
    )
    known = stack(COMPONENT, ACCESS, SERVER)
    assert len(mend(known, said)) == 2
    assert [one["id"] for one in known.imported[0]["resources"]] == ["homelab", "vm/pve1/111"]


def test_what_the_state_knows_already_is_not_taken_over_again() -> None:
    known = stack(COMPONENT, ACCESS, JOB)
    said = diagnostic("proxmoxve:backup:Job", "safeguards-backups", "Reason: Job 'homelab' already exists")
    assert mend(known, said) == []
    assert known.imported == []
