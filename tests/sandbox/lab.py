"""A lab of its own for a test: a sandbox in a temporary folder, on a network that no other lab uses."""

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import yaml

from lab.stack import Stack, sandbox_stack
from sandbox.credentials import Credentials
from sandbox.settings import REPOSITORY, Settings
from toolchain import Toolchain, ensure


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    output: str
    seconds: float


class TestLab:
    """What a person at a terminal would do with a lab, and what only a look behind the scenes tells."""

    __test__ = False

    def __init__(self, root: Path, network: str) -> None:
        self.settings = Settings(root, network)
        self.tools: Toolchain = ensure()

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("PULUMI_")},
            "HOMELAB_SANDBOX": str(self.settings.root),
            "HOMELAB_SANDBOX_NETWORK": self.settings.network,
        }

    def start(self, *command: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, expect: int | None = 0) -> Finished:
        begun = monotonic()
        process = self.start(*command)
        output, _ = process.communicate()
        if expect is not None:
            assert process.returncode == expect, f"{' '.join(command)} exited with {process.returncode}:\n{output}"
        return Finished(process.returncode, output, monotonic() - begun)

    def up(self) -> Finished:
        return self.run("lab", "up")

    def wipe(self) -> None:
        self.run("sandbox", "down", "--wipe")

    def kill_supervisor(self) -> None:
        os.kill(int(self.settings.lock.read_text()), signal.SIGKILL)

    def proxmox(self, method: str, path: str, **data: object) -> Any:
        """Call the Proxmox API as an operator would, with TLS verified."""
        endpoint = self.settings.proxmox["pve1"]
        token = Credentials.at(self.settings.credentials).proxmox_admin_token
        context = ssl.create_default_context(cafile=str(self.settings.authority))
        with httpx.Client(verify=context, trust_env=False) as client:
            answer = client.request(
                method,
                f"https://{endpoint}/api2/json{path}",
                headers={"Authorization": f"PVEAPIToken={token}"},
                data=data if method in ("POST", "PUT") else None,
            )
        answer.raise_for_status()
        return answer.json()["data"]

    def pfsense(self, method: str, path: str, **data: object) -> Any:
        """Call pfSense's API as an operator would, with TLS verified."""
        key = Credentials.at(self.settings.credentials).pfsense_admin
        context = ssl.create_default_context(cafile=str(self.settings.authority))
        with httpx.Client(verify=context, trust_env=False) as client:
            url = f"https://{self.settings.pfsense}/api/v2/{path}"
            answer = client.request(method, url, headers={"X-API-Key": key}, json=data or None)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    def machines(self) -> list[dict[str, Any]]:
        return list(self.proxmox("GET", "/cluster/resources?type=vm"))

    def power(self, vmid: int) -> str:
        return next(str(machine["status"]) for machine in self.machines() if machine["vmid"] == vmid)

    def kubectl(self, *arguments: str) -> Any:
        return json.loads(self.kubectl_says(*arguments, "--output=json"))

    def kubectl_says(self, *arguments: str) -> str:
        kubeconfig = f"--kubeconfig={self.settings.root / 'cluster' / 'admin.kubeconfig'}"
        command = [str(self.tools.executable("kubectl")), *arguments, kubeconfig]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def ready(self) -> dict[str, str]:
        """The status of the condition Ready, by node; empty while the API does not answer."""
        try:
            nodes = self.kubectl("get", "nodes")["items"]
        except AssertionError:
            return {}
        return {
            node["metadata"]["name"]: next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready")
            for node in nodes
        }

    def state(self) -> dict[str, Any]:
        """Pulumi's state as it lies on disk."""
        file = self.settings.root / "state" / ".pulumi" / "stacks" / "homelab" / "dev.json"
        return dict(json.loads(file.read_text())["checkpoint"]["latest"])


def eventually(holds: Callable[[], bool], within: float, what: str) -> None:
    deadline = monotonic() + within
    while not holds():
        assert monotonic() < deadline, f"not within {within:.0f} s: {what}"
        sleep(0.5)


def changed_stack(lab: TestLab, folder: Path, change: Callable[[Any], None]) -> tuple[Stack, Path]:
    """The lab's stack, and a copy of its configuration with something changed in the lab."""
    stack = sandbox_stack(lab.tools, lab.settings)
    config = yaml.safe_load(stack.config_file.read_text())
    change(config["config"]["homelab:lab"])
    copy = folder / "Pulumi.dev.yaml"
    copy.write_text(yaml.safe_dump(config))
    return stack, copy
