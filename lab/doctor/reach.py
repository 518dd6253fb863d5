"""Ask a server over HTTPS, with its certificate verified, and say in plain words why it did not answer."""

import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

PATIENCE = 5.0


class UnreachableError(Exception):
    """A server gave no answer; `step` is what to do about it."""

    def __init__(self, problem: str, step: str) -> None:
        super().__init__(problem)
        self.step = step


@dataclass(frozen=True)
class Reach:
    """Which authorities are trusted: those of ``authority``, a PEM file, or the system's."""

    authority: str | None = None

    async def get(self, url: str, headers: Mapping[str, str] | None = None, /, **query: str) -> httpx.Response:
        """Return the answer to a GET, whatever its status.

        Raises:
            UnreachableError: there is none.
        """
        return await self._ask("GET", url, headers or {}, query)

    async def head(self, url: str) -> httpx.Response:
        """Return the answer to a HEAD, after redirects: for files that are too large to fetch.

        Raises:
            UnreachableError: there is none.
        """
        return await self._ask("HEAD", url, {}, {})

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str]) -> httpx.Response:
        context = ssl.create_default_context(cafile=self.authority)
        # A proxy of the environment is for the world outside, not for this machine or the house.
        outside = not _is_private(urlsplit(url).hostname or "")
        async with httpx.AsyncClient(
            verify=context, timeout=PATIENCE, trust_env=outside, follow_redirects=not headers
        ) as client:
            try:
                return await client.request(method, url, headers=dict(headers), params=dict(query) or None)
            except httpx.HTTPError as error:
                raise _explained(url, error) from error


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def _explained(url: str, error: httpx.HTTPError) -> UnreachableError:
    place = urlsplit(url)
    server = f"{place.hostname}:{place.port or 443}"
    if isinstance(error, httpx.TimeoutException):
        return UnreachableError(f"{server} does not answer within {PATIENCE:.0f} s", f"see that {server} is up")
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return UnreachableError(
            f"the certificate of {server} is not trusted", "export SSL_CERT_FILE=<the CA's certificate>"
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return UnreachableError(f"{place.hostname} has no address", f"add {place.hostname} to your DNS, or correct it")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return UnreachableError(f"nothing listens at {server}", f"see that {server} is up")
    return UnreachableError(f"{server}: {error}", f"see that {server} is up and speaks HTTPS")


def _causes(error: BaseException | None) -> "list[BaseException]":
    """Return an error with what it came from; a connection that was tried in several ways has several causes."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in found:
            continue
        found.append(one)
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return found
