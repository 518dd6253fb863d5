"""The way to pfSense's REST API v2 (pfSense-pkg-RESTAPI): its envelope, its errors, and patience that ends.

Every operation that is tried again begins with a look at what is there, so that a lost answer doubles nothing.
"""

import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeVar

import httpx
import pulumi

from providers.base import ProviderError

ATTEMPTS: Final = 4
PAUSE: Final = 0.5
"""Seconds before the second attempt; each further pause is twice as long."""
ANSWER_WITHIN: Final = 30.0
# The packet filter, the resolver or the DHCP server is loaded anew meanwhile.
APPLIED_WITHIN: Final = 120.0

Json = Any
Row = dict[str, Json]
_Answer = TypeVar("_Answer")


class TransientError(Exception):
    """pfSense did not answer, or said that it cannot at the moment."""


@cache
def client() -> httpx.Client:
    """Return the client of this process, which keeps its connections; any thread may use it."""
    # Not through a proxy: a firewall's management is in the house.
    return httpx.Client(verify=ssl.create_default_context(), trust_env=False)


class PfSense:
    """One firewall, by its URL and a key of its REST API."""

    def __init__(self, endpoint: str, key: str) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._key = key

    def get(self, path: str) -> Json:
        """Return what is at ``path``, such as ``firewall/aliases``."""
        return self._ask("GET", path)

    def write(self, method: str, path: str, body: Mapping[str, Json]) -> Json:
        """Change something; pfSense keeps it, and lets it take force when it is applied."""
        return self._ask(method, path, body)

    def apply(self, path: str) -> None:
        """Let all changes of one part take force, and wait for it: the answer comes when it is done."""
        self._ask("POST", path, {"async": False}, APPLIED_WITHIN)

    def _ask(
        self, method: str, path: str, body: Mapping[str, Json] | None = None, within: float = ANSWER_WITHIN
    ) -> Json:
        url, headers = f"{self._endpoint}/api/v2/{path}", {"X-API-Key": self._key}
        try:
            answer = client().request(method, url, headers=headers, json=body, timeout=within)
        except httpx.HTTPError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise ProviderError(
                    f"the certificate of {self._endpoint} is not trusted: export SSL_CERT_FILE=<the CA's certificate>"
                ) from error
            # What httpx says of a timeout is often nothing.
            raise TransientError(f"{method} {path}: {error or type(error).__name__}") from error
        return _content(method, path, answer)


def _content(method: str, path: str, answer: httpx.Response) -> Json:
    try:
        envelope = answer.json()
        said = f"{answer.status_code} {envelope['response_id']}: {envelope['message']}"
        data = envelope["data"]
    except (ValueError, KeyError, TypeError):
        said, data = f"{answer.status_code} without the envelope of the REST API", None
        if answer.is_success:
            raise ProviderError(f"{method} {path}: {said}; is the endpoint that of pfSense?") from None
    if answer.is_success:
        return data
    problem = f"{method} {path}: {said}"
    if answer.is_server_error or answer.status_code in {httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS}:
        raise TransientError(problem)
    raise ProviderError(f"{problem}{_remedy(answer.status_code, method, path, known=data is not None)}")


def privilege(path: str, method: str) -> str:
    """Return what pfSense calls the right to use a method of an endpoint (Core/Endpoint.inc)."""
    return f"api-v2-{re.sub('[/_]', '-', path)}-{method.lower()}"


def _remedy(status: int, method: str, path: str, *, known: bool) -> str:
    if status == httpx.codes.UNAUTHORIZED:
        return "\n  make a key under System, REST API, Keys; then: make init STACK=<stack> --replace"
    if status == httpx.codes.FORBIDDEN:
        right = privilege(path, method)
        return f"\n  does the key's user have {right} (System, User Manager)? Then: make doctor STACK=<stack>"
    if status == httpx.codes.NOT_FOUND and not known:
        return "\n  install the package pfSense-pkg-RESTAPI (https://pfrest.org), version 2"
    return ""


def persist(what: str, operation: Callable[[], _Answer]) -> _Answer:
    """Return what ``operation`` returns, trying it up to `ATTEMPTS` times; ``what`` names it, as "alias a: delete".

    Raises:
        ProviderError: pfSense refuses, or did not answer to the last attempt either.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return operation()
        except ProviderError as error:
            raise ProviderError(f"pfSense: {what}: {error}") from error
        except TransientError as error:
            if attempt == ATTEMPTS:
                raise ProviderError(
                    f"pfSense: {what}: no success in {ATTEMPTS} attempts; the last: {error}\n"
                    "  see that the firewall is well, then run the same command again: make doctor STACK=<stack>"
                ) from error
            pulumi.log.info(f"pfSense: {what}: attempt {attempt} of {ATTEMPTS}: {error}")
            time.sleep(PAUSE * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


class Batch:
    """Changes that are applied together: one apply serves all that were made while it was waited for."""

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._under_way = 0
        self._made = 0
        self._applied = 0
        self._applying = False

    def change(self, write: Callable[[], None], apply: Callable[[], None]) -> None:
        """Make a change and return once it has taken force, by ``apply`` of this change or of another one."""
        with self._state:
            self._under_way += 1
        try:
            write()
        finally:
            with self._state:
                self._under_way -= 1
                self._made += 1
                own = self._made
                self._state.notify_all()
        with self._state:
            self._state.wait_for(lambda: self._applied >= own or not (self._applying or self._under_way))
            if self._applied >= own:
                return
            self._applying, covered = True, self._made
        done = False
        try:
            apply()
            done = True
        finally:
            with self._state:
                self._applying = False
                self._applied = max(self._applied, covered if done else 0)
                self._state.notify_all()
