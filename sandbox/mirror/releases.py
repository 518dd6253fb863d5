"""K3s releases and VM images in the layout of their publishers: contents are stand-ins, checksums are true."""

import hashlib
from typing import Final

from aiohttp import web

K3S_VERSIONS: Final = ("v1.34.2+k3s1", "v1.34.3+k3s1")
IMAGE: Final = "debian-13.qcow2"
IMAGE_VIRTUAL_SIZE: Final = 3 * 2**30
IMAGE_SIZE: Final = 64 * 1024


def k3s_binary(version: str, name: str) -> bytes:
    """Return what a machine installs as K3s; `sandbox.machines.k3s` reads its version line."""
    return (
        f"#!/bin/sh\n# stand-in for k3s {version}\n"
        f"echo 'This {name} is the sandbox stand-in: it runs on machines of the sandbox only.' >&2\nexit 1\n"
    ).encode()


def image() -> bytes:
    """Return an empty qcow2 image, version 3: a header that `qemu-img info` would take its virtual size from."""
    header = (
        b"QFI\xfb"
        + (3).to_bytes(4, "big")  # version
        + bytes(8)  # no backing file
        + bytes(4)
        + (16).to_bytes(4, "big")  # clusters of 64 KiB
        + IMAGE_VIRTUAL_SIZE.to_bytes(8, "big")
    )
    return header.ljust(IMAGE_SIZE, b"\0")


async def _k3s(request: web.Request) -> web.Response:
    version, name = request.match_info["version"], request.match_info["file"]
    if version not in K3S_VERSIONS:
        raise web.HTTPNotFound(text=f"no release {version}; there are {', '.join(K3S_VERSIONS)}\n")
    binaries = {"amd64": "k3s", "arm64": "k3s-arm64"}
    if name in binaries.values():
        return web.Response(body=k3s_binary(version, name), content_type="application/octet-stream")
    for architecture, binary in binaries.items():
        if name == f"sha256sum-{architecture}.txt":
            return web.Response(text=f"{hashlib.sha256(k3s_binary(version, binary)).hexdigest()}  {binary}\n")
    raise web.HTTPNotFound(text=f"release {version} has no {name}\n")


async def _image(_: web.Request) -> web.Response:
    return web.Response(body=image(), content_type="application/octet-stream")


def add_routes(app: web.Application) -> None:
    """Serve `/k3s/<version>/<file>` and `/images/<file>`."""
    app.router.add_get("/k3s/{version}/{file}", _k3s)
    app.router.add_get(f"/images/{IMAGE}", _image)
