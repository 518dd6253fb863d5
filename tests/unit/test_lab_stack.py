"""How Pulumi is run: with which configuration and environment, and what comes back when it fails or is interrupted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from lab import __main__ as commands
from lab.stack import REPOSITORY, Stack, StackError, environment, exports, real_stack, sandbox_stack
from sandbox.credentials import Credentials
from sandbox.settings import Settings

# Answers as Pulumi would: `stack init` makes a stack and a salt, `config set` encrypts what comes on stdin.
PULUMI = """\
#!/bin/sh
echo "$*" >> "$RECORD/commands"
case "$1 $2" in
    "stack init")
        backend="${PULUMI_BACKEND_URL#file://}" && backend="${backend%%[?]*}"
        mkdir -p "$backend/.pulumi/stacks/homelab"
        touch "$backend/.pulumi/stacks/homelab/dev.json"
        echo "encryptionsalt: v1:salt" >> "$PULUMI_OPTION_CONFIG_FILE" ;;
    "config set")
        cat >> "$RECORD/stdin"
        sed -i "s/^config:/config:\\n  $4: {secure: v1:cipher}/" "$PULUMI_OPTION_CONFIG_FILE" ;;
    "stack history")
        echo "[]" ;;
    "fail "*)
        echo "first line"; echo "error: the stack is currently locked by 1 lock(s)" >&2; exit 255 ;;
    *) echo "$PWD $PULUMI_HOME" ;;
esac
"""
# Pulumi lets what it has begun finish when it is interrupted once.
INTERRUPTIBLE = """\
#!{python} -IS
import signal, sys, time
record = open({record!r}, "a", buffering=1)
signal.signal(signal.SIGINT, lambda *_: print("SIGINT", file=record))
print("creating", flush=True)
end = time.monotonic() + 5
while time.monotonic() < end:
    time.sleep(0.01)
    if "SIGINT" in open({record!r}).read():
        time.sleep(0.2)
        print("saved", flush=True)
        sys.exit(1)
"""
STREAM = """
import pathlib, signal, sys
from lab.stack import Stack, StackError
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    Stack("dev", {"PATH": sys.argv[1], "PULUMI_BACKEND_URL": "file:///nowhere"}, pathlib.Path("config")).stream("up")
except StackError as error:
    sys.exit(str(error))
"""


class Tools:
    """A toolchain that has nothing but a place for Pulumi."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pulumi_home = folder / "home"

    def path_entries(self) -> list[Path]:
        return [self.folder]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    put(tmp_path / "bin" / "pulumi", PULUMI)
    monkeypatch.setenv("RECORD", str(tmp_path))
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_BACKEND_URL"):
        monkeypatch.delenv(name, raising=False)
    return Tools(tmp_path / "bin")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "sandbox", "127.12")


@pytest.fixture
def signals_restored() -> Iterator[None]:
    """Put back what a command does to the signals of its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def put(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)


def test_the_stack_of_the_sandbox_is_made_once_and_on_the_sandboxs_network(
    tools: Any, settings: Settings, tmp_path: Path
) -> None:
    stack = sandbox_stack(tools, settings)
    text = stack.config_file.read_text()
    lab = yaml.safe_load(text)["config"]["homelab:lab"]
    assert lab["proxmox"]["endpoint"] == "https://127.12.0.2:8006"
    assert "127.10." not in text
    asked = (tmp_path / "commands").read_text().splitlines()
    assert [line.split(" --")[0] for line in asked] == ["stack init", "config set", "config set"]

    sandbox_stack(tools, settings)
    assert (tmp_path / "commands").read_text().splitlines() == asked


def test_the_token_goes_through_stdin_and_no_secret_is_on_a_command_line_or_readable(
    tools: Any, settings: Settings, tmp_path: Path
) -> None:
    stack = sandbox_stack(tools, settings)
    credentials = Credentials.at(settings.credentials)
    assert (tmp_path / "stdin").read_text() == credentials.proxmox_api_token + credentials.pfsense_key
    asked = (tmp_path / "commands").read_text()
    assert not any(
        secret in asked for secret in (credentials.proxmox_token, credentials.pfsense_key, credentials.passphrase)
    )
    assert credentials.passphrase not in repr(stack)
    passphrase = Path(stack.environment["PULUMI_CONFIG_PASSPHRASE_FILE"])
    assert passphrase.read_text() == credentials.passphrase
    files = [passphrase, *stack.config_file.parent.iterdir()]
    assert len(files) == 3
    assert [file for file in files if file.stat().st_mode & 0o077] == []
    assert (settings.root / "state").stat().st_mode & 0o077 == 0


def test_the_generated_configuration_keeps_its_salt_and_secrets_and_follows_the_repositorys(
    tools: Any, settings: Settings
) -> None:
    config_file = sandbox_stack(tools, settings).config_file
    known = yaml.safe_load(config_file.read_text())
    assert known["encryptionsalt"] == "v1:salt"
    known["config"]["homelab:lab"]["domain"] = "stale.example.com"
    known["config"]["homelab:removed"] = "stale"
    config_file.write_text(yaml.safe_dump(known))

    again = yaml.safe_load(sandbox_stack(tools, settings).config_file.read_text())
    assert again["encryptionsalt"] == "v1:salt"
    assert again["config"]["homelab:proxmoxApiToken"] == {"secure": "v1:cipher"}
    assert again["config"]["homelab:lab"]["domain"] == "lab.example.com"
    assert "homelab:removed" not in again["config"]
    assert config_file.stat().st_mode & 0o777 == 0o600


def test_the_repository_is_left_as_it_was(tools: Any, settings: Settings) -> None:
    before = (REPOSITORY / "Pulumi.dev.yaml").read_bytes()
    sandbox_stack(tools, settings)
    assert (REPOSITORY / "Pulumi.dev.yaml").read_bytes() == before
    assert b"encryptionsalt" not in before


def test_the_operators_passphrase_never_replaces_the_sandboxs(
    tools: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "the operator's")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "https://api.pulumi.com")
    variables = sandbox_stack(tools, settings).environment
    assert "PULUMI_CONFIG_PASSPHRASE" not in variables
    assert variables["PULUMI_BACKEND_URL"] == f"file://{settings.root}/state?metadata=skip"
    assert variables["SSL_CERT_FILE"] == str(settings.authority)


def test_the_tools_come_first_on_the_path(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    entries = environment(tools, {})["PATH"].split(os.pathsep)
    assert entries == [str(tools.folder), str(Path(sys.executable).parent), "/usr/bin"]


def test_a_real_stack_uses_the_operators_backend_and_passphrase(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "/secrets/passphrase")
    stack = real_stack(tools, "prod")
    assert stack.config_file == REPOSITORY / "Pulumi.prod.yaml"
    assert stack.environment["PULUMI_BACKEND_URL"] == f"file://{Path.home()}?metadata=skip"
    assert stack.environment["PULUMI_CONFIG_PASSPHRASE_FILE"] == "/secrets/passphrase"
    assert "SSL_CERT_FILE" not in stack.environment.keys() - os.environ.keys()
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://states")
    assert real_stack(tools, "prod").environment["PULUMI_BACKEND_URL"] == "s3://states"


@pytest.mark.usefixtures("signals_restored")
@pytest.mark.parametrize(
    ("stack", "said"),
    [
        ("prod", ["no passphrase for the secrets of stack prod", "next: export PULUMI_CONFIG_PASSPHRASE_FILE=<file>"]),
        ("nowhere", ["there is no Pulumi.nowhere.yaml", "dev, prod", "next: "]),
    ],
)
def test_a_real_stack_that_cannot_be_run_is_refused_with_the_next_command(
    tools: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stack: str, said: list[str]
) -> None:
    monkeypatch.setattr(commands, "ensure", lambda: tools)
    done = CliRunner().invoke(commands.app, ["preview", "--stack", stack])
    assert done.exit_code == 1
    assert [words for words in said if words not in done.output] == []
    assert not (tmp_path / "commands").exists(), "Pulumi was never run"


@pytest.mark.usefixtures("signals_restored")
def test_destroying_a_real_lab_asks_for_its_name(tools: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(commands, "ensure", lambda: tools)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "secret")
    refused = CliRunner().invoke(commands.app, ["destroy", "--stack", "prod"], input="yes\n")
    assert refused.exit_code == 1
    assert "nothing was destroyed" in refused.output
    assert not (tmp_path / "commands").exists()
    CliRunner().invoke(commands.app, ["destroy", "--stack", "prod"], input="prod\n")
    asked = (tmp_path / "commands").read_text().splitlines()
    assert [line for line in asked if line.startswith("destroy --yes")] == asked[-1:]


def test_a_command_passes_its_output_on_and_names_stack_and_configuration(
    tools: Any, settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stack = sandbox_stack(tools, settings)
    stack.stream("preview", "--diff")
    assert capfd.readouterr().out == f"{REPOSITORY} {tools.pulumi_home}\n"
    last = (tmp_path / "commands").read_text().splitlines()[-1]
    assert last == (f"preview --diff --config-file {stack.config_file} --color never --stack dev --non-interactive")


def test_a_failed_command_is_reported_with_what_is_known_of_its_cause(
    tools: Any, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    stack = sandbox_stack(tools, settings)
    with pytest.raises(StackError, match="pulumi fail failed on stack dev") as streamed:
        stack.stream("fail", "now")
    assert capfd.readouterr().out.splitlines()[0] == "first line"
    with pytest.raises(StackError, match=r"pulumi fail now: error: the stack is currently locked") as read:
        stack.read("fail", "now")
    for error in (streamed.value, read.value):
        assert error.hint is not None
        assert error.hint.command == "python -m lab unlock --stack dev"


@pytest.mark.parametrize("killed", [False, True], ids=["interrupted", "killed"])
def test_an_interrupt_reaches_pulumi_once_and_what_it_says_after_it_is_shown(tmp_path: Path, *, killed: bool) -> None:
    record = tmp_path / "signals"
    record.touch()
    put(tmp_path / "bin" / "pulumi", INTERRUPTIBLE.format(python=sys.executable, record=str(record)))
    with subprocess.Popen(
        [sys.executable, "-c", STREAM, str(tmp_path / "bin")],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "creating\n"
        # A terminal interrupts the whole foreground group; a kill hits one process.
        if killed:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGINT)
        out, error = process.communicate(timeout=10)
    deadline = time.monotonic() + 5
    while not record.read_text():
        assert time.monotonic() < deadline, "Pulumi was never interrupted"
        time.sleep(0.01)
    assert record.read_text() == "SIGINT\n"
    if not killed:
        assert (out, error) == ("saved\n", "pulumi up failed on stack dev\n")
        assert process.returncode == 1


def test_exports_are_safe_for_a_shell() -> None:
    variables = {"PATH": "/a b:/c", "TOKEN": "$(id)", "UNUSED": "x"}
    assert exports(variables, ["PATH", "TOKEN", "MISSING"]) == "export PATH='/a b:/c'\nexport TOKEN='$(id)'"


def test_a_stack_shows_no_environment_in_its_repr(tmp_path: Path) -> None:
    assert "secret" not in repr(Stack("dev", {"TOKEN": "secret"}, tmp_path))
