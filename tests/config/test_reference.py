"""The page of all settings says what the model says."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from config.model import Lab
from config.model.values import AddressRange
from config.reference import page
from tests.config.labs import ROOT


def test_the_page_is_the_one_that_the_model_makes() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == page(), "run: make docs"


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for kind in nested(field.annotation):
            yield from sections(kind)


def nested(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from nested(argument)


def test_every_setting_of_every_section_has_a_row_with_words_of_its_own() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    # A range of addresses is written as one value.
    known = set(sections(Lab)) - {AddressRange}
    assert len(known) > 20
    for model in known:
        for name in model.model_fields:
            assert any(row.startswith(f"| `{name}` |") for row in rows), f"{model.__name__}.{name}"
    silent = [row for row in rows if row.split(" | ")[-1].strip(" |") == ""]
    assert silent == []


def test_a_default_is_shown_as_it_is_written_in_yaml() -> None:
    text = page()
    assert "| `replicas` | number | `2` |" in text
    assert "| `protect` | true or false | **required** |" in text
    assert "| `public` | true or false | `false` |" in text
    assert "| `mac` | text | made from the others |" in text
