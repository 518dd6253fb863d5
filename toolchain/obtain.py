"""Have every tool: look on PATH, then in the cache, then get it by release or build, and hand out where each one is."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from toolchain import golang, host, progress
from toolchain.build import build, copy_module_files, recipe
from toolchain.cache import Cache, Record
from toolchain.errors import ToolchainError
from toolchain.model import Tool
from toolchain.plugins import install_plugin
from toolchain.progress import OnProgress, Task
from toolchain.release import Releases, UnavailableError
from toolchain.run import advice
from toolchain.tools import TOOLS


class Road(StrEnum):
    """How a tool that is not there may be obtained."""

    AUTO = "auto"
    RELEASE = "release"
    BUILD = "build"


@dataclass(frozen=True)
class Status:
    """Where one tool is, or why it is not there."""

    tool: Tool
    source: str = ""
    executables: Mapping[str, Path] | None = None
    seconds: float = 0.0
    fresh: bool = False
    note: str = ""

    @property
    def ready(self) -> bool:
        """True when every program of the tool is there."""
        return self.executables is not None


@dataclass(frozen=True)
class Toolchain:
    """All tools, each in its pinned version."""

    cache: Cache
    statuses: tuple[Status, ...]

    @property
    def pulumi_home(self) -> Path:
        """PULUMI_HOME for the engine: plugins and nothing else."""
        return self.cache.pulumi_home

    def executable(self, name: str) -> Path:
        """Path of a program by its name."""
        for status in self.statuses:
            if status.executables and name in status.executables:
                return status.executables[name]
        known = [one.name for status in self.statuses for one in status.tool.executables]
        if name in known:
            raise ToolchainError(f"{name} is not there yet", "python -m toolchain")
        raise ToolchainError(f"no tool provides {name!r}", f"ask for one of: {', '.join(known)}")

    def directory(self, name: str) -> Path:
        """Folder in the cache that holds a tool and the files that it brings."""
        for status in self.statuses:
            if status.tool.name == name and status.ready and status.source != "PATH":
                return self.cache.folder(status.tool)
        known = ", ".join(status.tool.name for status in self.statuses)
        raise ToolchainError(f"the cache has no folder of {name!r}", f"ask for one of: {known}")

    def path_entries(self) -> list[Path]:
        """Folders to put before PATH. Plugins are left out, since the engine warns of plugins on PATH."""
        folders = [
            path.parent
            for status in self.statuses
            if status.source != "PATH" and not status.tool.plugin
            for path in (status.executables or {}).values()
        ]
        return list(dict.fromkeys(folders))


def survey(cache: Cache, tools: tuple[Tool, ...] = TOOLS) -> tuple[Status, ...]:
    """Look what is there, without obtaining anything."""
    return tuple(_look(tool, cache) for tool in tools)


def ensure(
    on_progress: OnProgress | None = None, *, cache: Cache | None = None, tools: tuple[Tool, ...] = TOOLS
) -> Toolchain:
    """Have every tool, and obtain those that are missing. Fast when there is nothing to obtain."""
    cache = cache or Cache.default()
    chosen = road()
    host.require_git()
    statuses = survey(cache, tools)
    if not all(one.ready for one in statuses):
        with ExitStack() as stack:
            report = on_progress or stack.enter_context(progress.on_terminal())
            _enter(stack, cache, Task("toolchain", report))
            # Looked at again: the run that was waited for may have obtained everything.
            releases = stack.enter_context(Releases(cache))
            statuses = _Obtaining(cache, chosen, releases, report).all(survey(cache, tools))
    return Toolchain(cache, statuses)


def road() -> Road:
    """Read HOMELAB_TOOLCHAIN."""
    chosen = os.environ.get("HOMELAB_TOOLCHAIN") or Road.AUTO
    try:
        return Road(chosen)
    except ValueError:
        raise ToolchainError(
            f"HOMELAB_TOOLCHAIN is {chosen!r}", "set it to auto, release or build, or leave it unset"
        ) from None


def _enter(stack: ExitStack, cache: Cache, task: Task) -> None:
    try:
        stack.enter_context(cache.locked(lambda who: task.note(f"waiting for {who}, which is installing tools")))
    except OSError as error:
        raise ToolchainError(
            f"cannot write the cache folder {cache.root}: {error.strerror}",
            "set HOMELAB_CACHE to a folder that you can write, on a disk with 20 GB free",
        ) from error


def _look(tool: Tool, cache: Cache) -> Status:
    on_path = host.look_on_path(tool, cache.root)
    if on_path.executables:
        return Status(tool, "PATH", on_path.executables)
    record = cache.record(tool)
    if record is None or (record.source == "built" and record.recipe != recipe(tool)):
        return Status(tool, note=on_path.reason)
    executables = {one.name: cache.executable(tool, one.name) for one in tool.executables}
    return Status(tool, f"cache ({record.source})", executables, record.seconds, note=on_path.reason)


class _Obtaining:
    """One run: what is looked up once, such as Go and the hosts that do not answer, is kept here."""

    def __init__(self, cache: Cache, chosen: Road, releases: Releases, report: OnProgress) -> None:
        self._cache = cache
        self._report = report
        self._road = chosen
        self._releases = releases
        self._go: golang.Go | None = None
        self._had: dict[str, Path] = {}

    def all(self, statuses: tuple[Status, ...]) -> tuple[Status, ...]:
        """Obtain what is missing, in the order of the list: plugins come after the engine that installs them."""
        result = []
        for status in statuses:
            now = status if status.ready else self._told(status)
            self._had.update(now.executables or {})
            result.append(now)
        return tuple(result)

    def _told(self, status: Status) -> Status:
        try:
            return self._obtain(status)
        except OSError as error:
            raise ToolchainError(str(error), advice(str(error)), tool=status.tool.name) from error

    def _obtain(self, status: Status) -> Status:
        tool = status.tool
        task = Task(tool.name, self._report)
        made_from = recipe(tool)
        staged, source = self._get(tool, task)
        if tool.plugin:
            (name,) = (one.name for one in tool.executables)
            install_plugin(tool, staged / name, self._had["pulumi"], self._cache, task)
            (staged / name).unlink()
        self._cache.install(tool, staged, Record(source, made_from, round(task.seconds, 1)))
        task.done(f"{tool.version} {source}")
        executables = {one.name: self._cache.executable(tool, one.name) for one in tool.executables}
        return Status(tool, source, executables, task.seconds, fresh=True, note=status.note)

    def _get(self, tool: Tool, task: Task) -> tuple[Path, str]:
        if tool.release and self._road is not Road.BUILD:
            try:
                staged = self._releases.download(tool, task)
            except UnavailableError as why:
                if self._road is Road.RELEASE:
                    raise ToolchainError(
                        str(why), "check the network, or let it be built: HOMELAB_TOOLCHAIN=auto", tool=tool.name
                    ) from why
                task.note(f"{why}; building it instead")
            else:
                if tool.files:
                    copy_module_files(tool.files, staged, self._cache, self._use_go(task), task)
                return staged, "release"
        staged = build(tool, self._cache, self._use_go(task), task)
        if tool.files:
            copy_module_files(tool.files, staged, self._cache, self._use_go(task), task)
        return staged, "built"

    def _use_go(self, task: Task) -> golang.Go:
        if self._go is None:
            self._go = golang.find_go(self._cache) or golang.obtain_go(self._cache, task)
        return self._go
