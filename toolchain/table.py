"""The table of tools: what there is, where it came from, what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.table import Table

from config import versions
from toolchain import golang, host
from toolchain.cache import Cache
from toolchain.errors import ToolchainError
from toolchain.obtain import Status
from toolchain.progress import clock

_PIPE_WIDTH = 160


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    tool: str
    version: str
    source: str
    state: str
    time: str = ""
    note: str = ""


def rows(statuses: Sequence[Status], cache: Cache) -> list[Row]:
    """Describe every tool, then what builds and checkouts need of the machine."""
    return [*(_row(status) for status in statuses), _go(cache), _git()]


def show(table: Sequence[Row], stream: TextIO) -> None:
    """Print the table; without colours or line drawing, so that it reads the same in a pipe."""
    console = Console(file=stream, width=None if stream.isatty() else _PIPE_WIDTH, highlight=False)
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("tool", "version", "source", "state", "time", "note"):
        drawn.add_column(heading, justify="right" if heading == "time" else "left", overflow="fold")
    for row in table:
        style = "red" if row.state == "missing" else None
        drawn.add_row(row.tool, row.version, row.source, row.state, row.time, row.note, style=style)
    console.print(drawn, markup=False)


def _row(status: Status) -> Row:
    state = "installed" if status.fresh else "ready" if status.ready else "missing"
    time = clock(status.seconds) if status.fresh else ""
    return Row(status.tool.name, status.tool.version, status.source, state, time, status.note)


def _go(cache: Cache) -> Row:
    go = golang.find_go(cache)
    if go:
        return Row("go", go.version, go.source, "ready", note="for builds only")
    return Row(
        "go", versions.GO_WHEEL, "", "not needed yet", note="for builds only; its wheel is installed when one runs"
    )


def _git() -> Row:
    try:
        _, version = host.require_git()
    except ToolchainError as error:
        return Row("git", "", "", "missing", note=error.advice)
    return Row("git", version, "PATH", "ready")
