"""The cache folder outside the repository: where tools lie, and how one gets there in one piece.

A tool's folder appears by a rename, with its record inside: an interrupted run leaves nothing or the whole tool.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolchain.model import Tool

_RECORD = "installed.json"


@dataclass(frozen=True)
class Record:
    """How a cached tool came to be."""

    source: str
    recipe: str
    seconds: float


@dataclass(frozen=True)
class Cache:
    """Paths under the cache folder, and the moves that are safe on them."""

    root: Path

    @classmethod
    def default(cls) -> "Cache":
        """Take the folder from HOMELAB_CACHE, XDG_CACHE_HOME or the home directory."""
        if chosen := os.environ.get("HOMELAB_CACHE"):
            return cls(Path(chosen).absolute())
        if shared := os.environ.get("XDG_CACHE_HOME"):
            return cls(Path(shared).absolute() / "homelab")
        return cls(Path.home() / ".cache" / "homelab")

    @property
    def pulumi_home(self) -> Path:
        """Where the engine looks for plugins."""
        return self.root / "pulumi"

    @property
    def go_modules(self) -> Path:
        """Go's module cache."""
        return self.root / "go" / "mod"

    @property
    def go_builds(self) -> Path:
        """Go's build cache."""
        return self.root / "go" / "build"

    def log(self, tool: str) -> Path:
        """Path of the log of the tool's last build."""
        folder = self.root / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{tool}.log"

    def folder(self, tool: Tool) -> Path:
        """Folder of a tool in its version."""
        return self.root / "bin" / tool.name / tool.version

    def executable(self, tool: Tool, name: str) -> Path:
        """Path of one of the tool's programs, there or not."""
        if tool.plugin:
            return self.pulumi_home / "plugins" / f"resource-{tool.plugin}-v{tool.version}" / name
        return self.folder(tool) / name

    def record(self, tool: Tool) -> Record | None:
        """Read how a tool came to be; None when it, or a part of it, is not there."""
        try:
            record = Record(**json.loads((self.folder(tool) / _RECORD).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        whole = all(os.access(self.executable(tool, one.name), os.X_OK) for one in tool.executables)
        return record if whole else None

    def install(self, tool: Tool, staged: Path, record: Record) -> None:
        """Move a finished folder to its place, with its record."""
        (staged / _RECORD).write_text(json.dumps(record.__dict__))
        target = self.folder(tool)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.replace(self.scratch(tool.name) / "replaced")
        staged.replace(target)

    def scratch(self, name: str) -> Path:
        """Make an empty folder on the same file system; what is left in it goes with the next run."""
        (self.root / "tmp").mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.root / "tmp"))

    @contextmanager
    def locked(self, on_wait: Callable[[str], None]) -> Iterator[None]:
        """Hold the cache for this process alone, and clear what an interrupted one left behind."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "toolchain.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                on_wait(lock.read().strip() or "another process")
                fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            lock.truncate()
            lock.write(f"process {os.getpid()}")
            lock.flush()
            shutil.rmtree(self.root / "tmp", ignore_errors=True)
            try:
                yield
            finally:
                shutil.rmtree(self.root / "tmp", ignore_errors=True)
