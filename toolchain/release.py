"""Official releases: download, verify against the publisher's own checksum file, take the programs out.

A host that does not answer is asked once per run. A file that differs from its checksum ends the run: it is neither
installed nor quietly replaced by a build.
"""

import hashlib
import re
import socket
import tarfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Self

from toolchain.cache import Cache
from toolchain.errors import ToolchainError
from toolchain.host import this_platform
from toolchain.model import Artifact, Checksums, Tool
from toolchain.progress import Task

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT = 5.0
_READ_TIMEOUT = 60.0
_MEGABYTE = 1024 * 1024


class UnavailableError(Exception):
    """The publisher's file cannot be had now; another road may lead to the tool."""


class Releases:
    """Downloads of one run: it remembers which hosts were silent and which archives it already has."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._silent: set[str] = set()
        self._files: dict[str, Path] = {}
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client:
            self._client.close()

    def download(self, tool: Tool, task: Task) -> Path:
        """Download a tool and return the folder with its programs."""
        system, arch = this_platform()
        out = self._cache.scratch(tool.name) / "out"
        out.mkdir()
        for artifact in tool.release:
            if f"{system}-{arch}" not in artifact.platforms:
                raise UnavailableError(f"there is no release for {system} on {arch}")
            facts = {
                "version": artifact.version or tool.version,
                "os": system,
                "arch": artifact.arch_names.get(arch, arch),
            }
            file = self._verified(artifact, facts, tool, task)
            for member, name in artifact.members.items():
                _take(file, member.format(**facts), out / name)
        return out

    def _verified(self, artifact: Artifact, facts: dict[str, str], tool: Tool, task: Task) -> Path:
        url = artifact.url.format(**facts)
        if url not in self._files:
            name = PurePosixPath(url).name
            folder = self._cache.scratch("download")
            listing = folder / "checksums"
            self._fetch(artifact.checksums_url.format(**facts), listing, task)
            wanted = checksum(listing.read_text(errors="replace"), artifact.checksums, name)
            if wanted is None:
                raise UnavailableError(f"its publisher lists no checksum of {name}")
            task.step(f"downloading {name}")
            got = self._fetch(url, folder / name, task)
            if got != wanted:
                raise ToolchainError(
                    f"{url} has the SHA-256 {got}, its publisher lists {wanted}; it was not installed",
                    "try again later, or build it instead: HOMELAB_TOOLCHAIN=build python -m toolchain",
                    tool=tool.name,
                )
            self._files[url] = folder / name
        return self._files[url]

    def _fetch(self, url: str, target: Path, task: Task) -> str:
        """Write what a URL serves to a file, and return its SHA-256."""
        digest = hashlib.sha256()
        with self._stream(url) as body, target.open("wb") as out:
            for chunk in body.iter_bytes(_MEGABYTE):
                digest.update(chunk)
                out.write(chunk)
                task.tick()
        return digest.hexdigest()

    @contextmanager
    def _stream(self, url: str) -> Iterator["httpx.Response"]:
        import httpx  # noqa: PLC0415 - it takes a third of a warm run, which downloads nothing

        if self._client is None:
            limits = httpx.Timeout(_READ_TIMEOUT, connect=CONNECT_TIMEOUT)
            self._client = httpx.Client(follow_redirects=True, timeout=limits)
        host = httpx.URL(url).host
        if host in self._silent:
            raise UnavailableError(f"{host} is unreachable")
        try:
            _resolve(httpx.URL(url))
            with self._client.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    raise UnavailableError(f"{url} answered {response.status_code}")
                yield response
        except (httpx.TransportError, OSError) as error:
            self._silent.add(host)
            raise UnavailableError(f"{host} is unreachable ({error or type(error).__name__})") from error


def checksum(text: str, written: Checksums, name: str) -> str | None:
    """Find the SHA-256 of a file in what its publisher wrote."""
    # sha256sum marks a file that it read as binary with an asterisk before the name.
    pattern = r"([0-9a-f]{64})" if written is Checksums.BARE else rf"([0-9a-f]{{64}}) [ *]{re.escape(name)}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = {match[1].lower() for line in lines if (match := re.fullmatch(pattern, line, re.IGNORECASE))}
    return found.pop() if len(found) == 1 else None


def _resolve(url: "httpx.URL") -> None:
    """Look a host up within the connect timeout, which does not cover the system's resolver."""
    proxied = url.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(url.host)
    if proxied:
        return
    failed: list[OSError] = []

    def look_up() -> None:
        try:
            socket.getaddrinfo(url.host, url.port or url.scheme)
        except OSError as error:
            failed.append(error)

    # A daemon, because a lookup cannot be cancelled and must not hold up the end of the program.
    lookup = threading.Thread(target=look_up, daemon=True)
    lookup.start()
    lookup.join(CONNECT_TIMEOUT)
    if lookup.is_alive():
        raise OSError(f"its name did not resolve within {CONNECT_TIMEOUT:.0f} s")
    if failed:
        raise failed[0]


def _take(file: Path, member: str, target: Path) -> None:
    """Copy one program out of an archive; a file that is the program itself has no members."""
    if not member:
        target.write_bytes(file.read_bytes())
    else:
        try:
            with tarfile.open(file) as archive:
                program = archive.extractfile(member)
                if program is None:
                    raise UnavailableError(f"{file.name} has no file {member}")
                target.write_bytes(program.read())
        except (KeyError, tarfile.TarError) as error:
            raise UnavailableError(f"{file.name} has no file {member}") from error
    target.chmod(0o755)
