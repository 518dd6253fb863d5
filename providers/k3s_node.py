"""When the steps of a K3s node are taken: first installation, rejoining, mending, leaving.

The functions take and return a resource's properties; they know SSH and the steps, and nothing of Pulumi's engine.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pulumi

from providers import k3s_membership as membership
from providers import k3s_steps as steps
from providers.base import Props, changed, is_unknown
from providers.ssh import HostKeyError, Machine, RemoteError, Session, connect

BOOT_PATIENCE = 600.0
CONTACT_PATIENCE = 20.0

INSTALLED = ("version", "release_url", "sha256")
OBSERVED = ("version", "config_sha256", "active", "ready")


def machine_of(props: Mapping[str, Any]) -> Machine:
    """Return how to reach the machine that the properties describe."""
    return Machine(
        name=str(props["name"]),
        address=str(props["address"]),
        port=int(props["port"]),
        user=str(props["user"]),
        private_key=str(props["private_key"]),
        host_key=str(props.get("host_key") or ""),
    )


def _spec(props: Mapping[str, Any]) -> steps.Spec:
    return steps.Spec(
        name=str(props["name"]),
        role=str(props["role"]),
        version=str(props["version"]),
        release_url=str(props["release_url"]).rstrip("/"),
        sha256=str(props.get("sha256") or ""),
        config=props["config"],
        token=str(props["token"]),
    )


def drifted(olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    """Tell whether config.yaml or the service is not as it should be, as far as the last look knows."""
    if is_unknown(news.get("config")) or is_unknown(news.get("token")):
        return True
    return olds.get("config_sha256") != _spec(news).config_sha256 or not olds.get("active") or not olds.get("ready")


def _outs(props: Mapping[str, Any], session: Session, seen: steps.Observed) -> Props:
    """Return the inputs, which later differences are measured against, with what was seen laid over them."""
    return {**props, "host_key": session.host_key, **{key: getattr(seen, key) for key in OBSERVED}}


async def create(props: Props) -> Props:
    """Make the booted machine a Ready node."""
    spec = _spec(props)
    # The properties of a new node have no host key yet: whichever the machine shows now is the one to be pinned.
    async with connect(machine_of(props), patience=BOOT_PATIENCE) as session:
        await steps.wait_for_boot(session)
        config = await _joining_config(session, spec, props)
        await steps.install(session, spec)
        await steps.configure(session, spec, config)
        await steps.start(session, spec)
        if config != spec.config:
            # K3s reads cluster-init and server only while it has no datastore, so this takes no restart.
            await steps.configure(session, spec)
        return _outs(props, session, await steps.observe(session, spec))


async def _joining_config(session: Session, spec: steps.Spec, props: Props) -> Mapping[str, Any]:
    """Return the configuration for the first start of a node that may have a past.

    A machine that has never had K3s can still be known to a living cluster: then its old Node object goes, since K3s
    refuses a second node of that name, and a rebuilt first server joins the others instead of founding a new cluster.
    """
    if await steps.config_hash(session):
        return spec.config
    async with _living_peer(props) as peer:
        if peer is None:
            return spec.config
        if await membership.node_exists(peer, spec.name):
            pulumi.log.info(f"{spec.name}: removing the Node object of the machine that had this name before")
            await membership.forget(peer, spec.name)
        if not spec.config.get("cluster-init"):
            return spec.config
        pulumi.log.info(f"{spec.name}: joining the cluster that {peer.machine.address} belongs to")
        joining = {key: value for key, value in spec.config.items() if key != "cluster-init"}
        return {**joining, "server": f"https://{peer.machine.address}:6443"}


@asynccontextmanager
async def _living_peer(props: Props) -> AsyncIterator[Session | None]:
    """Yield a session on the first peer whose API answers, or None when there is no cluster to be found."""
    async with AsyncExitStack() as stack:
        found: Session | None = None
        for peer in props.get("peers") or []:
            machine = machine_of({**props, **peer, "name": f"server at {peer['address']}"})
            try:
                session = await stack.enter_async_context(connect(machine, patience=0))
                await membership.node_exists(session, str(props["name"]))
            except RemoteError:
                continue
            found = session
            break
        yield found


async def read(props: Props) -> Props:
    """Look at the machine; an empty `version` says that K3s is not there."""
    spec = _spec(props)
    async with connect(machine_of(props), patience=CONTACT_PATIENCE) as session:
        return _outs(props, session, await steps.observe(session, spec))


async def update(olds: Props, news: Props) -> Props:
    """Change what differs from `news`, and restart K3s only if something did."""
    spec = _spec(news)
    async with connect(machine_of({**news, "host_key": olds.get("host_key")}), patience=CONTACT_PATIENCE) as session:
        seen = await steps.observe(session, spec)
        reinstall = seen.version != spec.version or bool(changed(olds, news, INSTALLED))
        if reinstall:
            await steps.install(session, spec)
        if reinstall or drifted({key: getattr(seen, key) for key in OBSERVED}, news):
            await steps.configure(session, spec)
            await steps.start(session, spec)
            seen = await steps.observe(session, spec)
        return _outs(news, session, seen)


async def delete(props: Props) -> None:
    """Leave the cluster through another server, then remove K3s from the machine."""
    spec = _spec(props)
    async with _living_peer(props) as peer:
        if peer is None:
            pulumi.log.info(f"{spec.name}: no other server answers, so there is no cluster to leave")
        else:
            await membership.leave(peer, spec.name)
    try:
        async with connect(machine_of(props), patience=CONTACT_PATIENCE) as session:
            await steps.remove(session, spec)
    except HostKeyError:
        pulumi.log.info(f"{spec.name}: its machine is gone, and another one has its address; K3s went with it")
    except RemoteError as error:
        message = (
            f"{error}\nIf the machine of {spec.name} is gone for good, forget the node with `pulumi state delete`."
        )
        raise type(error)(message) from error
