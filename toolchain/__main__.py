"""`python -m toolchain`: have every tool and show where each one is."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from toolchain.cache import Cache
from toolchain.errors import ToolchainError
from toolchain.obtain import Toolchain, ensure, survey
from toolchain.table import rows, show

app = typer.Typer(add_completion=False, help="Find or obtain every tool of the lab in its pinned version.")


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    *,
    check: Annotated[bool, typer.Option("--check", help="Only report; exit with 1 if a tool is missing.")] = False,
) -> None:
    """Have every tool, then print the table."""
    if context.invoked_subcommand:
        return
    cache = Cache.default()
    with _told():
        table = rows(survey(cache) if check else ensure(cache=cache).statuses, cache)
    show(table, sys.stdout)
    if any(row.state == "missing" for row in table):
        typer.echo("next: python -m toolchain", err=True)
        raise typer.Exit(1)


@app.command()
def path(name: Annotated[str, typer.Argument(help="A program, such as kubectl.")]) -> None:
    """Print the path of one program; nothing is obtained."""
    cache = Cache.default()
    with _told():
        typer.echo(Toolchain(cache, survey(cache)).executable(name))


@contextmanager
def _told() -> Iterator[None]:
    """Turn what can go wrong into a message and an exit code."""
    try:
        yield
    except ToolchainError as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as stopped:
        typer.echo("stopped; what is finished is kept, go on with: python -m toolchain", err=True)
        raise typer.Exit(130) from stopped


def _stop(_signal: int, _frame: FrameType | None) -> None:
    # Unwinds as Ctrl-C does, so that the build that is running is stopped with us.
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    app(prog_name="python -m toolchain")
