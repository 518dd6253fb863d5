"""The page of all settings, written from the model: `python -m config.reference` prints docs/configuration.md."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.model import Lab, Section
from config.model.values import Address, AddressRange, Network
from config.secrets import SECRETS

_HEAD = """# Every setting

A lab is what stands under `homelab:lab` in `Pulumi.<stack>.yaml`. This page is written from the model by `make docs`;
a test holds the two together. What is refused beyond a single value, and why, is in `config/rules`.

- A setting without a default has to be there. A section that may be left out is a part that the lab does not have.
- All faults are reported at once, before the first resource is made, each with its path, value and fix.
- `make plan` shows whether the sizes fit: machines in hosts, pods in nodes with any one of them lost, volumes on disks.
- IPv4 only; [the decision](adr/0008-one-validated-model.md) says why.
"""

_TYPES: Mapping[object, str] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "true or false",
    Address: "IPv4 address",
    Network: "IPv4 network",
    AddressRange: "first-last",
}
# The words for it, and where in its arguments the kind of its values is.
_COLLECTIONS: Mapping[object, tuple[str, int]] = {tuple: ("list", 0), Mapping: ("mapping by name", 1)}


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *_section("lab", Lab), *_secrets()])


def _section(path: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"## {path}\n"
    yield f"{(model.__doc__ or '').partition(chr(10))[0]}\n"
    yield "| key | value | default | |"
    yield "|---|---|---|---|"
    inner: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        kind, note, nested = _kind(field.annotation)
        text = field.description or note or _described(field.metadata) or ""
        if nested and nested is not AddressRange:
            inner.append((f"{path}.{name}{_suffix(kind)}", nested))
            text = text or (nested.__doc__ or "").partition("\n")[0]
        yield f"| `{name}` | {kind} | {_default(field)} | {text} |".replace("|  |", "| |")
    yield ""
    for below, nested in inner:
        yield from _section(below, nested)


def _suffix(kind: str) -> str:
    return {"list": "[]", "mapping by name": ".<name>"}.get(kind, "")


def _kind(annotation: Any) -> tuple[str, str | None, type[BaseModel] | None]:  # noqa: ANN401 - an annotation
    """Return the kind of value in words, what `Annotated` says of it, and the section that it is made of."""
    options = [one for one in get_args(annotation) if one is not type(None)]
    origin = get_origin(annotation)
    if type(None) in get_args(annotation):
        return _kind(options[0])
    if origin is Annotated:
        kind, note, nested = _kind(options[0])
        return kind, _described(options[1:]) or note, nested
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in options), None, None
    if origin in _COLLECTIONS:
        words, place = _COLLECTIONS[origin]
        kind, note, nested = _kind(options[place])
        return (words, None, nested) if nested else (f"{words}: {kind}", note, None)
    if annotation in _TYPES:
        return _TYPES[annotation], None, None
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section", None, annotation
    raise TypeError(f"no words for {annotation}")


def _described(metadata: Any) -> str | None:  # noqa: ANN401 - whatever an annotation carries
    return next((one.description for one in metadata if isinstance(one, FieldInfo) and one.description), None)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if field.default_factory_takes_validated_data:
        return "made from the others"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, BaseModel) or value in ((), {}):
        return "empty" if value in ((), {}) else "see below"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _secrets() -> Iterator[str]:
    yield "## Secrets\n"
    yield "Never in the lab's own section: `make init STACK=<stack>` sets them, encrypted.\n"
    yield "| key | what | form |"
    yield "|---|---|---|"
    for key in SECRETS:
        yield f"| `{key.name}` | {key.what} | {key.shape} |"
    yield ""


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - what it is for
