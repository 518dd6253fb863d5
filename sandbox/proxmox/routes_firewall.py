"""Endpoints of Proxmox's firewall: security groups, and the options and rules of machines (PVE::API2::Firewall)."""

from collections.abc import Callable, Iterator
from typing import Final

from sandbox.proxmox import firewall
from sandbox.proxmox.changes import digest
from sandbox.proxmox.errors import ParameterError, RefusedError
from sandbox.proxmox.firewall import Place
from sandbox.proxmox.routing import Call, Needs, Route, on
from sandbox.proxmox.schema import Parameter, Value, integer, text
from sandbox.proxmox.state import GuestFirewall, Rule, SecurityGroup

# Whether Proxmox's firewall runs at all is for the operator to say; this one has said so.
DATACENTER_OPTIONS: Final = {"enable": 1, "policy_in": "ACCEPT"}


async def _datacenter_options(_: Call) -> object:
    return {**DATACENTER_OPTIONS, "digest": digest(DATACENTER_OPTIONS)}


def _group(call: Call) -> SecurityGroup:
    name = call.text("group")
    if name not in call.datacenter.state.groups:
        raise RefusedError(f"no such security group '{name}'")
    return call.datacenter.state.groups[name]


def _comment(group: SecurityGroup) -> dict[str, Value]:
    return {"comment": group.comment} if group.comment else {}


async def _groups(call: Call) -> object:
    shown = [{"group": name, **_comment(group)} for name, group in sorted(call.datacenter.state.groups.items())]
    return [{**one, "digest": digest(shown)} for one in shown]


async def _create_group(call: Call) -> object:
    """Make a group, or rename one that ``rename`` names; the same name is a change of its comment."""
    name, groups = call.text("group"), call.datacenter.state.groups
    if "rename" not in call.values:
        if name in groups:
            raise ParameterError({"group": f"Security group '{name}' already exists"})
        groups[name] = SecurityGroup()
    else:
        before = call.text("rename")
        if before not in groups:
            raise ParameterError({"group": f"Security group '{before}' does not exist"})
        if name in groups and name != before:
            raise ParameterError({"group": f"Security group '{name}' does already exist"})
        groups[name] = groups.pop(before)
        for kept in call.datacenter.state.firewalls.values():
            for rule in kept.rules:
                if rule["type"] == "group" and rule["action"] == before:
                    rule["action"] = name
    if "comment" in call.values:
        groups[name].comment = call.text("comment")
    call.datacenter.save()
    return None


async def _delete_group(call: Call) -> object:
    if _group(call).rules:
        raise RefusedError(f"Security group '{call.text('group')}' is not empty")
    del call.datacenter.state.groups[call.text("group")]
    call.datacenter.save()
    return None


def _firewall(call: Call) -> GuestFirewall:
    """Return the firewall of a machine, which a host keeps without looking whether there is the machine."""
    return call.datacenter.state.firewalls.setdefault(int(call.values["vmid"]), GuestFirewall())


async def _options(call: Call) -> object:
    options = _firewall(call).options
    return {**options, "digest": digest(options)}


async def _set_options(call: Call) -> object:
    options = _firewall(call).options
    given = {name: value for name, value in call.given.items() if name in firewall.OPTIONS}
    for name in call.listed("delete"):
        if name not in firewall.OPTIONS:
            raise ParameterError({"delete": f"no such option '{name}'"})
        options.pop(name, None)
    options |= given
    call.datacenter.save()
    return None


def _rules(place: Place, path: str, find: Callable[[Call], list[Rule]], read: Needs, write: Needs) -> Iterator[Route]:
    """Yield the endpoints of a list of rules. Positions shift: a new rule is the first, the next one moves up."""

    async def listing(call: Call) -> object:
        rules = find(call)
        return [{**rule, "pos": at, "digest": digest(rules)} for at, rule in enumerate(rules)]

    async def one(call: Call) -> object:
        position = int(call.values["pos"])
        rules = find(call)
        # The position is that of the path, and stays the text that it is there.
        return {**firewall.at(rules, position), "pos": str(position), "digest": digest(rules)}

    async def create(call: Call) -> object:
        rule = firewall.changed({}, call.given, (), place)
        find(call).insert(0, {"enable": 0, **rule})
        call.datacenter.save()
        return None

    async def update(call: Call) -> object:
        position, rules = int(call.values["pos"]), find(call)
        rule = firewall.at(rules, position)
        if "digest" in call.values and call.values["digest"] != digest(rules):
            raise RefusedError("detected modified configuration - file changed by other user? Try again.")
        if "moveto" in call.values and (target := int(call.values["moveto"])) != position:
            del rules[position]
            # A place is one in the list as it was, in which the rule still had its own.
            rules.insert(target - 1 if target > position else target, rule)
        else:
            rules[position] = firewall.changed(rule, call.given, call.listed("delete"), place)
        call.datacenter.save()
        return None

    async def delete(call: Call) -> object:
        rules = find(call)
        rules.remove(firewall.at(rules, int(call.values["pos"])))
        call.datacenter.save()
        return None

    change = {**firewall.FIELDS, "delete": Parameter(text()), "digest": _DIGEST, "moveto": Parameter(integer(0))}
    required = {name: Parameter(firewall.FIELDS[name].kind, required=True) for name in ("type", "action")}
    yield Route("GET", path, listing, needs=read)
    yield Route("POST", path, create, {**firewall.FIELDS, **required, "digest": _DIGEST}, needs=write)
    yield Route("GET", f"{path}/{{pos}}", one, needs=read)
    yield Route("PUT", f"{path}/{{pos}}", update, change, needs=write)
    yield Route("DELETE", f"{path}/{{pos}}", delete, {"digest": _DIGEST}, needs=write)


_DIGEST: Final = Parameter(text(r"[0-9a-f]{40}"))
_NAME: Final = Parameter(firewall.GROUP_NAME, required=True)
_GROUP: Final = {"group": _NAME, "comment": Parameter(text()), "rename": Parameter(firewall.GROUP_NAME)}
_AUDIT: Final = on("/", "Sys.Audit")
_MODIFY: Final = on("/", "Sys.Modify")
_READ: Final = on("/vms/{vmid}", "VM.Audit")
_CONFIGURE: Final = on("/vms/{vmid}", "VM.Config.Network")
_GROUPS: Final = "/cluster/firewall/groups"
_GUEST: Final = "/nodes/{node}/qemu/{vmid}/firewall"
ROUTES: Final = (
    Route("GET", "/cluster/firewall/options", _datacenter_options, needs=_AUDIT),
    Route("GET", _GROUPS, _groups),
    Route("POST", _GROUPS, _create_group, {**_GROUP, "digest": _DIGEST}, needs=_MODIFY),
    Route("DELETE", f"{_GROUPS}/{{group}}", _delete_group, needs=_MODIFY),
    *_rules("group", f"{_GROUPS}/{{group}}", lambda call: _group(call).rules, _AUDIT, _MODIFY),
    Route("GET", f"{_GUEST}/options", _options, needs=_READ),
    Route(
        "PUT",
        f"{_GUEST}/options",
        _set_options,
        {**firewall.OPTIONS, "delete": Parameter(text()), "digest": _DIGEST},
        needs=_CONFIGURE,
    ),
    *_rules("vm", f"{_GUEST}/rules", lambda call: _firewall(call).rules, _READ, _CONFIGURE),
)
