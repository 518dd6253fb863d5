"""Runs the machines of the data center: boots them with the disk they have, and cuts their power."""

import asyncio
import contextlib
import logging
import shlex
import shutil
from pathlib import Path
from typing import Final
from weakref import WeakSet

import asyncssh

from sandbox.cluster.cluster import Cluster
from sandbox.machines import k3s
from sandbox.machines.commands import Call, Result, Shell
from sandbox.machines.disk import Disk
from sandbox.machines.machine import RunningMachine, Service, ServiceError
from sandbox.pki import write_private
from sandbox.proxmox import Machine as Specification
from sandbox.settings import SSH_PORT

HOST_KEY: Final = "/etc/ssh/ssh_host_ed25519_key"

logger = logging.getLogger(__name__)


class Access(asyncssh.SSHServer):
    """Lets in the user that cloud-init made, with the keys that cloud-init was given, and nobody else."""

    def __init__(self, specification: Specification, connections: "WeakSet[asyncssh.SSHServerConnection]") -> None:
        self._user = specification.user
        self._keys = asyncssh.import_authorized_keys("\n".join(specification.authorized_keys) + "\n")
        self._connections = connections

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connections.add(conn)

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - everyone has to prove something
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == self._user and self._keys.validate(key, "", "", None) is not None


class MachineHost:
    """All machines, by VM id. What a machine wrote to its disk stays until the VM is deleted."""

    def __init__(self, folder: Path, service: Service, shell: Shell, cluster: Cluster) -> None:
        self._folder = folder
        self._service = service
        self._shell = shell
        self._cluster = cluster
        self._machines: dict[int, RunningMachine] = {}
        self._servers: dict[int, asyncssh.SSHAcceptor] = {}
        self._connections: dict[int, WeakSet[asyncssh.SSHServerConnection]] = {}
        self._commands: dict[int, set[asyncio.Task[None]]] = {}
        self._starting: dict[int, asyncio.Task[None]] = {}

    @property
    def running(self) -> tuple[RunningMachine, ...]:
        return tuple(self._machines.values())

    async def boot(self, specification: Specification) -> None:
        """Boot a machine: SSH answers at once, enabled services follow."""
        vm_id = specification.vm_id
        disk = Disk(self._folder / str(vm_id) / "disk")
        machine = RunningMachine(specification, disk, self._service)
        self._machines[vm_id] = machine
        if specification.image is None:
            machine.log("firmware", "no bootable disk: the machine waits for one")
            return
        if specification.address is None or not specification.user:
            machine.log("cloud-init", "no address or no user was given: the machine runs, and nobody can reach it")
            return
        connections = self._connections[vm_id] = WeakSet()
        try:
            self._servers[vm_id] = await asyncssh.listen(
                str(specification.address),
                SSH_PORT,
                server_factory=lambda: Access(specification, connections),
                server_host_keys=[_host_key(disk)],
                process_factory=lambda process: self._serve(machine, process),
                encoding=None,
            )
        except OSError as error:
            machine.log("networking", f"{specification.address} cannot be used: {error}")
            return
        machine.log("cloud-init", f"up on {specification.address} for {specification.user}")
        self._starting[vm_id] = asyncio.create_task(_start_enabled(machine), name=f"boot {machine.name}")

    async def halt(self, vm_id: int) -> None:
        """Cut the power: services fall silent, SSH is gone, the disk stays."""
        if task := self._starting.pop(vm_id, None):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if server := self._servers.pop(vm_id, None):
            server.close()
        for connection in self._connections.pop(vm_id, ()):
            connection.abort()
        commands = self._commands.pop(vm_id, set())
        for command in commands:
            command.cancel()
        await asyncio.gather(*commands, return_exceptions=True)
        if machine := self._machines.pop(vm_id, None):
            for unit in list(machine.active):
                await machine.stop(unit)
            machine.log("kernel", "power off")

    async def discard(self, vm_id: int) -> None:
        """Destroy the machine and its disk."""
        machine = self._machines.get(vm_id)
        await self.halt(vm_id)
        disk = Disk(self._folder / str(vm_id) / "disk")
        if disk.exists(k3s.DATASTORE):
            await self._cluster.lose_datastore(disk.read(k3s.DATASTORE).decode())
        shutil.rmtree(disk.root.parent, ignore_errors=True)
        if machine:
            logger.info("%s is destroyed", machine.name)

    async def settled(self) -> None:
        """Wait until the services that start at boot have started, or failed to."""
        await asyncio.gather(*self._starting.values(), return_exceptions=True)

    async def stop(self) -> None:
        """Cut the power of all machines."""
        for vm_id in list(self._machines):
            await self.halt(vm_id)

    async def _serve(self, machine: RunningMachine, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        if command := asyncio.current_task():
            commands = self._commands.setdefault(machine.specification.vm_id, set())
            commands.add(command)
            command.add_done_callback(commands.discard)
        try:
            result = await self._execute(machine, process)
        except (asyncssh.Error, OSError) as error:
            result = Result(255, error=f"connection lost: {error}")
        with contextlib.suppress(asyncssh.Error, OSError):
            process.stdout.write(result.out)
            if result.error:
                process.stderr.write(result.error.encode() + b"\n")
            process.exit(result.code)

    async def _execute(self, machine: RunningMachine, process: "asyncssh.SSHServerProcess[bytes]") -> Result:
        if not process.command:
            return Result(1, error="This machine is a stand-in without a login shell: give it a command.")
        try:
            arguments = shlex.split(process.command)
        except ValueError as error:
            return Result(2, error=f"bash: {error}")
        if not arguments:
            return Result()
        return await self._shell.run(Call(machine, arguments, process.stdin.read))


async def _start_enabled(machine: RunningMachine) -> None:
    for unit in machine.enabled_units:
        with contextlib.suppress(ServiceError):  # it is in the journal
            await machine.start(unit)


def _host_key(disk: Disk) -> asyncssh.SSHKey:
    """Return the key that the machine made at its first boot and keeps."""
    if not disk.exists(HOST_KEY):
        key = asyncssh.generate_private_key("ssh-ed25519")
        write_private(disk.locate(HOST_KEY), key.export_private_key())
    return asyncssh.import_private_key(disk.read(HOST_KEY))
