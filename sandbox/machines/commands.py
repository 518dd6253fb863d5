"""The commands that a machine knows. Nothing of the host is executed but the toolchain's kubectl.

A command it does not know exits with 127, as a shell would: the stand-in never pretends to have done something.
"""

import argparse
import asyncio
import hashlib
import os
import platform
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import Final, NoReturn

import httpx

from sandbox.children import environment
from sandbox.cluster.cluster import Cluster
from sandbox.cluster.controlplane import Tools
from sandbox.machines import k3s
from sandbox.machines.machine import RunningMachine, ServiceError

DOWNLOAD_WITHIN: Final = 60.0
_FOLDERS: Final = ("/usr/local/bin", "/etc/systemd/system")  # there on every installed system


@dataclass(frozen=True)
class Result:
    """What a finished command leaves behind."""

    code: int = 0
    out: bytes = b""
    error: str = ""


class UsageError(Exception):
    """The arguments are not what the command takes."""


class _Arguments(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


@dataclass(frozen=True)
class Call:
    """One command line on one machine, and on whose behalf."""

    machine: RunningMachine
    arguments: Sequence[str]
    stdin: Callable[[], Awaitable[bytes]]
    root: bool = False


class Shell:
    """Runs command lines on machines."""

    def __init__(self, cluster: Cluster, tools: Tools, trust: ssl.SSLContext) -> None:
        self._cluster = cluster
        self._tools = tools
        self._trust = trust
        self._commands: dict[str, Callable[[Call], Awaitable[Result]]] = {
            "cat": self._cat,
            "cloud-init": self._cloud_init,
            "curl": self._curl,
            "install": self._install,
            "journalctl": self._journalctl,
            "k3s": self._k3s,
            "rm": self._rm,
            "sha256sum": self._sha256sum,
            "systemctl": self._systemctl,
            "uname": self._uname,
        }

    async def run(self, call: Call) -> Result:
        """Run one command; never raises for what a command can do wrong."""
        name, arguments, root = call.arguments[0], list(call.arguments[1:]), call.root
        if name == "sudo" and arguments:
            command_line = list(dropwhile(lambda argument: argument.startswith("-"), arguments))
            return await self.run(Call(call.machine, command_line or ["sudo"], call.stdin, root=True))
        command = self._commands.get(name)
        if command is None:
            return Result(127, error=f"bash: line 1: {name}: command not found")
        try:
            return await command(Call(call.machine, arguments, call.stdin, root))
        except (UsageError, ValueError) as error:
            return Result(2, error=f"{name}: {error}")
        except PermissionError as error:
            return Result(1, error=f"{name}: {error}: Permission denied")
        except OSError as error:
            path = str(error.filename2 or error.filename).removeprefix(str(call.machine.disk.root))
            return Result(1, error=f"{name}: {path}: {os.strerror(error.errno or 0)}")

    async def _cloud_init(self, call: Call) -> Result:
        if list(call.arguments[:1]) != ["status"]:
            raise UsageError("the stand-in knows `status` only")
        return Result(out=b"status: done\n")

    async def _uname(self, call: Call) -> Result:
        if list(call.arguments) != ["-m"]:
            raise UsageError("the stand-in knows `-m` only")
        return Result(out=platform.machine().encode() + b"\n")

    async def _cat(self, call: Call) -> Result:
        return Result(out=b"".join(_read(call, path) for path in call.arguments))

    async def _sha256sum(self, call: Call) -> Result:
        lines = [f"{hashlib.sha256(_read(call, path)).hexdigest()}  {path}\n" for path in call.arguments]
        return Result(out="".join(lines).encode())

    async def _rm(self, call: Call) -> Result:
        options = "".join(a[1:] for a in call.arguments if a.startswith("-") and not a.startswith("--"))
        disk = call.machine.disk
        for path in (a for a in call.arguments if not a.startswith("-")):
            _need_root(call, path)
            if not disk.exists(path) and "f" not in options:
                raise FileNotFoundError(2, "", path)
            if disk.locate(path).is_dir() and "r" not in options:
                return Result(1, error=f"rm: cannot remove '{path}': Is a directory")
            member = disk.read(k3s.DATASTORE).decode() if disk.exists(k3s.DATASTORE) else ""
            disk.remove(path)
            if member and not disk.exists(k3s.DATASTORE):
                await self._cluster.lose_datastore(member)
        return Result()

    async def _install(self, call: Call) -> Result:
        parser = _Arguments(prog="install", add_help=False)
        parser.add_argument("-D", action="store_true", dest="make_folders")
        parser.add_argument("-m", "--mode", default="0755")
        parser.add_argument("source")
        parser.add_argument("target")
        given = parser.parse_intermixed_args(list(call.arguments))
        _need_root(call, given.target)
        disk = call.machine.disk
        content = await call.stdin() if given.source == "/dev/stdin" else _read(call, given.source)
        folder = given.target.rpartition("/")[0]
        if not (given.make_folders or folder in _FOLDERS or disk.exists(folder)):
            raise FileNotFoundError(2, "", given.target)
        disk.write(given.target, content, int(given.mode, 8))
        return Result()

    async def _curl(self, call: Call) -> Result:
        parser = _Arguments(prog="curl", add_help=False)
        for flag in ("--fail", "--silent", "--show-error", "--location"):
            parser.add_argument(flag, action="store_true")
        parser.add_argument("--retry", type=int, default=0)
        parser.add_argument("--output")
        parser.add_argument("url")
        given = parser.parse_intermixed_args(list(call.arguments))
        if given.output:
            _need_root(call, given.output)
        try:
            async with httpx.AsyncClient(
                verify=self._trust, timeout=DOWNLOAD_WITHIN, follow_redirects=given.location, trust_env=False
            ) as client:
                answer = await client.get(given.url)
        except httpx.ConnectError as error:
            certificate = "CERTIFICATE" in str(error)
            return Result(60 if certificate else 7, error=f"curl: ({60 if certificate else 7}) {given.url}: {error}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Result(3, error=f"curl: (3) {given.url}: {error}")
        if given.fail and answer.is_error:
            return Result(22, error=f"curl: (22) The requested URL returned error: {answer.status_code}")
        if given.output:
            call.machine.disk.write(given.output, answer.content, 0o644)
            return Result()
        return Result(out=answer.content)

    async def _systemctl(self, call: Call) -> Result:
        parser = _Arguments(prog="systemctl", add_help=False)
        parser.add_argument("--now", action="store_true")
        parser.add_argument(
            "verb", choices=["daemon-reload", "enable", "disable", "start", "stop", "restart", "is-active"]
        )
        parser.add_argument("unit", nargs="?")
        given = parser.parse_intermixed_args(list(call.arguments))
        unit = (given.unit or "").removesuffix(".service")
        if given.verb == "is-active":
            active = unit in call.machine.active
            return Result(0 if active else 3, out=b"active\n" if active else b"inactive\n")
        _need_root(call, f"systemctl {given.verb}")
        if given.verb == "daemon-reload":
            return Result()
        if not unit:
            raise UsageError("Too few arguments.")
        return await self._change_unit(call.machine, unit, given.verb, now=given.now)

    async def _change_unit(self, machine: RunningMachine, unit: str, verb: str, *, now: bool) -> Result:
        if not machine.disk.exists(machine.unit_file(unit)) and unit not in machine.active:
            code = 1 if verb in ("enable", "disable") else 5
            return Result(code, error=f"Failed to {verb} {unit}.service: Unit {unit}.service does not exist.")
        if verb == "enable":
            machine.enable(unit)
        elif verb == "disable":
            machine.disable(unit)
        starts = verb == "start" or (verb == "enable" and now)
        if verb == "restart" or (starts and unit not in machine.active):
            try:
                await machine.start(unit)
            except ServiceError:
                return Result(1, error=f"Job for {unit}.service failed because the control process exited with error.")
        elif verb == "stop" or (verb == "disable" and now):
            await machine.stop(unit)
        return Result()

    async def _journalctl(self, call: Call) -> Result:
        _need_root(call, "journal")
        parser = _Arguments(prog="journalctl", add_help=False)
        parser.add_argument("--unit", required=True)
        parser.add_argument("--lines", type=int, default=10)
        parser.add_argument("--no-pager", action="store_true")
        given = parser.parse_intermixed_args(list(call.arguments))
        lines = [line for line in call.machine.journal if f" {given.unit}: " in line][-given.lines :]
        return Result(out="\n".join(lines or ["-- No entries --"]).encode() + b"\n")

    async def _k3s(self, call: Call) -> Result:
        version = k3s.version_of(call.machine)
        if version is None:
            return Result(127, error="bash: line 1: k3s: command not found")
        if list(call.arguments) == ["--version"]:
            return Result(out=f"k3s version {version} (stand-in)\n".encode())
        if list(call.arguments[:1]) != ["kubectl"]:
            raise UsageError(f"the stand-in knows `--version` and `kubectl`, not {call.arguments[:1]}")
        return await self._kubectl(call, list(call.arguments[1:]))

    async def _kubectl(self, call: Call, arguments: list[str]) -> Result:
        # On a machine a kubeconfig says https://127.0.0.1:6443; kubectl really runs here, where that is nobody.
        if "--kubeconfig" in arguments:
            at = arguments.index("--kubeconfig") + 1
            _read(call, arguments[at])
            arguments[at] = str(call.machine.disk.locate(arguments[at]))
        else:
            _read(call, k3s.KUBECONFIG)
            arguments = ["--kubeconfig", str(self._cluster.control_plane.admin_kubeconfig), *arguments]
        process = await asyncio.create_subprocess_exec(
            str(self._tools.executable("kubectl")),
            *arguments,
            env=environment(HOME=str(call.machine.disk.root)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate()
        words = [argument for argument in arguments if not argument.startswith("-")]
        if process.returncode == 0 and "delete" in words and "node" in words:
            await self._cluster.remove(words[words.index("node") + 1])
        return Result(process.returncode or 0, out, error.decode(errors="replace").rstrip())


def _need_root(call: Call, what: str) -> None:
    if not call.root:
        raise PermissionError(what)


def _read(call: Call, path: str) -> bytes:
    if not call.root and call.machine.disk.exists(path) and not call.machine.disk.readable_by_all(path):
        raise PermissionError(path)
    return call.machine.disk.read(path)
