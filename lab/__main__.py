"""`python -m lab`: what `make up`, `make preview` and the other targets run."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console

from config.faults import LabError
from config.rules import read_lab
from config.secrets import SecretKey
from lab.configuration import lab_data
from lab.doctor.examination import examine
from lab.doctor.report import report, wrong
from lab.hints import Hint
from lab.initialise import initialise, read_secrets, variable
from lab.plan import tables
from lab.proxmox_state import mend, read_again
from lab.recovery import abandoned_lock, end_orphans, release_lock, settle_interrupted
from lab.stack import SANDBOX_STACK, Stack, StackError, exports, real_stack, sandbox_stack
from lab.summary import settled
from sandbox import lifecycle
from sandbox.pki import write_private
from sandbox.settings import REPOSITORY, Settings, SettingsError
from toolchain import Toolchain, ToolchainError, ensure

app = typer.Typer(help="Operate a lab.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

# One part of the lab may be waiting for another: each round finds what the one before it could not reach.
MENDED_AT_MOST: Final = 3

StackName = Annotated[str, typer.Option("--stack", "-s", help="dev is the embedded sandbox; others are real labs.")]
More = Annotated[list[str] | None, typer.Argument(help="More arguments for Pulumi, after `--`.")]


@contextmanager
def step(name: str, times: dict[str, float]) -> Iterator[None]:
    """Say what begins, and note how long it took in seconds."""
    console.print(f"[bold]==> {name}[/]")
    begun = time.monotonic()
    yield
    times[name] = time.monotonic() - begun
    console.print(f"[dim]    {name}: {times[name]:.1f} s[/]")


@app.command()
def up(stack: StackName = SANDBOX_STACK, more: More = None) -> None:
    """Provision the whole lab, and say how it stands. Run it again whenever it was interrupted."""

    def work() -> None:
        times: dict[str, float] = {}
        with step("toolchain", times):
            tools = ensure()
        if stack == SANDBOX_STACK:
            with step("sandbox", times):
                lifecycle.start(Settings.from_environment())
        with step("stack", times):
            chosen = _stack(stack, tools)
            _recover(chosen, tools)
        with step("pulumi up", times):
            _stream(chosen, "up", "--yes", "--skip-preview", "--suppress-outputs", *(more or ()))
        with step("check", times):
            summary = settled(chosen, tools)
        console.print()
        console.print(summary.table(times))
        console.print(f"\nlook around: export KUBECONFIG=$(make -s STACK={stack} kubeconfig); make status; make help")
        if summary.problems:
            raise StackError("the lab is provisioned, but not all of it is well: " + "; ".join(summary.problems))

    _guarded(work)


@app.command()
def preview(stack: StackName = SANDBOX_STACK, more: More = None) -> None:
    """Show what `up` would change."""
    _guarded(lambda: _reachable(stack, if_provisioned=True).stream("preview", *(more or ())))


@app.command()
def plan(stack: StackName = SANDBOX_STACK) -> None:
    """Show whether the lab of the stack's file fits, without asking anything of it."""

    def work() -> None:
        data = lab_data(stack)
        console.print(tables(read_lab(data, measured=False)))
        read_lab(data)

    _guarded(work)


@app.command()
def init(
    stack: StackName = SANDBOX_STACK,
    secrets_file: Annotated[
        Path | None, typer.Option("--from-file", help="A YAML file of secrets that only you can read.")
    ] = None,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Set again what is set already.")] = False,
) -> None:
    """Make a real lab's stack, and set its secrets: from the environment, from a file, or as you type them."""

    def work() -> None:
        if stack == SANDBOX_STACK:
            raise StackError("the sandbox makes its own secrets", Hint("only real labs have to be told", "make up"))
        given = read_secrets(secrets_file) if secrets_file else {}
        chosen = real_stack(ensure(), stack)
        outcome = initialise(chosen, given=given, ask=_ask if sys.stdin.isatty() else None, replace=replace)
        console.print(f"stack {stack}: {'made' if outcome.made else 'was there'}")
        for names, how in ((outcome.set, "set, encrypted"), (outcome.kept, "kept as it was")):
            for name in names:
                console.print(f"{name}: {how}")
        if outcome.missing:
            wanted = "; ".join(f"{key.name} ({key.what}), as {variable(key)}" for key in outcome.missing)
            raise StackError(
                f"missing: {wanted}",
                Hint(
                    "nobody is there to be asked", f"export them, or: python -m lab init --stack {stack} --from-file F"
                ),
            )
        console.print(f"go on with: make doctor STACK={stack}")

    _guarded(work)


def _ask(key: SecretKey) -> str:
    return str(typer.prompt(f"{key.name}: {key.what}\n  {key.shape}", hide_input=True, default="", show_default=False))


@app.command()
def doctor(stack: StackName = SANDBOX_STACK) -> None:
    """Check everything that an `up` needs, and say how to mend what is wrong. Changes nothing."""

    def work() -> None:
        findings = examine(stack)
        for part in report(findings):
            console.print(part)
        if faulty := wrong(findings):
            _fail(f"{len(faulty)} of {len(findings)} checks found something to mend", f"make doctor STACK={stack}")
        console.print(f"\n{len(findings)} checks, nothing to mend; go on with: make preview STACK={stack}")

    _guarded(work)


@app.command()
def refresh(stack: StackName = SANDBOX_STACK, more: More = None) -> None:
    """Compare the state with what is really there, and take over what differs."""
    _guarded(lambda: _stream(_reachable(stack), "refresh", "--yes", "--skip-preview", *(more or ())))


@app.command()
def destroy(stack: StackName = SANDBOX_STACK, more: More = None) -> None:
    """Destroy everything that the stack provisioned."""
    if stack != SANDBOX_STACK and typer.prompt(f"This destroys a real lab. Type its stack's name, {stack!r}") != stack:
        _fail("not confirmed; nothing was destroyed", f"python -m lab preview --stack {stack}")

    def work() -> None:
        chosen = _reachable(stack)
        for line in read_again(chosen):
            console.print(line)
        _stream(chosen, "destroy", "--yes", "--skip-preview", *(more or ()))

    _guarded(work)


@app.command()
def unlock(stack: StackName = SANDBOX_STACK) -> None:
    """Break the lock that a killed command left on the stack."""
    _guarded(lambda: release_lock(_stack(stack, ensure())))
    console.print(f"stack {stack} is unlocked")


@app.command()
def kubeconfig(stack: StackName = SANDBOX_STACK) -> None:
    """Write the kubeconfig to a file and print its path: export KUBECONFIG=$(make -s kubeconfig)."""

    def work() -> None:
        path = REPOSITORY / ".kube" / stack
        write_private(path, _stack(stack, ensure()).read("stack", "output", "kubeconfig", "--show-secrets").encode())
        typer.echo(path)

    _guarded(work)


@app.command()
def env(stack: StackName = SANDBOX_STACK) -> None:
    """Print what to export so that plain `pulumi` works on the stack: eval "$(python -m lab env)"."""

    def work() -> None:
        variables = dict(_stack(stack, ensure()).environment) | {"PULUMI_STACK": stack}
        names = [name for name in variables if name.startswith(("PULUMI_", "HOMELAB_"))]
        typer.echo(exports(variables, ["PATH", "SSL_CERT_FILE", *sorted(names)]))

    _guarded(work)


def _stack(name: str, tools: Toolchain) -> Stack:
    if name == SANDBOX_STACK:
        return sandbox_stack(tools, Settings.from_environment())
    return real_stack(tools, name)


def _reachable(name: str, *, if_provisioned: bool = False) -> Stack:
    """Return the stack, unless it is the sandbox's and the sandbox is off: its providers would retry for minutes.

    ``if_provisioned`` lets a sandbox pass that holds nothing yet, and of which nothing has to be asked.
    """
    settings = Settings.from_environment()
    needed = name == SANDBOX_STACK and (lifecycle.has_cluster(settings) or not if_provisioned)
    if needed and not lifecycle.running_pid(settings):
        raise StackError("the sandbox is not running", Hint("it was stopped or never started", "python -m sandbox up"))
    return _stack(name, ensure())


def _recover(stack: Stack, tools: Toolchain) -> None:
    if pid := abandoned_lock(stack):
        ended = end_orphans(stack)
        release_lock(stack)
        console.print(
            f"    the command that held this stack (pid {pid}) was killed; its lock is released"
            + (f" and {ended} processes that it left are ended" if ended else "")
        )
    for line in (*settle_interrupted(stack, tools), *read_again(stack)):
        console.print(f"    {line}")


def _stream(stack: Stack, *command: str) -> None:
    """Run a command of Pulumi, and again as long as what went wrong can be mended and something of it was."""
    for _ in range(MENDED_AT_MOST):
        try:
            return stack.stream(*command)
        except StackError as error:
            if not (lines := mend(stack, error.said)):
                raise
            for line in lines:
                console.print(f"    {line}")
    return stack.stream(*command)


def _guarded(work: Callable[[], None]) -> None:
    # Also where SIGINT is ignored by inheritance, as in a shell's background job.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        work()
    except StackError as error:
        if error.hint:
            _fail(f"{error}\n  cause: {error.hint.cause}", error.hint.command)
        _fail(str(error), "read the messages above, mend what they name, and run the same command again")
    except (ToolchainError, lifecycle.SandboxError) as error:
        _fail(str(error), "mend what it names, then run: make up")
    except LabError as error:
        for fault in error.faults:
            errors.print(f"  - {fault}", markup=False)
        count = len(error.faults)
        _fail(f"the configuration of the lab has {count} fault{'s' if count > 1 else ''}", "edit the stack's file")
    except SettingsError as error:
        _fail(str(error), "unset HOMELAB_SANDBOX_NETWORK")
    except KeyboardInterrupt:
        errors.print("\ninterrupted; run the same command again to go on")
        raise typer.Exit(130) from None


def _fail(problem: str, command: str) -> NoReturn:
    errors.print(f"[red]error:[/] {problem}")
    errors.print(f"  next: {command}")
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
