"""What there is to know of a tool. The tools themselves are listed in `toolchain.tools`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Checksums(StrEnum):
    """How a publisher writes checksums down."""

    BARE = "one hash and nothing else"
    LISTED = "lines of a hash and a file name"


@dataclass(frozen=True, kw_only=True)
class Executable:
    """A program of a tool, and how it tells its version."""

    name: str
    ask: tuple[str, ...] = ()
    """Arguments that make it tell; one that cannot tell counts beside one that can."""
    version: str = ""
    """Its own version, where that is not the tool's."""


@dataclass(frozen=True, kw_only=True)
class ModuleFiles:
    """Files that are copied out of a Go module: path in the module to path in the tool's folder."""

    folder: str
    module: str
    copies: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A piece of a module's source that is compiled otherwise than published; the module itself stays as it is."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Build:
    """How a tool is compiled from its module under `toolchain/go`."""

    folder: str
    module: str
    module_version: str
    output: str
    package: str = "."
    stamps: Mapping[str, str] = field(default_factory=dict)
    generator: str = ""
    """A package that is built first and writes into `generated/` what the tool embeds."""
    files: ModuleFiles | None = None
    edits: tuple[Edit, ...] = ()
    script: str = ""
    """A file beside this list that is copied into the tool's folder and starts what was built."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One file of a release. `{version}`, `{os}` and `{arch}` are filled in; a bare program has no members."""

    url: str
    checksums_url: str
    checksums: Checksums
    members: Mapping[str, str]
    """Path in the archive to name of the program; for a bare program `""` to its name."""
    version: str = ""
    platforms: tuple[str, ...] = ("linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64")
    arch_names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool in its one version."""

    name: str
    version: str
    executables: tuple[Executable, ...]
    builds: tuple[Build, ...]
    release: tuple[Artifact, ...] = ()
    files: ModuleFiles | None = None
    plugin: str = ""
    """Name of the resource plugin that the engine asks for, if it is one."""

    @property
    def taken_from_path(self) -> bool:
        """Only what can be asked for its version counts; a tool that brings files is installed whole."""
        return not self.files and not self.plugin and any(one.ask for one in self.executables)
