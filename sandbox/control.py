"""How the commands talk to a running supervisor: a small HTTPS API with a bearer token, and its client."""

import hmac
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from aiohttp import web

from sandbox.credentials import Credentials
from sandbox.settings import Settings

TIMEOUT = 30.0


class NotRunningError(RuntimeError):
    """No supervisor answers."""


class RefusedError(RuntimeError):
    """The supervisor answers that it can't; the message is what it said."""


def application(
    token: str, status: Callable[[], dict[str, Any]], refresh: Callable[[], Awaitable[None]]
) -> web.Application:
    """Return the API: `GET /status`, and `POST /refresh`, which reads charts and manifests anew."""

    @web.middleware
    async def authenticate(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise web.HTTPUnauthorized(text="a bearer token is needed\n")
        return await handler(request)

    async def get_status(_: web.Request) -> web.Response:
        return web.json_response(status())

    async def post_refresh(_: web.Request) -> web.Response:
        try:
            await refresh()
        except RuntimeError as error:
            raise web.HTTPInternalServerError(text=f"{error}\n") from error
        return web.json_response({})

    app = web.Application(middlewares=[authenticate])
    app.router.add_get("/status", get_status)
    app.router.add_post("/refresh", post_refresh)
    return app


class Control:
    """Client of the supervisor in ``settings``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def status(self) -> dict[str, Any]:
        """Return what the supervisor knows of itself.

        Raises:
            NotRunningError: nothing answers.
        """
        return dict(self._call("GET", "/status"))

    def refresh(self) -> None:
        """Have charts and manifests read anew.

        Raises:
            NotRunningError: nothing answers.
            RefusedError: one of them is not valid.
        """
        self._call("POST", "/refresh")

    def _call(self, method: str, path: str) -> dict[str, Any]:
        if not self._settings.authority.exists() or not self._settings.credentials.exists():
            raise NotRunningError("the sandbox was never started")
        context = ssl.create_default_context(cafile=str(self._settings.authority))
        token = Credentials.at(self._settings.credentials).control_token
        try:
            with httpx.Client(verify=context, timeout=TIMEOUT, trust_env=False) as client:
                answer = client.request(
                    method,
                    f"https://{self._settings.control}{path}",
                    headers={"Authorization": f"Bearer {token}"},
                )
        except httpx.TransportError as error:
            raise NotRunningError("the sandbox is not running") from error
        if answer.is_error:
            raise RefusedError(answer.text.strip())
        return dict(answer.json())
