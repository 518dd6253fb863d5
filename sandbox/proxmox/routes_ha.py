"""Endpoints of the HA manager: resources and resource affinity (PVE::API2::HA::Resources, PVE::API2::HA::Rules)."""

from collections.abc import Mapping
from typing import Final

from sandbox.proxmox import availability
from sandbox.proxmox.changes import digest
from sandbox.proxmox.errors import NotServedError, ParameterError, RefusedError
from sandbox.proxmox.routing import IN_PATH, Call, Route, on
from sandbox.proxmox.schema import MISSING, Parameter, Value, boolean, choice, each, integer, text

_RESOURCE_OPTIONS: Final = ("comment", "failback", "max_relocate", "max_restart")
_RULE_OPTIONS: Final = ("comment", "disable")


def _sid(call: Call) -> str:
    given = call.text("sid")
    return f"vm:{given}" if given.isdigit() else given


def _shown(call: Call, sid: str) -> dict[str, Value]:
    config = availability.resource(call.datacenter, sid)
    return {**config, "sid": sid, "type": "vm", "digest": digest(call.datacenter.state.ha_resources[sid])}


async def _resources(call: Call) -> object:
    return [_shown(call, sid) for sid in call.datacenter.state.ha_resources]


async def _resource(call: Call) -> object:
    return _shown(call, _sid(call))


async def _create_resource(call: Call) -> object:
    sid, resources = _sid(call), call.datacenter.state.ha_resources
    availability.guest_of(call.datacenter, sid)
    if sid in resources:
        raise RefusedError(f"create resource failed: resource ID '{sid}' already defined")
    given = {name: value for name, value in call.values.items() if name not in ("sid", "type")}
    resources[sid] = {"state": "started", **given}
    await _enforced(call, sid)
    return None


async def _update_resource(call: Call) -> object:
    sid = _sid(call)
    config = availability.resource(call.datacenter, sid)
    config |= {name: value for name, value in call.values.items() if name not in ("sid", "type", "delete")}
    _delete_options(call, config, _RESOURCE_OPTIONS)
    await _enforced(call, sid)
    return None


async def _enforced(call: Call, sid: str) -> None:
    call.datacenter.save()
    await availability.enforce(call.datacenter, sid)


async def _delete_resource(call: Call) -> object:
    sid = _sid(call)
    if sid not in call.datacenter.state.ha_resources:
        raise RefusedError(f"cannot delete service '{sid}', not HA managed!")
    availability.drop(call.datacenter, sid)
    call.datacenter.save()
    return None


def _shown_rule(call: Call, name: str) -> dict[str, Value]:
    rules = call.datacenter.state.ha_rules
    if name not in rules:
        raise RefusedError(f"no such ha rule '{name}'")
    return {**rules[name], "rule": name, "digest": digest(rules[name]), "order": [*rules].index(name) + 1}


async def _rules(call: Call) -> object:
    return [_shown_rule(call, name) for name in call.datacenter.state.ha_rules]


async def _rule(call: Call) -> object:
    return _shown_rule(call, call.text("rule"))


async def _create_rule(call: Call) -> object:
    name, rules = call.text("rule"), call.datacenter.state.ha_rules
    if name in rules:
        raise RefusedError(f"create ha rule failed: HA rule '{name}' already defined")
    rule = {option: value for option, value in call.values.items() if option != "rule"}
    if "affinity" not in rule:
        raise ParameterError({"affinity": MISSING})
    _keep_rule(call, name, rule)
    return None


async def _update_rule(call: Call) -> object:
    name = call.text("rule")
    if name not in call.datacenter.state.ha_rules:
        raise RefusedError(f"update HA rules failed: HA rule '{name}' does not exist")
    given = {option: value for option, value in call.values.items() if option not in ("rule", "delete", "digest")}
    rule = {**call.datacenter.state.ha_rules[name], **given}
    _delete_options(call, rule, _RULE_OPTIONS)
    _keep_rule(call, name, rule)
    return None


def _keep_rule(call: Call, name: str, rule: dict[str, Value]) -> None:
    if not rule.get("disable"):
        rule.pop("disable", None)
    rule["resources"] = ",".join(sorted(str(rule["resources"]).split(",")))
    availability.check_rule(call.datacenter, name, rule)
    call.datacenter.state.ha_rules[name] = rule
    call.datacenter.save()


async def _delete_rule(call: Call) -> object:
    call.datacenter.state.ha_rules.pop(call.text("rule"), None)
    call.datacenter.save()
    return None


def _delete_options(call: Call, config: dict[str, Value], options: tuple[str, ...]) -> None:
    for name in call.listed("delete"):
        if name not in options:
            raise ParameterError({"delete": f"no such option '{name}'"})
        config.pop(name, None)


def _refuse_node_affinity(given: Mapping[str, str]) -> None:
    if given.get("type") == "node-affinity":
        raise NotServedError("HA rule of type node-affinity")


_AUDIT: Final = on("/", "Sys.Audit")
_CONSOLE: Final = on("/", "Sys.Console")
_COMMENT: Final = Parameter(text(longest=4096))
_SID: Final = IN_PATH["sid"]
_RESOURCE: Final = {
    "type": Parameter(choice("vm")),
    "state": Parameter(choice("started", "stopped", "enabled", "disabled", "ignored")),
    "failback": Parameter(boolean),
    **dict.fromkeys(("max_restart", "max_relocate"), Parameter(integer(0))),
    "comment": _COMMENT,
}
_RULE: Final = {
    "resources": Parameter(each(_SID), required=True),
    "type": Parameter(choice("resource-affinity"), required=True),
    "affinity": Parameter(choice("positive", "negative")),
    "disable": Parameter(boolean),
    "comment": _COMMENT,
}
_CHANGE: Final = {"delete": Parameter(text()), "digest": Parameter(text(r"[0-9a-f]{40}"))}
_RESOURCES: Final = "/cluster/ha/resources"
_RULES: Final = "/cluster/ha/rules"
_RULE_ID: Final = Parameter(IN_PATH["rule"], required=True)
ROUTES: Final = (
    Route("GET", _RESOURCES, _resources, {"type": Parameter(choice("vm", "ct"))}, needs=_AUDIT),
    Route("POST", _RESOURCES, _create_resource, {"sid": Parameter(_SID, required=True), **_RESOURCE}, needs=_CONSOLE),
    Route("GET", f"{_RESOURCES}/{{sid}}", _resource, needs=_AUDIT),
    Route("PUT", f"{_RESOURCES}/{{sid}}", _update_resource, {**_RESOURCE, **_CHANGE}, needs=_CONSOLE),
    Route("DELETE", f"{_RESOURCES}/{{sid}}", _delete_resource, {"purge": Parameter(boolean)}, needs=_CONSOLE),
    Route("GET", _RULES, _rules, needs=_AUDIT),
    Route("POST", _RULES, _create_rule, {"rule": _RULE_ID, **_RULE}, _refuse_node_affinity, _CONSOLE),
    Route("GET", f"{_RULES}/{{rule}}", _rule, needs=_AUDIT),
    Route("PUT", f"{_RULES}/{{rule}}", _update_rule, {**_RULE, **_CHANGE}, _refuse_node_affinity, _CONSOLE),
    Route("DELETE", f"{_RULES}/{{rule}}", _delete_rule, needs=_CONSOLE),
)
