"""What the pages promise: every file, picture, target and command that they name exists, and nothing of one machine."""

import re
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from lab.__main__ import app as lab
from sandbox.__main__ import app as sandbox
from toolchain.__main__ import app as toolchain

ROOT = Path(__file__).parents[2]
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in [*ROOT.glob("*.md"), *ROOT.glob("[!.]*/**/*.md")]}

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```[a-z]*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
MAKE = re.compile(r"(?:^|[\s(])make((?: +-s)?(?: +[a-z-]+|(?= *$)))", re.MULTILINE)
COMMAND = re.compile(r"python -m (lab|sandbox|toolchain)\b(?: ([a-z]+))?((?: \S+)*)")
PRIVATE = re.compile(r"/(?:root|work|home|Users|tmp|mnt|opt)/|\b(?:10\.\d+\.\d+\.\d+|192\.168\.\d+\.\d+):\d+")
APPS: dict[str, typer.Typer] = {"lab": lab, "sandbox": sandbox, "toolchain": toolchain}


def code_of(page: str) -> str:
    """What a page sets as code, a line each."""
    return "\n".join(block or inline for block, inline in CODE.findall(PAGES[page]))


def anchors_of(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def options_of(package: str) -> dict[str, set[str]]:
    """The options of each command of a package; under the empty name, those of the package itself."""
    root = get_command(APPS[package])
    commands = {"": root, **getattr(root, "commands", {})}
    return {name: {opt for param in one.params for opt in param.opts} | {"--help"} for name, one in commands.items()}


def test_there_are_pages_to_check() -> None:
    assert {"README.md", "docs/architecture.md", "docs/adr/README.md", "toolchain/README.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_picture_leads_to_a_file_and_heading_of_the_repository(page: str) -> None:
    missing = []
    for link in LINK.findall(PAGES[page]):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        known = target.is_relative_to(ROOT) and target.exists()
        if not known or (anchor and anchor not in anchors_of(target.read_text())):
            missing.append(link)
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_exists(page: str) -> None:
    named = {word for words in MAKE.findall(code_of(page)) for word in words.split() if word != "-s"}
    assert named - targets() == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_of_our_packages_exists(page: str) -> None:
    unknown = []
    for package, command, rest in COMMAND.findall(code_of(page)):
        options = options_of(package)
        given = set(re.findall(r"(?:^| )(--?[a-z][a-z-]*)", rest.split(" -- ")[0]))
        if command not in options or given - options[command]:
            unknown.append(f"{package} {command}{rest}")
    assert unknown == []


def test_the_readme_tells_of_every_target() -> None:
    named = {word for words in MAKE.findall(code_of("README.md")) for word in words.split()}
    assert targets() - named - {"help", "format", "lock"} == set()


def test_every_decision_is_in_the_index() -> None:
    decisions = {Path(name).name for name in PAGES if re.fullmatch(r"docs/adr/\d{4}-.+\.md", name)}
    assert decisions
    assert decisions == set(LINK.findall(PAGES["docs/adr/README.md"]))


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_a_path_or_a_server_of_one_machine(page: str) -> None:
    assert PRIVATE.findall(PAGES[page]) == []
