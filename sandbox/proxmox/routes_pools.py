"""Endpoints of pools: machines that are granted together (PVE::API2::Pool)."""

from typing import Final

from sandbox.proxmox.access import Pool
from sandbox.proxmox.errors import NotServedError, RefusedError
from sandbox.proxmox.options import POOL_ID, VM_ID
from sandbox.proxmox.routes_cluster import guest_resource
from sandbox.proxmox.routing import Call, Route, on
from sandbox.proxmox.schema import Parameter, boolean, choice, each, text


async def _pools(call: Call) -> object:
    access, wanted = call.datacenter.state.access, call.values.get("poolid")
    if wanted is None:
        return [
            {"poolid": poolid, "comment": pool.comment}
            for poolid, pool in access.pools.items()
            if call.may(f"/pool/{poolid}", "Pool.Audit")
        ]
    call.check(f"/pool/{wanted}", "Pool.Audit")
    pool = access.pool(str(wanted))
    # A machine that is being made is a member already, and is not there yet.
    members = [guest for vmid, guest in call.datacenter.state.guests.items() if vmid in pool.machines]
    return [{"poolid": wanted, "comment": pool.comment, "members": [guest_resource(call, guest) for guest in members]}]


async def _create(call: Call) -> object:
    poolid, pools = call.text("poolid"), call.datacenter.state.access.pools
    if poolid in pools:
        raise RefusedError(f"create pool failed: pool '{poolid}' already exists")
    if "/" in poolid:
        raise NotServedError("Nested pool")
    pools[poolid] = Pool(str(call.values.get("comment", "")))
    call.datacenter.save()
    return None


async def _update(call: Call) -> object:
    access, poolid = call.datacenter.state.access, call.text("poolid")
    pool = access.pool(poolid)
    if "comment" in call.values:
        pool.comment = call.text("comment")
    for vmid in map(int, call.listed("vms")):
        if vmid not in call.datacenter.state.guests:
            raise RefusedError(f"VM {vmid} does not exist")
        call.check(f"/vms/{vmid}", "VM.Allocate")
        before = access.pool_of(vmid)
        if call.values.get("delete"):
            if before != poolid:
                raise RefusedError(f"VM {vmid} is not a pool member")
            pool.machines.remove(vmid)
        elif before != poolid:
            if before is not None and not call.values.get("allow-move"):
                raise RefusedError(f"VM {vmid} belongs already to pool '{before}' and cannot be moved")
            if before is not None:
                access.pools[before].machines.remove(vmid)
            pool.machines.append(vmid)
    call.datacenter.save()
    return None


async def _delete(call: Call) -> object:
    access, poolid = call.datacenter.state.access, call.text("poolid")
    if access.pool(poolid).machines:
        raise RefusedError(f"delete pool failed: pool '{poolid}' is not empty")
    del access.pools[poolid]
    call.datacenter.save()
    return None


_ALLOCATE = on("/pool/{poolid}", "Pool.Allocate")
_ID = {"poolid": Parameter(POOL_ID, required=True)}
_COMMENT = {"comment": Parameter(text())}
_MEMBERS = {"vms": Parameter(each(VM_ID)), "delete": Parameter(boolean), "allow-move": Parameter(boolean)}
_LIST = {"poolid": Parameter(POOL_ID), "type": Parameter(choice("qemu", "lxc", "storage"))}
ROUTES: Final = (
    Route("GET", "/pools", _pools, _LIST),
    Route("POST", "/pools", _create, {**_ID, **_COMMENT}, needs=_ALLOCATE),
    Route("PUT", "/pools", _update, {**_ID, **_COMMENT, **_MEMBERS}, needs=_ALLOCATE),
    Route("DELETE", "/pools", _delete, _ID, needs=_ALLOCATE),
)
