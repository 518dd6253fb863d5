"""`python -m sandbox`: start, stop and look at the embedded lab."""

import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from sandbox import lifecycle
from sandbox.control import Control, NotRunningError, RefusedError
from sandbox.faults import ALWAYS, LOCKED, NO_QUORUM, SERVICES, WRITES, Fault
from sandbox.settings import Settings, SettingsError

app = typer.Typer(help="The embedded lab: start, stop and look at it.", no_args_is_help=True, add_completion=False)
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


@app.command()
def up() -> None:
    """Start the sandbox, with the state that it had. When it runs already, read charts and manifests anew."""
    settings = _settings()
    begun = time.monotonic()
    try:
        lifecycle.start(settings)
    except lifecycle.SandboxError as error:
        _fail(str(error), "free what it names, then run: make up")
    console.print(f"sandbox is up on {settings.cidr} ({time.monotonic() - begun:.1f} s)")


@app.command()
def down(
    *,
    wipe: Annotated[bool, typer.Option("--wipe", help="Forget machines, cluster, credentials and logs too.")] = False,
) -> None:
    """Stop the sandbox. Its state stays, unless --wipe is given."""
    settings = _settings()
    try:
        stopped = lifecycle.stop(settings)
        if wipe:
            lifecycle.wipe(settings)
    except lifecycle.SandboxError as error:
        _fail(str(error), "python -m sandbox status")
    console.print("sandbox stopped" if stopped else "sandbox was not running")
    if wipe:
        console.print("its state is gone")


@app.command()
def status() -> None:
    """Show every service, machine and node. Exit code 1 if something is dead, 3 if the sandbox does not run."""
    settings = _settings()
    try:
        known = Control(settings).status()
    except NotRunningError as error:
        errors.print(f"{error}\n  next: make up")
        raise typer.Exit(3) from None
    except RefusedError as error:
        _fail(str(error), "make down && make up")
    services = Table("service", "state", "address", "pid", "restarts", box=None, pad_edge=False)
    for service in known["services"]:
        colour = "red" if service["state"] == "dead" else "green"
        services.add_row(
            service["name"],
            f"[{colour}]{service['state']}[/]",
            service["address"],
            str(service["pid"] or ""),
            str(service["restarts"]),
        )
    console.print(services)
    if known["machines"]:
        machines = Table("machine", "vm id", "host", "address", "runs", box=None, pad_edge=False)
        for machine in known["machines"]:
            machines.add_row(
                machine["name"],
                str(machine["vm_id"]),
                machine["host"],
                machine["address"],
                ", ".join(machine["services"]),
            )
        console.print()
        console.print(machines)
    console.print(f"\nnodes with a heartbeat: {', '.join(known['nodes']) or 'none'}")
    problems = [service["problem"] for service in known["services"] if service["problem"]]
    problems += [known["problem"]] if known["problem"] else []
    for problem in problems:
        errors.print(f"[red]{problem}[/]")
    if any(service["state"] == "dead" for service in known["services"]):
        raise typer.Exit(1)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="A name from `status`, or `supervisor`.")] = "supervisor",
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many lines of the end.")] = 50,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows.")] = False,
) -> None:
    """Show the end of a log."""
    settings = _settings()
    log = settings.log(name)
    if not log.exists():
        known = sorted(path.stem for path in settings.logs.glob("*.log"))
        _fail(f"there is no log {name!r}; there are: {', '.join(known) or 'none'}", "python -m sandbox logs supervisor")
    _print_log(log, lines, follow=follow)


@app.command()
def fault(  # noqa: PLR0913, PLR0917 - each is an option of the command
    service: Annotated[
        str, typer.Argument(help=f"The stand-in: {', '.join(SERVICES)}. None lists what is to come.")
    ] = "",
    status: Annotated[int, typer.Option(help="The status of the answer; 0 for none of its own.")] = 500,
    message: Annotated[str, typer.Option(help="What the answer says.")] = Fault.message,
    path: Annotated[str, typer.Option(help="A glob for the path, as /nodes/*/qemu.")] = "*",
    method: Annotated[list[str] | None, typer.Option(help="Only these methods; may be given again.")] = None,
    delay: Annotated[float, typer.Option(help="Seconds that the answer is late.")] = 0.0,
    times: Annotated[int, typer.Option(help="How many requests are struck.")] = 1,
    *,
    after: Annotated[bool, typer.Option("--after", help="Do what is asked for, and lose the answer.")] = False,
    task: Annotated[str, typer.Option(help="Tasks of pve of this kind fail midway, as qmcreate, qmstart.")] = "",
    locked: Annotated[bool, typer.Option("--locked", help="Refuse writes to machines: a backup has them.")] = False,
    no_quorum: Annotated[bool, typer.Option("--no-quorum", help="Refuse every write until cleared.")] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Let nothing go wrong any more.")] = False,
) -> None:
    """Have requests to a stand-in go wrong, to see what the program makes of it."""
    control = Control(_settings())
    try:
        if clear:
            control.clear_faults()
        elif no_quorum:
            control.add_fault(Fault(service, WRITES, message=NO_QUORUM, times=ALWAYS))
        elif locked:
            control.add_fault(Fault(service, WRITES, "/nodes/*/qemu/*", message=LOCKED, times=times))
        elif service:
            methods = tuple(method) if method else Fault.methods
            control.add_fault(Fault(service, methods, path, status, message, delay, times, after, task))
        waiting = control.faults()
    except NotRunningError as error:
        errors.print(f"{error}\n  next: make up")
        raise typer.Exit(3) from None
    except RefusedError as error:
        _fail(str(error), "python -m sandbox fault --help")
    for one in waiting:
        console.print(str(one), markup=False, soft_wrap=True)
    if not waiting:
        console.print("nothing is to go wrong")


def _print_log(log: Path, lines: int, *, follow: bool) -> None:
    with log.open(errors="replace") as file:
        for line in file.read().splitlines()[-lines:]:
            console.print(line, markup=False)
        try:
            while follow:
                if line := file.readline():
                    console.print(line.rstrip("\n"), markup=False)
                else:
                    time.sleep(0.2)
        except KeyboardInterrupt:
            return


def _settings() -> Settings:
    try:
        return Settings.from_environment()
    except SettingsError as error:
        _fail(str(error), "unset HOMELAB_SANDBOX_NETWORK")


def _fail(problem: str, command: str) -> NoReturn:
    errors.print(f"[red]error:[/] {problem}", soft_wrap=True)
    errors.print(f"  next: {command}", soft_wrap=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
