"""Fields of objects and the checks that every one of them has, in pfSense-pkg-RESTAPI's order (Core/Field.inc)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.pfsense.errors import InvalidError

Row = dict[str, Any]
Check = Callable[[str, Any], None]
"""Takes a field's name and one value, and raises what is wrong with it."""

# PHP's names of types, as its messages have them.
TYPES: Final[Mapping[type, str]] = {str: "string", bool: "boolean", int: "integer"}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a kind of object; ``required`` has no default, ``conditions`` are values of other fields."""

    type: type = str
    required: bool = False
    default: Any = None
    many: bool = False
    many_maximum: int = 128
    choices: Sequence[str] = ()
    unique: bool = False
    editable: bool = True
    read_only: bool = False
    allow_empty: bool = False
    allow_null: bool = False
    maximum_length: int = 1024
    conditions: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    checks: Sequence[Check] = ()

    def settled(self, name: str, row: Row, before: Row | None, others: Sequence[Row]) -> Any:  # noqa: ANN401 - JSON
        """Return the value that the object will have.

        Raises:
            InvalidError: the value that was given is refused.
        """
        value = row.get(name)
        if any(row.get(other) not in allowed for other, allowed in self.conditions.items()):
            return None
        if self.required and value is None:
            raise InvalidError("FIELD_IS_REQUIRED", f"Field `{name}` is required.")
        if before is not None and not self.editable and value != before[name]:
            raise InvalidError(
                "FIELD_VALUE_CHANGED_WHEN_NOT_EDITABLE",
                f"Field `{name}` is not editable but the requested value `{value}` differs from its current value "
                f"`{before[name]}`.",
            )
        if value is None and self.default is not None:
            value = list(self.default) if self.many else self.default
        self._check_many(name, value)
        self._refuse_empty(name, value)
        if value is None and (self.allow_null or self.read_only):
            return None
        for one in (value or []) if self.many else [value]:
            self._check(name, one, others)
        return value

    def _check_many(self, name: str, value: object) -> None:
        if not self.many or value is None:
            return
        if not isinstance(value, list):
            raise InvalidError("FIELD_INVALID_MANY_VALUE", f"Field `{name}` must be of type `array`.")
        if self.many_maximum and len(value) > self.many_maximum:
            raise InvalidError(
                "LENGTH_VALIDATOR_MAXIMUM_CONSTRAINT",
                f"Field '{name}' exceeds the maximum array length of {self.many_maximum}.",
            )

    def _refuse_empty(self, name: str, value: object) -> None:
        if value in ("", []) and not self.allow_empty:
            raise InvalidError("FIELD_EMPTY_NOT_ALLOWED", f"Field `{name}` cannot be empty.")

    def _check(self, name: str, value: Any, others: Sequence[Row]) -> None:  # noqa: ANN401 - JSON
        # PHP keeps booleans and integers apart, Python does not.
        if type(value) is not self.type and not (self.allow_null and value is None):
            raise InvalidError("FIELD_INVALID_TYPE", f"Field `{name}` must be of type `{TYPES[self.type]}`")
        if self.choices and value not in self.choices:
            raise InvalidError("FIELD_INVALID_CHOICE", f"Field `{name}` must be one of [{', '.join(self.choices)}]")
        taken = next((row for row in others if self.unique and row[name] == value), None)
        if taken is not None:
            raise InvalidError(
                "FIELD_MUST_BE_UNIQUE",
                f"Field '{name}' must be unique. Value is in use by object with ID '{taken['id']}'.",
            )
        self._refuse_empty(name, value)
        if value == "":
            return
        if isinstance(value, str) and len(value) > self.maximum_length:
            raise InvalidError(
                "LENGTH_VALIDATOR_MAXIMUM_CONSTRAINT",
                f"Field '{name}' exceeds the maximum character length of {self.maximum_length}.",
            )
        for check in self.checks:
            check(name, value)
