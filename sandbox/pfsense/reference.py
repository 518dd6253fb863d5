"""The page of pfSense's fields: `python -m sandbox.pfsense.reference` prints docs/pfsense.md."""

import sys
from collections.abc import Iterator

from providers import pfsense_objects
from sandbox.pfsense.fields import TYPES, Field
from sandbox.pfsense.kinds import KINDS, RELEASE, Kind

_HEAD = f"""# pfSense, field by field

Written from the code by `make docs`; a test holds the two together. The fields, their types and defaults are those of
[pfSense-pkg-RESTAPI {RELEASE}](https://github.com/pfrest/pfSense-pkg-RESTAPI/tree/{RELEASE}/pfSense-pkg-RESTAPI/files/usr/local/pkg/RESTAPI/Models).

- **kept**: the lab decides it. A change by hand is seen by `make refresh` and put right by `make up`.
- **not touched**: an update leaves it as it is; the lab never sends it.

The sandbox's stand-in checks every field below as pfSense does. It has no gateways and no schedules, so it refuses any,
and it does not check the choices of `icmptype`, `dscp`, TCP flags and queues.
"""


def page() -> str:
    """Return the page as Markdown."""
    lines = [_HEAD]
    for kind, own in zip(KINDS, pfsense_objects.KINDS, strict=True):
        lines += [*_section(kind, own), ""]
    return "\n".join(lines)


def _section(kind: Kind, own: pfsense_objects.Kind) -> Iterator[str]:
    yield f"## {kind.name.capitalize()}\n"
    yield f"`/api/v2/{kind.path}`, list at `/api/v2/{kind.collection}`, takes force by `/api/v2/{own.apply}`."
    key = " and ".join(f"`{name}`" for name in own.key)
    yield f"Found by {key}{', within its interface (`parent_id`)' if own.parent else ''}.\n"
    yield "| field | type | rules | default | the lab |\n|---|---|---|---|---|"
    for name, field in kind.fields.items():
        known = _json(field.default) if field.default is not None else ""
        yield f"| `{name}` | {_type(field)} | {', '.join(_rules(field))} | {known} | {_use(name, field, own)} |"


def _type(field: Field) -> str:
    name = TYPES.get(field.type, "object")
    return f"list of {name}" if field.many else name


def _rules(field: Field) -> Iterator[str]:
    words = {
        "required": field.required,
        "unique": field.unique,
        "never changes": not field.editable and not field.read_only,
        "read-only": field.read_only,
        "may be null": field.allow_null,
    }
    yield from (word for word, holds in words.items() if holds)
    if field.choices:
        yield f"one of {', '.join(field.choices)}"
    for name, allowed in field.conditions.items():
        yield f"only with `{name}` {' or '.join(map(_json, allowed))}"


def _use(name: str, field: Field, own: pfsense_objects.Kind) -> str:
    if name not in own.fields:
        return "pfSense's own" if field.read_only else "not touched"
    return "kept" if field.required or name in own.key else f"kept, {_json(own.fields[name])} unless decided"


def _json(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value).replace("'", '"')


if __name__ == "__main__":
    sys.stdout.write(page())
