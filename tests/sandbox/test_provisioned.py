"""A lab that is up, looked at from all sides."""

import asyncio
import base64
import json
import re
import subprocess
from collections import Counter
from typing import Any

import asyncssh
import psutil
import pytest
import yaml

from config.rules import read_lab
from config.workloads import replicated
from sandbox.settings import REPOSITORY
from tests.sandbox.lab import TestLab, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]


def secrets_of(lab: TestLab) -> dict[str, str]:
    """Every secret value of the lab, by name."""
    env = lab.run("lab", "env").output
    exported = json.loads(_shell(env, "pulumi stack export --show-secrets"))
    found = json.loads(lab.settings.credentials.read_text())
    for resource in exported["deployment"]["resources"]:
        for key in ("value", "private_key", "token", "kubeconfig"):
            for value in (resource.get("outputs", {}).get(key), resource.get("inputs", {}).get(key)):
                if isinstance(value, dict) and "plaintext" in value:
                    found[f"{resource['urn'].split('::')[-1]}.{key}"] = json.loads(value["plaintext"])
    kubeconfig = yaml.safe_load(next(value for name, value in found.items() if name.endswith(".kubeconfig")))
    key = kubeconfig["users"][0]["user"]["client-key-data"]
    found["client key"] = key
    found["client key, decoded"] = base64.b64decode(key).decode().splitlines()[1]
    private = next(value for name, value in found.items() if name.endswith(".private_key"))
    found["ssh key"] = private.splitlines()[1]
    return found


def _shell(environment: str, command: str) -> str:
    return subprocess.run(
        ["/bin/sh", "-c", f"{environment}\n{command}"], capture_output=True, text=True, check=True
    ).stdout


def test_no_secret_is_readable_in_state_preview_or_logs(provisioned: TestLab) -> None:
    secrets = secrets_of(provisioned)
    assert {"control_token", "proxmox_token", "passphrase", "ssh key", "client key"} <= set(secrets)
    assert any(name.endswith(".value") for name in secrets), "the generated tokens were not found"

    texts = {"preview": provisioned.run("lab", "preview", "--", "--diff", "--refresh").output}
    root = provisioned.settings.root
    files = [*(root / "logs").iterdir(), *(path for path in (root / "state").rglob("*") if path.is_file())]
    texts |= {str(path): path.read_text(errors="replace") for path in files}
    assert any("supervisor.log" in name for name in texts)
    assert any(name.endswith("dev.json") for name in texts)
    leaks = [(name, where) for name, secret in secrets.items() for where, text in texts.items() if secret in text]
    assert leaks == []


def test_a_killed_sandbox_comes_back_as_it_was(provisioned: TestLab) -> None:
    before = provisioned.ready()
    provisioned.kill_supervisor()
    assert "next" in provisioned.run("sandbox", "status", expect=3).output

    provisioned.run("sandbox", "up")
    assert provisioned.ready() == before
    provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes")
    assert "79 unchanged" in provisioned.up().output


def test_files_that_hold_secrets_are_readable_by_their_owner_only(provisioned: TestLab) -> None:
    root = provisioned.settings.root
    private = [root / "credentials.json", root / "passphrase", root / "stack" / "Pulumi.dev.yaml", *root.rglob("*.key")]
    assert len(private) > 5
    open_to_others = [str(path) for path in private if path.stat().st_mode & 0o077]
    assert open_to_others == []


def test_nothing_listens_beyond_loopback(provisioned: TestLab) -> None:
    supervisor = psutil.Process(int(provisioned.settings.lock.read_text()))
    processes = [supervisor, *supervisor.children(recursive=True)]
    listening = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert len(processes) >= 9, "the control plane and Argo CD run as children"
    assert len(listening) >= 10
    assert {ip for ip in listening if not ip.startswith("127.")} == set()


def test_a_stopped_machine_makes_its_node_not_ready_until_it_runs_again(provisioned: TestLab) -> None:
    provisioned.proxmox("POST", "/nodes/pve2/qemu/122/status/stop")
    try:
        eventually(lambda: provisioned.ready().get("k3s-agent-2") == "Unknown", 60, "k3s-agent-2 is not Ready")
        others = {status for name, status in provisioned.ready().items() if name != "k3s-agent-2"}
        assert others == {"True"}
    finally:
        provisioned.proxmox("POST", "/nodes/pve2/qemu/122/status/start")
    eventually(lambda: provisioned.ready().get("k3s-agent-2") == "True", 60, "k3s-agent-2 is Ready again")


def test_the_api_answers_only_while_most_servers_run(provisioned: TestLab) -> None:
    def services() -> str:
        return provisioned.run("sandbox", "status", expect=None).output

    provisioned.proxmox("POST", "/nodes/pve1/qemu/111/status/stop")
    try:
        assert provisioned.ready(), "two of three servers are a majority"
        provisioned.proxmox("POST", "/nodes/pve2/qemu/112/status/stop")
        eventually(lambda: "kube-apiserver" not in services(), 30, "the API stops with its quorum")
    finally:
        for node, vm in (("pve1", 111), ("pve2", 112)):
            provisioned.proxmox("POST", f"/nodes/{node}/qemu/{vm}/status/start")
    eventually(lambda: set(provisioned.ready().values()) == {"True"}, 90, "all nodes are Ready again")
    eventually(lambda: "argocd-application-controller" in services(), 60, "Argo CD runs again")


async def _login(host: str, **options: object) -> None:
    async with asyncssh.connect(
        host, 2222, username="debian", known_hosts=None, config=None, agent_path=None, **options
    ):
        pass


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"client_keys": [asyncssh.generate_private_key("ssh-ed25519")]}, id="another key"),
        pytest.param({"client_keys": None, "password": "debian"}, id="a password"),
    ],
)
def test_a_machine_lets_in_only_the_key_that_cloud_init_was_given(
    provisioned: TestLab, options: dict[str, object]
) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        asyncio.run(_login(f"{provisioned.settings.network}.0.11", **options))


def test_argo_cd_repairs_what_is_changed_by_hand(provisioned: TestLab) -> None:
    def hub() -> dict[str, Any]:
        return dict(provisioned.kubectl("get", "deployment", "hub", "--namespace=hub"))

    before = hub()["metadata"]["generation"]
    provisioned.kubectl("scale", "deployment", "hub", "--namespace=hub", "--replicas=0")
    eventually(lambda: hub()["spec"]["replicas"] == 2, 60, "the hub has its replicas back")
    assert hub()["metadata"]["generation"] >= before + 2, "once for the change, once for its repair"


def test_a_change_by_hand_on_a_node_is_drift_and_up_repairs_it(provisioned: TestLab) -> None:
    disk = provisioned.settings.root / "machines" / "121" / "disk"
    config = disk / "etc" / "rancher" / "k3s" / "config.yaml"
    config.write_text(config.read_text() + "debug: true\n")
    drifted = provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes", expect=1)
    assert re.search(r"~ .*Node k3s-agent-1", drifted.output)

    provisioned.run("lab", "up", "--", "--refresh")
    assert "debug" not in config.read_text()
    provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes")


def test_the_pods_ask_for_what_the_plan_adds_up(provisioned: TestLab) -> None:
    lab = read_lab(yaml.safe_load((REPOSITORY / "Pulumi.dev.yaml").read_text())["config"]["homelab:lab"])
    # K3s' own pods are the only ones that the stand-in for K3s does not bring.
    planned = Counter(
        (one.namespace, one.requests.cpu, one.requests.memory)
        for one in replicated(lab)
        for _ in range(one.replicas)
        if one.namespace != "kube-system"
    )
    pods = provisioned.kubectl("get", "pods", "--all-namespaces")["items"]
    asked = Counter(
        (pod["metadata"]["namespace"], *(_requested(pod, resource) for resource in ("cpu", "memory"))) for pod in pods
    )
    assert asked == planned


def _requested(pod: dict[str, Any], resource: str) -> int:
    """What a pod asks for: thousandths of a core, or MiB."""
    amounts = [container["resources"]["requests"][resource] for container in pod["spec"]["containers"]]
    return sum(int(amount.removesuffix("m").removesuffix("Mi")) for amount in amounts)
