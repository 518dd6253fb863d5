"""What counts as being on PATH, and what the user gets to see."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import toolchain.__main__
from config import versions
from toolchain.cache import Cache
from toolchain.errors import ToolchainError
from toolchain.host import look_on_path
from toolchain.model import Tool
from toolchain.obtain import survey
from toolchain.progress import LiveReporter, PlainReporter, Progress, Task, clock
from toolchain.table import Row, rows, show
from toolchain.tools import TOOLS

REPOSITORY = Path(__file__).parents[2]
HELM = versions.HELM


def tool_named(name: str) -> Tool:
    return next(tool for tool in TOOLS if tool.name == name)


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(folder: Path, name: str, answer: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{answer}'\n")
    (folder / name).chmod(0o755)
    return folder / name


@pytest.mark.parametrize("answer", [f"v{HELM}", f"v{HELM}+g9a2d8e4", f"helm {HELM} linux"])
def test_a_tool_in_exactly_its_version_is_taken_from_path(answer: str, on_path: Path, tmp_path: Path) -> None:
    helm = put(on_path, "helm", answer)
    assert look_on_path(tool_named("helm"), tmp_path / "cache").executables == {"helm": helm}


@pytest.mark.parametrize("answer", [f"v{HELM}1", f"v1{HELM}", f"v{HELM}-rc.1", "v3.1.0", f"v{HELM}.1", "no version"])
def test_a_tool_in_another_version_is_passed_over_with_the_reason(answer: str, on_path: Path, tmp_path: Path) -> None:
    put(on_path, "helm", answer)
    looked = look_on_path(tool_named("helm"), tmp_path / "cache")
    assert looked.executables == {}
    assert looked.reason.startswith("PATH has ")
    assert looked.reason.endswith(", not used")


def test_a_tool_of_which_path_has_only_a_part_is_passed_over_without_asking(on_path: Path, tmp_path: Path) -> None:
    put(on_path, "kubectl", f"v{versions.KUBERNETES}")
    looked = look_on_path(tool_named("controlplane"), tmp_path / "cache")
    assert (looked.executables, looked.reason) == ({}, "PATH has only kubectl, not used")


def test_one_wrong_program_of_several_passes_the_whole_tool_over(on_path: Path, tmp_path: Path) -> None:
    for one in tool_named("controlplane").executables:
        put(on_path, one.name, f"Version: {one.version or versions.KUBERNETES}")
    assert look_on_path(tool_named("controlplane"), tmp_path / "cache").executables
    put(on_path, "etcd", "etcd Version: 3.5.21")
    looked = look_on_path(tool_named("controlplane"), tmp_path / "cache")
    assert (looked.executables, looked.reason) == ({}, "PATH has etcd 3.5.21, not used")


def test_the_python_host_of_another_engine_is_passed_over(
    on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = tool_named("pulumi")
    for one in engine.executables:
        put(on_path, one.name, f"v{engine.version}")
    assert len(look_on_path(engine, tmp_path / "cache").executables) == len(engine.executables)
    put(tmp_path / "other", "pulumi-language-python", "")
    monkeypatch.setenv("PATH", f"{tmp_path / 'other'}:{on_path}")
    looked = look_on_path(engine, tmp_path / "cache")
    assert looked.reason == "PATH has pulumi-language-python of another installation, not used"


def test_the_cache_itself_on_path_does_not_count_as_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "cache" / "bin"
    inside.mkdir(parents=True)
    put(inside, "helm", f"v{HELM}")
    monkeypatch.setenv("PATH", str(inside))
    assert look_on_path(tool_named("helm"), tmp_path / "cache").executables == {}


@pytest.mark.parametrize("name", ["argocd", "redis", "kubernetes"])
def test_tools_that_bring_more_than_programs_or_cannot_be_asked_never_come_from_path(
    name: str, on_path: Path, tmp_path: Path
) -> None:
    tool = tool_named(name)
    for one in tool.executables:
        put(on_path, one.name, f"v{tool.version}")
    assert look_on_path(tool, tmp_path / "cache").executables == {}


def test_a_version_on_path_goes_before_the_cache_and_the_table_says_so(on_path: Path, tmp_path: Path) -> None:
    put(on_path, "helm", f"v{HELM}")
    put(on_path, "kwok", "kwok version v0.5.0")
    table = {row.tool: row for row in rows(survey(Cache(tmp_path / "cache")), Cache(tmp_path / "cache"))}
    assert table["helm"] == Row("helm", HELM, "PATH", "ready")
    assert table["kwok"] == Row("kwok", versions.KWOK, "", "missing", note="PATH has kwok 0.5.0, not used")
    assert table["git"].state == "missing"
    assert "install" in table["git"].note


def test_a_piped_table_has_no_control_characters_and_cuts_nothing_off() -> None:
    out = io.StringIO()
    row = Row("kubernetes", "4.25.0", "", "missing", "7 s", "PATH has only a very long note that says why, not used")
    show([row], out)
    lines = out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue()
    assert lines[0].split() == ["tool", "version", "source", "state", "time", "note"]
    assert lines[1].split() == [part for cell in row.__dict__.values() for part in cell.split()]


def test_lines_in_a_pipe_come_at_each_step_and_every_fifteen_seconds() -> None:
    out = io.StringIO()
    report = PlainReporter(out)
    for second in range(40):
        report(Progress("helm", "building", float(second)))
    report(Progress("helm", "copying", 40.0))
    report(Progress("helm", "3.20.2 built", 41.0, done=True))
    assert [line.partition("(")[2] for line in out.getvalue().splitlines()] == [
        "0 s)",
        "15 s)",
        "30 s)",
        "40 s)",
        "41 s)",
    ]


def test_a_terminal_shows_a_line_that_moves_and_leaves_the_end_behind() -> None:
    out = io.StringIO()
    report = LiveReporter(Console(file=out, force_terminal=True, width=80))
    report(Progress("helm", "building [x/y]", 3.0))
    report(Progress("helm", "3.20.2 built", 65.0, done=True))
    assert "building [x/y] (3 s)" in out.getvalue()
    assert out.getvalue().endswith("3.20.2 built (1 min 05 s)\n")


def test_a_terminal_without_colours_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    report = LiveReporter(Console(file=out, force_terminal=True, width=80))
    report(Progress("helm", "building", 3.0))
    report(Progress("helm", "3.20.2 built", 5.0, done=True))
    assert "\x1b[3" not in out.getvalue().replace("\x1b[3A", "")


def test_steps_are_timed_from_the_start_of_the_tool() -> None:
    told: list[Progress] = []
    task = Task("helm", told.append)
    task.step("building")
    task.tick()
    task.done("built")
    assert [(one.step, one.done) for one in told] == [("building", False), ("building", False), ("built", True)]
    assert told[0].seconds <= told[1].seconds <= told[2].seconds


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s")])
def test_durations_are_short(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def command_line(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HOMELAB_CACHE": str(cache), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "toolchain", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_a_check_of_an_empty_cache_reports_obtains_nothing_and_fails(tmp_path: Path) -> None:
    done = command_line("--check", cache=tmp_path / "cache")
    assert done.returncode == 1
    assert f"pulumi        {versions.PULUMI}" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert "next: python -m toolchain" in done.stderr
    assert not (tmp_path / "cache").exists()


def test_asking_for_the_path_of_a_missing_program_fails_in_words(tmp_path: Path) -> None:
    done = command_line("path", "kwok", cache=tmp_path / "cache")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "kwok is not there yet\n  next: python -m toolchain\n"


def test_a_stopped_run_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(toolchain.__main__, "ensure", stop)
    done = CliRunner().invoke(toolchain.__main__.app)
    assert done.exit_code == 130
    assert "go on with: python -m toolchain" in done.stderr


def test_a_tool_that_cannot_be_had_ends_in_a_message_and_not_in_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ToolchainError("go build failed", "read the log", tool="helm", output="undefined: x")

    monkeypatch.setattr(toolchain.__main__, "ensure", fail)
    done = CliRunner().invoke(toolchain.__main__.app)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "helm: go build failed\n  | undefined: x\n  next: read the log\n"
