"""What is told of an application that is not well, in Argo CD's words and in one line."""

from typing import Any

import pytest

from providers.argocd_status import Look, is_well, reasons, standing, told


def application(sync: str = "OutOfSync", health: str = "Healthy", **status: Any) -> dict[str, Any]:
    known = {"sync": {"status": sync}, "health": {"status": health}, **status}
    return {"metadata": {"name": "hub"}, "status": known}


def sync(phase: str, message: str = "", *resources: dict[str, str]) -> dict[str, Any]:
    return {"operationState": {"phase": phase, "message": message, "syncResult": {"resources": list(resources)}}}


def test_one_that_argo_cd_has_not_looked_at_yet_stands_nowhere() -> None:
    assert standing({"metadata": {"name": "hub"}}) == "not synced, health unknown"
    assert told(Look({"metadata": {"name": "hub"}})) == "application hub is not synced, health unknown"


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (
            {"conditions": [{"type": "ComparisonError", "message": "kustomize build\n  failed"}]},
            ["kustomize build failed"],
        ),
        ({"conditions": [{"type": "OrphanedResourceWarning", "message": "one orphan"}]}, []),
        (
            sync(
                "Running",
                "retrying",
                {"kind": "Secret", "name": "mine", "status": "SyncFailed", "message": "is not permitted"},
                {"kind": "Service", "name": "hub", "status": "Synced", "message": "configured"},
            ),
            ["Secret mine: is not permitted"],
        ),
        (sync("Failed", "one or more objects failed to apply"), ["one or more objects failed to apply"]),
        (sync("Succeeded", "successfully synced"), []),
        (
            sync(
                "Running",
                "retrying",
                {"kind": "Job", "name": "smoke", "status": "Synced", "hookPhase": "Failed", "message": "it says no"},
            ),
            ["Job smoke: it says no"],
        ),
        (
            {
                "resources": [
                    {"kind": "Deployment", "name": "hub", "health": {"status": "Degraded", "message": "no image"}},
                    {"kind": "Service", "name": "hub", "health": {"status": "Healthy", "message": "all is well"}},
                    {"kind": "ServiceAccount", "name": "hub"},
                ]
            },
            ["Deployment hub: no image"],
        ),
    ],
)
def test_why_it_is_not_well(status: dict[str, Any], why: list[str]) -> None:
    assert list(reasons(Look(application(**status)))) == why


def test_all_that_is_wrong_is_told_in_one_line() -> None:
    broken = application(
        "Unknown",
        "Degraded",
        conditions=[{"type": "ComparisonError", "message": "no such file"}],
        **sync("Error", "the repository does not answer"),
    )
    assert told(Look(broken)) == "application hub is Unknown, Degraded: no such file; the repository does not answer"


SOURCE = {"path": "gitops/hub", "targetRevision": "main"}


def delivered(**changes: Any) -> dict[str, Any]:
    """One that is well, but for ``changes`` of its status."""
    status = {
        "sync": {"status": "Synced", "comparedTo": {"source": SOURCE}, "revision": "b"},
        "health": {"status": "Healthy"},
        "operationState": {"phase": "Succeeded", "syncResult": {"revision": "b"}},
    }
    return {"metadata": {"name": "hub"}, "spec": {"source": SOURCE}, "status": {**status, **changes}}


@pytest.mark.parametrize(
    ("one", "well"),
    [
        pytest.param(delivered(), True, id="delivered"),
        pytest.param(
            {**delivered(), "spec": {"source": {"path": "another"}}}, False, id="compared with what was before"
        ),
        pytest.param({**delivered(), "operation": {"sync": {}}}, False, id="about to be synced"),
        pytest.param(delivered(health={"status": "Progressing"}), False, id="still starting"),
        pytest.param(
            delivered(operationState={"phase": "Running", "syncResult": {"revision": "b"}}),
            False,
            id="its tests still run",
        ),
        pytest.param(
            delivered(operationState={"phase": "Failed", "syncResult": {"revision": "b"}}), False, id="its tests failed"
        ),
        pytest.param(
            delivered(operationState={"phase": "Failed", "syncResult": {"revision": "a"}}), True, id="mended in Git"
        ),
        pytest.param({"metadata": {"name": "hub"}, "spec": {"source": SOURCE}}, False, id="not looked at yet"),
    ],
)
def test_it_is_well_when_what_is_wanted_now_runs_and_passed_its_tests(one: dict[str, Any], well: bool) -> None:  # noqa: FBT001
    assert is_well(one) is well


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "hub-1"}, "status": {"phase": "Pending", **status}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"containerStatuses": [{"name": "hub", "state": {"waiting": {"reason": reason, "message": message}}}]}


def warning(message: str, at: str, about: str = "hub-1", kind: str = "Warning") -> dict[str, Any]:
    return {"type": kind, "message": message, "lastTimestamp": at, "involvedObject": {"name": about}}


EVENTS = [
    warning("too old", "2026-01-01T00:00:00Z"),
    warning('secret "x" not found', "2026-01-01T00:00:09Z"),
    warning("all is well", "2026-01-01T00:00:10Z", kind="Normal"),
    warning("of another", "2026-01-01T00:00:10Z", about="hub-2"),
]


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (pod(**waiting("ErrImagePull", "not\nfound")), ["pod hub-1, container hub: ErrImagePull: not found"]),
        (pod(**waiting("ContainerCreating")), ['pod hub-1: secret "x" not found']),
        (
            pod(conditions=[{"type": "PodScheduled", "status": "False", "message": "0/5 nodes"}]),
            ["pod hub-1: 0/5 nodes"],
        ),
        (pod(containerStatuses=[{"name": "hub", "state": {"running": {}}}]), []),
        ({"metadata": {"name": "hub-1", "deletionTimestamp": "now"}, "status": waiting("ErrImagePull")}, []),
    ],
)
def test_pods_say_what_argo_cd_does_not(one: dict[str, Any], why: list[str]) -> None:
    assert list(reasons(Look(application(), [one], EVENTS))) == why
