"""Starting and ending the supervisor from outside: in the background, waited for, and without leftovers."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import psutil

from sandbox.children import last_line
from sandbox.control import Control, NotRunningError, RefusedError
from sandbox.settings import REPOSITORY, Settings

START_WITHIN: Final = 60.0
STOP_WITHIN: Final = 60.0


class SandboxError(RuntimeError):
    """The sandbox could not be started or stopped; the message says why and what to do."""


def running_pid(settings: Settings) -> int | None:
    """Return the process id of the supervisor that holds ``settings``, if there is one."""
    if not settings.lock.exists():
        return None
    with settings.lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read() or 0) or None
    return None


def has_cluster(settings: Settings) -> bool:
    """Return whether the sandbox holds a cluster, running or not."""
    return (settings.root / "cluster.json").exists()


def start(settings: Settings) -> dict[str, Any]:
    """Start the supervisor, or have a running one read charts and manifests anew; return its status.

    Raises:
        SandboxError: it ends, is not ready in time, or can't read them.
    """
    control = Control(settings)
    if running_pid(settings):
        status = _until_ready(settings, control, None)
        try:
            control.refresh()
        except (NotRunningError, RefusedError) as error:
            raise SandboxError(f"charts and manifests were not read anew: {error}") from error
        return status
    settings.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.logs.mkdir(exist_ok=True)
    with settings.log("supervisor").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.supervisor"],
            cwd=REPOSITORY,
            env={**os.environ, "HOMELAB_SANDBOX": str(settings.root), "HOMELAB_SANDBOX_NETWORK": settings.network},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return _until_ready(settings, control, process)


def _until_ready(settings: Settings, control: Control, process: "subprocess.Popen[bytes] | None") -> dict[str, Any]:
    deadline = time.monotonic() + START_WITHIN
    log = settings.log("supervisor")
    while time.monotonic() < deadline:
        if process and process.poll() is not None:
            raise SandboxError(f"the sandbox did not start: {last_line(log)}\n  log: {log}")
        try:
            status = control.status()
        except NotRunningError:
            status = {}
        if status.get("ready"):
            return status
        time.sleep(0.1)
    raise SandboxError(f"the sandbox was not ready within {START_WITHIN:.0f} s: {last_line(log)}\n  log: {log}")


def stop(settings: Settings) -> bool:
    """End the supervisor and all it runs; return whether there was one. State stays.

    Raises:
        SandboxError: it does not end.
    """
    pid = running_pid(settings)
    if pid is None:
        return False
    try:
        process = psutil.Process(pid)
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_WITHIN)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        raise SandboxError(
            f"the sandbox (pid {pid}) does not end within {STOP_WITHIN:.0f} s; look at {settings.log('supervisor')}, "
            f"or end it with: kill -9 {pid}"
        ) from None
    return True


def wipe(settings: Settings) -> None:
    """Forget everything: machines, cluster, credentials, logs.

    Raises:
        SandboxError: the sandbox runs, or the folder is not a sandbox's.
    """
    if running_pid(settings):
        raise SandboxError("the sandbox runs; stop it first with `make down`")
    if settings.root.exists() and not _is_sandbox(settings.root):
        raise SandboxError(f"{settings.root} is no sandbox of this project; it is left alone")
    shutil.rmtree(settings.root, ignore_errors=True)


def _is_sandbox(root: Path) -> bool:
    return not any(root.iterdir()) or any((root / known).exists() for known in ("supervisor.lock", "credentials.json"))
