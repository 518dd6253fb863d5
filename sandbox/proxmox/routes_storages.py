"""Endpoints of a host's storage."""

from typing import Final

from sandbox.proxmox import storages
from sandbox.proxmox.access import denied
from sandbox.proxmox.options import STORAGE_ID, VM_ID
from sandbox.proxmox.permissions import reads_volume
from sandbox.proxmox.routing import Call, Route, both, either, on, on_any
from sandbox.proxmox.schema import Parameter, boolean, choice, each, integer, text
from sandbox.proxmox.state import Volume

CONTENT: Final = ("images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none")


async def _listing(call: Call) -> object:
    wanted = set(call.listed("content"))
    name = call.values.get("storage")
    if name is not None:
        call.datacenter.storage(call.node, str(name))
    return [
        storages.summary(call.datacenter, call.node, storage)
        for storage in call.datacenter.host(call.node).storages
        if (not wanted or wanted & set(storage.content)) and name in (None, storage.name) and _sees(call, storage.name)
    ]


def _sees(call: Call, storage: str) -> bool:
    return call.may(f"/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace")


async def _status(call: Call) -> object:
    storage = call.datacenter.storage(call.node, call.text("storage"))
    shown = storages.summary(call.datacenter, call.node, storage)
    return {key: value for key, value in shown.items() if key not in ("storage", "used_fraction")}


async def _content(call: Call) -> object:
    storage = call.datacenter.storage(call.node, call.text("storage"))
    return [
        storages.entry(volume)
        for volume in call.datacenter.volumes(call.node, storage.name)
        if call.values.get("content") in (None, volume.content)
        and call.values.get("vmid") in (None, volume.vmid)
        and reads_volume(call, volume)
    ]


def _named(call: Call) -> Volume:
    call.datacenter.storage(call.node, call.text("storage"))
    return storages.find(call.datacenter, call.node, call.text("storage"), call.text("volume"))


async def _volume(call: Call) -> object:
    found = _named(call)
    if not reads_volume(call, found):
        raise denied()
    path = f"/dev/pve/{found.name}" if found.content == "images" else str(call.datacenter.file(found))
    return {"path": path, "format": found.format, "size": found.size, "used": found.size}


async def _remove(call: Call) -> object:
    return await storages.remove(call.datacenter, call.node, _named(call), call.user)


async def _metadata(call: Call) -> object:
    call.datacenter.host(call.node)
    verify = bool(call.values.get("verify-certificates", 1))
    return await storages.metadata(call.datacenter, call.text("url"), verify=verify)


async def _download(call: Call) -> object:
    return await storages.download(call.datacenter, call.node, call.text("storage"), call.given, call.user)


_URL = {"url": Parameter(text(r"https?://.+"), required=True), "verify-certificates": Parameter(boolean)}
_DOWNLOAD = {
    **_URL,
    "content": Parameter(choice("iso", "vztmpl", "import"), required=True),
    "filename": Parameter(text(longest=255), required=True),
    "checksum": Parameter(text(r"[0-9a-fA-F]+")),
    "checksum-algorithm": Parameter(choice("md5", "sha1", "sha224", "sha256", "sha384", "sha512")),
}
_LISTING = {
    "content": Parameter(each(choice(*CONTENT))),
    "storage": Parameter(STORAGE_ID),
    "enabled": Parameter(boolean),
    "format": Parameter(boolean),
}
_STORAGE: Final = "/nodes/{node}/storage/{storage}"
_READ = on_any("/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace")
_REACH = either(on("/", "Sys.Audit", "Sys.Modify"), on("/nodes/{node}", "Sys.AccessNetwork"))
_FILL = on("/storage/{storage}", "Datastore.AllocateTemplate")
_CONTENT = {"content": Parameter(choice(*CONTENT)), "vmid": Parameter(VM_ID)}
ROUTES: Final = (
    Route("GET", "/nodes/{node}/storage", _listing, _LISTING),
    Route("GET", f"{_STORAGE}/status", _status, needs=_READ),
    Route("GET", f"{_STORAGE}/content", _content, _CONTENT, needs=_READ),
    Route("GET", f"{_STORAGE}/content/{{volume}}", _volume),
    Route(
        "DELETE",
        f"{_STORAGE}/content/{{volume}}",
        _remove,
        {"delay": Parameter(integer(1, 30))},
        needs=on("/storage/{storage}", "Datastore.Allocate"),
    ),
    Route("POST", f"{_STORAGE}/download-url", _download, _DOWNLOAD, needs=both(_FILL, _REACH)),
    Route("GET", "/nodes/{node}/query-url-metadata", _metadata, _URL, needs=_REACH),
)
