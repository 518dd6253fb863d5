"""Waiting for Argo CD as a resource: made when an application is delivered and well, and not before.

Pulumi's own wait (`pulumi.com/waitFor`) compares fields with constants. So it takes what was Synced before for what is
wanted now, and says of an application that can never become well, ten minutes later, that it waited in vain.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from providers.argocd_status import Look, is_well, reasons, told
from providers.base import Props, Provider, ProviderError, changed, is_unknown, secret_outputs

LOOK_EVERY: Final = 1.0
# How long something may be wrong without a break, in seconds: images are pulled and refused syncs tried several times.
PATIENCE: Final = 90.0
# How long all may take that goes well.
LIMIT: Final = 600.0


class DeliveryError(ProviderError):
    """An application is not well, and won't be by waiting."""


class DeliveredProvider(Provider):
    """Wait; there is nothing to make or to delete."""

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """Wait again when something else is to be delivered, never because a preview knows too little."""
        keys = changed(_olds, _news, ("application", "namespace", "wanted"))
        return DiffResult(changes=any(not is_unknown(_news.get(key)) for key in keys))

    def create(self, props: Props) -> CreateResult:
        """Wait until it is delivered."""
        asyncio.run(_wait_in_cluster(props))
        return CreateResult(str(props["application"]), props)

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        """Wait until what is wanted now is delivered."""
        asyncio.run(_wait_in_cluster(_news))
        return UpdateResult(_news)


@dataclass(frozen=True, kw_only=True)
class DeliveredArgs:
    """Which application in which namespace, on which cluster; ``wanted`` says what it is to deliver, in any words."""

    kubeconfig: pulumi.Input[str]
    namespace: pulumi.Input[str]
    application: pulumi.Input[str]
    wanted: pulumi.Input[str]


class Delivered(Resource, module="argocd", name="Delivered"):
    """An application that is delivered and well."""

    def __init__(self, name: str, args: DeliveredArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare it."""
        props: dict[str, Any] = {
            "kubeconfig": pulumi.Output.secret(args.kubeconfig),
            "namespace": args.namespace,
            "application": args.application,
            "wanted": args.wanted,
        }
        super().__init__(DeliveredProvider(), name, props, secret_outputs(opts, ["kubeconfig"]))


async def wait(
    name: str,
    look: Callable[[], Awaitable[Look]],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Wait until the application called ``name`` is well.

    Raises:
        DeliveryError: with what is wrong, when it has been so for `PATIENCE`, or after `LIMIT`.
    """
    begun = clock()
    since: float | None = None
    said = ""
    while True:
        try:
            found = await look()
        except OSError as error:
            wrong = last = f"application {name}: the cluster does not answer: {error or type(error).__name__}"
        else:
            if is_well(found.application):
                return
            last = told(found)
            wrong = last if any(reasons(found)) else ""
        since = (since or clock()) if wrong else None
        if wrong and wrong != said:
            pulumi.log.info(wrong)
            said = wrong
        if since is not None and clock() - since >= PATIENCE:
            raise DeliveryError(_given_up(last, name))
        if clock() - begun >= LIMIT:
            raise DeliveryError(_given_up(f"{last}, after {LIMIT / 60:.0f} minutes", name))
        await sleep(LOOK_EVERY)


def _given_up(why: str, name: str) -> str:
    return f"{why}. Mend that, and run the same command again; more: kubectl -n argocd describe application {name}"


async def _wait_in_cluster(props: Props) -> None:
    # The client takes a second to import, which a program that only declares the resource need not spend.
    from providers.argocd_cluster import looking  # noqa: PLC0415

    async with looking(str(props["kubeconfig"]), str(props["namespace"]), str(props["application"])) as look:
        await wait(str(props["application"]), look)
