"""What the hosts do for machines that exist: a firewall in front of each, backups, and a restart on another host.

All of it asks for rights on the whole of Proxmox, so each part is there only if `proxmox.datacenter` names it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_proxmoxve as proxmox

from config.model import Lab
from config.model.infrastructure import MachineBackups, Node
from providers.kubeconfig import API_PORT

# Proxmox takes 512 characters of addresses in one rule.
ADDRESSES_IN_A_RULE = 30
Rule = proxmox.cluster.firewall.security.GroupLegacyRuleArgsDict


@dataclass(frozen=True, kw_only=True)
class SafeguardsArgs:
    """The lab, and its machines by the names of their nodes."""

    lab: Lab
    machine_ids: Mapping[str, pulumi.Output[str]]


class Safeguards(pulumi.ComponentResource):
    """Declare what the lab asks of the data centre, part by part."""

    def __init__(self, name: str, args: SafeguardsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the parts that the lab names; none is no fault."""
        super().__init__("homelab:safeguards:Safeguards", name, None, opts)
        self._name = name
        self._lab = args.lab
        self._machine_ids = args.machine_ids
        self._child = pulumi.ResourceOptions(parent=self)
        wanted = args.lab.proxmox.datacenter
        if wanted.firewall_group:
            self._firewall()
        if wanted.backups is not None:
            self._backups(wanted.backups)
        if wanted.high_availability:
            self._high_availability()
        self.register_outputs({})

    def _firewall(self) -> None:
        group = proxmox.cluster.firewall.security.GroupLegacy(
            f"{self._name}-group",
            name=self._lab.proxmox.pool,
            comment=f"{self._lab.name}: what reaches its nodes",
            rules=list(inbound(self._lab)),
            opts=self._child,
        )
        for node in self._lab.nodes:
            rules = proxmox.firewall.RulesLegacy(
                f"{self._name}-rules-{node.name}",
                node_name=node.host,
                vm_id=self._vm_id(node),
                rules=[{"security_group": group.name, "iface": "net0", "enabled": True, "comment": self._lab.name}],
                opts=self._child,
            )
            proxmox.firewall.OptionsLegacy(
                f"{self._name}-firewall-{node.name}",
                node_name=node.host,
                vm_id=self._vm_id(node),
                enabled=True,
                input_policy="DROP",
                output_policy="ACCEPT",
                # Closed only once it is said what stays open.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[rules]),
            )

    def _backups(self, wanted: MachineBackups) -> None:
        proxmox.backup.Job(
            f"{self._name}-backups",
            resource_id=self._lab.proxmox.pool,
            pool=self._lab.proxmox.pool,
            schedule=wanted.schedule,
            storage=wanted.datastore,
            enabled=True,
            mode="snapshot",
            compress="zstd",
            prune_backups={"keep-last": str(wanted.keep)},
            notes_template=f"{self._lab.name}: {{{{guestname}}}}",
            opts=self._child,
        )

    def _high_availability(self) -> None:
        resources = {
            node.name: proxmox.Haresource(
                f"{self._name}-ha-{node.name}",
                resource_id=self._vm_id(node).apply("vm:{}".format),
                comment=self._lab.name,
                state="started",
                max_restart=1,
                max_relocate=1,
                opts=self._child,
            )
            for node in self._lab.nodes
        }
        servers = [node.name for node in self._lab.nodes if node.role == "server"]
        if len(servers) > 1:
            proxmox.Harule(
                f"{self._name}-apart",
                rule=f"{self._lab.proxmox.pool}-servers",
                type="resource-affinity",
                affinity="negative",
                comment=f"{self._lab.name}: a host that fails takes one server with it",
                resources=[resources[name].resource_id for name in servers],
                opts=self._child,
            )

    def _vm_id(self, node: Node) -> pulumi.Output[int]:
        """Return the machine's id, once there is one."""
        return self._machine_ids[node.name].apply(lambda _: node.vm_id)


def inbound(lab: Lab) -> Iterator[Rule]:
    """Yield what a node lets in: all from other nodes, the API and SSH from the networks that the lab names."""
    nodes = [str(node.address) for node in lab.nodes]
    for at in range(0, len(nodes), ADDRESSES_IN_A_RULE):
        yield _accept("nodes", nodes[at : at + ADDRESSES_IN_A_RULE])
    known = (lab.networks.nodes, lab.networks.management, lab.networks.lan, lab.networks.vpn)
    networks = [str(network.cidr) for network in known if network is not None]
    operators = [str(address) for address in lab.firewall.operators] if lab.firewall else []
    yield _accept("the API", networks, "tcp", API_PORT)
    yield _accept("operators", operators or networks, "tcp", lab.ssh.port)
    yield _accept("ping", networks, "icmp")


def _accept(comment: str, source: Sequence[str], proto: str | None = None, port: int | None = None) -> Rule:
    rule: Rule = {
        "type": "in",
        "action": "ACCEPT",
        # Said aloud: a rule that was switched off by hand would not differ from one that says nothing.
        "enabled": True,
        "source": ",".join(source),
        "comment": comment,
    }
    if proto is not None:
        rule["proto"] = proto
    if port is not None:
        rule["dport"] = str(port)
    return rule
