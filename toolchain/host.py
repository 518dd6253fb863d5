"""What this machine already has: its platform, the tools on PATH in their pinned version, and git.

Nothing is obtained here; where git is missing, the reader is told the command that installs it.
"""

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from config import versions
from toolchain.errors import ToolchainError
from toolchain.model import Tool

_ARCHES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class OnPath:
    """What PATH has of a tool: all its programs in the pinned version, or the reason why not."""

    executables: dict[str, Path]
    reason: str = ""


def this_platform() -> tuple[str, str]:
    """Name operating system and processor the way Go and most publishers do."""
    system, machine = platform.system().lower(), platform.machine().lower()
    if system not in {"linux", "darwin"} or machine not in _ARCHES:
        raise ToolchainError(
            f"{platform.system()} on {platform.machine()} is not supported",
            "use Linux or macOS on amd64 or arm64 (on Windows: WSL 2)",
        )
    return system, _ARCHES[machine]


def outside(cache: Path) -> str:
    """Read PATH without the cache's own folders."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(one for one in folders if one and not Path(one).is_relative_to(cache))


def look_on_path(tool: Tool, cache: Path) -> OnPath:
    """Take a tool from PATH if it is whole and answers with exactly its pinned version."""
    if not tool.taken_from_path:
        return OnPath({})
    path = outside(cache)
    found = {one.name: Path(at) for one in tool.executables if (at := shutil.which(one.name, path=path))}
    if not found:
        return OnPath({})
    if len(found) < len(tool.executables):
        return OnPath({}, f"PATH has only {', '.join(found)}, not used")
    asked = [one for one in tool.executables if one.ask]
    for one in asked:
        answer = _answer(found[one.name], one.ask)
        if not _tells(answer, one.version or tool.version):
            other = re.search(r"\d+\.\d+\.\d+\S*", answer)
            what = f"{one.name} {other.group()}" if other else f"a {one.name} that does not tell its version"
            return OnPath({}, f"PATH has {what}, not used")
    folders = {found[one.name].parent for one in asked}
    if stray := [name for name, at in found.items() if at.parent not in folders]:
        return OnPath({}, f"PATH has {', '.join(stray)} of another installation, not used")
    return OnPath(found)


def require_git() -> tuple[Path, str]:
    """Find git, or say which command installs it here."""
    least = ".".join(str(part) for part in versions.GIT_MINIMUM)
    found = shutil.which("git")
    if not found:
        raise ToolchainError(f"git {least} or newer is needed and not on PATH", f"run: {git_command()}", tool="git")
    answer = re.search(r"(\d+)\.(\d+)(\.\d+)?", _answer(Path(found), ("--version",)))
    if not answer or (int(answer[1]), int(answer[2])) < versions.GIT_MINIMUM:
        has = answer.group() if answer else "a git that does not answer"
        raise ToolchainError(f"git {least} or newer is needed, {found} is {has}", f"run: {git_command()}", tool="git")
    return Path(found), answer.group()


def git_command() -> str:
    """Name the command that installs git on this platform."""
    if platform.system() == "Darwin":
        return "brew install git"
    sudo = "" if os.geteuid() == 0 else "sudo "
    if shutil.which("dnf"):
        return f"{sudo}dnf install -y git"
    return f"{sudo}apt-get install -y git"


def _answer(program: Path, arguments: tuple[str, ...]) -> str:
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout + done.stderr


def _tells(answer: str, version: str) -> bool:
    return bool(re.search(rf"(?<![\d.]){re.escape(version)}(?![\d.\-])", answer))
