"""What the firewall has: its configuration in one file, what of it waits to be applied, and what is in force."""

import asyncio
import copy
import json
import re
import time
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

from sandbox.pfsense.errors import AbsentError, ForbiddenError, InvalidError
from sandbox.pfsense.fields import Row
from sandbox.pfsense.kinds import ALIAS, KINDS, RULE, Interface, Kind, Surroundings
from sandbox.pki import write_private

LAN: Final = IPv4Network("192.168.1.0/24")
WAN: Final = IPv4Network("198.51.100.0/24")
LATENCY: Final = 0.002
"""Seconds between a request's look at the configuration and its write: PHP processes do not wait for each other."""

_FACTORY: Final = {
    "type": "pass",
    "interface": ["lan"],
    "protocol": None,
    "source": "lan",
    "destination": "any",
}


class Firewall:
    """A pfSense with WAN, LAN and OPT1, the network of the machines, whose DHCP server hands out .100 to .199."""

    def __init__(self, path: Path, network: IPv4Network) -> None:
        self._path = path
        pool = (network[100], network[199])
        self.interfaces: Mapping[str, Interface] = {
            "wan": Interface("wan", WAN),
            "lan": Interface("lan", LAN, (LAN[100], LAN[199])),
            "opt1": Interface("opt1", network, pool),
        }
        saved = json.loads(path.read_text()) if path.exists() else {}
        self.config: dict[str, list[Row]] = saved.get("config") or {kind.listing: [] for kind in KINDS}
        self.in_force: dict[str, list[Row]] = saved.get("in_force") or {}
        self.dirty: set[str] = set(saved.get("dirty", ()))
        self.notices: list[str] = saved.get("notices") or []
        if not saved:
            self._install()

    def _install(self) -> None:
        """Make what pfSense has after its installation: LAN may go anywhere."""
        for family, words in (("inet", ""), ("inet6", "IPv6 ")):
            row = self._settled(
                RULE, {**_FACTORY, "ipprotocol": family, "descr": f"Default allow LAN {words}to any rule"}
            )
            self.config["rules"].append({**row, **_stamps("admin@console")})
        self.in_force = copy.deepcopy(self.config)

    def save(self) -> None:
        """Write the file."""
        state = {
            "config": self.config,
            "in_force": self.in_force,
            "dirty": sorted(self.dirty),
            "notices": self.notices,
        }
        write_private(self._path, json.dumps(state, indent=1).encode())

    def rows(self, kind: Kind, parent: str | None = None) -> list[Row]:
        """Return the objects of a kind with their ids of this moment; ids count within the parent."""
        counted: dict[str, int] = {}
        rows = []
        for row in self.config[kind.listing]:
            owner = str(row.get("parent_id", ""))
            rows.append({**row, "id": counted.get(owner, 0)})
            counted[owner] = rows[-1]["id"] + 1
        return [row for row in rows if parent is None or row["parent_id"] == parent]

    def find(self, kind: Kind, given: Mapping[str, Any]) -> Row:
        """Return the object with the id, and parent, of a request."""
        if given.get("id") is None:
            raise InvalidError("MODEL_REQUIRES_ID", "Field 'id' is required.")
        parent = self.parent(kind, given)
        for row in self.rows(kind, parent):
            if row["id"] == given["id"]:
                return row
        raise AbsentError("MODEL_OBJECT_NOT_FOUND", f"Object with ID '{given['id']}' does not exist.")

    def parent(self, kind: Kind, given: Mapping[str, Any]) -> str | None:
        """Return the interface whose DHCP server a request is about, None for kinds without."""
        if not kind.parent:
            return None
        parent = given.get("parent_id")
        if parent is None:
            raise InvalidError("MODEL_PARENT_ID_REQUIRED", "Field `parent_id` is required.")
        if parent not in self.interfaces or self.interfaces[parent].pool is None:
            raise AbsentError("MODEL_PARENT_OBJECT_NOT_FOUND", f"Parent object with ID '{parent}' does not exist.")
        return str(parent)

    async def create(self, kind: Kind, given: Mapping[str, Any], client: str) -> Row:
        """Add an object, at ``placement`` if that is given."""
        parent = self.parent(kind, given)
        seen = copy.deepcopy(self.config[kind.listing])
        row = self._settled(kind, given, parent=parent)
        row |= _stamps(client) if kind is RULE else {}
        row |= {"parent_id": parent} if parent else {}
        await asyncio.sleep(LATENCY)
        return self._written(kind, [*seen, row], row, given)

    async def update(self, kind: Kind, given: Mapping[str, Any], client: str) -> Row:
        """Change what is given of an object, and its place if there is a ``placement``."""
        before = self.find(kind, given)
        seen = copy.deepcopy(self.config[kind.listing])
        position = self._position(kind, before)
        row = self._settled(kind, {**before, **given}, before, before.get("parent_id"))
        row |= {name: before[name] for name in ("parent_id", "tracker", "created_time", "created_by") if name in before}
        row |= {"updated_time": int(time.time()), "updated_by": f"{client} (API)"} if kind is RULE else {}
        await asyncio.sleep(LATENCY)
        seen[position] = row
        return self._written(kind, seen, row, given)

    async def delete(self, kind: Kind, given: Mapping[str, Any]) -> Row:
        """Take an object away; those after it get other ids."""
        row = self.find(kind, given)
        seen = copy.deepcopy(self.config[kind.listing])
        position = self._position(kind, row)
        if len(seen) <= kind.minimum:
            raise ForbiddenError(
                "MODEL_MANY_MINIMUM_REACHED",
                "Object deletion denied. Deleting this object would result in the number of existing objects falling "
                f"below the minimum number allowed for this Model, {kind.minimum}.",
            )
        await asyncio.sleep(LATENCY)
        del seen[position]
        self._keep(kind, seen)
        return row

    def _position(self, kind: Kind, row: Row) -> int:
        return next(
            at
            for at, one in enumerate(self.rows(kind))
            if one["id"] == row["id"] and one.get("parent_id") == row.get("parent_id")
        )

    def _settled(
        self, kind: Kind, given: Mapping[str, Any], before: Row | None = None, parent: str | None = None
    ) -> Row:
        """Return a whole object, every field checked, and what must agree between them."""
        others = [row for row in self.rows(kind, parent) if before is None or row["id"] != before["id"]]
        around = Surroundings(self.interfaces, self.config[ALIAS.listing], parent or "")
        row: Row = {name: copy.deepcopy(given.get(name)) for name in kind.fields}
        for name, field in kind.fields.items():
            # In their order: a field comes after those that its conditions are about.
            row[name] = field.settled(name, row, before, others)
        kind.agree(row, around)
        for other in others:
            if kind.unique_together and all(other[name] == row[name] for name in kind.unique_together):
                names = ", ".join(kind.unique_together)
                raise InvalidError(
                    "MODEL_FIELDS_NOT_UNIQUE_TOGETHER",
                    f"Fields [{names}] together must be unique from all other objects of its kind. "
                    f"Values in use by object with ID `{other['id']}`.",
                )
        return row

    def _written(self, kind: Kind, rows: list[Row], row: Row, given: Mapping[str, Any]) -> Row:
        if given.get("placement") is not None:
            rows.remove(row)
            rows.insert(min(int(given["placement"]), len(rows)), row)
        if kind.sort_by:
            rows.sort(key=lambda one: _natural(str(one[kind.sort_by] or "")))
        self._keep(kind, rows)
        return next(one for one in self.rows(kind) if {**one, "id": None} == {**row, "id": None})

    def _keep(self, kind: Kind, rows: list[Row]) -> None:
        self.config[kind.listing] = rows
        self.dirty |= {kind.subsystem} - {""}
        self.save()

    def pending(self, part: str) -> list[str]:
        """Return the subsystems of a part that have changes which are not in force, as far as pfSense notes them."""
        return sorted(self.dirty & {kind.subsystem for kind in KINDS if kind.part == part})

    def apply(self, part: str) -> None:
        """Let the changes of a part take force; a rule about an alias that is not there keeps the old rules."""
        kinds = [kind for kind in KINDS if kind.part == part]
        missing = _missing_aliases(self.config) if RULE in kinds else set()
        if missing:
            self.notices.append(f"There were error(s) loading the rules: {', '.join(sorted(missing))} not defined")
        else:
            self.in_force |= {kind.listing: copy.deepcopy(self.config[kind.listing]) for kind in kinds}
        self.dirty -= {kind.subsystem for kind in kinds}
        self.save()


def _missing_aliases(config: Mapping[str, Sequence[Row]]) -> set[str]:
    known = {row["name"] for row in config[ALIAS.listing]}
    named = {
        str(row[name]).removeprefix("!")
        for row in config[RULE.listing]
        for name in ("source", "destination", "destination_port")
        if row[name]
    }
    return {name for name in named - known if re.fullmatch(r"[A-Za-z]\w*_\w+", name)}


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Return what texts sort by when the numbers in them count as numbers."""
    parts = re.findall(r"\d+|\D+", text)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def _stamps(client: str) -> Row:
    now = int(time.time())
    who = f"{client} (API)"
    return {"tracker": now, "created_time": now, "created_by": who, "updated_time": now, "updated_by": who}
