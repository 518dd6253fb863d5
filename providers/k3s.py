"""A K3s node as a resource: installed over SSH, looked at on refresh, drained and removed on delete.

What counts as a difference is here; what is done about it is in `k3s_node`, and each step in `k3s_steps`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from providers import k3s_node as node
from providers.base import Props, Provider, changed, is_unknown, secret_outputs

IDENTITY = ("machine", "name", "role", "address")
CONTACT = ("user", "port", "private_key", "peers")


class K3sNodeProvider(Provider):
    """Keep one machine a member of the cluster."""

    def check(self, _olds: Props, news: Props) -> CheckResult:
        """Refuse another token: servers and etcd snapshots are bound to the one they were made with."""
        old = _olds.get("token")
        if old is None or old == news.get("token"):
            return CheckResult(news, [])
        reason = (
            f"the token of a running cluster cannot be changed by replacing it (node {news.get('name')}): "
            "keep the token's resource, or rotate it with `k3s token rotate` on a server first"
        )
        return CheckResult(news, [CheckFailure("token", reason)])

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """Another machine or part is another node; version, configuration and drift are mended in place."""
        replaces = changed(_olds, _news, IDENTITY)
        touched = changed(_olds, _news, node.INSTALLED) or node.drifted(_olds, _news)
        # A preview that does not know how to reach the node has found no change of the node.
        contact = [key for key in changed(_olds, _news, CONTACT) if not is_unknown(_news.get(key))]
        return DiffResult(
            changes=bool(replaces or touched or contact),
            replaces=replaces,
            # The name, the address and the machine can belong to one node only.
            delete_before_replace=True,
        )

    def create(self, props: Props) -> CreateResult:
        """Install K3s on a booted machine and wait until the node is Ready."""
        return CreateResult(str(props["name"]), asyncio.run(node.create(props)))

    def read(self, id_: str, props: Props) -> ReadResult:
        """Look at the machine; one without K3s is no node any more, one that does not answer is an error."""
        outs = asyncio.run(node.read(props))
        return ReadResult(id_, outs) if outs["version"] else ReadResult("", outs)

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        """Bring the node to what is wanted, restarting K3s only if something differs."""
        return UpdateResult(asyncio.run(node.update(_olds, _news)))

    def delete(self, _id: str, _props: Props) -> None:
        """Drain the node through another server, take it out of the cluster, and remove K3s from the machine."""
        asyncio.run(node.delete(_props))


class K3sNode(Resource, module="k3s", name="Node"):
    """A machine that K3s makes a node of the cluster."""

    host_key: pulumi.Output[str]
    version: pulumi.Output[str]

    def __init__(self, name: str, args: "K3sNodeArgs", opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare a node; nothing is done before the machine exists."""
        props: dict[str, Any] = {
            "machine": args.machine,
            "name": args.name,
            "role": args.role,
            "address": args.address,
            "port": args.port,
            "user": args.user,
            "private_key": pulumi.Output.secret(args.private_key),
            "version": args.version,
            "release_url": args.release_url,
            "sha256": args.sha256,
            "config": args.config,
            "token": pulumi.Output.secret(args.token),
            "peers": [{"address": peer.address, "host_key": peer.host_key} for peer in args.peers],
            "config_sha256": None,
            "host_key": None,
            "active": None,
            "ready": None,
        }
        super().__init__(K3sNodeProvider(), name, props, secret_outputs(opts, ["private_key", "token"]))


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Another server of the cluster; its host key is pinned when it is built before the node that asks it."""

    address: pulumi.Input[str]
    host_key: pulumi.Input[str] = ""


@dataclass(frozen=True, kw_only=True)
class K3sNodeArgs:
    """What a node is, how to reach it, and whom to ask about it.

    `machine` identifies the machine itself: a new one at the same address is a new node. `config` is config.yaml
    without the token. A `sha256` takes the place of the checksum file that the release publishes.
    """

    machine: pulumi.Input[str]
    name: str
    role: str
    address: pulumi.Input[str]
    port: int
    user: str
    private_key: pulumi.Input[str]
    version: str
    release_url: str
    config: Mapping[str, Any]
    token: pulumi.Input[str]
    peers: Sequence[Peer] = ()
    sha256: str = ""
