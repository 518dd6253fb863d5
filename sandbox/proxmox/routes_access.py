"""Endpoints of access control: what a token may do, and the roles and grants that decide it."""

from typing import Final

from sandbox.proxmox.errors import NotServedError, RefusedError
from sandbox.proxmox.routing import Call, Route, on
from sandbox.proxmox.schema import Parameter, Value, boolean, text


async def _permissions(call: Call) -> object:
    access = call.datacenter.state.access
    if "userid" in call.values and call.values["userid"] != call.user:
        raise NotServedError("Parameter userid of another user")
    if "path" in call.values:
        path = call.text("path")
        held = access.permissions(call.user, path)
        return {path: {name: int(on) for name, on in sorted(held.items())}}
    return access.dump(call.user)


async def _roles(call: Call) -> object:
    return [
        {"roleid": role, "privs": ",".join(privileges)}
        for role, privileges in sorted(call.datacenter.state.access.roles.items())
    ]


async def _role(call: Call) -> object:
    return dict.fromkeys(sorted(call.datacenter.state.access.privileges_of(call.text("roleid"))), 1)


async def _create_role(call: Call) -> object:
    role = call.text("roleid")
    if role in call.datacenter.state.access.roles:
        raise RefusedError(f"create role failed: role '{role}' already exists")
    _set_role(call, role, [])
    return None


async def _update_role(call: Call) -> object:
    role = call.text("roleid")
    before = call.datacenter.state.access.privileges_of(role)
    _set_role(call, role, before if call.values.get("append") else ())
    return None


def _set_role(call: Call, role: str, kept: "frozenset[str] | list[str] | tuple[()]") -> None:
    call.datacenter.state.access.set_role(role, [*kept, *call.listed("privs")])
    call.datacenter.save()


async def _grants(call: Call) -> object:
    found: list[dict[str, Value]] = [
        {"path": one.path, "type": "user", "ugid": one.user, "roleid": one.role, "propagate": int(one.propagate)}
        for one in call.datacenter.state.access.grants
    ]
    return found


async def _change_grants(call: Call) -> object:
    if "groups" in call.values or "tokens" in call.values:
        raise NotServedError("Grants to groups and tokens")
    call.datacenter.state.access.grant(
        call.text("path"),
        call.listed("users"),
        call.listed("roles"),
        propagate=bool(call.values.get("propagate", 1)),
        remove=bool(call.values.get("delete", 0)),
    )
    call.datacenter.save()
    return None


_TEXT: Final = Parameter(text())
_ROLE: Final = {"privs": _TEXT}
ROUTES: Final = (
    Route("GET", "/access/permissions", _permissions, {"path": _TEXT, "userid": _TEXT}),
    Route("GET", "/access/roles", _roles),
    Route("GET", "/access/roles/{roleid}", _role),
    Route(
        "POST",
        "/access/roles",
        _create_role,
        {"roleid": Parameter(text(r"[A-Za-z0-9.\-_]+"), required=True), **_ROLE},
        needs=on("/access", "Sys.Modify"),
    ),
    Route(
        "PUT",
        "/access/roles/{roleid}",
        _update_role,
        {**_ROLE, "append": Parameter(boolean)},
        needs=on("/access", "Sys.Modify"),
    ),
    Route("GET", "/access/acl", _grants, needs=on("/access", "Sys.Audit")),
    Route(
        "PUT",
        "/access/acl",
        _change_grants,
        {
            "path": Parameter(text(), required=True),
            "roles": Parameter(text(), required=True),
            "propagate": Parameter(boolean),
            "delete": Parameter(boolean),
            **dict.fromkeys(("users", "groups", "tokens"), _TEXT),
        },
        needs=on("/access", "Permissions.Modify"),
    ),
)
