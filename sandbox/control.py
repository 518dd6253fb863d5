"""How the commands talk to a running supervisor: a small HTTPS API with a bearer token, and its client."""

import hmac
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import httpx
from aiohttp import web

from sandbox.credentials import Credentials
from sandbox.faults import Fault, Faults
from sandbox.settings import Settings

TIMEOUT = 30.0


class NotRunningError(RuntimeError):
    """No supervisor answers."""


class RefusedError(RuntimeError):
    """The supervisor answers that it can't; the message is what it said."""


def application(
    token: str, status: Callable[[], dict[str, Any]], refresh: Callable[[], Awaitable[None]], faults: Faults
) -> web.Application:
    """Return the API: `GET /status`, `POST /refresh`, which reads charts and manifests anew, and `/faults`."""

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

    async def get_faults(_: web.Request) -> web.Response:
        return web.json_response({"faults": faults.listing()})

    async def post_fault(request: web.Request) -> web.Response:
        try:
            faults.add(Fault.read(await request.json()))
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        return await get_faults(request)

    async def delete_faults(request: web.Request) -> web.Response:
        faults.clear()
        return await get_faults(request)

    app = web.Application(middlewares=[authenticate])
    app.router.add_get("/faults", get_faults)
    app.router.add_post("/faults", post_fault)
    app.router.add_delete("/faults", delete_faults)
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

    def faults(self) -> list[Fault]:
        """Return what is still to go wrong on purpose.

        Raises:
            NotRunningError: nothing answers.
        """
        return self._faults("GET")

    def add_fault(self, fault: Fault) -> list[Fault]:
        """Have something go wrong, and return all that will.

        Raises:
            NotRunningError: nothing answers.
            RefusedError: it makes no sense.
        """
        return self._faults("POST", asdict(fault))

    def clear_faults(self) -> None:
        """Let nothing go wrong on purpose any more.

        Raises:
            NotRunningError: nothing answers.
        """
        self._faults("DELETE")

    def _faults(self, method: str, body: dict[str, Any] | None = None) -> list[Fault]:
        return [Fault.read(one) for one in self._call(method, "/faults", body)["faults"]]

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
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
                    json=body,
                )
        except httpx.TransportError as error:
            raise NotRunningError("the sandbox is not running") from error
        if answer.is_error:
            raise RefusedError(answer.text.strip())
        return dict(answer.json())
