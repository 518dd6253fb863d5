"""Endpoints of the cluster as a whole: version, ids, resources, hosts and their tasks."""

import time
from typing import Final

from sandbox.proxmox.errors import ParameterError
from sandbox.proxmox.machine import memory_of
from sandbox.proxmox.options import VM_ID
from sandbox.proxmox.routes_guests import status
from sandbox.proxmox.routing import Call, Route, on
from sandbox.proxmox.schema import Parameter, Value, choice, integer
from sandbox.proxmox.state import Guest, Host, Task
from sandbox.proxmox.storages import summary

VERSION: Final = {"version": "9.0.11", "release": "9.0", "repoid": "3bf5476b8a4699e2"}


async def _version(_: Call) -> object:
    return VERSION


async def _next_id(call: Call) -> object:
    wanted = call.values.get("vmid")
    if wanted is None:
        return str(call.datacenter.next_id())
    if wanted in call.datacenter.state.guests:
        raise ParameterError({"vmid": f"VM {wanted} already exists"})
    return str(wanted)


async def _resources(call: Call) -> object:
    kind = call.values.get("type")
    found: list[dict[str, Value]] = []
    if kind in (None, "vm"):
        found += [guest_resource(call, guest) for guest in _seen_guests(call)]
    for host in call.datacenter.hosts.values():
        if kind in (None, "node"):
            found.append({**_host_summary(call, host), "id": f"node/{host.name}", "type": "node"})
        if kind in (None, "storage"):
            seen = [one for one in host.storages if call.may(f"/storage/{one.name}", "Datastore.Audit")]
            found += [_storage_resource(host, summary(call.datacenter, host.name, one)) for one in seen]
    return found


def _seen_guests(call: Call) -> list[Guest]:
    return [g for g in call.datacenter.state.guests.values() if call.may(f"/vms/{g.vmid}", "VM.Audit")]


def guest_resource(call: Call, guest: Guest) -> dict[str, Value]:
    """Describe a machine as the lists of the cluster and of a pool do."""
    shown = status(call.datacenter, guest)
    entry: dict[str, Value] = {
        key: shown[key] for key in ("vmid", "name", "status", "maxmem", "maxdisk", "mem", "disk", "cpu", "uptime")
    }
    entry |= {"id": f"qemu/{guest.vmid}", "type": "qemu", "node": guest.node, "template": int(guest.is_template)}
    entry["maxcpu"] = shown["cpus"]
    pool = call.datacenter.state.access.pool_of(guest.vmid)
    for name, value in (("pool", pool), ("lock", guest.lock), ("tags", guest.config.get("tags"))):
        if value is not None:
            entry[name] = value
    return entry


def _storage_resource(host: Host, found: dict[str, Value]) -> dict[str, Value]:
    return {
        "id": f"storage/{host.name}/{found['storage']}",
        "type": "storage",
        "node": host.name,
        "storage": found["storage"],
        "content": found["content"],
        "plugintype": found["type"],
        "status": "available",
        "shared": found["shared"],
        "disk": found["used"],
        "maxdisk": found["total"],
    }


def _host_summary(call: Call, host: Host) -> dict[str, Value]:
    known: dict[str, Value] = {"node": host.name, "status": "online"}
    if not call.may(f"/nodes/{host.name}", "Sys.Audit"):
        return known
    return {
        **known,
        "level": "",
        "cpu": 0.01,
        "maxcpu": host.cpus,
        "mem": _memory_used(call, host),
        "maxmem": host.memory,
        "uptime": int(time.time() - call.datacenter.booted),
    }


def _memory_used(call: Call, host: Host) -> int:
    return sum(memory_of(g.config) for g in call.datacenter.state.guests.values() if g.running and g.node == host.name)


async def _hosts(call: Call) -> object:
    return [
        {**_host_summary(call, host), "id": f"node/{name}", "type": "node"}
        for name, host in call.datacenter.hosts.items()
    ]


async def _cluster_status(call: Call) -> object:
    found = call.datacenter.hosts.values()
    cluster = {"type": "cluster", "id": "cluster", "name": "sandbox", "nodes": len(found), "quorate": 1, "version": 1}
    return [
        cluster,
        *(
            {
                "type": "node",
                "id": f"node/{h.name}",
                "name": h.name,
                "nodeid": n,
                "ip": h.address,
                "online": 1,
                "local": int(n == 1),
            }
            for n, h in enumerate(found, 1)
        ),
    ]


async def _host_status(call: Call) -> object:
    host = call.datacenter.host(call.node)
    used = _memory_used(call, host)
    return {
        "uptime": int(time.time() - call.datacenter.booted),
        "cpu": 0.01,
        "loadavg": ["0.01", "0.01", "0.01"],
        "cpuinfo": {"cores": host.cpus, "cpus": host.cpus, "sockets": 1, "model": "stand-in"},
        "memory": {"total": host.memory, "used": used, "free": host.memory - used},
        "pveversion": f"pve-manager/{VERSION['version']}/{VERSION['repoid']}",
    }


async def _bridges(call: Call) -> object:
    return [
        {"iface": bridge, "type": "bridge", "active": 1, "autostart": 1, "method": "static"}
        for bridge in call.datacenter.host(call.node).bridges
        if call.may(f"/sdn/zones/localnetwork/{bridge}", "SDN.Audit", "SDN.Use")
    ]


def _task(task: Task) -> dict[str, Value]:
    shown: dict[str, Value] = {
        key: getattr(task, key) for key in ("upid", "node", "pid", "pstart", "starttime", "type", "id")
    }
    shown |= {"user": task.user.partition("!")[0], "status": "stopped" if task.exitstatus else "running"}
    return shown | ({"exitstatus": task.exitstatus} if task.exitstatus else {})


async def _tasks(call: Call) -> object:
    call.datacenter.host(call.node)
    seen = (task for task in reversed(call.datacenter.state.tasks) if task.node == call.node and _sees(call, task))
    return [_task(task) for task in seen][:50]


def _sees(call: Call, task: Task) -> bool:
    owner = task.user.partition("!")[0]
    return owner == call.user.partition("!")[0] or call.may(f"/nodes/{task.node}", "Sys.Audit")


def _seen_task(call: Call, privilege: str = "Sys.Audit") -> Task:
    """Return the task that the path names; somebody else's needs a right on the host."""
    task = call.datacenter.tasks.find(call.node, call.text("upid"))
    if task.user.partition("!")[0] != call.user.partition("!")[0]:
        call.check(f"/nodes/{call.node}", privilege)
    return task


async def _task_status(call: Call) -> object:
    return _task(_seen_task(call))


async def _task_log(call: Call) -> object:
    start, limit = int(call.values.get("start", 0)), int(call.values.get("limit", 50))
    lines = _seen_task(call).log
    return [{"n": number, "t": line} for number, line in enumerate(lines, 1)][start : start + limit]


async def _stop_task(call: Call) -> object:
    _seen_task(call, "Sys.Modify")
    await call.datacenter.tasks.stop(call.node, call.text("upid"))
    return None


ROUTES: Final = (
    Route("GET", "/version", _version),
    Route("GET", "/cluster/nextid", _next_id, {"vmid": Parameter(VM_ID)}),
    Route("GET", "/cluster/resources", _resources, {"type": Parameter(choice("vm", "storage", "node", "sdn"))}),
    Route("GET", "/cluster/status", _cluster_status, needs=on("/", "Sys.Audit")),
    Route("GET", "/nodes", _hosts),
    Route("GET", "/nodes/{node}/status", _host_status, needs=on("/nodes/{node}", "Sys.Audit")),
    Route("GET", "/nodes/{node}/network", _bridges, {"type": Parameter(choice("any_bridge"), required=True)}),
    Route("GET", "/nodes/{node}/tasks", _tasks),
    Route("DELETE", "/nodes/{node}/tasks/{upid}", _stop_task),
    Route("GET", "/nodes/{node}/tasks/{upid}/status", _task_status),
    Route(
        "GET",
        "/nodes/{node}/tasks/{upid}/log",
        _task_log,
        {"start": Parameter(integer(0)), "limit": Parameter(integer(0))},
    ),
)
