"""Ask Proxmox VE: does it take the token, is there what the lab describes, and are the rights held."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from config.capacity import disk_of
from config.model import Host, Lab
from lab.doctor.finding import Area, Finding
from lab.doctor.reach import Reach, UnreachableError
from lab.doctor.rights import missing, rights, steps, token_steps

AREA = Area("Proxmox")
MIB = 1024**2
GIB = 1024**3
Listing = list[dict[str, Any]]


async def examine(lab: Lab, token: str, reach: Reach) -> list[Finding]:
    """Return how the lab's Proxmox stands, as the bearer of ``token`` sees it."""
    api = _Api(lab.proxmox.endpoint, token, reach)
    try:
        answer = await api.answer("/version")
    except UnreachableError as error:
        return [AREA.wrong("answers", str(error), error.step)]
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return [
            AREA.ok("answers"),
            AREA.wrong("token", f"is refused: {answer.reason_phrase}", *token_steps()),
        ]
    if answer.status_code != httpx.codes.OK:
        return [AREA.wrong("answers", f"status {answer.status_code}: {answer.reason_phrase}", "see that it is Proxmox")]
    version = answer.json()["data"]["version"]
    parts = await asyncio.gather(_rights(lab, api), _hosts(lab, api), _machines(lab, api), _firewall(lab, api))
    return [AREA.ok("answers", f"version {version}"), AREA.ok("token"), *(one for part in parts for one in part)]


class _Api:
    def __init__(self, endpoint: str, token: str, reach: Reach) -> None:
        self._base = f"{endpoint.rstrip('/')}/api2/json"
        self._headers = {"Authorization": f"PVEAPIToken={token}"}
        self._reach = reach

    async def answer(self, path: str, /, **query: str) -> httpx.Response:
        return await self._reach.get(f"{self._base}{path}", self._headers, **query)

    async def data(self, path: str, /, **query: str) -> Any:  # noqa: ANN401 - what the API answers
        """Return what a path holds; nothing when it is refused, which the findings about rights explain."""
        answer = await self.answer(path, **query)
        return answer.json()["data"] if answer.status_code == httpx.codes.OK else None


async def _rights(lab: Lab, api: _Api) -> list[Finding]:
    needed = rights(lab)
    answers = await asyncio.gather(*(api.data("/access/permissions", path=right.path) for right in needed))
    found = []
    for right, answer in zip(needed, answers, strict=True):
        held: Mapping[str, object] = (answer or {}).get(right.path) or {}
        what = f"rights on {right.path}"
        if lacking := missing(right, held):
            found.append(AREA.wrong(what, f"{', '.join(lacking)} missing", *steps(right)))
        else:
            found.append(AREA.ok(what, f"{len(right.privileges)} of {len(right.privileges)}"))
    return found


async def _hosts(lab: Lab, api: _Api) -> list[Finding]:
    known = {entry["node"]: entry for entry in await api.data("/nodes") or ()}
    used = {node.host for node in lab.nodes}
    found: list[Finding] = []
    for host in lab.proxmox.hosts:
        entry = known.get(host.name)
        if entry is None:
            names = ", ".join(sorted(known)) or "none"
            found.append(
                AREA.wrong(host.name, "is no host of this cluster", f"correct proxmox.hosts; there are: {names}")
            )
        elif entry.get("status") != "online":
            found.append(AREA.wrong(host.name, f"is {entry.get('status')}", "start it, or take it out of the lab"))
        else:
            found += _size(host, entry)
            if host.name in used:
                found += await _equipment(lab, host, api)
    return found


def _size(host: Host, entry: Mapping[str, Any]) -> Iterator[Finding]:
    if "maxcpu" not in entry:
        yield AREA.skipped(f"{host.name}: size", "the token may not read it")
        return
    cores, memory = int(entry["maxcpu"]), int(entry["maxmem"]) // MIB
    for what, said, there, unit in (("cores", host.cores, cores, ""), ("memory", host.memory, memory, " MiB")):
        if said > there:
            detail = f"the lab counts on {said}{unit}, and there are {there}{unit}"
            yield AREA.wrong(f"{host.name}: {what}", detail, f"set proxmox.hosts, {host.name}, {what}: {there}")
        else:
            yield AREA.ok(f"{host.name}: {what}", f"{there}{unit}")


async def _equipment(lab: Lab, host: Host, api: _Api) -> list[Finding]:
    storages, bridges, existing = await asyncio.gather(
        api.data(f"/nodes/{host.name}/storage"),
        api.data(f"/nodes/{host.name}/network", type="any_bridge"),
        api.data(f"/nodes/{host.name}/qemu"),
    )
    by_name = {entry["storage"]: entry for entry in storages or ()}
    found = [
        _datastore(host, lab.proxmox.images, "import", "Import", by_name),
        _datastore(host, lab.proxmox.disks, "images", "Disk image", by_name),
    ]
    wanted = lab.proxmox.datacenter
    if wanted.backups:
        found.append(_datastore(host, wanted.backups.datastore, "backup", "Backup", by_name))
    if wanted.high_availability and not by_name.get(lab.proxmox.disks, {}).get("shared"):
        detail = "is not shared by the hosts: a machine could not follow its disks"
        step = "set proxmox.disks to a shared datastore, or remove high_availability"
        found[1] = AREA.wrong(f"{host.name}: datastore {lab.proxmox.disks}", detail, step)
    found += _space(lab, host, by_name.get(lab.proxmox.disks), existing or [])
    bridge = lab.networks.nodes.bridge
    names = sorted(entry["iface"] for entry in bridges or ())
    if bridge in names:
        found.append(AREA.ok(f"{host.name}: bridge {bridge}"))
    else:
        detail = f"is not there for the token; it sees: {', '.join(names) or 'none'}"
        step = "make it on the host, or correct networks.nodes.bridge"
        found.append(AREA.wrong(f"{host.name}: bridge {bridge}", detail, step))
    return found


def _datastore(host: Host, name: str, content: str, words: str, known: Mapping[str, Any]) -> Finding:
    what = f"{host.name}: datastore {name}"
    entry = known.get(name)
    if entry is None:
        seen = ", ".join(sorted(known)) or "none"
        return AREA.wrong(what, f"is not there for the token; it sees: {seen}", "make it, or correct proxmox.hosts")
    if not entry.get("enabled", 1) or not entry.get("active", 1):
        return AREA.wrong(what, "is switched off", f"pvesm set {name} --disable 0")
    kept = str(entry.get("content", "")).split(",")
    if content not in kept:
        return AREA.wrong(what, f"does not take {words}", f"pvesm set {name} --content {','.join([*kept, content])}")
    return AREA.ok(what, f"takes {words}")


def _space(lab: Lab, host: Host, entry: Mapping[str, Any] | None, existing: Listing) -> Iterator[Finding]:
    """Compare what is free with the disks that are still to be made."""
    if entry is None or "avail" not in entry:
        return
    made = {int(machine["vmid"]) for machine in existing}
    wanted = sum(disk_of(node) for node in lab.nodes if node.host == host.name and node.vm_id not in made)
    free = int(entry["avail"]) // GIB
    what = f"{host.name}: room on {entry['storage']}"
    if wanted > free * lab.proxmox.overcommit.disk:
        yield AREA.wrong(what, f"{wanted} GiB to be made, {free} GiB free", "free some, or make disks smaller")
    else:
        yield AREA.ok(what, f"{wanted} GiB to be made, {free} GiB free")


async def _machines(lab: Lab, api: _Api) -> list[Finding]:
    """Look for machines of others that have one of the lab's ids: the provider would take them over."""
    pool = lab.proxmox.pool
    pools, resources = await asyncio.gather(api.data("/pools"), api.data("/cluster/resources", type="vm"))
    found = [AREA.ok(f"pool {pool}")]
    if pool not in {entry["poolid"] for entry in pools or ()}:
        found = [AREA.wrong(f"pool {pool}", "is not there for the token", f"pveum pool add {pool}")]
    known = {int(entry["vmid"]): entry for entry in resources or ()}
    there = [(node, known[node.vm_id]) for node in lab.nodes if node.vm_id in known]
    for node, entry in there:
        if (name := entry.get("name", "")) != node.name:
            step = f"give {node.name} another vm_id"
            return [*found, AREA.wrong("VM ids", f"{node.vm_id} is the id of {name}", step)]
        if entry.get("pool") != pool:
            step = f"pvesh set /pools/{pool} --vms {node.vm_id}, if it is the lab's"
            return [*found, AREA.wrong("VM ids", f"{node.vm_id}, {name}, is outside of pool {pool}", step)]
    return [*found, AREA.ok("VM ids", f"{len(there)} of {len(lab.nodes)} machines exist")]


async def _firewall(lab: Lab, api: _Api) -> list[Finding]:
    """Look whether Proxmox's firewall runs at all, and in front of each machine that exists."""
    if not lab.proxmox.datacenter.firewall_group:
        return []
    options = await api.data("/cluster/firewall/options")
    if options is None:
        return [AREA.skipped("firewall", "the token may not read it")]
    if not int(options.get("enable", 0)):
        steps = (
            "let your computer in first: Datacenter, Firewall",
            "then set Datacenter, Firewall, Options, Firewall: Yes",
        )
        return [AREA.wrong("firewall", "is off for the whole of Proxmox", *steps)]
    return [AREA.ok("firewall", "is on"), *await _open_machines(lab, api)]


async def _open_machines(lab: Lab, api: _Api) -> list[Finding]:
    """Find machines without a firewall: one that was made again has none, which the provider does not see."""
    existing = {int(entry["vmid"]) for entry in await api.data("/cluster/resources", type="vm") or ()}
    paths = {f"/nodes/{one.host}/qemu/{one.vm_id}/firewall/options": one for one in lab.nodes if one.vm_id in existing}
    answers = await asyncio.gather(*(api.data(path) for path in paths))
    return [
        AREA.wrong(f"firewall of {node.name}", "is off", f"on a host: pvesh set {path} --enable 1 --policy_in DROP")
        for (path, node), found in zip(paths.items(), answers, strict=True)
        if found is not None and not int(found.get("enable", 0))
    ]
