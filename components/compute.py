"""Machines on Proxmox VE, each imported from a cloud image on its own host.

Only the API is used: no SSH to a hypervisor, no template, no snippet, no guest agent. What runs on a machine is the
business of the layers above.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import pulumi
import pulumi_proxmoxve as proxmox

from config.model import Lab
from config.model.infrastructure import Disks, Node, Proxmox
from providers.generated import SshKey

# Without any limit the provider reports a difference of this block at each preview; no disk is as fast as this one.
NO_LIMIT: proxmox.VmLegacyDiskSpeedArgsDict = {"read": 10_000}

# Agents ask the servers for their work.
START_ORDER = {"server": 1, "agent": 2}

# The oldest level with AVX, which databases ask for; a named level lets machines move between unlike hosts.
CPU_TYPE = "x86-64-v3"


@dataclass(frozen=True, kw_only=True)
class ComputeArgs:
    """The lab whose machines are made."""

    lab: Lab


class Compute(pulumi.ComponentResource):
    """Download the image to each host in use and start the machines there."""

    machine_ids: Mapping[str, pulumi.Output[str]]
    addresses: Mapping[str, pulumi.Output[str]]
    private_key: pulumi.Output[str]

    def __init__(self, name: str, args: ComputeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the key, the images and the machines."""
        super().__init__("homelab:compute:Compute", name, None, opts)
        lab = args.lab
        # Without the key nothing can be changed on a machine that exists.
        self._key = SshKey(f"{name}-key", opts=pulumi.ResourceOptions(parent=self, protect=lab.protect))
        hosts = sorted({node.host for node in lab.nodes})
        images = {host: self._image(f"{name}-image-{host}", lab.proxmox, host) for host in hosts}
        machines = {node.name: self._machine(lab, node, images[node.host]) for node in lab.nodes}
        self.machine_ids = {name: machine.id for name, machine in machines.items()}
        # An address is of use only once its machine exists, so it waits for it.
        self.addresses = {node.name: _after(machines[node.name].id, str(node.address)) for node in lab.nodes}
        self.private_key = pulumi.Output.secret(self._key.private_key)
        outputs = {"machine_ids": self.machine_ids, "addresses": self.addresses, "private_key": self.private_key}
        self.register_outputs(outputs)

    def _image(self, name: str, hypervisors: Proxmox, host: str) -> proxmox.download.File:
        image = hypervisors.image
        file_name = PurePosixPath(image.file_name)
        return proxmox.download.File(
            name,
            node_name=host,
            datastore_id=hypervisors.images,
            content_type="import",
            # Named after its content: another image is another file, so both exist while one replaces the other.
            file_name=f"{file_name.stem}-{image.checksum[:8]}{file_name.suffix}",
            url=image.url,
            checksum=image.checksum,
            checksum_algorithm="sha512",
            # The checksum decides which image this is; the publisher's file growing must replace nothing.
            overwrite=False,
            # What an interrupted run has left of the file must not stop the next one.
            overwrite_unmanaged=True,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _machine(self, lab: Lab, node: Node, image: proxmox.download.File) -> proxmox.VmLegacy:
        network, hypervisors = lab.networks.nodes, lab.proxmox
        # cloud-init reads the account once, and a disk is imported once: neither may replace a running node.
        ignored = ["initialization.userAccount", "disks[0].importFrom"]
        if hypervisors.datacenter.high_availability:
            # On another host than the lab says, the provider would make the machine anew: it stays where it was moved.
            ignored.append("nodeName")
        card: proxmox.VmLegacyNetworkDeviceArgsDict = {
            "bridge": network.bridge,
            "mac_address": node.mac,
            "model": "virtio",
            "firewall": hypervisors.datacenter.firewall_group,
        }
        if network.vlan is not None:
            card["vlan_id"] = network.vlan
        return proxmox.VmLegacy(
            node.name,
            node_name=node.host,
            vm_id=node.vm_id,
            # What the token may do to machines ends at the pool.
            pool_id=hypervisors.pool,
            name=node.name,
            description="Managed by Pulumi: what is changed by hand is changed back.",
            # Proxmox sorts them, and another order would be a difference at each preview.
            tags=sorted(["k3s", node.role]),
            on_boot=True,
            startup={"order": START_ORDER[node.role]} if hypervisors.datacenter.start_order else None,
            started=True,
            # A cluster node has been drained by the time its machine is deleted, and no agent is there to be asked.
            stop_on_destroy=True,
            # An enabled agent that is not installed stalls each create and refresh for 15 minutes.
            agent={"enabled": False},
            machine="q35",
            cpu={"cores": node.cores, "sockets": 1, "type": CPU_TYPE},
            # Kubernetes schedules by the memory that it sees, so none may be taken back by a balloon.
            memory={"dedicated": node.memory, "floating": 0},
            # Debian's cloud images expect a serial port.
            serial_devices=[{"device": "socket"}],
            operating_system={"type": "l26"},
            scsi_hardware="virtio-scsi-single",
            disks=_disks(hypervisors.disks, node.disks, image.id),
            network_devices=[card],
            initialization={
                "datastore_id": hypervisors.disks,
                "interface": "ide2",
                "dns": {"domain": lab.domain, "servers": [str(server) for server in network.dns]},
                "ip_configs": [
                    {
                        "ipv4": {
                            "address": f"{node.address}/{network.cidr.prefixlen}",
                            "gateway": str(network.gateway),
                        }
                    }
                ],
                "user_account": {"username": lab.ssh.user, "keys": [self._key.public_key]},
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=lab.protect,
                # The VM id, the MAC address and the IP address can belong to one machine only.
                delete_before_replace=True,
                ignore_changes=ignored,
            ),
        )


def _disks(datastore: str, spec: Disks, image: pulumi.Input[str]) -> list[proxmox.VmLegacyDiskArgsDict]:
    """Return the disks, each always at its own place: a disk that is added later moves no other."""
    disks: list[proxmox.VmLegacyDiskArgsDict] = [{**_disk(datastore, "scsi0", spec.system), "import_from": image}]
    if spec.etcd is not None:
        disks.append(_disk(datastore, "scsi1", spec.etcd))
    if spec.longhorn is not None:
        # Longhorn takes its volumes to a place of their own; here they would be copied once for each replica.
        disks.append({**_disk(datastore, "scsi2", spec.longhorn), "backup": False})
    return disks


def _disk(datastore: str, interface: str, size: int) -> proxmox.VmLegacyDiskArgsDict:
    return {
        "interface": interface,
        "datastore_id": datastore,
        "size": size,
        "discard": "on",
        "iothread": True,
        "ssd": True,
        "speed": NO_LIMIT,
    }


def _after(resource: pulumi.Output[str], value: str) -> pulumi.Output[str]:
    return resource.apply(lambda _: value)
