"""Checks request parameters as Proxmox VE's JSON schema does: unknown, missing and ill-typed ones, all at once.

It knows kinds of values, not which endpoint takes what; the tables are in `options` and `routes`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sandbox.proxmox.errors import ParameterError

Value = int | float | str
Kind = Callable[[str, str], Value]
"""Takes the name and the text of a parameter, and returns its value or raises InvalidError."""

UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
MISSING = "property is missing and it is not optional"
TRUE = {"1", "on", "yes", "true"}
FALSE = {"0", "off", "no", "false"}


class InvalidError(ValueError):
    """A value that its schema refuses."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of an endpoint."""

    kind: Kind
    required: bool = False


def integer(minimum: int | None = None, maximum: int | None = None) -> Kind:
    """Accept a whole number within bounds."""

    def read(_: str, given: str) -> int:
        if not re.fullmatch(r"-?\d+", given):
            raise InvalidError(f"type check ('integer') failed - got '{given}'")
        return int(_bounded(int(given), minimum, maximum))

    return read


def number(minimum: float | None = None, maximum: float | None = None) -> Kind:
    """Accept a number within bounds."""

    def read(_: str, given: str) -> float:
        if not re.fullmatch(r"-?\d+(\.\d+)?", given):
            raise InvalidError(f"type check ('number') failed - got '{given}'")
        return _bounded(float(given), minimum, maximum)

    return read


def _bounded(value: float, minimum: float | None, maximum: float | None) -> float:
    if minimum is not None and value < minimum:
        raise InvalidError(f"value must have a minimum value of {minimum}")
    if maximum is not None and value > maximum:
        raise InvalidError(f"value must have a maximum value of {maximum}")
    return value


def boolean(_: str, given: str) -> int:
    """Accept the spellings of a boolean; every answer has 0 or 1."""
    if given.lower() not in TRUE | FALSE:
        raise InvalidError(f"type check ('boolean') failed - got '{given}'")
    return int(given.lower() in TRUE)


def choice(*options: str) -> Kind:
    """Accept one of ``options``."""

    def read(_: str, given: str) -> str:
        if given not in options:
            raise InvalidError(f"value '{given}' does not have a value in the enumeration '{', '.join(options)}'")
        return given

    return read


def text(pattern: str = r".*", problem: str = "value does not match the regex pattern", longest: int = 8192) -> Kind:
    """Accept text that matches ``pattern`` as a whole, or else has ``problem``."""
    expression = re.compile(pattern, re.DOTALL)

    def read(_: str, given: str) -> str:
        if len(given) > longest:
            raise InvalidError(f"value may only be {longest} characters long")
        if not expression.fullmatch(given):
            raise InvalidError(problem)
        return given

    return read


def entries(given: str, separators: str = r"[,;\s]+") -> list[str]:
    """Split a list in one string (PVE::Tools::split_list)."""
    return [entry for entry in re.split(separators, given) if entry]


def each(kind: Kind, separators: str = r"[,;\s]+") -> Kind:
    """Accept a list in one string, if every entry is of ``kind``."""

    def read(name: str, given: str) -> str:
        for entry in entries(given, separators):
            kind(name, entry)
        return given

    return read


def properties(fields: Mapping[str, Kind], default: str = "", required: tuple[str, ...] = ()) -> Kind:
    """Accept a property string such as ``enabled=1,type=virtio``, kept as it was sent."""

    def read(name: str, given: str) -> str:
        split_properties(name, given, fields, default, required)
        return given

    return read


def split_properties(
    name: str, given: str, fields: Mapping[str, Kind], default: str = "", required: tuple[str, ...] = ()
) -> dict[str, str]:
    """Return the entries of the property string of parameter ``name``, each checked against its field.

    Raises:
        InvalidError: an entry is unknown, given twice, without a key where none is the default, missing or ill-typed.
    """
    found: dict[str, str] = {}
    problems: list[str] = []
    for part in filter(str.strip, given.split(",")):
        key, separator, value = part.strip().partition("=")
        if not separator:
            key, value = default, key
        if not key:
            raise InvalidError("invalid format - value without key, but schema does not define a default key")
        if key in found:
            raise InvalidError(f"invalid format - duplicate key in comma-separated list property: {key}")
        found[key] = value
        if key not in fields:
            problems.append(f"{name}.{key}: {UNKNOWN}")
            continue
        try:
            fields[key](name, value)
        except InvalidError as error:
            problems.append(f"{name}.{key}: {error}")
    problems += [f"{name}.{key}: {MISSING}" for key in required if key not in found]
    if problems:
        raise InvalidError("\n".join(["invalid format - format error", *problems]))
    return found


def check(given: Mapping[str, str], known: Mapping[str, Parameter]) -> dict[str, Value]:
    """Return the typed values of ``given``.

    Raises:
        ParameterError: with every fault, by parameter.
    """
    values: dict[str, Value] = {}
    errors = {name: MISSING for name, parameter in known.items() if parameter.required and name not in given}
    for name, entry in given.items():
        if name not in known:
            errors[name] = UNKNOWN
            continue
        try:
            values[name] = known[name].kind(name, entry)
        except InvalidError as error:
            errors[name] = str(error)
    if errors:
        raise ParameterError(errors)
    return values
