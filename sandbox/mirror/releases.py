"""K3s releases and VM images in the layout of their publishers: contents are stand-ins, checksums are true."""

import hashlib
import re
from typing import Final

from aiohttp import web

from toolchain.tools import TOOLS

KUBERNETES: Final = next(tool.version for tool in TOOLS if tool.name == "controlplane")
IMAGE: Final = "debian-13.qcow2"
IMAGE_VIRTUAL_SIZE: Final = 3 * 2**30
IMAGE_SIZE: Final = 64 * 1024


def k3s_binary(version: str, name: str) -> bytes:
    """Return what a machine installs as K3s; `sandbox.machines.k3s` reads its version line."""
    return (
        f"#!/bin/sh\n# stand-in for k3s {version}\n"
        f"echo 'This {name} is the sandbox stand-in: it runs on machines of the sandbox only.' >&2\nexit 1\n"
    ).encode()


def has_release(version: str) -> bool:
    """Tell whether there is this release of K3s: each of the sandbox's Kubernetes, and of its older patches."""
    minor, _, patch = KUBERNETES.rpartition(".")
    found = re.fullmatch(rf"v{re.escape(minor)}\.(0|[1-9][0-9]?)\+k3s[1-9]", version)
    return found is not None and int(found[1]) <= int(patch)


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
    if not has_release(version):
        raise web.HTTPNotFound(text=f"no release {version}; there are those of Kubernetes {KUBERNETES} and before it\n")
    binaries = {"amd64": "k3s", "arm64": "k3s-arm64"}
    if name in binaries.values():
        return web.Response(body=k3s_binary(version, name), content_type="application/octet-stream")
    for architecture, binary in binaries.items():
        if name == f"sha256sum-{architecture}.txt":
            return web.Response(text=f"{hashlib.sha256(k3s_binary(version, binary)).hexdigest()}  {binary}\n")
    raise web.HTTPNotFound(text=f"release {version} has no {name}\n")


async def _image(_: web.Request) -> web.Response:
    return web.Response(body=image(), content_type="application/octet-stream")


async def _checksums(_: web.Request) -> web.Response:
    return web.Response(text=f"{hashlib.sha512(image()).hexdigest()}  {IMAGE}\n")


def add_routes(app: web.Application) -> None:
    """Serve `/k3s/<version>/<file>` and `/images/<file>`."""
    app.router.add_get("/k3s/{version}/{file}", _k3s)
    app.router.add_get(f"/images/{IMAGE}", _image)
    app.router.add_get("/images/SHA512SUMS", _checksums)
