"""What a cluster says of an application of Argo CD, over its API."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import yaml
from aiohttp import ClientError
from kubernetes_asyncio import client, config
from kubernetes_asyncio.client.exceptions import ApiException

from providers.argocd_status import Look, is_well


@asynccontextmanager
async def looking(kubeconfig: str, namespace: str, name: str) -> AsyncIterator[Callable[[], Awaitable[Look]]]:
    """Give a function that looks at the application called ``name``; it raises OSError when nothing answers."""
    async with await config.new_client_from_config_dict(yaml.safe_load(kubeconfig)) as api:
        core, custom = client.CoreV1Api(api), client.CustomObjectsApi(api)

        async def look() -> Look:
            try:
                application = await custom.get_namespaced_custom_object(
                    "argoproj.io", "v1alpha1", namespace, "applications", name
                )
                if is_well(application):
                    return Look(application)
                home = application["spec"]["destination"]["namespace"]
                pods, events = await core.list_namespaced_pod(home), await core.list_namespaced_event(home)
            except (ApiException, ClientError) as error:
                # Not chained: the client's own text is many lines of headers.
                raise OSError(getattr(error, "reason", None) or str(error)) from None
            return Look(application, *(api.sanitize_for_serialization(one)["items"] for one in (pods, events)))

        yield look
