"""Run one command of a build: its output into a log, its pace to the screen, its failure into words."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolchain.errors import ToolchainError
from toolchain.progress import Task

_LAST_LINES = 12
_RETRY = "python -m toolchain"

# What the output says -> what to do. The first that fits is told.
_ADVICE = (
    ("no space left on device", f"free some disk space (the cache needs about 20 GB while building), then {_RETRY}"),
    ("SECURITY ERROR", "a download differs from the committed go.sum: do not use it, and tell the maintainers"),
    ("missing go.sum entry", "the module's go.sum is incomplete: restore the committed go.mod and go.sum (git status)"),
    ("signal: killed", f"the machine ran out of memory: close other programs, then {_RETRY}"),
    ("cannot allocate memory", f"the machine ran out of memory: close other programs, then {_RETRY}"),
    ("no such host", f"the module proxy is unreachable: check the network and GOPROXY, then {_RETRY}"),
    ("dial tcp", f"the module proxy is unreachable: check the network and GOPROXY, then {_RETRY}"),
    ("i/o timeout", f"the module proxy is too slow or unreachable: check the network and GOPROXY, then {_RETRY}"),
    ("proxyconnect", f"the HTTP proxy refuses: check HTTPS_PROXY and NO_PROXY, then {_RETRY}"),
)


def run(argv: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], log: Path, task: Task) -> None:
    """Run a command to its end; raise with its last lines when it fails."""
    with log.open("ab") as out:
        out.write(f"$ {' '.join(str(part) for part in argv)}\n".encode())
        out.flush()
        begin = out.tell()
        try:
            process = subprocess.Popen(argv, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        except OSError as error:
            raise ToolchainError(f"cannot start {argv[0]}: {error.strerror}", _RETRY, tool=task.tool) from error
    try:
        while True:
            try:
                code = process.wait(timeout=1)
                break
            except subprocess.TimeoutExpired:
                task.tick()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if code:
        with log.open("rb") as written:
            written.seek(begin)
            output = written.read().decode(errors="replace")
        raise ToolchainError(
            f"{Path(argv[0]).name} {argv[1]} failed with exit code {code}",
            advice(output),
            tool=task.tool,
            output="\n".join(output.splitlines()[-_LAST_LINES:]),
            log=log,
        )


def advice(output: str) -> str:
    """Tell from the output what to do next."""
    for sign, what in _ADVICE:
        if sign.lower() in output.lower():
            return what
    return f"read the log, then {_RETRY}; what is finished is kept"
