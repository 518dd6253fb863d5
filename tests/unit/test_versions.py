"""Every pin in one file, each with a marker by which Renovate finds its successor."""

import re
from pathlib import Path

import pytest

from config import versions

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "config" / "versions.py").read_text()
PINS = {name: value for name, value in vars(versions).items() if name.isupper()}
LITERAL = re.compile(r"""["']v?\d+\.\d+\.\d+[^"']*["']""")


@pytest.mark.parametrize("name", PINS)
def test_a_pin_is_final_and_has_a_marker_on_the_line_above(name: str) -> None:
    assert re.search(rf"# renovate: datasource=\S+ depName=\S+.*\n{name}: Final = ", TEXT)


@pytest.mark.parametrize("name", PINS)
def test_a_pin_is_a_version_and_no_moving_name(name: str) -> None:
    assert re.fullmatch(r"v?\d+\.\d+\.\d+(\+k3s\d+)?", PINS[name])


@pytest.mark.parametrize("name", PINS)
def test_a_pin_is_used(name: str) -> None:
    program = [ROOT / "__main__.py", *ROOT.glob("components/*.py")]
    assert any(f"versions.{name}" in path.read_text() for path in program)


def test_no_version_is_written_anywhere_else_in_the_program() -> None:
    packages = [path for folder in ("components", "providers") for path in ROOT.glob(f"{folder}/*.py")]
    written = {path.name: LITERAL.findall(path.read_text()) for path in [ROOT / "__main__.py", *packages]}
    assert {name: found for name, found in written.items() if found} == {}
