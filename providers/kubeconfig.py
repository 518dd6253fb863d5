"""The administrator's kubeconfig as a resource: read from a server over SSH, pointed at the cluster's API address."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import yaml
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from providers.base import Props, Provider, ProviderError, changed, is_unknown, secret_outputs
from providers.k3s_node import CONTACT_PATIENCE, machine_of
from providers.ssh import CommandError, connect

KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"
API_PORT = 6443


class KubeconfigError(ProviderError):
    """What the server has is no usable kubeconfig."""


class K3sKubeconfigProvider(Provider):
    """Fetch the kubeconfig; it is the server's, so deleting the resource deletes nothing."""

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """Fetch again when the server or the API address is another one, never because a preview knows too little."""
        keys = changed(_olds, _news, ("name", "address", "port", "user", "private_key", "host_key", "api_address"))
        return DiffResult(changes=any(not is_unknown(_news.get(key)) for key in keys) or not _olds.get("kubeconfig"))

    def create(self, props: Props) -> CreateResult:
        """Read it once the server is there."""
        return CreateResult(str(props["name"]), asyncio.run(_fetch(props)))

    def read(self, id_: str, props: Props) -> ReadResult:
        """Read it again, so that rotated certificates show as a change."""
        try:
            return ReadResult(id_, asyncio.run(_fetch(props)))
        except CommandError:
            # The machine answers and has no such file: there is no cluster any more.
            return ReadResult("", dict(props))

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        """Read it from where it is now."""
        return UpdateResult(asyncio.run(_fetch(_news)))


@dataclass(frozen=True, kw_only=True)
class K3sKubeconfigArgs:
    """Which server to read it from, and the address that clients should use."""

    name: str
    address: pulumi.Input[str]
    port: int
    user: str
    private_key: pulumi.Input[str]
    host_key: pulumi.Input[str]
    api_address: str


class K3sKubeconfig(Resource, module="k3s", name="Kubeconfig"):
    """The administrator's kubeconfig; `kubeconfig` is secret."""

    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, args: K3sKubeconfigArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare it."""
        props: dict[str, Any] = {
            "name": args.name,
            "address": args.address,
            "port": args.port,
            "user": args.user,
            "private_key": pulumi.Output.secret(args.private_key),
            "host_key": args.host_key,
            "api_address": args.api_address,
            "kubeconfig": None,
        }
        super().__init__(K3sKubeconfigProvider(), name, props, secret_outputs(opts, ["private_key", "kubeconfig"]))


async def _fetch(props: Props) -> Props:
    async with connect(machine_of(props), patience=CONTACT_PATIENCE) as session:
        text = (await session.run("sudo", "-n", "cat", KUBECONFIG)).stdout
    return {**props, "kubeconfig": rewrite(text, server=str(props["name"]), api_address=str(props["api_address"]))}


def rewrite(text: str, *, server: str, api_address: str) -> str:
    """Return K3s' kubeconfig with the API's address in place of the loopback, or say what is wrong with it."""
    try:
        document = yaml.safe_load(text)
        clusters = [entry["cluster"] for entry in document["clusters"]]
        complete = bool(clusters) and bool(document["users"]) and isinstance(document, Mapping)
    except (yaml.YAMLError, KeyError, TypeError):
        # Not chained: the parser's message quotes the file, which holds a private key.
        message = f"{server}: {KUBECONFIG} is no kubeconfig; see `sudo k3s check-config` and the journal of k3s there"
        raise KubeconfigError(message) from None
    if not complete or not all(cluster.get("certificate-authority-data") for cluster in clusters):
        message = f"{server}: {KUBECONFIG} embeds no certificate authority, so the API could not be verified"
        raise KubeconfigError(message)
    for cluster in clusters:
        cluster["server"] = f"https://{api_address}:{API_PORT}"
    return str(yaml.safe_dump(document, sort_keys=True))
