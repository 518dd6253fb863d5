"""Ask pfSense's REST API: does it answer, does it take the key, and may the key read what the lab will write."""

import asyncio

import httpx

from lab.doctor.finding import Area, Finding
from lab.doctor.reach import Reach, UnreachableError
from providers.pfsense_api import privilege
from providers.pfsense_objects import KINDS

AREA = Area("pfSense")


def _privileges() -> dict[str, tuple[str, ...]]:
    objects = {
        kind.collection: (
            privilege(kind.collection, "get"),
            *(privilege(kind.path, method) for method in ("post", "patch", "delete")),
        )
        for kind in KINDS
    }
    applies = {kind.apply: tuple(privilege(kind.apply, method) for method in ("get", "post")) for kind in KINDS}
    return {**objects, **applies}


# What can be asked without changing anything, and the rights that the lab needs there, with what it will write.
READ = _privileges()
_PACKAGE = "install the package pfSense-pkg-RESTAPI (https://pfrest.org), version 2"


async def examine(endpoint: str, key: str, reach: Reach) -> list[Finding]:
    """Return how the pfSense at ``endpoint`` stands, as the holder of ``key`` sees it."""
    base, headers = f"{endpoint.rstrip('/')}/api/v2", {"X-API-Key": key}
    try:
        answers = await asyncio.gather(*(reach.get(f"{base}/{path}", headers, limit="1") for path in READ))
    except UnreachableError as error:
        return [AREA.wrong("answers", str(error), error.step)]
    if all(answer.status_code == httpx.codes.NOT_FOUND for answer in answers):
        return [AREA.wrong("answers", "has no REST API of version 2", _PACKAGE)]
    if any(answer.status_code == httpx.codes.UNAUTHORIZED for answer in answers):
        step = "make a key under System, REST API, Keys; allow the method Key under Settings"
        return [AREA.ok("answers"), AREA.wrong("key", "is refused", step, "make init STACK=<stack> --replace")]
    read = [
        _readable(path, privileges, answer) for (path, privileges), answer in zip(READ.items(), answers, strict=True)
    ]
    return [AREA.ok("answers"), AREA.ok("key"), *read]


def _readable(path: str, privileges: tuple[str, ...], answer: httpx.Response) -> Finding:
    what = f"reads {path}"
    if answer.status_code == httpx.codes.OK:
        return AREA.ok(what)
    if answer.status_code == httpx.codes.FORBIDDEN:
        step = f"System, User Manager: give the key's user the privileges {', '.join(privileges)}"
        return AREA.wrong(what, "the key's user may not", step)
    return AREA.wrong(what, f"status {answer.status_code}", _PACKAGE)
