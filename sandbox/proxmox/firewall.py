"""Rules of Proxmox's firewall, in security groups and on machines: what may be in one (PVE::Firewall, verify_rule).

Packets are not modelled: machines here are processes of one computer, on its loopback.
"""

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Final, Literal

from sandbox.proxmox.errors import NotServedError, ParameterError, RefusedError
from sandbox.proxmox.schema import Parameter, Value, boolean, choice, integer, text
from sandbox.proxmox.state import Rule

Place = Literal["group", "vm"]
DIRECTIONS: Final[Mapping[Place, tuple[str, ...]]] = {"group": ("in", "out", "forward"), "vm": ("in", "out", "group")}
ACTIONS: Final = ("ACCEPT", "DROP", "REJECT")
WITH_PORTS: Final = ("udp", "17", "udplite", "136", "tcp", "6", "dccp", "33", "sctp", "132")
GROUP_NAME: Final = text(r"[A-Za-z][A-Za-z0-9\-_]+", "value does not match the regex pattern", longest=18)
_LOG_LEVEL: Final = Parameter(choice("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog"))
_TEXT: Final = Parameter(text())
_ADDRESSES: Final = Parameter(text(longest=512))
_MOST_PORTS: Final = 15
_LAST_PORT: Final = 65535
FIELDS: Final[Mapping[str, Parameter]] = {
    "type": Parameter(choice("in", "out", "forward", "group")),
    "action": Parameter(text(r"[A-Za-z][A-Za-z0-9\-_]+", longest=20)),
    "enable": Parameter(integer(0)),
    "log": _LOG_LEVEL,
    **dict.fromkeys(("source", "dest"), _ADDRESSES),
    **dict.fromkeys(("comment", "dport", "icmp-type", "iface", "macro", "proto", "sport"), _TEXT),
}
OPTIONS: Final[Mapping[str, Parameter]] = {
    **dict.fromkeys(("enable", "macfilter", "dhcp", "ndp", "radv", "ipfilter"), Parameter(boolean)),
    **dict.fromkeys(("policy_in", "policy_out"), Parameter(choice("ACCEPT", "REJECT", "DROP"))),
    **dict.fromkeys(("log_level_in", "log_level_out"), _LOG_LEVEL),
}


def at(rules: Sequence[Rule], position: int) -> Rule:
    """Return the rule at a position."""
    if position >= len(rules):
        raise RefusedError(f"no rule at position {position}")
    return rules[position]


def changed(rule: Rule, given: Mapping[str, Value], gone: Sequence[str], place: Place) -> Rule:
    """Return a rule with other fields; an empty one is none.

    Raises:
        ParameterError: that is no rule.
    """
    result = {**rule, **{name: value for name, value in given.items() if name in FIELDS}}
    for name in gone:
        if name not in FIELDS:
            raise ParameterError({"delete": f"no such property ('{name}')"})
        if name in ("type", "action"):
            raise ParameterError({"delete": f"unable to delete required property '{name}'"})
        result.pop(name, None)
    result = {name: value for name, value in result.items() if value not in ("", "-")}
    _verify(result, place)
    return result


def _verify(rule: Rule, place: Place) -> None:
    for name in ("type", "action"):
        if name not in rule:
            raise ParameterError({name: "missing property"})
    kind, action = str(rule["type"]), str(rule["action"])
    if kind not in DIRECTIONS[place]:
        raise ParameterError({"type": f"invalid rule type '{kind}' for rule_env '{place}'"})
    if kind != "group" and action not in ACTIONS:
        raise ParameterError({"action": f"unknown action '{action}'"})
    if "iface" in rule and place == "vm" and not re.fullmatch(r"net\d+", str(rule["iface"])):
        raise ParameterError({"iface": r"value does not match the regex pattern 'net\d+'"})
    for name in sorted({"macro", "icmp-type"} & rule.keys()):
        raise NotServedError(f"Field {name} of a firewall rule")
    for name in sorted({"dport", "sport"} & rule.keys()):
        _verify_ports(rule, name)
    for name in sorted({"source", "dest"} & rule.keys()):
        _verify_addresses(name, str(rule[name]))


def _verify_ports(rule: Rule, name: str) -> None:
    proto, count = rule.get("proto"), 0
    for item in str(rule[name]).split(","):
        if not (found := re.fullmatch(r"(\d+)(?::(\d+))?", item)):
            raise ParameterError({name: f"invalid port '{item}'"})
        ends = [int(end) for end in found.groups() if end is not None]
        if too_high := [end for end in ends if end > _LAST_PORT]:
            raise ParameterError({name: f"invalid port '{too_high[0]}'"})
        if ends != sorted(ends):
            raise ParameterError({name: f"backwards range '{item}' not allowed"})
        count += len(ends)
    if count > _MOST_PORTS:
        raise ParameterError({name: f"too many entries in port list (> {_MOST_PORTS} numbers)"})
    if proto is None:
        raise ParameterError({"proto": f"missing property - '{name}' requires this property"})
    if proto not in WITH_PORTS:
        raise ParameterError({name: f"protocol '{proto}' does not support ports"})


def _verify_addresses(name: str, given: str) -> None:
    if given.startswith("+") or re.fullmatch(r"(dc/|guest/)?[A-Za-z][A-Za-z0-9\-_]+", given):
        raise NotServedError(f"Field {name} of a firewall rule with an alias or an IP set")
    items = given.split(",")
    if len(items) > 1 and any("-" in item for item in items):
        raise ParameterError({name: "you can't use a range in a list"})
    for item in items:
        try:
            for end in item.split("-"):
                (ip_network if "/" in end else ip_address)(end)
        except ValueError:
            raise ParameterError({name: f"invalid IP address: {item}"}) from None
