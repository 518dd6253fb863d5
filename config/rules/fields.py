"""What pydantic refuses, in the words of an operator."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from config.faults import Fault
from config.model import Lab

_PROBLEMS = {
    "missing": "is missing",
    "extra_forbidden": "is not a setting",
    "string_pattern_mismatch": "is malformed",
    "ip_v4_address": "is not a valid IPv4 address (IPv6 is not supported)",
    "ip_v4_network": "is not a valid IPv4 network (IPv6 is not supported)",
}


def field_faults(error: ValidationError) -> Iterator[Fault]:
    """Yield what ``error`` tells of, each fault with the field's description as its fix."""
    for details in error.errors(include_url=False):
        # A default that is made from another field, which is a fault of its own.
        if details["type"] != "default_factory_not_called":
            yield _fault(details)


def _fault(details: ErrorDetails) -> Fault:
    # pydantic adds the words "[key]" where a mapping's key is what it refuses.
    location = tuple(part for part in details["loc"] if part != "[key]")
    path = "lab" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    value = details.get("input")
    shown = value if isinstance(value, str | int | float | bool) and details["type"] != "missing" else None
    return Fault(path, shown, _problem(details), _fix(location))


def _problem(details: ErrorDetails) -> str:
    message = details["msg"].removeprefix("Value error, ")
    return _PROBLEMS.get(details["type"], message[:1].lower() + message[1:])


def _fix(location: tuple[int | str, ...]) -> str:
    """Say what a good value looks like: the description of the field that the location leads to."""
    kind: Any = Lab
    description: str | None = None
    for part in location:
        kind, described = _plain(kind)
        description = described or description
        if isinstance(part, int) or get_origin(kind) is Mapping:
            # tuple[Node, ...] leads to Node, and Mapping[Label, Application] to Application.
            kind = next(one for one in reversed(get_args(kind)) if one is not Ellipsis) if get_args(kind) else None
            continue
        fields = _fields(kind)
        if part not in fields:
            return f"remove it; known here: {', '.join(sorted(fields))}" if fields else description or "remove it"
        field = fields[part]
        kind, description = field.annotation, field.description or _described(field.metadata)
    kind, described = _plain(kind)
    description = described or description
    return description or f"a mapping with {', '.join(_fields(kind))}"


def _plain(kind: Any) -> tuple[Any, str | None]:  # noqa: ANN401 - an annotation
    """Look through ``| None`` and `Annotated`; return the type, and the description that the latter carries."""
    options = [one for one in get_args(kind) if one is not type(None)]
    if type(None) in get_args(kind) and len(options) == 1:
        kind = options[0]
    if get_origin(kind) is Annotated:
        return get_args(kind)[0], _described(get_args(kind)[1:])
    return kind, None


def _described(metadata: Any) -> str | None:  # noqa: ANN401 - whatever an annotation carries
    return next((one.description for one in metadata if isinstance(one, FieldInfo) and one.description), None)


def _fields(model: object) -> dict[str, FieldInfo]:
    return model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
