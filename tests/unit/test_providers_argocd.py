"""Waiting for an application: as long as it may become well, and not when it can't."""

import asyncio
from typing import Any

import pytest
from pulumi.output import Unknown

from providers.argocd import LIMIT, PATIENCE, DeliveredProvider, DeliveryError, wait
from providers.argocd_status import Look

SOURCE = {"path": "gitops/hub"}
PROPS = {"kubeconfig": "SENTINEL", "namespace": "argocd", "application": "hub", "wanted": "a"}


def look(health: str, message: str = "") -> Look:
    resources = [{"kind": "Deployment", "name": "hub", "health": {"status": health, "message": message}}]
    status = {
        "sync": {"status": "Synced", "comparedTo": {"source": SOURCE}},
        "health": {"status": health},
        "resources": resources if message else [],
    }
    return Look({"metadata": {"name": "hub"}, "spec": {"source": SOURCE}, "status": status})


WELL, STARTING, BROKEN = look("Healthy"), look("Progressing"), look("Degraded", "no image")
AWAY = OSError("connection refused")


def waited(*looks: Look | OSError) -> float:
    """The seconds, on a clock of its own, until the wait ends; what is seen last is seen ever after."""
    now = [1000.0]
    seen = iter(looks)
    last: list[Look | OSError] = []

    async def find() -> Look:
        last[:] = [next(seen, *last)]
        if isinstance(last[0], OSError):
            raise last[0]
        return last[0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    try:
        asyncio.run(wait("hub", find, clock=lambda: now[0], sleep=sleep))
    finally:
        waited.seconds = now[0] - 1000.0  # type: ignore[attr-defined]
    return now[0] - 1000.0


def test_it_ends_when_the_application_is_well() -> None:
    assert waited(AWAY, STARTING, BROKEN, STARTING, WELL) == 4


def test_what_stays_wrong_is_given_up_with_its_reason_and_the_next_command() -> None:
    with pytest.raises(DeliveryError, match=r"hub is Synced, Degraded: Deployment hub: no image\. .*kubectl") as caught:
        waited(STARTING, BROKEN)
    assert waited.seconds == PATIENCE + 1  # type: ignore[attr-defined]
    assert "SENTINEL" not in str(caught.value)


def test_a_fault_that_passes_is_counted_anew() -> None:
    broken_for_long = [BROKEN] * int(PATIENCE - 1)
    assert waited(*broken_for_long, STARTING, *broken_for_long, WELL) > PATIENCE


def test_one_that_only_starts_is_waited_for_until_the_limit() -> None:
    with pytest.raises(DeliveryError, match="Synced, Progressing, after 10 minutes"):
        waited(STARTING)
    assert waited.seconds == LIMIT  # type: ignore[attr-defined]


def test_a_cluster_that_does_not_answer_is_named() -> None:
    with pytest.raises(DeliveryError, match="the cluster does not answer: connection refused"):
        waited(AWAY)


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({}, False),
        ({"wanted": "b"}, True),
        ({"kubeconfig": "rotated"}, False),
        ({"namespace": Unknown()}, False),
    ],
)
def test_it_waits_again_only_for_something_else(change: dict[str, Any], again: bool) -> None:  # noqa: FBT001
    assert DeliveredProvider().diff("hub", PROPS, {**PROPS, **change}).changes is again
