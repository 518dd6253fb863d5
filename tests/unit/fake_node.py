"""Machines for the providers' tests: real SSH servers that answer the commands of a K3s installation from memory."""

import asyncio
import hashlib
import json
import shlex
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncssh
import yaml

CONFIG = "/etc/rancher/k3s/config.yaml"
BINARY = "/usr/local/bin/k3s"
DATASTORE = "/var/lib/rancher/k3s/server/db"
RELEASES = "https://releases.test/k3s"
USER = "debian"
KEY = asyncssh.generate_private_key("ssh-ed25519")
PRIVATE = KEY.export_private_key().decode()
PUBLIC = KEY.export_public_key().decode()

_T = TypeVar("_T")
Answer = tuple[int, str, str]


class Loop:
    """An event loop in a thread, for servers that outlive the loops of the code under test."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


def binary(version: str) -> bytes:
    return f"k3s {version}".encode()


@dataclass
class FakeCluster:
    """What the members share: the Node objects and how often a cluster was founded."""

    nodes: dict[str, bool] = field(default_factory=dict)
    founded: int = 0


@dataclass
class FakeMachine:
    """One machine; `commands` is what it was told, `script` overrides what it would answer."""

    address: str
    cluster: FakeCluster
    host_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    commands: list[str] = field(default_factory=list)
    stdins: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    active: bool = False
    ready_after: int = 0
    script: dict[str, Answer] = field(default_factory=dict)
    published: str = ""
    hangs_on: str = "nothing"
    port: int = 0
    _server: asyncssh.SSHAcceptor | None = None

    async def listen(self) -> None:
        self._server = await asyncssh.listen(
            self.address,
            self.port,
            server_host_keys=[self.host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(PUBLIC),
            process_factory=self._answer,
            reuse_address=True,
        )
        self.port = self._server.get_port()

    async def shut(self) -> None:
        if self._server:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    @property
    def public_host_key(self) -> str:
        return " ".join(self.host_key.export_public_key().decode().split()[:2])

    def ran(self, text: str) -> int:
        return sum(text in command for command in self.commands)

    async def _answer(self, process: asyncssh.SSHServerProcess) -> None:
        command = process.command or ""
        stdin = await process.stdin.read()
        self.commands.append(command)
        self.stdins.append(stdin)
        words = shlex.split(command)
        if self.hangs_on in command:
            await asyncio.sleep(1)
        if shlex.join(words) != command:
            status, out, err = 2, "", f"shell syntax in {command}"
        else:
            status, out, err = self._run(words, stdin)
        process.stdout.write(out)
        process.stderr.write(err)
        process.exit(status)

    def _run(self, words: list[str], stdin: str) -> Answer:
        words = words[2:] if words[:2] == ["sudo", "-n"] else words
        line = " ".join(words)
        for start, answer in self.script.items():
            if line.startswith(start):
                return answer
        handler = getattr(self, "_" + words[0].replace("-", "_"), None)
        return handler(words, stdin) if handler else (127, "", f"{words[0]}: command not found")

    def _cloud_init(self, _words: list[str], _stdin: str) -> Answer:
        return 0, "status: done\n", ""

    def _uname(self, _words: list[str], _stdin: str) -> Answer:
        return 0, "x86_64\n", ""

    def _curl(self, words: list[str], _stdin: str) -> Answer:
        version, _, file = words[-1].removeprefix(RELEASES + "/").replace("%2B", "+").partition("/")
        if "--output" in words:
            self.files[words[words.index("--output") + 1]] = binary(version)
            return 0, "", ""
        digest = self.published or hashlib.sha256(binary(version)).hexdigest()
        return 0, f"{'0' * 64}  k3s-airgap-images-amd64.tar\n{digest}  k3s\n", "" if file else "no file"

    def _sha256sum(self, words: list[str], _stdin: str) -> Answer:
        content = self.files.get(words[1])
        if content is None:
            return 1, "", f"sha256sum: {words[1]}: No such file or directory"
        return 0, f"{hashlib.sha256(content).hexdigest()}  {words[1]}\n", ""

    def _install(self, words: list[str], stdin: str) -> Answer:
        source, target = words[-2:]
        self.files[target] = stdin.encode() if source == "/dev/stdin" else self.files[source]
        return 0, "", ""

    def _rm(self, words: list[str], _stdin: str) -> Answer:
        for path in words[1:]:
            self.files = {
                name: data for name, data in self.files.items() if name != path and not name.startswith(path + "/")
            }
        return 0, "", ""

    def _systemctl(self, words: list[str], _stdin: str) -> Answer:
        if words[1] == "restart":
            self.active = True
            self._join()
        if words[1] == "disable":
            self.active = False
        if words[1] == "is-active":
            return (0, "active\n", "") if self.active else (3, "inactive\n", "")
        return 0, "", ""

    def _join(self) -> None:
        config = self.config
        if config.get("cluster-init") and DATASTORE not in self.files:
            self.cluster.founded += 1
        self.files[DATASTORE] = b"etcd"
        self.files["/etc/rancher/k3s/k3s.yaml"] = yaml.safe_dump(KUBECONFIG).encode()
        self.cluster.nodes[config["node-name"]] = True

    @property
    def config(self) -> dict[str, Any]:
        return dict(yaml.safe_load(self.files[CONFIG]))

    def _journalctl(self, _words: list[str], _stdin: str) -> Answer:
        return 0, "level=fatal msg=the-last-words\n", ""

    def _cat(self, words: list[str], _stdin: str) -> Answer:
        content = self.files.get(words[1])
        return (0, content.decode(), "") if content else (1, "", f"cat: {words[1]}: No such file or directory")

    def _k3s(self, words: list[str], _stdin: str) -> Answer:
        if BINARY not in self.files:
            return 127, "", "k3s: command not found"
        if words[1] == "--version":
            return (
                0,
                self.files[BINARY].decode().replace("k3s ", "k3s version ") + " (0123abc)\ngo version go1.24\n",
                "",
            )
        if not self.active:
            return 1, "", "The connection to the server 127.0.0.1:6443 was refused"
        words = [word for word in words[2:] if not word.endswith(".kubeconfig") and word != "--kubeconfig"]
        return self._kubectl(words)

    def _kubectl(self, words: list[str]) -> Answer:
        nodes = self.cluster.nodes
        name = words[2] if words[0] in {"get", "delete"} else words[1]
        if words[0] == "get":
            if name not in nodes:
                return 0, "", ""
            self.ready_after -= 1
            ready = nodes[name] and self.ready_after < 0
            condition = {"type": "Ready", "status": str(ready), "message": "kubelet says so"}
            return 0, json.dumps({"status": {"conditions": [condition]}}), ""
        if words[0] == "delete":
            nodes.pop(name, None)
        elif name not in nodes:
            return 1, "", f'nodes "{name}" not found'
        return 0, "", ""


KUBECONFIG = {
    "clusters": [
        {"name": "default", "cluster": {"server": "https://127.0.0.1:6443", "certificate-authority-data": "Q0E="}}
    ],
    "users": [{"name": "default", "user": {"client-key-data": "SENTINEL-client-key"}}],
    "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
}

Boot = Callable[..., FakeMachine]
