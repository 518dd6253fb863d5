"""Read a lab from plain data, with every fault found in one pass: of single fields, of what must agree, of sizes."""

from collections.abc import Iterator

from pydantic import ValidationError

from config.capacity import capacity_faults
from config.faults import Fault, LabError
from config.model import Lab
from config.rules.fields import field_faults
from config.rules.firewall import firewall_rules
from config.rules.machines import machine_rules
from config.rules.network import network_rules
from config.rules.parts import Parts
from config.rules.services import service_rules

__all__ = ["read_lab"]


def read_lab(data: object, *, measured: bool = True) -> Lab:
    """Return the lab that ``data`` describes, or raise `LabError` with all its faults.

    A part that does not parse is reported and left out of the rules, so that one slip hides no other. Sizes are added
    up only when everything else is right, since until then the sums would mislead; and not at all unless ``measured``.
    """
    lab: Lab | None = None
    faults: list[Fault] = []
    try:
        lab = Lab.model_validate(data)
    except ValidationError as error:
        faults = list(field_faults(error))
    faults += _rules(Parts.of(data))
    if lab is not None and not faults and measured:
        faults += capacity_faults(lab)
    if lab is None or faults:
        raise LabError(faults)
    return lab


def _rules(parts: Parts) -> Iterator[Fault]:
    yield from machine_rules(parts)
    yield from network_rules(parts)
    yield from service_rules(parts)
    yield from firewall_rules(parts)
