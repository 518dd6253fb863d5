"""A stack's secrets: where they may come from, which ones are asked for, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.secrets import CLOUDFLARE_API_TOKEN, PFSENSE_API_KEY, PROXMOX_API_TOKEN, SecretKey
from lab.initialise import Outcome, initialise, read_secrets, variable
from lab.stack import StackError
from tests.config.labs import Data, development, production

TOKEN = "homelab@pve!pulumi=11111111-2222-3333-4444-555555555555"
KEY = "a1" * 16
CLOUD = "c-_9" * 10
GIVEN = {"proxmoxApiToken": TOKEN, "pfsenseApiKey": KEY, "cloudflareApiToken": CLOUD}


class FakeStack:
    """A stack in a folder, with a Pulumi that remembers what it was told."""

    name = "home"

    def __init__(self, folder: Path, lab: Data, *, known: tuple[str, ...] = (), **written: Any) -> None:
        self.config_file = folder / "Pulumi.home.yaml"
        config = {"homelab:lab": lab, **{f"homelab:{name}": value for name, value in written.items()}}
        self.config_file.write_text(yaml.safe_dump({"config": config}))
        self.known = known
        self.told: list[tuple[tuple[str, ...], str | None]] = []

    def read(self, *arguments: str, stdin: str | None = None, folder: Path, stackless: bool = False) -> str:
        assert folder == self.config_file.parent
        if arguments[:2] == ("stack", "ls"):
            assert stackless
            return json.dumps([{"name": name} for name in self.known])
        self.told.append((arguments, stdin))
        return ""

    @property
    def set(self) -> dict[str, str | None]:
        return {arguments[-1]: stdin for arguments, stdin in self.told if arguments[0] == "config"}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., FakeStack]:
    return lambda lab=None, **how: FakeStack(tmp_path, lab or production(), **how)


def run(stack: FakeStack, **how: Any) -> Outcome:
    return initialise(stack, **{"given": {}, "ask": None, "replace": False, "environment": {}, **how})  # type: ignore[arg-type]


def test_a_new_stack_is_made_and_gets_every_secret_of_its_lab_on_standard_input(make: Any) -> None:
    stack = make()
    outcome = run(stack, given=GIVEN)
    assert outcome == Outcome(True, tuple(GIVEN), (), ())
    assert stack.told[0] == (("stack", "init", "--no-select"), None)
    assert stack.set == {f"homelab:{name}": value for name, value in GIVEN.items()}
    assert not any(value in " ".join(arguments) for arguments, _ in stack.told for value in GIVEN.values())


@pytest.mark.parametrize("known", ["home", "organization/homelab/home"])
def test_a_stack_that_is_there_is_not_made_again(make: Any, known: str) -> None:
    stack = make(known=(known, "other"))
    assert run(stack, given=GIVEN).made is False
    assert all(arguments[0] == "config" for arguments, _ in stack.told)


def test_only_what_the_lab_has_a_use_for_is_set(make: Any) -> None:
    assert run(make(development()), given=GIVEN).set == ("proxmoxApiToken", "pfsenseApiKey")


def test_a_lab_with_faults_may_be_given_its_secrets_before_they_are_mended(make: Any) -> None:
    assert run(make({"edge": {}, "nodes": "none"}), given=GIVEN).set == ("proxmoxApiToken", "cloudflareApiToken")


def test_what_is_set_already_stays_unless_it_is_to_be_replaced(make: Any) -> None:
    assert run(make(pfsenseApiKey={"secure": "v1:x"}), given=GIVEN).kept == ("pfsenseApiKey",)
    assert "pfsenseApiKey" in run(make(pfsenseApiKey={"secure": "v1:x"}), given=GIVEN, replace=True).set


def test_the_environment_comes_before_the_file_and_a_person_is_asked_last(make: Any) -> None:
    asked: list[str] = []

    def ask(key: SecretKey) -> str:
        asked.append(key.name)
        return CLOUD

    stack = make()
    other = TOKEN.replace("1", "9")
    environment = {"HOMELAB_PROXMOX_API_TOKEN": other}
    run(stack, given={"proxmoxApiToken": TOKEN, "pfsenseApiKey": KEY}, ask=ask, environment=environment)
    assert asked == ["cloudflareApiToken"]
    assert stack.set["homelab:proxmoxApiToken"] == other


def test_what_nobody_gives_is_reported_and_the_rest_is_set(make: Any) -> None:
    stack = make()
    outcome = run(stack, given={"proxmoxApiToken": TOKEN})
    assert outcome.missing == (PFSENSE_API_KEY, CLOUDFLARE_API_TOKEN)
    assert list(stack.set) == ["homelab:proxmoxApiToken"]
    assert variable(PROXMOX_API_TOKEN) == "HOMELAB_PROXMOX_API_TOKEN"


def test_a_value_of_the_wrong_form_is_neither_set_nor_shown(make: Any) -> None:
    stack = make()
    with pytest.raises(StackError, match="proxmoxApiToken is not of the form: user@realm!name=uuid") as refused:
        run(stack, given={"proxmoxApiToken": "SENTINEL"})
    assert "SENTINEL" not in str(refused.value)
    assert stack.set == {}


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    file = folder / "secrets.yaml"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_a_file_that_only_its_owner_reads_is_read(tmp_path: Path) -> None:
    assert read_secrets(write(tmp_path, yaml.safe_dump(GIVEN))) == GIVEN


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        (yaml.safe_dump(GIVEN), 0o640, "can be read by others.*chmod 600"),
        (yaml.safe_dump(GIVEN), 0o604, "can be read by others"),
        ("proxmoxToken: SENTINEL", 0o600, "has proxmoxToken, which no lab has; known are cloudflareApiToken"),
        ("[SENTINEL]", 0o600, "is no mapping"),
        ("pfsenseApiKey: 5", 0o600, "is no mapping"),
        ("{SENTINEL", 0o600, "cannot be read"),
    ],
)
def test_a_file_that_is_not_fit_to_be_read_is_refused_without_its_content(
    tmp_path: Path, text: str, mode: int, problem: str
) -> None:
    with pytest.raises(StackError, match=problem) as refused:
        read_secrets(write(tmp_path, text, mode))
    assert "SENTINEL" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"nothing\.yaml cannot be read"):
        read_secrets(tmp_path / "nothing.yaml")
