"""A data centre of the Proxmox stand-in behind HTTPS, and a client that trusts the sandbox's authority."""

import asyncio
import hashlib
import json
import ssl
import struct
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from sandbox.pki import Authority
from sandbox.proxmox import GIB, Datacenter, Host, Machine, application
from sandbox.proxmox.power import resume

ADDRESS = "127.0.8.21"
TOKEN = "11111111-2222-3333-4444-555555555555"
ADMINISTRATOR = "root@pam!pulumi"
PROGRAM = "homelab@pve!pulumi"
IMAGE = struct.pack(">4sIQIIQ", b"QFI\xfb", 3, 0, 0, 16, 3 * GIB) + bytes(1000)
CHECKSUM = hashlib.sha256(IMAGE).hexdigest()
KEYS = "ssh-ed25519%20AAAAC3Nz%20lab%0Assh-rsa%20AAAAB3Nz%20ops"
VM = {
    "vmid": "111",
    "name": "server-1",
    "memory": "4096",
    "balloon": "0",
    "cores": "2",
    "sockets": "1",
    "cpu": "x86-64-v3",
    "onboot": "1",
    "agent": "enabled=0,fstrim_cloned_disks=0,type=virtio",
    "boot": "order=scsi0;net0",
    "scsi0": "file=local-lvm:0,import-from=local:import/debian.qcow2,size=42949672960,aio=io_uring,discard=on,ssd=1",
    "scsi1": "file=local-lvm:20,iothread=1",
    "ide2": "file=local-lvm:cloudinit,",
    "net0": "model=virtio,bridge=vmbr0,firewall=0,macaddr=BC:24:11:00:00:0B",
    "ipconfig0": "gw=127.10.0.1,ip=127.10.0.11/24",
    "ciuser": "lab",
    "sshkeys": KEYS,
}


class Recorder:
    """Machines that only remember what was asked of them."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self.machines: dict[int, Machine] = {}
        self.broken = False
        self.gate: threading.Event | None = None

    async def boot(self, machine: Machine) -> None:
        if self.broken:
            raise RuntimeError("no address left")
        self.events.append(("boot", machine.vm_id))
        self.machines[machine.vm_id] = machine
        if self.gate:
            await asyncio.to_thread(self.gate.wait, 10)

    async def halt(self, vm_id: int) -> None:
        self.events.append(("halt", vm_id))

    async def discard(self, vm_id: int) -> None:
        self.events.append(("discard", vm_id))


class Lab:
    """A data centre of three hosts behind TLS, an image server, and a client of both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.machines = Recorder()
        self.files = {"/debian.qcow2": IMAGE, "/text.qcow2": b"no image" * 10}
        authority = Authority.at(folder / "pki", "test authority")
        pair = authority.issue("server", hosts=[ADDRESS])
        self.server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_side.minimum_version = ssl.TLSVersion.TLSv1_3
        self.server_side.load_cert_chain(pair.certificate, pair.key)
        self.trust = ssl.create_default_context(cafile=authority.certificate)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.runners: list[web.AppRunner] = []
        self.images = self.wait(self.listen(self.image_server()))
        self.open()

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    async def listen(self, app: web.Application) -> str:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, ADDRESS, 0, ssl_context=self.server_side).start()
        self.runners.append(runner)
        return f"https://{ADDRESS}:{runner.addresses[0][1]}"

    def image_server(self) -> web.Application:
        async def serve(request: web.Request) -> web.Response:
            if request.path not in self.files:
                raise web.HTTPNotFound
            return web.Response(body=self.files[request.path])

        app = web.Application()
        app.router.add_get("/{name}", serve)
        return app

    def open(self) -> None:
        """Load the data centre from disk, as a start of the sandbox does."""
        hosts = [Host(f"pve{number}", ADDRESS, 8, 16 * GIB) for number in (1, 2, 3)]

        async def load() -> Datacenter:
            return Datacenter(self.folder / "proxmox", hosts, self.machines, self.trust)

        self.datacenter = self.wait(load())
        base = self.wait(self.listen(application(self.datacenter, {ADMINISTRATOR: TOKEN, PROGRAM: TOKEN})))
        self.client = httpx.Client(base_url=f"{base}/api2/json", verify=self.trust, trust_env=False)
        self.play(ADMINISTRATOR)

    def play(self, token: str) -> None:
        """Ask as the bearer of ``token`` from here on."""
        self.client.headers["Authorization"] = f"PVEAPIToken={token}={TOKEN}"

    def close(self) -> None:
        self.client.close()
        self.wait(self.datacenter.close())
        for runner in self.runners:
            self.wait(runner.cleanup())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def restart(self) -> None:
        """Lose power and come back."""
        self.client.close()
        self.machines.events.clear()
        self.open()
        self.wait(resume(self.datacenter))

    def request(self, method: str, path: str, /, **given: Any) -> httpx.Response:
        if method in ("POST", "PUT"):
            return self.client.request(method, path, data=given)
        return self.client.request(method, path, params=given or None)

    def ok(self, method: str, path: str, /, **given: Any) -> Any:
        answer = self.request(method, path, **given)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def get(self, path: str, /, **given: Any) -> Any:
        return self.ok("GET", path, **given)

    def refused(self, method: str, path: str, /, **given: Any) -> str:
        """Return the message of a request that breaks a rule."""
        answer = self.request(method, path, **given)
        assert answer.status_code == 500, answer.text
        return str(answer.json()["message"]).strip()

    def faults(self, method: str, path: str, /, **given: Any) -> dict[str, str]:
        """Return the errors by parameter of a request that fails its checks."""
        answer = self.request(method, path, **given)
        assert answer.status_code == 400, answer.text
        body = answer.json()
        assert (body["message"], body["data"]) == ("Parameter verification failed.\n", None)
        assert answer.reason_phrase == "Parameter verification failed."
        return dict(body["errors"])

    def task(self, method: str, path: str, /, **given: Any) -> str:
        """Return how the task of a request ended."""
        upid = self.ok(method, path, **given)
        node = upid.split(":")[1]
        while (task := self.get(f"/nodes/{node}/tasks/{upid}/status"))["status"] == "running":
            pass
        return str(task["exitstatus"])

    def download(self, node: str = "pve1", **given: Any) -> str:
        wanted = {"content": "import", "filename": "debian.qcow2", "url": f"{self.images}/debian.qcow2", **given}
        return self.task("POST", f"/nodes/{node}/storage/local/download-url", **wanted)

    def create(self, **given: Any) -> str:
        return self.task("POST", "/nodes/pve1/qemu", **{**VM, **given})

    def refusal(self, method: str, path: str, /, **given: Any) -> str:
        """Return what a request lacks a right to."""
        answer = self.request(method, path, **given)
        assert answer.status_code == 403, answer.text
        return answer.reason_phrase

    def config(self, vmid: int = 111, **given: Any) -> Any:
        return self.get(f"/nodes/pve1/qemu/{vmid}/config", **given)

    def content(self, storage: str = "local-lvm") -> dict[str, int]:
        return {entry["volid"]: entry["size"] for entry in self.get(f"/nodes/pve1/storage/{storage}/content")}

    def saved(self) -> Any:
        return json.loads((self.folder / "proxmox" / "datacenter.json").read_text())


GUEST = "/nodes/pve1/qemu/111"
