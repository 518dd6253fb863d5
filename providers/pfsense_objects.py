"""What kinds of objects the lab has in pfSense: where the API has them, what tells two apart, what is compared.

The array ids of the API shift whenever an object goes or the list is sorted, so none is kept: an object is found by
its natural key just before it is changed, and changes are made one at a time.
"""

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi

from providers.base import ProviderError
from providers.pfsense_api import PfSense, Row

# Two writers at once would each work on the ids that the other one is shifting.
_WRITING = threading.Lock()


@dataclass(frozen=True)
class Kind:
    """One kind of object. ``fields`` are those that the lab decides, with the API's defaults for what it leaves out."""

    name: str
    path: str
    collection: str
    apply: str
    key: tuple[str, ...]
    fields: Mapping[str, Any]
    parent: bool = False
    ordered: bool = False

    def label(self, wanted: Mapping[str, Any]) -> str:
        """Return how a message names the object, such as ``alias lab_nodes``."""
        return f"{self.name} {self.identity(wanted)}"

    def identity(self, wanted: Mapping[str, Any]) -> str:
        """Return the natural key as one text, in the order of `key`."""
        return "/".join(str(wanted[field]) for field in self.key)

    def chosen(self, props: Mapping[str, Any]) -> Row:
        """Return the whole object that the properties describe, in the API's own form."""
        plain = {name: _plain(name, props.get(name)) for name in self.fields}
        return {name: default if plain[name] is None else plain[name] for name, default in self.fields.items()}

    def among(self, rows: Iterable[Row], wanted: Mapping[str, Any]) -> list[Row]:
        """Return those objects of the API that the properties are about: one, unless somebody copied it."""
        names = (*self.key, "parent_id") if self.parent else self.key
        return [row for row in rows if all(_plain(name, row.get(name)) == _plain(name, wanted[name]) for name in names)]


def _plain(name: str, value: Any) -> Any:  # noqa: ANN401 - a value of JSON
    """Return the one form of a value of which the API knows several: null for no text, ids within nested objects."""
    if name == "mac":
        return str(value).lower()
    if name == "aliases":
        return [{field: one.get(field) or "" for field in ("host", "domain", "descr")} for one in value or []]
    if isinstance(value, list | tuple):
        return list(value)
    return None if value == "" else value


ALIAS: Final = Kind(
    name="alias",
    path="firewall/alias",
    collection="firewall/aliases",
    apply="firewall/apply",
    key=("name",),
    # Without a detail for each address pfSense makes one up from the time, which would be a difference for ever.
    fields={"name": None, "type": None, "descr": "", "address": [], "detail": []},
)
RULE: Final = Kind(
    name="rule",
    path="firewall/rule",
    collection="firewall/rules",
    apply="firewall/apply",
    # A rule's tracker is the second of its creation, which two rules can share; its description is ours to choose.
    key=("descr",),
    fields={
        "type": None,
        "interface": None,
        "ipprotocol": None,
        "protocol": None,
        "source": None,
        "source_port": None,
        "destination": None,
        "destination_port": None,
        "descr": "",
        "disabled": False,
        "log": False,
        "statetype": "keep state",
        "gateway": None,
        "sched": None,
    },
    ordered=True,
)
HOST_OVERRIDE: Final = Kind(
    name="host override",
    path="services/dns_resolver/host_override",
    collection="services/dns_resolver/host_overrides",
    apply="services/dns_resolver/apply",
    key=("host", "domain"),
    fields={"host": "", "domain": None, "ip": None, "descr": "", "aliases": []},
)
STATIC_MAPPING: Final = Kind(
    name="static mapping",
    path="services/dhcp_server/static_mapping",
    collection="services/dhcp_server/static_mappings",
    apply="services/dhcp_server/apply",
    key=("mac",),
    fields={"mac": None, "ipaddr": None, "hostname": None, "domain": "", "gateway": "", "dnsserver": [], "descr": ""},
    parent=True,
)
KINDS: Final = (ALIAS, RULE, HOST_OVERRIDE, STATIC_MAPPING)


def observe(api: PfSense, kind: Kind, wanted: Mapping[str, Any]) -> Row | None:
    """Return the object as pfSense has it, None if it has none: its fields, how many there are, and its place.

    ``placed`` tells of a rule whether it directly follows the one that it should, as the first of its interface that
    is ours or with nothing foreign in between.
    """
    rows = api.get(kind.collection)
    found = kind.among(rows, wanted)
    if not found:
        return None
    seen = {**kind.chosen(found[0]), "copies": len(found)}
    return {**seen, "placed": _is_placed(rows, found[0], wanted)} if kind.ordered else seen


def _is_placed(rows: list[Row], own: Row, wanted: Mapping[str, Any]) -> bool:
    """Look upwards from a rule: the one above, on its interface, is ``after``; above the first of ours is none of ours.

    A rule that somebody put among ours moves all of ours that come after it, so none of those is in its place.
    """
    prefix = str(wanted["owner"])
    above = [str(row["descr"]) for row in rows[: rows.index(own)] if set(row["interface"]) & set(own["interface"])]
    ours = [position for position, descr in enumerate(above) if descr.startswith(prefix)]
    if not wanted["after"]:
        return not ours
    block = above[ours[0] :] if ours else []
    return bool(block) and block[-1] == wanted["after"] and all(descr.startswith(prefix) for descr in block)


def _target(rows: list[Row], wanted: Mapping[str, Any]) -> int:
    """Return where a rule belongs in the list without it: after its predecessor, or on top of its interface."""
    for position, row in enumerate(rows):
        if wanted["after"] and row["descr"] == wanted["after"]:
            return position + 1
    on_interface = [at for at, row in enumerate(rows) if set(row["interface"]) & set(wanted["interface"])]
    return on_interface[0] if on_interface else len(rows)


def establish(api: PfSense, kind: Kind, wanted: Mapping[str, Any], *, own: bool) -> None:
    """Have exactly one such object, with the fields that are wanted, in its place.

    One that is there already and identical is taken over; one that differs only if it is ours: because the state says
    so (``own``), or because it has our description.

    Raises:
        ProviderError: somebody else's object has the key.
    """
    with _WRITING:
        rows = api.get(kind.collection)
        found = kind.among(rows, wanted)
        chosen = kind.chosen(wanted)
        # The last first: what comes before keeps its id.
        for copy in reversed(found[1:]):
            api.write("DELETE", kind.path, _reference(kind, copy))
            rows.remove(copy)
        body = {**chosen, **({"parent_id": wanted["parent_id"]} if kind.parent else {})}
        if not found:
            place = {"placement": _target(rows, wanted)} if kind.ordered else {}
            api.write("POST", kind.path, {**body, **place})
            return
        row = found[0]
        different = [name for name, value in kind.chosen(row).items() if value != chosen[name]]
        if different and not own and (row.get("descr") or "") != wanted["descr"]:
            raise ProviderError(_taken(kind, wanted, row, different))
        if not own and not different:
            pulumi.log.info(f"pfSense: {kind.label(wanted)} was there already, and is now managed")
        misplaced = kind.ordered and not _is_placed(rows, row, wanted)
        if different or misplaced:
            others = [other for other in rows if other is not row]
            place = {"placement": _target(others, wanted)} if misplaced else {}
            api.write("PATCH", kind.path, {**body, **_reference(kind, row), **place})


def remove(api: PfSense, kind: Kind, wanted: Mapping[str, Any]) -> None:
    """Delete the object with all its copies; one that is gone is well."""
    with _WRITING:
        for row in reversed(kind.among(api.get(kind.collection), wanted)):
            api.write("DELETE", kind.path, _reference(kind, row))


def rules_in_brief(api: PfSense, part: str, owner: str) -> str:
    """Return one text for all rules of ``owner``, in their order: another one when any of them is another."""
    if part != RULE.apply:
        return ""
    own = [RULE.chosen(row) for row in api.get(RULE.collection) if str(row["descr"]).startswith(owner)]
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


def _reference(kind: Kind, row: Row) -> Row:
    return {"id": row["id"], **({"parent_id": row["parent_id"]} if kind.parent else {})}


def _taken(kind: Kind, wanted: Mapping[str, Any], row: Row, different: list[str]) -> str:
    seen, chosen = kind.chosen(row), kind.chosen(wanted)
    lines = [f"    {name}: there {seen[name]!r}, wanted {chosen[name]!r}" for name in different]
    step = "delete or rename it in pfSense, or make it as wanted, and run again"
    return "\n".join(["is there already, made by somebody else:", *lines, f"  {step}"])
