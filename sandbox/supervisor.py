"""The process that is the sandbox: it hosts the stand-ins, starts the real programs, and keeps all of them in step."""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from sandbox import control
from sandbox.children import Child, refuse_busy_port
from sandbox.cluster.cluster import Cluster
from sandbox.cluster.containers import Containers
from sandbox.credentials import PROXMOX_ADMIN_TOKEN_ID, PROXMOX_TOKEN_ID, Credentials
from sandbox.faults import Faults
from sandbox.machines.commands import Shell
from sandbox.machines.host import MachineHost
from sandbox.machines.k3s import K3s
from sandbox.mirror import charts, git, releases
from sandbox.pfsense import api as pfsense
from sandbox.pfsense.firewall import Firewall
from sandbox.pki import Authority
from sandbox.proxmox import GIB, Datacenter, Host, application
from sandbox.proxmox.power import resume
from sandbox.settings import REPOSITORY, Endpoint, Settings
from sandbox.workloads import Workloads
from toolchain import Toolchain, ensure

HOST_CPUS: Final = 16
HOST_MEMORY: Final = 64 * GIB

logger = logging.getLogger(__name__)


class AlreadyRunningError(RuntimeError):
    """Another supervisor holds this sandbox."""


@contextlib.contextmanager
def exclusive(settings: Settings) -> Iterator[None]:
    """Hold the sandbox for this process; the lock goes when the process does, however it ends.

    Raises:
        AlreadyRunningError: another process holds it.
    """
    settings.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with settings.lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(f"a supervisor already runs on {settings.root}") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class Supervisor:
    """Everything of one sandbox, composed."""

    def __init__(self, settings: Settings, tools: Toolchain) -> None:
        self._settings = settings
        self._tools = tools
        self._credentials = Credentials.at(settings.credentials)
        self._authority = Authority.at(settings.authority.parent, "homelab sandbox CA")
        self._trust = ssl.create_default_context(cafile=str(settings.authority))
        self._cluster = Cluster(settings, tools)
        shell = Shell(self._cluster, tools, self._trust)
        self._machines = MachineHost(settings.root / "machines", K3s(self._cluster), shell, self._cluster)
        self._workloads = Workloads(settings, tools, self._cluster, self._authority)
        self._faults = Faults()
        self._containers = Containers(self._cluster, self._faults)
        self._datacenter = self._new_datacenter()
        self._runners: list[web.AppRunner] = []
        self._served: dict[str, Endpoint] = {}
        self._ready = False

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT.

        Raises:
            ChildError: an address is taken.
        """
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        try:
            await self._start()
            await stopped.wait()
            logger.info("stopping")
        finally:
            await self._stop()

    async def _start(self) -> None:
        await self._refresh()
        api = control.application(self._credentials.control_token, self._status, self._refresh, self._faults)
        await self._serve("control", api, [self._settings.control])
        await self._serve("git", git.application(self._repository), [self._settings.git])
        mirror = web.Application()
        releases.add_routes(mirror)
        charts.add_routes(mirror, self._charts)
        await self._serve("mirror", mirror, [self._settings.mirror])
        tokens = {
            PROXMOX_TOKEN_ID: self._credentials.proxmox_token,
            PROXMOX_ADMIN_TOKEN_ID: self._credentials.proxmox_admin,
        }
        proxmox = application(self._datacenter, tokens)
        await self._serve("proxmox", proxmox, list(self._settings.proxmox.values()))
        await self._serve("pfsense", self._pfsense(), [self._settings.pfsense])
        self._containers.start()
        self._workloads.start()
        await resume(self._datacenter)
        await self._machines.settled()
        self._ready = True
        logger.info("ready")

    async def _stop(self) -> None:
        self._ready = False
        await self._workloads.stop()
        await self._containers.stop()
        await self._datacenter.close()
        await self._machines.stop()
        await self._cluster.stop()
        for runner in reversed(self._runners):
            await runner.cleanup()
        logger.info("stopped")

    async def _refresh(self) -> None:
        await charts.build_repository(self._charts, self._tools, self._tools.directory("argocd") / "crds")
        commit = await git.snapshot(self._repository, REPOSITORY, "gitops")
        logger.info("gitops/ is commit %s", commit)

    async def _serve(self, name: str, app: web.Application, endpoints: Sequence[Endpoint]) -> None:
        pair = self._authority.issue(name, hosts=[endpoint.host for endpoint in endpoints])
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate, pair.key)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await runner.setup()
        self._runners.append(runner)
        for endpoint in endpoints:
            refuse_busy_port(name, endpoint)
            await web.TCPSite(runner, endpoint.host, endpoint.port, ssl_context=context).start()
            self._served[f"{name} {endpoint.host}" if len(endpoints) > 1 else name] = endpoint

    def _pfsense(self) -> web.Application:
        keys = {pfsense.LAB: self._credentials.pfsense_key, pfsense.ADMIN: self._credentials.pfsense_admin}
        privileges = {pfsense.LAB: pfsense.lab_privileges(), pfsense.ADMIN: (pfsense.EVERYTHING,)}
        firewall = Firewall(self._settings.root / "pfsense" / "config.json", self._settings.cidr)
        return pfsense.application(firewall, keys, privileges, self._faults)

    def _new_datacenter(self) -> Datacenter:
        hosts = [Host(name, at.host, HOST_CPUS, HOST_MEMORY) for name, at in self._settings.proxmox.items()]
        return Datacenter(self._settings.root / "proxmox", hosts, self._machines, self._trust, self._faults)

    @property
    def _charts(self) -> Path:
        return self._settings.root / "charts"

    @property
    def _repository(self) -> Path:
        return self._settings.root / git.REPOSITORY_NAME

    def _status(self) -> dict[str, Any]:
        children: list[Child] = [*self._cluster.control_plane.children, *self._workloads.children.values()]
        services = [
            {
                "name": name,
                "state": "serving",
                "address": str(endpoint),
                "pid": os.getpid(),
                "restarts": 0,
                "problem": "",
            }
            for name, endpoint in self._served.items()
        ]
        services += [
            {
                "name": child.program.name,
                "state": "running" if child.running else "dead",
                "address": ", ".join(map(str, child.program.listens)),
                "pid": child.pid,
                "restarts": child.restarts,
                "problem": child.problem,
            }
            for child in children
        ]
        return {
            "ready": self._ready,
            "services": services,
            "problem": self._workloads.problem,
            "machines": [
                {
                    "name": machine.name,
                    "vm_id": machine.specification.vm_id,
                    "host": machine.specification.node,
                    "address": str(machine.specification.address or ""),
                    "services": sorted(machine.active),
                }
                for machine in self._machines.running
            ],
            "nodes": list(self._cluster.nodes),
        }


def main() -> None:
    """Be the supervisor of the sandbox in the environment's settings."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = Settings.from_environment()
    with exclusive(settings):
        asyncio.run(Supervisor(settings, ensure()).run())


if __name__ == "__main__":
    main()
