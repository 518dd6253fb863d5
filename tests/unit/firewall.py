"""A pfSense stand-in that serves the provider within a test, over TLS and in a thread of its own."""

import asyncio
import ssl
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pulumi.dynamic import ConfigureRequest
from pulumi.dynamic.config import Config

from providers import pfsense, pfsense_api
from providers.base import Props
from sandbox.faults import Faults
from sandbox.pfsense import api
from sandbox.pfsense.fields import Row
from sandbox.pfsense.firewall import Firewall
from sandbox.pki import Authority

KEY = "0123456789abcdef"
NETWORK = IPv4Network("127.20.0.0/16")


class Served:
    """The firewall, what goes wrong with it, and providers that reach it."""

    def __init__(self, folder: Path) -> None:
        self.firewall = Firewall(folder / "config.json", NETWORK)
        self.faults = Faults()
        self.requests: list[str] = []
        self.endpoint = ""

    def rows(self, listing: str) -> list[Row]:
        return self.firewall.config[listing]

    def own(self, listing: str, owner: str = "lab: ") -> list[Row]:
        return [row for row in self.rows(listing) if str(row["descr"]).startswith(owner)]

    def changed(self) -> list[str]:
        return [request for request in self.requests if not request.startswith("GET")]


@contextmanager
def serve(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Serve a firewall for the length of a test; the provider does not pause between attempts."""
    served = Served(folder)
    authority = Authority.at(folder / "pki", "test CA")
    pair = authority.issue("pfsense", hosts=["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    @web.middleware
    async def record(request: web.Request, handler: Any) -> web.StreamResponse:
        served.requests.append(f"{request.method} {request.path.removeprefix('/api/v2/')}")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def start() -> web.AppRunner:
        users = {"homelab": KEY}
        app = api.application(served.firewall, users, {"homelab": api.lab_privileges()}, served.faults)
        app.middlewares.append(record)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        served.endpoint = f"https://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "pki" / "ca.crt"))
    monkeypatch.setattr(pfsense_api, "PAUSE", 0.0)
    pfsense_api.client.cache_clear()
    runner = run(start())
    try:
        yield served
    finally:
        pfsense_api.client().close()
        pfsense_api.client.cache_clear()
        run(runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def with_key(provider: Any, key: str = KEY) -> Any:
    """Return a provider as the engine configures it."""
    provider.configure(ConfigureRequest(Config({pfsense.KEY: key}, "homelab")))
    return provider


def alias(served: Served, **changed: Any) -> Props:
    props = {"name": "lab_nodes", "type": "host", "descr": "lab: nodes", "address": ["127.20.0.11"], "detail": ["a"]}
    return {"endpoint": served.endpoint, **props, **changed}


def rule(served: Served, number: int, **changed: Any) -> Props:
    decided = {"type": "pass", "interface": ["opt1"], "ipprotocol": "inet", "protocol": "tcp", "log": False}
    matched = {"source": "any", "destination": "any", "destination_port": str(number)}
    own = {"owner": "lab: ", "descr": f"lab: {number}", "after": f"lab: {number - 1}" if number > 1 else ""}
    return {"endpoint": served.endpoint, **own, **decided, **matched, **changed}


def override(served: Served, host: str = "node", **changed: Any) -> Props:
    props = {"host": host, "domain": "lab.example.com", "ip": ["127.20.0.11"], "descr": f"lab: {host}"}
    return {"endpoint": served.endpoint, **props, **changed}


def mapping(served: Served, number: int = 11, **changed: Any) -> Props:
    who = {"parent_id": "opt1", "mac": f"bc:24:11:00:00:{number:02x}", "hostname": f"node-{number}"}
    props = {**who, "domain": "lab.example.com", "ipaddr": f"127.20.0.{number}", "descr": f"lab: node-{number}"}
    return {"endpoint": served.endpoint, **props, **changed}
