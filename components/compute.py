"""Machines on Proxmox VE, each imported from a cloud image on its own host.

Only the API is used: no SSH to a hypervisor, no template, no snippet, no guest agent. What runs on a machine is the
business of the layers above.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pulumi
import pulumi_proxmoxve as proxmox

from providers.generated import SshKey

# Without any limit the provider reports a difference of this block at each preview; no disk is as fast as this one.
NO_LIMIT: proxmox.VmLegacyDiskSpeedArgsDict = {"read": 10_000}

# The oldest level with AVX, which databases ask for; a named level lets machines move between unlike hosts.
CPU_TYPE = "x86-64-v3"


@dataclass(frozen=True, kw_only=True)
class MachineSpec:
    """One machine."""

    name: str
    host: str
    vm_id: int
    address: str
    mac: str
    cores: int
    memory: int
    disk: int
    tags: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """The cloud image that every disk begins as, and the SHA-512 that says which one it is."""

    url: str
    checksum: str
    file_name: str


@dataclass(frozen=True, kw_only=True)
class ComputeArgs:
    """The machines and what they have in common."""

    machines: Sequence[MachineSpec]
    image: ImageSpec
    images: str
    disks: str
    bridge: str
    vlan: int | None
    prefix_length: int
    gateway: str
    dns: Sequence[str]
    domain: str
    user: str
    protect: bool


class Compute(pulumi.ComponentResource):
    """Download the image to each host in use and start the machines there."""

    machine_ids: Mapping[str, pulumi.Output[str]]
    addresses: Mapping[str, pulumi.Output[str]]
    private_key: pulumi.Output[str]

    def __init__(self, name: str, args: ComputeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the key, the images and the machines."""
        super().__init__("homelab:compute:Compute", name, None, opts)
        # Without the key nothing can be changed on a machine that exists.
        self._key = SshKey(f"{name}-key", opts=pulumi.ResourceOptions(parent=self, protect=args.protect))
        hosts = sorted({machine.host for machine in args.machines})
        images = {host: self._image(f"{name}-image-{host}", args, host) for host in hosts}
        machines = {machine.name: self._machine(args, machine, images[machine.host]) for machine in args.machines}
        self.machine_ids = {node: machine.id for node, machine in machines.items()}
        # An address is of use only once its machine exists, so it waits for it.
        self.addresses = {spec.name: _after(machines[spec.name].id, spec.address) for spec in args.machines}
        self.private_key = pulumi.Output.secret(self._key.private_key)
        outputs = {"machine_ids": self.machine_ids, "addresses": self.addresses, "private_key": self.private_key}
        self.register_outputs(outputs)

    def _image(self, name: str, args: ComputeArgs, host: str) -> proxmox.download.File:
        file_name = PurePosixPath(args.image.file_name)
        return proxmox.download.File(
            name,
            node_name=host,
            datastore_id=args.images,
            content_type="import",
            # Named after its content: another image is another file, so both exist while one replaces the other.
            file_name=f"{file_name.stem}-{args.image.checksum[:8]}{file_name.suffix}",
            url=args.image.url,
            checksum=args.image.checksum,
            checksum_algorithm="sha512",
            # The checksum decides which image this is; the publisher's file growing must replace nothing.
            overwrite=False,
            # What an interrupted run has left of the file must not stop the next one.
            overwrite_unmanaged=True,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _machine(self, args: ComputeArgs, spec: MachineSpec, image: proxmox.download.File) -> proxmox.VmLegacy:
        network: proxmox.VmLegacyNetworkDeviceArgsDict = {
            "bridge": args.bridge,
            "mac_address": spec.mac,
            "model": "virtio",
            "firewall": False,
        }
        if args.vlan is not None:
            network["vlan_id"] = args.vlan
        return proxmox.VmLegacy(
            spec.name,
            node_name=spec.host,
            vm_id=spec.vm_id,
            name=spec.name,
            description="Managed by Pulumi: what is changed by hand is changed back.",
            # Proxmox sorts them, and another order would be a difference at each preview.
            tags=sorted(spec.tags),
            on_boot=True,
            started=True,
            # A cluster node has been drained by the time its machine is deleted, and no agent is there to be asked.
            stop_on_destroy=True,
            # An enabled agent that is not installed stalls each create and refresh for 15 minutes.
            agent={"enabled": False},
            machine="q35",
            cpu={"cores": spec.cores, "sockets": 1, "type": CPU_TYPE},
            # Kubernetes schedules by the memory that it sees, so none may be taken back by a balloon.
            memory={"dedicated": spec.memory, "floating": 0},
            # Debian's cloud images expect a serial port.
            serial_devices=[{"device": "socket"}],
            operating_system={"type": "l26"},
            scsi_hardware="virtio-scsi-single",
            disks=[
                {
                    "interface": "scsi0",
                    "datastore_id": args.disks,
                    "import_from": image.id,
                    "size": spec.disk,
                    "discard": "on",
                    "iothread": True,
                    "ssd": True,
                    "speed": NO_LIMIT,
                }
            ],
            network_devices=[network],
            initialization={
                "datastore_id": args.disks,
                "interface": "ide2",
                "dns": {"domain": args.domain, "servers": list(args.dns)},
                "ip_configs": [{"ipv4": {"address": f"{spec.address}/{args.prefix_length}", "gateway": args.gateway}}],
                "user_account": {"username": args.user, "keys": [self._key.public_key]},
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect,
                # The VM id, the MAC address and the IP address can belong to one machine only.
                delete_before_replace=True,
                # cloud-init reads the account once, and a disk is imported once: neither may replace a running node.
                ignore_changes=["initialization.userAccount", "disks[0].importFrom"],
            ),
        )


def _after(resource: pulumi.Output[str], value: str) -> pulumi.Output[str]:
    return resource.apply(lambda _: value)
