"""Endpoints of backup jobs (PVE::API2::Backup). None is ever run here: what a job would do is for a real host."""

from typing import Final

from sandbox.proxmox.access import denied
from sandbox.proxmox.errors import ParameterError, RefusedError
from sandbox.proxmox.options import POOL_ID, STORAGE_ID, VM_ID
from sandbox.proxmox.routing import Call, Route, on
from sandbox.proxmox.schema import (
    Kind,
    Parameter,
    Value,
    boolean,
    choice,
    each,
    integer,
    properties,
    split_properties,
    text,
)

_KEEP: Final[dict[str, Kind]] = {
    "keep-all": boolean,
    **dict.fromkeys(
        (f"keep-{unit}" for unit in ("last", "hourly", "daily", "weekly", "monthly", "yearly")), integer(0)
    ),
}


def _shown(call: Call, name: str) -> dict[str, object]:
    """Describe a job; how much it keeps is an object here, and one string in a request."""
    jobs = call.datacenter.state.backup_jobs
    if name not in jobs:
        raise ParameterError({"id": f"No such job '{name}'"})
    shown: dict[str, object] = {**jobs[name], "id": name, "type": "vzdump"}
    if "prune-backups" in jobs[name]:
        shown["prune-backups"] = split_properties("prune-backups", str(jobs[name]["prune-backups"]), _KEEP)
    return shown


async def _list(call: Call) -> object:
    return [_shown(call, name) for name in call.datacenter.state.backup_jobs]


async def _read(call: Call) -> object:
    return _shown(call, call.text("id"))


async def _create(call: Call) -> object:
    name, jobs = call.text("id"), call.datacenter.state.backup_jobs
    job = {option: value for option, value in call.values.items() if option != "id"}
    _check(call, job)
    if name in jobs:
        raise RefusedError(f"Job '{name}' already exists")
    if not any(job.get(selection) for selection in ("all", "pool", "vmid")):
        raise ParameterError({"vmid": "property is missing"})
    jobs[name] = {"enabled": 1, **job}
    call.datacenter.save()
    return None


async def _update(call: Call) -> object:
    name, jobs = call.text("id"), call.datacenter.state.backup_jobs
    given = {option: value for option, value in call.values.items() if option not in ("id", "delete")}
    _check(call, given)
    if name not in jobs:
        raise RefusedError("no such vzdump job")
    call.check(f"/storage/{jobs[name].get('storage', 'local')}", "Datastore.Allocate")
    gone = call.listed("delete")
    if unknown := [option for option in gone if option not in _JOB]:
        raise ParameterError({"delete": f"unknown option '{unknown[0]}'"})
    jobs[name] = {option: value for option, value in {**jobs[name], **given}.items() if option not in gone}
    call.datacenter.save()
    return None


async def _delete(call: Call) -> object:
    name, jobs = call.text("id"), call.datacenter.state.backup_jobs
    if name not in jobs:
        raise ParameterError({"id": f"No such job '{name}'"})
    del jobs[name]
    call.datacenter.save()
    return None


def _check(call: Call, given: dict[str, Value]) -> None:
    if "storage" in given:
        call.check(f"/storage/{given['storage']}", "Datastore.Allocate")
    if "pool" in given:
        pool = str(given["pool"])
        if pool not in call.datacenter.state.access.pools:
            raise denied(f"pool '{pool}' does not exist")
        call.check(f"/pool/{pool}", "VM.Backup")
    for other in ("all", "pool"):
        if given.get(other) and given.get("vmid"):
            raise ParameterError({other: "option conflicts with option 'vmid'"})


# A subset of what PVE::CalendarEvent takes: optional days of the week, then a time with lists and steps.
_DAYS: Final = r"(mon|tue|wed|thu|fri|sat|sun)(\.\.(mon|tue|wed|thu|fri|sat|sun))?"
_SCHEDULE: Final = text(
    rf"(?i)({_DAYS}(,{_DAYS})* )?(\*|\d{{1,2}})([,/.\d]*)(:(\*|\d{{1,2}})[,/.\d]*){{0,2}}"
    r"|minutely|hourly|daily|weekly|monthly|yearly",
    "invalid format - unable to parse calendar event",
    longest=128,
)
_JOB: Final = {
    "schedule": Parameter(_SCHEDULE),
    "storage": Parameter(STORAGE_ID),
    "pool": Parameter(POOL_ID),
    "vmid": Parameter(each(VM_ID)),
    "all": Parameter(boolean),
    "enabled": Parameter(boolean),
    "mode": Parameter(choice("snapshot", "suspend", "stop")),
    "compress": Parameter(choice("0", "1", "gzip", "lzo", "zstd")),
    "prune-backups": Parameter(properties(_KEEP)),
    "notes-template": Parameter(text(longest=1024)),
    "comment": Parameter(text(longest=512)),
    **dict.fromkeys(("protected", "remove", "repeat-missed"), Parameter(boolean)),
}
_ID: Final = {
    "id": Parameter(text(r"(?i)[a-z][a-z0-9_-]+", "invalid format - invalid configuration ID"), required=True)
}
_AUDIT: Final = on("/", "Sys.Audit")
_MODIFY: Final = on("/", "Sys.Modify")
ROUTES: Final = (
    Route("GET", "/cluster/backup", _list, needs=_AUDIT),
    Route(
        "POST",
        "/cluster/backup",
        _create,
        {**_ID, **_JOB, "schedule": Parameter(_SCHEDULE, required=True)},
        needs=_MODIFY,
    ),
    Route("GET", "/cluster/backup/{id}", _read, needs=_AUDIT),
    Route("PUT", "/cluster/backup/{id}", _update, {**_JOB, "delete": Parameter(text())}, needs=_MODIFY),
    Route("DELETE", "/cluster/backup/{id}", _delete, needs=_MODIFY),
)
