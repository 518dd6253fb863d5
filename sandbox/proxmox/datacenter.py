"""A Proxmox VE cluster: hosts with storage and virtual machines, kept in a folder and found again there.

The rules are in `storages`, `guests` and `power`; here is what they share: lookups, allocation and saving.
"""

import asyncio
import ssl
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sandbox.faults import Faults
from sandbox.proxmox.drives import EXTENT, VOLUME_ID
from sandbox.proxmox.errors import ParameterError, RefusedError
from sandbox.proxmox.machine import Machines
from sandbox.proxmox.state import Guest, Host, State, Storage, Volume
from sandbox.proxmox.tasks import Tasks

FIRST_ID: Final = 100


class Datacenter:
    """All state of the cluster, and where every change of it is saved."""

    def __init__(
        self,
        folder: Path,
        hosts: Sequence[Host],
        machines: Machines,
        trust: ssl.SSLContext,
        faults: Faults | None = None,
    ) -> None:
        """Open the data centre in ``folder``; ``trust`` decides which servers images may be downloaded from.

        The state is ``datacenter.json``, beside the files that were downloaded. Machines that were running are
        powered off now, as after a power cut: `power.resume` starts them.

        Raises:
            ValueError: the folder holds the state of something else.
        """
        self.hosts = {host.name: host for host in hosts}
        self.machines = machines
        self.trust = trust
        self._path = folder / "datacenter.json"
        self._files = folder / "storage"
        self.state = State.load(self._path)
        self.faults = faults or Faults()
        self.tasks = Tasks(self.state, self.save, self.faults)
        self.locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.booted = time.time()
        for unfinished in self._files.rglob(".*"):
            unfinished.unlink()

    def save(self) -> None:
        """Write the state, whole or not at all."""
        self.state.save(self._path)

    async def close(self) -> None:
        """Interrupt running tasks. Machines stay recorded as running, so that the next `power.resume` starts them."""
        await self.tasks.close()

    def host(self, node: str) -> Host:
        """Return a host by its name."""
        if node not in self.hosts:
            raise RefusedError(
                f"hostname lookup '{node}' failed - failed to get address info for: {node}: Name or service not known"
            )
        return self.hosts[node]

    def storage(self, node: str, name: str) -> Storage:
        """Return a storage of a host, whatever it takes."""
        for storage in self.host(node).storages:
            if storage.name == name:
                return storage
        raise RefusedError(f"storage '{name}' does not exist")

    def storage_for(self, node: str, name: str, content: str) -> Storage:
        """Return a storage that takes ``content``."""
        storage = self.storage(node, name)
        if content not in storage.content:
            what = "vm images" if content == "images" else f"content type '{content}'"
            raise ParameterError({"storage": f"storage '{name}' does not support {what}"})
        return storage

    def guest(self, node: str, vmid: int) -> Guest:
        """Return a machine, on the host that it is on."""
        guest = self.state.guests.get(vmid)
        self.host(node)
        if guest is None or guest.node != node:
            raise RefusedError(f"Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")
        return guest

    def next_id(self) -> int:
        """Return the lowest id that no machine has."""
        return next(vmid for vmid in range(FIRST_ID, 10**9) if vmid not in self.state.guests)

    def volumes(self, node: str, storage: str | None = None) -> Iterator[Volume]:
        """Return what is on a host, or on one storage of it; a shared one has the same on each."""
        shared = {one.name for one in self.host(node).storages if one.shared}
        return (
            volume
            for volume in self.state.volumes
            if (volume.node == node or volume.storage in shared) and storage in (None, volume.storage)
        )

    def volumes_by_id(self, node: str) -> dict[str, Volume]:
        """Return what is on a host by volume id."""
        return {volume.volid: volume for volume in self.volumes(node)}

    def volume(self, node: str, volid: str) -> Volume:
        """Return one volume of a host."""
        if not VOLUME_ID.fullmatch(volid):
            raise RefusedError(f"unable to parse volume ID '{volid}'")
        found = self.volumes_by_id(node).get(volid)
        if found is None:
            raise RefusedError(f"volume '{volid}' does not exist")
        return found

    def file(self, volume: Volume) -> Path:
        """Return where the content of a downloaded file is; disks have none."""
        return self._files / volume.node / volume.storage / volume.name

    def used(self, node: str, storage: str) -> int:
        """Return the bytes that are given away on a storage."""
        return sum(volume.size for volume in self.volumes(node, storage))

    def ensure_space(self, node: str, storage: Storage, size: int) -> None:
        """Refuse what does not fit. A thin pool would promise more than it has; this one stays honest."""
        free = storage.capacity - self.used(node, storage.name)
        if size > free:
            raise RefusedError(
                f"storage '{storage.name}' on '{node}' has insufficient free space "
                f"({free // EXTENT} extents): {size // EXTENT} required"
            )

    def allocate(
        self, guest: Guest, storage: Storage, size: int, *, name: str = "", image: str | None = None
    ) -> Volume:
        """Make a disk for ``guest``, rounded up to whole extents and named by the first free number."""
        if size <= 0:
            raise RefusedError(f"unable to create a disk of size 0 on storage '{storage.name}'")
        size = -(-size // EXTENT) * EXTENT
        self.ensure_space(guest.node, storage, size)
        taken = {volume.name for volume in self.volumes(guest.node, storage.name)}
        names = (f"vm-{guest.vmid}-disk-{number}" for number in range(10**6))
        free = name or next(candidate for candidate in names if candidate not in taken)
        if free in taken:
            raise RefusedError(f"volume '{storage.name}:{free}' already exists")
        volume = Volume(guest.node, storage.name, free, "images", "raw", size, int(time.time()), guest.vmid, image)
        self.state.volumes.append(volume)
        return volume

    def free(self, volume: Volume) -> None:
        """Remove a volume and its file; one that is gone already is no fault."""
        if volume in self.state.volumes:
            self.state.volumes.remove(volume)
        self.file(volume).unlink(missing_ok=True)
