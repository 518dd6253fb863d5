"""The release road, against a local server with the publishers' layouts."""

import dataclasses
import hashlib
import io
import socket
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from toolchain import release
from toolchain.cache import Cache
from toolchain.errors import ToolchainError
from toolchain.model import Artifact, Checksums, Tool
from toolchain.progress import Progress, Task
from toolchain.release import Releases, UnavailableError, checksum
from toolchain.tools import TOOLS

RELEASED = [tool for tool in TOOLS if tool.release]


class Publisher:
    """A web server that serves what was put on it, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        files, asked = self.files, self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                body = files.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def publish(self, tool: Tool) -> Tool:
        """Put a release on the server, laid out as its list entry says, and return the tool that asks this server."""
        listings: dict[str, list[tuple[str, bytes]]] = {}
        moved = [self._moved(artifact) for artifact in tool.release]
        for artifact in moved:
            facts = facts_of(artifact, tool)
            url = artifact.url.format(**facts)
            members = {member.format(**facts): f"{name} {tool.version}" for member, name in artifact.members.items()}
            body = members[""].encode() if "" in members else archive(members)
            self.files[url.removeprefix(self.address)] = body
            name = url.rpartition("/")[2]
            listings.setdefault(artifact.checksums_url.format(**facts), []).append((name, body))
        for artifact in moved:
            url = artifact.checksums_url.format(**facts_of(artifact, tool))
            self.files[url.removeprefix(self.address)] = listing(artifact.checksums, listings[url])
        return dataclasses.replace(tool, release=tuple(moved))

    def _moved(self, artifact: Artifact) -> Artifact:
        return dataclasses.replace(
            artifact,
            url=artifact.url.replace("https://", f"{self.address}/"),
            checksums_url=artifact.checksums_url.replace("https://", f"{self.address}/"),
        )


def facts_of(artifact: Artifact, tool: Tool) -> dict[str, str]:
    arch = artifact.arch_names.get("amd64", "amd64")
    return {"version": artifact.version or tool.version, "os": "linux", "arch": arch}


def archive(members: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in {"LICENSE": "free", **members}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()))
    return out.getvalue()


def listing(written: Checksums, files: list[tuple[str, bytes]]) -> bytes:
    hashes = [(hashlib.sha256(body).hexdigest(), name) for name, body in files]
    if written is Checksums.BARE:
        return hashes[0][0].encode()
    return "".join(f"{one}  {name}\n" for one, name in [("0" * 64, "another.tar.gz"), *hashes]).encode()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    made = Publisher()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Releases]:
    monkeypatch.setattr(release, "this_platform", lambda: ("linux", "amd64"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Releases(Cache(tmp_path)) as made:
        yield made


@pytest.fixture
def task() -> Task:
    return Task("tool", lambda _progress: None)


def tool_named(name: str) -> Tool:
    return next(tool for tool in TOOLS if tool.name == name)


@pytest.mark.parametrize("tool", RELEASED, ids=lambda tool: tool.name)
def test_every_released_tool_is_taken_out_of_its_publishers_layout(
    tool: Tool, publisher: Publisher, releases: Releases, task: Task
) -> None:
    out = releases.download(publisher.publish(tool), task)
    for one in tool.executables:
        assert (out / one.name).read_text() == f"{one.name} {tool.version}"
        assert (out / one.name).stat().st_mode & 0o111


def test_a_file_that_differs_from_its_checksum_is_refused(publisher: Publisher, releases: Releases, task: Task) -> None:
    helm = publisher.publish(tool_named("helm"))
    url = next(path for path in publisher.files if path.endswith(".tar.gz"))
    publisher.files[url] = archive({"linux-amd64/helm": "something else"})
    with pytest.raises(ToolchainError, match=r"its publisher lists [0-9a-f]{64}; it was not installed"):
        releases.download(helm, task)


def test_one_wrong_program_of_several_refuses_the_whole_tool(
    publisher: Publisher, releases: Releases, task: Task
) -> None:
    controlplane = publisher.publish(tool_named("controlplane"))
    url = next(path for path in publisher.files if path.endswith("/kubectl"))
    publisher.files[url] = b"something else"
    with pytest.raises(ToolchainError, match="kubectl has the SHA-256"):
        releases.download(controlplane, task)


@pytest.mark.parametrize("gone", [".tar.gz", ".sha256sum"])
def test_a_release_that_is_not_there_leaves_the_way_to_the_next_road(
    gone: str, publisher: Publisher, releases: Releases, task: Task
) -> None:
    helm = publisher.publish(tool_named("helm"))
    del publisher.files[next(path for path in publisher.files if path.endswith(gone))]
    with pytest.raises(UnavailableError, match="answered 404"):
        releases.download(helm, task)


def test_a_file_that_its_publisher_does_not_list_is_not_even_downloaded(
    publisher: Publisher, releases: Releases, task: Task
) -> None:
    helm = publisher.publish(tool_named("helm"))
    sums = next(path for path in publisher.files if path.endswith(".sha256sum"))
    publisher.files[sums] = b"0" * 64 + b"  another.tar.gz\n"
    with pytest.raises(UnavailableError, match="lists no checksum of helm-v"):
        releases.download(helm, task)
    assert publisher.asked == [sums]


def test_an_archive_without_the_program_leaves_the_way_to_the_next_road(
    publisher: Publisher, releases: Releases, task: Task
) -> None:
    helm = tool_named("helm")
    elsewhere = dataclasses.replace(helm.release[0], members={"bin/helm": "helm"})
    published = publisher.publish(dataclasses.replace(helm, release=(elsewhere,)))
    asking = dataclasses.replace(
        published, release=(dataclasses.replace(published.release[0], members=helm.release[0].members),)
    )
    with pytest.raises(UnavailableError, match="has no file linux-amd64/helm"):
        releases.download(asking, task)


def test_a_silent_host_is_asked_once_and_the_others_still_answer(
    publisher: Publisher, releases: Releases, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[object] = []

    def fail(host: object, *_: object) -> None:
        looked_up.append(host)
        raise OSError("Name or service not known")

    working = publisher.publish(tool_named("helm"))
    with monkeypatch.context() as offline:
        offline.setattr(socket, "getaddrinfo", fail)
        for name in ("pulumi", "kubernetes", "proxmoxve"):
            with pytest.raises(UnavailableError, match=r"github\.com is unreachable"):
                releases.download(tool_named(name), task)
    assert looked_up == ["github.com"]
    assert (releases.download(working, task) / "helm").exists()


def test_a_name_server_that_never_answers_does_not_hold_the_run_up(
    releases: Releases, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    monkeypatch.setattr(release, "CONNECT_TIMEOUT", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: done.wait(5))
    with pytest.raises(UnavailableError, match="did not resolve within"):
        releases.download(tool_named("helm"), task)
    done.set()


def test_a_platform_without_a_release_says_so(releases: Releases, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "this_platform", lambda: ("darwin", "arm64"))
    with pytest.raises(UnavailableError, match="no release for darwin on arm64"):
        releases.download(tool_named("controlplane"), task)


def test_the_download_is_told_as_it_goes(publisher: Publisher, releases: Releases) -> None:
    told: list[Progress] = []
    releases.download(publisher.publish(tool_named("helm")), Task("helm", told.append))
    assert any("downloading helm-v" in one.step for one in told)


HASH = "ab" * 32


@pytest.mark.parametrize(
    ("text", "written", "found"),
    [
        (HASH, Checksums.BARE, HASH),
        (f"{HASH.upper()}\n", Checksums.BARE, HASH),
        (f"{HASH}  file\n", Checksums.BARE, None),
        ("<html>not found</html>", Checksums.BARE, None),
        (f"{HASH}  file\n", Checksums.LISTED, HASH),
        (f"{HASH} *file\n", Checksums.LISTED, HASH),
        (f"{HASH}  file.sbom\n", Checksums.LISTED, None),
        (f"{HASH}  file\n{'cd' * 32}  file\n", Checksums.LISTED, None),
        (f"{HASH[:-1]}  file\n", Checksums.LISTED, None),
    ],
)
def test_only_one_whole_checksum_of_exactly_that_file_counts(text: str, written: Checksums, found: str | None) -> None:
    assert checksum(text, written, "file") == found
