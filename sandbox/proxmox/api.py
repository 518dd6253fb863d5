"""The HTTP side of the stand-in: tokens, Proxmox's envelope and errors, and one log line per request."""

import hmac
import json
import logging
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from sandbox.proxmox import (
    routes_access,
    routes_backups,
    routes_cluster,
    routes_firewall,
    routes_guests,
    routes_ha,
    routes_pools,
    routes_storages,
)
from sandbox.proxmox.datacenter import Datacenter
from sandbox.proxmox.errors import ApiError, NotServedError
from sandbox.proxmox.routing import Call

logger = logging.getLogger(__name__)
PREFIX: Final = "/api2/json"
SCHEME: Final = "PVEAPIToken="
ROUTES: Final = (
    *routes_access.ROUTES,
    *routes_backups.ROUTES,
    *routes_cluster.ROUTES,
    *routes_firewall.ROUTES,
    *routes_guests.ROUTES,
    *routes_ha.ROUTES,
    *routes_pools.ROUTES,
    *routes_storages.ROUTES,
)


def application(datacenter: Datacenter, tokens: Mapping[str, str]) -> web.Application:
    """Serve ``datacenter`` to the bearers of ``tokens``: ``{"homelab@pve!pulumi": "<uuid>"}``.

    A token may do what its user may. Any host answers for all, as in a cluster; the caller binds the application, with
    TLS, to the address of each. What its ``faults`` strike changes nothing.
    """

    async def serve(request: web.Request) -> web.Response:
        path = request.rel_url.raw_path.removeprefix(PREFIX)
        # The provider deletes machines at ".../qemu/101/?purge=1"; like a host, look past the slash.
        path = unquote(path).rstrip("/") or "/"
        try:
            user = _authenticate(request, tokens)
            work = partial(_answer, datacenter, user, request, path)
            data = await datacenter.faults.answer(("pve", request.method, path), work, ApiError)
        except ApiError as error:
            level = logging.WARNING if isinstance(error, NotServedError) else logging.INFO
            logger.log(level, "%s %s: %d %s", request.method, path, error.status, error)
            return _refuse(error)
        except Exception as error:
            logger.exception("%s %s broke", request.method, path)
            return _refuse(ApiError(500, f"the stand-in broke: {type(error).__name__}: {error}"))
        logger.info("%s %s: 200", request.method, path)
        return _envelope(200, "OK", {"data": data})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    return app


def _authenticate(request: web.Request, tokens: Mapping[str, str]) -> str:
    """Return the name of the token that the request bears.

    Raises:
        ApiError: 401, with the reason that a host gives.
    """
    header = request.headers.get("Authorization", "")
    if not header.startswith(SCHEME):
        raise ApiError(401, "No ticket")
    name, _, secret = header.removeprefix(SCHEME).partition("=")
    known = tokens.get(name)
    # Compared even for an unknown name, so that the time of an answer tells nothing.
    matches = hmac.compare_digest((known or "no such token").encode(), secret.encode())
    if known is None:
        user, _, token = name.partition("!")
        raise ApiError(401, f"no such token '{token}' for user '{user}'".replace("\n", " "))
    if not matches:
        raise ApiError(401, "invalid token value!")
    return name


async def _answer(datacenter: Datacenter, user: str, request: web.Request, path: str) -> object:
    matches = ((route, route.match(request.method, path)) for route in ROUTES)
    route, in_path = next(((r, m) for r, m in matches if m is not None), (None, {}))
    if route is None or not request.path.startswith(PREFIX):
        raise NotServedError(f"Method '{request.method} {path}'")
    given = {name: str(value) for name, value in (*request.query.items(), *(await request.post()).items())}
    if route.needs:
        route.needs(datacenter.state.access, user, {**given, **(in_path or {})})
    return await route.handler(Call(datacenter, user, route.check(in_path or {}, given)))


def _refuse(error: ApiError) -> web.Response:
    if error.status == HTTPStatus.UNAUTHORIZED:
        return _envelope(error.status, error.message, {"data": None})
    body: dict[str, object] = {"data": None, "message": f"{error.message}\n"}
    if error.errors:
        body["errors"] = error.errors
    return _envelope(error.status, error.message, body)


def _envelope(status: int, reason: str, body: Mapping[str, object]) -> web.Response:
    # A reason phrase is one line of printable ASCII; the body has the text in full.
    phrase = " ".join(reason.encode("ascii", "replace").decode().split())
    return web.Response(
        status=status,
        reason="".join(c for c in phrase if c.isprintable()),
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/json;charset=UTF-8", "Cache-Control": "no-store"},
    )
