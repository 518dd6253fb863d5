"""The provider and the stand-in agree on pfSense's fields, and the page says so."""

import pytest

from providers import pfsense_objects
from sandbox.pfsense.kinds import KINDS, Kind
from sandbox.pfsense.reference import page
from tests.config.labs import ROOT

PAIRS = list(zip(KINDS, pfsense_objects.KINDS, strict=True))


def test_the_page_is_the_one_that_the_code_makes() -> None:
    assert (ROOT / "docs" / "pfsense.md").read_text() == page(), "run: make docs"


@pytest.mark.parametrize(("kind", "own"), PAIRS, ids=[kind.name for kind, _ in PAIRS])
def test_provider_and_stand_in_mean_the_same_object(kind: Kind, own: pfsense_objects.Kind) -> None:
    assert (own.name, own.path, own.collection, own.parent) == (kind.name, kind.path, kind.collection, kind.parent)
    assert own.apply == f"{kind.part}/apply"
    assert set(own.fields) <= set(kind.fields)
    assert not [name for name in own.fields if kind.fields[name].read_only]
    assert {name for name, field in kind.fields.items() if field.required} <= set(own.fields)


@pytest.mark.parametrize(("kind", "own"), PAIRS, ids=[kind.name for kind, _ in PAIRS])
def test_what_the_lab_leaves_out_has_pfsenses_default(kind: Kind, own: pfsense_objects.Kind) -> None:
    optional = {name for name, field in kind.fields.items() if not field.required} & set(own.fields)
    assert {name: own.fields[name] for name in optional} == {name: kind.fields[name].default for name in optional}
