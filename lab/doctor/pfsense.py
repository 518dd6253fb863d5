"""Ask pfSense's REST API: does it answer, does it take the key, and may the key read what the lab will write."""

import asyncio
import re

import httpx

from lab.doctor.finding import Area, Finding
from lab.doctor.reach import Reach, UnreachableError

AREA = Area("pfSense")
# The objects that the lab will have: their collections in API v2, and the paths of a single one.
COLLECTIONS = {
    "firewall/aliases": "firewall/alias",
    "firewall/rules": "firewall/rule",
    "services/dns_resolver/host_overrides": "services/dns_resolver/host_override",
    "services/dhcp_server/static_mappings": "services/dhcp_server/static_mapping",
}
_PACKAGE = "install the package pfSense-pkg-RESTAPI (https://pfrest.org), version 2"


async def examine(endpoint: str, key: str, reach: Reach) -> list[Finding]:
    """Return how the pfSense at ``endpoint`` stands, as the holder of ``key`` sees it."""
    base, headers = f"{endpoint.rstrip('/')}/api/v2", {"X-API-Key": key}
    try:
        answers = await asyncio.gather(
            *(reach.get(f"{base}/{collection}", headers, limit="1") for collection in COLLECTIONS)
        )
    except UnreachableError as error:
        return [AREA.wrong("answers", str(error), error.step)]
    if all(answer.status_code == httpx.codes.NOT_FOUND for answer in answers):
        return [AREA.wrong("answers", "has no REST API of version 2", _PACKAGE)]
    if any(answer.status_code == httpx.codes.UNAUTHORIZED for answer in answers):
        step = "make a key under System, REST API, Keys; allow the method Key under Settings"
        return [AREA.ok("answers"), AREA.wrong("key", "is refused", step, "make init STACK=<stack> --replace")]
    read = [_readable(collection, answer) for collection, answer in zip(COLLECTIONS, answers, strict=True)]
    return [AREA.ok("answers"), AREA.ok("key"), *read]


def _readable(collection: str, answer: httpx.Response) -> Finding:
    what = f"reads {collection}"
    if answer.status_code == httpx.codes.OK:
        return AREA.ok(what)
    if answer.status_code == httpx.codes.FORBIDDEN:
        many, one = (f"api-v2-{re.sub('[/_]', '-', path)}" for path in (collection, COLLECTIONS[collection]))
        names = [f"{many}-get", *(f"{one}-{method}" for method in ("post", "patch", "delete"))]
        step = f"System, User Manager: give the key's user the privileges {', '.join(names)}"
        return AREA.wrong(what, "the key's user may not", step)
    return AREA.wrong(what, f"status {answer.status_code}", _PACKAGE)
