"""What is told of an application that is not well, in Argo CD's words and in one line."""

from typing import Any

import pytest

from lab.applications import reasons, standing, told


def application(sync: str = "OutOfSync", health: str = "Healthy", **status: Any) -> dict[str, Any]:
    known = {"sync": {"status": sync}, "health": {"status": health}, **status}
    return {"metadata": {"name": "hub"}, "status": known}


def sync(phase: str, message: str = "", *resources: dict[str, str]) -> dict[str, Any]:
    return {"operationState": {"phase": phase, "message": message, "syncResult": {"resources": list(resources)}}}


def test_one_that_argo_cd_has_not_looked_at_yet_stands_nowhere() -> None:
    assert standing({"metadata": {"name": "hub"}}) == "not synced, health unknown"
    assert told({"metadata": {"name": "hub"}}) == "application hub is not synced, health unknown"


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
    assert list(reasons(application(**status))) == why


def test_all_that_is_wrong_is_told_in_one_line() -> None:
    broken = application(
        "Unknown",
        "Degraded",
        conditions=[{"type": "ComparisonError", "message": "no such file"}],
        **sync("Error", "the repository does not answer"),
    )
    assert told(broken) == "application hub is Unknown, Degraded: no such file; the repository does not answer"
