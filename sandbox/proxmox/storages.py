"""Storage of a host: what is on it, and images that it downloads itself."""

import functools
import hashlib
import re
import secrets
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import httpx

from sandbox.proxmox.datacenter import Datacenter
from sandbox.proxmox.errors import ParameterError, RefusedError
from sandbox.proxmox.schema import Value
from sandbox.proxmox.state import Storage, Volume
from sandbox.proxmox.tasks import Log

EXTENSIONS: Final = {
    "iso": r"\.(iso|img)",
    "vztmpl": r"\.tar\.(gz|xz|zst|bz2)",
    "import": r"\.(qcow2|raw|vmdk|ova)",
}
QCOW2: Final = b"QFI\xfb"
SIZE_AT: Final = 24
HEADER: Final = 32


def summary(datacenter: Datacenter, node: str, storage: Storage) -> dict[str, Value]:
    """Describe a storage and what is left of it."""
    used = datacenter.used(node, storage.name)
    return {
        "storage": storage.name,
        "type": storage.type,
        "content": ",".join(storage.content),
        "total": storage.capacity,
        "used": used,
        "avail": max(storage.capacity - used, 0),
        "used_fraction": used / storage.capacity,
        **dict.fromkeys(("active", "enabled"), 1),
        "shared": int(storage.shared),
    }


def entry(volume: Volume) -> dict[str, Value]:
    """Describe a volume as the list of a storage's content does."""
    owner: dict[str, Value] = {} if volume.vmid is None else {"vmid": volume.vmid}
    return {
        "volid": volume.volid,
        "content": volume.content,
        "format": volume.format,
        "size": volume.size,
        "ctime": volume.ctime,
        **owner,
    }


def find(datacenter: Datacenter, node: str, storage: str, volume: str) -> Volume:
    """Return a volume by its id, or by its name within ``storage``."""
    volid = volume if volume.startswith(f"{storage}:") else f"{storage}:{volume}"
    return datacenter.volume(node, volid)


async def remove(datacenter: Datacenter, node: str, volume: Volume, user: str) -> str:
    """Start removing a volume."""

    async def work(log: Log) -> None:
        datacenter.free(volume)
        log(f"Removed volume '{volume.volid}'")

    subject = volume.storage if volume.vmid is None else f"{volume.vmid}@{volume.storage}"
    return await datacenter.tasks.run(node, "imgdel", subject, user, work)


async def metadata(datacenter: Datacenter, url: str, *, verify: bool) -> dict[str, Value]:
    """Ask the server of ``url`` for the name, the type and the size of what it would send."""
    async with _client(datacenter, verify=verify) as client:
        try:
            answer = await client.head(url)
        except httpx.HTTPError as error:
            raise RefusedError(f"invalid server response: '{error}'") from error
    if answer.status_code != httpx.codes.OK:
        raise RefusedError(f"invalid server response: '{answer.status_code} {answer.reason_phrase}'")
    found: dict[str, Value] = {"filename": unquote(urlsplit(str(answer.url)).path.rsplit("/", 1)[-1])}
    if named := re.search(r'filename="?([^";]+)', answer.headers.get("content-disposition", "")):
        found["filename"] = named[1]
    if "content-length" in answer.headers:
        found["size"] = int(answer.headers["content-length"])
    found["mimetype"] = answer.headers.get("content-type", "application/octet-stream").split(";")[0]
    return found


async def download(datacenter: Datacenter, node: str, storage_name: str, given: dict[str, Value], user: str) -> str:
    """Start the download of a file into a storage; what is wrong with the request itself is said at once."""
    content, name, url = str(given["content"]), str(given["filename"]), str(given["url"])
    storage = datacenter.storage(node, storage_name)
    if storage.type != "dir":
        raise RefusedError(f"can't upload to storage type '{storage.type}', need path-based storage")
    if content not in storage.content:
        raise RefusedError(f"storage '{storage_name}' does not support '{content}' content")
    if not re.fullmatch(rf"[A-Za-z0-9_.\-]+{EXTENSIONS[content]}", name):
        raise ParameterError({"filename": "invalid filename or wrong extension"})
    algorithm, checksum = given.get("checksum-algorithm"), given.get("checksum")
    for one, other in (("checksum", "checksum-algorithm"), ("checksum-algorithm", "checksum")):
        if one in given and other not in given:
            raise ParameterError({other: f"missing property - '{one}' requires this property"})
    suffix = "tar" if content == "vztmpl" else name.rsplit(".", 1)[-1]
    volume = Volume(node, storage.name, f"{content}/{name}", content, suffix, 0, int(time.time()))
    target = datacenter.file(volume)

    async def work(log: Log) -> None:
        partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        _refuse_existing(datacenter, volume)
        target.parent.mkdir(parents=True, exist_ok=True)
        log(f"downloading {url} to {target}")
        try:
            digest = hashlib.new(str(algorithm or "sha256"), usedforsecurity=False)
            client = _client(datacenter, verify=bool(given.get("verify-certificates", 1)))
            room_for = functools.partial(datacenter.ensure_space, node, storage)
            volume.size = await _fetch(client, url, partial, digest, room_for)
            if checksum:
                log("calculating checksum...")
                if digest.hexdigest() != str(checksum).lower():
                    raise RefusedError(f"checksum mismatch: got '{digest.hexdigest()}' != expect '{checksum}'")
                log("OK, checksum verified")
            _refuse_existing(datacenter, volume)  # another download of it may have been faster
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        datacenter.state.volumes.append(volume)
        log(f"download of '{url}' to '{target}' finished")

    return await datacenter.tasks.run(node, "download", storage_name, user, work)


def _refuse_existing(datacenter: Datacenter, volume: Volume) -> None:
    # What counts is what is known: a file that was moved into place just before a crash may be written again.
    if volume.volid in datacenter.volumes_by_id(volume.node):
        raise RefusedError(f"refusing to override existing file '{datacenter.file(volume)}'")


async def _fetch(
    client: httpx.AsyncClient, url: str, partial: Path, digest: "hashlib._Hash", room_for: Callable[[int], None]
) -> int:
    """Write what ``url`` sends to ``partial``, as long as there is room for it, and return its size."""
    size = 0
    try:
        async with client, client.stream("GET", url) as answer:
            if answer.status_code != httpx.codes.OK:
                raise RefusedError(f"download failed: {answer.status_code} {answer.reason_phrase}")
            with partial.open("wb") as file:
                async for chunk in answer.aiter_raw():
                    size += len(chunk)
                    room_for(size)
                    digest.update(chunk)
                    file.write(chunk)
    except httpx.HTTPError as error:
        raise RefusedError(f"download failed: {error}") from error
    return size


def _client(datacenter: Datacenter, *, verify: bool) -> httpx.AsyncClient:
    # No proxy from the environment: what a sandbox downloads is on its own machine.
    return httpx.AsyncClient(
        verify=datacenter.trust if verify else False,
        headers={"accept-encoding": "identity"},
        follow_redirects=True,
        trust_env=False,
        timeout=60,
    )


def virtual_size(path: Path) -> int:
    """Return how large a disk image is for a machine that uses it, which is not the size of its file.

    Raises:
        RefusedError: the file is no disk image of the kind that its name says.
    """
    if not path.exists():
        raise RefusedError(f"qemu-img: Could not open '{path}': No such file or directory")
    with path.open("rb") as file:
        header = file.read(HEADER)
    if path.suffix == ".raw":
        return path.stat().st_size
    if path.suffix != ".qcow2":
        raise RefusedError(f"import of '{path.suffix}' images is not part of this stand-in; use qcow2 or raw")
    if len(header) < HEADER or not header.startswith(QCOW2):
        raise RefusedError(f"qemu-img: Could not open '{path}': Image is not in qcow2 format")
    return int(struct.unpack(">Q", header[SIZE_AT:HEADER])[0])
