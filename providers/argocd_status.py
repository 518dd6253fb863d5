"""How an application of Argo CD stands, and why not better, in the words of Argo CD and of the cluster."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

WELL: Final = "Synced, Healthy"
# What every container passes through.
STARTING: Final = ("ContainerCreating", "PodInitializing")
Object = Mapping[str, Any]


@dataclass(frozen=True)
class Look:
    """An application, with the pods and the events of the namespace that it is delivered to."""

    application: Object
    pods: Sequence[Object] = ()
    events: Sequence[Object] = ()


def standing(application: Object) -> str:
    """Return whether it is as Git has it, and whether it works: ``Synced, Healthy``."""
    status = application.get("status", {})
    sync, health = status.get("sync", {}).get("status"), status.get("health", {}).get("status")
    return f"{sync or 'not synced'}, {health or 'health unknown'}"


def is_well(application: Object) -> bool:
    """Tell whether what is wanted now is delivered, runs, and passed its tests.

    Argo CD says Synced and Healthy of what it compared last, which may be what was wanted before; and it says so as
    soon as the manifests are applied, while the jobs that come after a sync still run.
    """
    status = application.get("status", {})
    compared = status.get("sync", {}).get("comparedTo", {}).get("source")
    return (
        standing(application) == WELL
        and compared == application["spec"]["source"]
        and "operation" not in application
        and _operation(application).get("phase", "Succeeded") == "Succeeded"
    )


def reasons(look: Look) -> Iterator[str]:
    """Yield why an application is not well: what could not be read, what was refused, what does not work."""
    status = look.application.get("status", {})
    for condition in status.get("conditions", ()):
        if condition["type"].endswith("Error"):
            yield _one_line(condition["message"])
    operation = _operation(look.application)
    failed = [one for one in operation.get("syncResult", {}).get("resources", ()) if _has_failed(one)]
    for one in failed:
        yield f"{one['kind']} {one['name']}: {_one_line(one.get('message', 'was refused'))}"
    if not failed and operation.get("phase") in ("Error", "Failed"):
        yield _one_line(operation.get("message", "the last sync failed"))
    for one in status.get("resources", ()):
        health = one.get("health") or {}
        if health.get("status") in ("Degraded", "Missing") and health.get("message"):
            yield f"{one['kind']} {one['name']}: {_one_line(health['message'])}"
    for pod in look.pods:
        yield from _of_pod(pod, look.events)


def told(look: Look) -> str:
    """Return what is wrong with an application, in one line."""
    why = "; ".join(dict.fromkeys(reasons(look)))
    name = look.application["metadata"]["name"]
    return f"application {name} is {standing(look.application)}{f': {why}' if why else ''}"


def _operation(application: Object) -> Object:
    """Return the last sync, unless it was one of another revision: a repair in Git may leave nothing to sync."""
    status = application.get("status", {})
    operation: Object = status.get("operationState", {})
    synced, now = operation.get("syncResult", {}).get("revision"), status.get("sync", {}).get("revision")
    return {} if synced and now and synced != now else operation


def _has_failed(resource: Object) -> bool:
    return resource.get("status") == "SyncFailed" or resource.get("hookPhase") in ("Failed", "Error")


def _of_pod(pod: Object, events: Sequence[Object]) -> Iterator[str]:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    if pod["metadata"].get("deletionTimestamp"):
        return
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"pod {name}: {_one_line(condition.get('message', 'has no node'))}"
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting and waiting.get("reason") not in STARTING:
            said = _one_line(waiting.get("message", "")) or "no more is said"
            yield f"pod {name}, container {container['name']}: {waiting.get('reason')}: {said}"
        elif waiting and (warned := _last_warning(events, name)):
            yield f"pod {name}: {warned}"


def _last_warning(events: Sequence[Object], pod: str) -> str:
    about = [one for one in events if one["type"] == "Warning" and one["involvedObject"].get("name") == pod]
    newest = max(about, key=lambda one: one.get("lastTimestamp") or one.get("eventTime") or "", default=None)
    return _one_line(newest["message"]) if newest else ""


def _one_line(message: str) -> str:
    return " ".join(message.split())
