"""Ask Cloudflare: does it take the token, is the zone the lab's, and may the token read what the lab will write.

That a token may also write can only be seen by writing, and nothing is changed here.
"""

import asyncio
import os
from dataclasses import dataclass
from typing import Any

import httpx

from config.model import Edge
from lab.doctor.finding import Area, Finding
from lab.doctor.reach import Reach, UnreachableError

AREA = Area("Cloudflare")
PUBLIC = "https://api.cloudflare.com/client/v4"
_DASHBOARD = "https://dash.cloudflare.com/profile/api-tokens"


@dataclass(frozen=True)
class Permission:
    """A permission of a token by its name in the dashboard, and a path that it opens for reading."""

    name: str
    path: str


PERMISSIONS = (
    Permission("Zone, DNS, Edit", "/zones/{zone}/dns_records"),
    Permission("Zone, Zone Settings, Edit", "/zones/{zone}/settings/ssl"),
    Permission("Zone, Zone WAF, Edit", "/zones/{zone}/rulesets"),
    Permission("Account, Cloudflare Tunnel, Edit", "/accounts/{account}/cfd_tunnel"),
    Permission("Account, Access: Apps and Policies, Edit", "/accounts/{account}/access/apps"),
    Permission(
        "Account, Access: Organizations, Identity Providers, and Groups, Edit",
        "/accounts/{account}/access/identity_providers",
    ),
)


async def examine(edge: Edge, domain: str, token: str, reach: Reach) -> list[Finding]:
    """Return how the account and the zone of ``edge`` stand, as the bearer of ``token`` sees them."""
    base = os.environ.get("CLOUDFLARE_BASE_URL", PUBLIC).rstrip("/")
    headers = {"Authorization": f"Bearer {token}"}
    ids = {"zone": edge.zone, "account": edge.account}

    async def ask(path: str) -> httpx.Response:
        return await reach.get(f"{base}{path.format_map(ids)}", headers)

    try:
        # A token belongs to a user or to the account; each kind is verified by a path of its own.
        verified = await asyncio.gather(ask("/user/tokens/verify"), ask("/accounts/{account}/tokens/verify"))
        if not any(_result(answer).get("status") == "active" for answer in verified):
            step = f"make one at {_DASHBOARD} with: {'; '.join(one.name for one in PERMISSIONS)}"
            return [AREA.wrong("token", "is not active", step, "make init STACK=<stack> --replace")]
        zone, *answers = await asyncio.gather(ask("/zones/{zone}"), *(ask(one.path) for one in PERMISSIONS))
    except UnreachableError as error:
        return [AREA.wrong("answers", str(error), error.step)]
    read = [_readable(permission, answer) for permission, answer in zip(PERMISSIONS, answers, strict=True)]
    return [AREA.ok("token", "active"), _zone(edge, domain, zone), *read]


def _result(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code != httpx.codes.OK:
        return {}
    result = answer.json().get("result")
    return result if isinstance(result, dict) else {}


def _zone(edge: Edge, domain: str, answer: httpx.Response) -> Finding:
    zone = _result(answer)
    if not zone:
        step = f"correct edge.zone, or add Zone, Zone, Read to the token at {_DASHBOARD}"
        return AREA.wrong("zone", f"cannot be read (status {answer.status_code})", step)
    if zone.get("name") != domain:
        return AREA.wrong("zone", f"is that of {zone.get('name')}", f"correct edge.zone or the domain {domain}")
    if zone.get("account", {}).get("id") != edge.account:
        return AREA.wrong("zone", "belongs to another account", "correct edge.account")
    if zone.get("status") != "active":
        step = f"set the name servers of {domain} to those that Cloudflare names for the zone"
        return AREA.wrong("zone", f"is {zone.get('status')}", step)
    return AREA.ok("zone", domain)


def _readable(permission: Permission, answer: httpx.Response) -> Finding:
    if answer.status_code == httpx.codes.OK:
        return AREA.ok(f"may read by {permission.name}")
    step = f"add it to the token at {_DASHBOARD}"
    return AREA.wrong(permission.name, f"is missing (status {answer.status_code})", step)
