"""The HTTP side of the stand-in: keys with privileges, pfSense's envelope, and one log line per request."""

import hmac
import json
import logging
import re
from collections.abc import Collection, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from sandbox.faults import Faults
from sandbox.pfsense.errors import (
    ForbiddenError,
    InjectedError,
    InvalidError,
    MethodError,
    NotServedError,
    RestError,
    UnauthorizedError,
)
from sandbox.pfsense.fields import Row
from sandbox.pfsense.firewall import Firewall
from sandbox.pfsense.kinds import KINDS, Kind

logger = logging.getLogger(__name__)
PREFIX: Final = "/api/v2/"
SINGLES: Final = {kind.path: kind for kind in KINDS}
COLLECTIONS: Final = {kind.collection: kind for kind in KINDS}
PARTS: Final = {f"{kind.part}/apply": kind.part for kind in KINDS}
# What `Models/*Apply.inc` gives each a name for.
WORDS: Final = {200: "ok", 400: "bad request", 401: "unauthorized", 403: "forbidden", 404: "not found"}
EVERYTHING: Final = "page-all"
LAB: Final = "homelab"
ADMIN: Final = "admin"


def privilege(path: str, method: str) -> str:
    """Return what pfSense calls the right to use a method of an endpoint (Core/Endpoint.inc)."""
    return f"api-v2-{re.sub('[/_]', '-', path)}-{method.lower()}"


def lab_privileges() -> frozenset[str]:
    """Return what docs/real-lab.md gives the key of a lab."""
    own = {privilege(kind.path, method) for kind in KINDS for method in ("POST", "PATCH", "DELETE")}
    own |= {privilege(kind.collection, "GET") for kind in KINDS}
    return frozenset(own | {privilege(path, method) for path in PARTS for method in ("GET", "POST")})


def application(
    firewall: Firewall,
    keys: Mapping[str, str],
    privileges: Mapping[str, Collection[str]],
    faults: Faults,
) -> web.Application:
    """Serve ``firewall`` to the bearers of ``keys``, by user; ``privileges`` says what each user may.

    What ``faults`` strikes changes nothing.
    """

    async def serve(request: web.Request) -> web.Response:
        path = request.path.removeprefix(PREFIX).rstrip("/")
        if not request.path.startswith(PREFIX) or path not in {*SINGLES, *COLLECTIONS, *PARTS}:
            # nginx, before any PHP.
            return web.Response(status=404, text="<html><head><title>404 Not Found</title></head></html>")
        try:
            user = _authenticate(request, keys)
            _authorize(user, privileges[user], path, request.method)
            work = partial(_answer, firewall, user, request, path)
            data = await faults.answer(("pfsense", request.method, f"/{path}"), work, InjectedError)
        except RestError as error:
            logger.info("%s %s: %d %s", request.method, path, error.status, error.response_id)
            return _envelope(error.status, error.response_id, error.message, [])
        logger.info("%s %s: 200", request.method, path)
        return _envelope(HTTPStatus.OK, "SUCCESS", "", data)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    return app


def _authenticate(request: web.Request, keys: Mapping[str, str]) -> str:
    given = request.headers.get("X-API-Key", "")
    found = [user for user, key in keys.items() if hmac.compare_digest(key.encode(), given.encode())]
    if not found:
        raise UnauthorizedError("AUTH_AUTHENTICATION_FAILED", "Authentication failed.")
    return found[0]


def _authorize(user: str, privileges: Collection[str], path: str, method: str) -> None:
    if EVERYTHING not in privileges and privilege(path, method) not in privileges:
        logger.info("%s lacks %s", user, privilege(path, method))
        raise ForbiddenError(
            "AUTH_AUTHORIZATION_FAILED",
            "Authorization failed. You do not have sufficient privileges to access this resource.",
        )


async def _answer(firewall: Firewall, user: str, request: web.Request, path: str) -> object:
    given = await _given(request)
    if path in PARTS:
        return _applied(firewall, PARTS[path], request.method)
    if path in COLLECTIONS:
        kind = COLLECTIONS[path]
        if request.method not in kind.methods:
            raise _no_method(request.method)
        if request.method != "GET":
            raise NotServedError(f"{request.method} {path}")
        return _listing(firewall, kind, request.query)
    kind = SINGLES[path]
    row = await _changed(firewall, kind, request.method, given, f"{user}@{request.remote}")
    if given.get("apply") is True and request.method != "GET":
        firewall.apply(kind.part)
    return row


async def _changed(firewall: Firewall, kind: Kind, method: str, given: Row, client: str) -> Row:
    if method == "GET":
        return firewall.find(kind, given)
    if method == "POST":
        return await firewall.create(kind, given, client)
    if method == "PATCH":
        return await firewall.update(kind, given, client)
    if method == "DELETE":
        return await firewall.delete(kind, given)
    raise _no_method(method)


async def _given(request: web.Request) -> Row:
    """Return what the client sent: a JSON object, or the query, whose numbers and booleans are read as such."""
    body = await request.text()
    if body:
        try:
            given = json.loads(body)
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise InvalidError("JSON_CONTENT_HANDLER_INVALID", "The request body is no JSON object.")
        return given
    words: Mapping[str, Any] = {"true": True, "false": False}
    return {name: int(value) if value.isdigit() else words.get(value, value) for name, value in request.query.items()}


def _applied(firewall: Firewall, part: str, method: str) -> Row:
    if method == "POST":
        firewall.apply(part)
    elif method != "GET":
        raise _no_method(method)
    pending = firewall.pending(part)
    status: Row = {"applied": not pending}
    return {**status, "pending_subsystems": pending} if part == "firewall" else status


def _listing(firewall: Firewall, kind: Kind, query: Mapping[str, str]) -> list[Row]:
    rows = firewall.rows(kind)
    for name, value in query.items():
        if name in ("limit", "offset"):
            continue
        if name not in (*kind.fields, "id", "parent_id"):
            raise NotServedError(f"The filter {name}")
        rows = [row for row in rows if str(row[name]) == value]
    start, limit = int(query.get("offset", 0)), int(query.get("limit", 0))
    return rows[start : start + limit if limit else None]


def _no_method(method: str) -> MethodError:
    return MethodError("ENDPOINT_METHOD_NOT_ALLOWED", f"Resource at this URL does not support {method} requests.")


def _envelope(status: int, response_id: str, message: str, data: object) -> web.Response:
    words = WORDS.get(status, HTTPStatus(status).phrase.lower())
    body = {"code": int(status), "status": words, "response_id": response_id, "message": message, "data": data}
    return web.json_response(body, status=status)
