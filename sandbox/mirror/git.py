"""The Git repository that Argo CD syncs from: a snapshot of `gitops/` as it is in the working tree, served read-only.

It speaks Git's smart HTTP protocol through `git upload-pack`, so that clients need nothing special.
"""

import asyncio
import gzip
import os
from pathlib import Path
from typing import Final

from aiohttp import web

from sandbox.children import environment

BRANCH: Final = "main"
REPOSITORY_NAME: Final = "homelab.git"
# A snapshot's commit depends on its content only: the same tree gives the same commit on every machine.
IDENTITY: Final = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in {"NAME": "sandbox", "EMAIL": "sandbox@localhost", "DATE": "2025-01-01T00:00:00Z"}.items()
}


class GitError(RuntimeError):
    """git failed; the message has its words."""


async def snapshot(repository: Path, source: Path, folder: str) -> str:
    """Commit ``folder`` of ``source`` onto the branch of the bare ``repository`` if it changed; return the commit.

    Raises:
        GitError: git failed.
    """
    if not (repository / "HEAD").exists():
        await _git(source, "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(repository))
    index = repository / "snapshot.index"
    extra = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(source)}
    await _git(repository, "read-tree", "--empty", extra=extra)
    await _git(repository, "add", "--force", "--", folder, extra=extra, cwd=source)
    tree = await _git(repository, "write-tree", extra=extra)
    try:
        parent = await _git(repository, "rev-parse", "--verify", "--quiet", f"refs/heads/{BRANCH}")
    except GitError:
        parent = ""
    if parent and await _git(repository, "rev-parse", f"{parent}^{{tree}}") == tree:
        return parent
    arguments = ["-p", parent] if parent else []
    commit = await _git(repository, "commit-tree", tree, *arguments, "-m", f"Snapshot of {folder}", extra=IDENTITY)
    await _git(repository, "update-ref", f"refs/heads/{BRANCH}", commit)
    return commit


async def _git(repository: Path, *arguments: str, extra: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        "git",
        *arguments,
        cwd=cwd or repository,
        env=environment(GIT_DIR=str(repository), GIT_CONFIG_NOSYSTEM="1", HOME=os.devnull, **(extra or {})),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    if process.returncode:
        raise GitError(f"git {arguments[0]}: {error.decode(errors='replace').strip() or process.returncode}")
    return out.decode().strip()


def application(repository: Path) -> web.Application:
    """Return the server of one repository at `/homelab.git`."""

    async def upload_pack(request: web.Request, *options: str, body: bytes = b"", prefix: bytes = b"") -> web.Response:
        process = await asyncio.create_subprocess_exec(
            "git",
            "upload-pack",
            "--stateless-rpc",
            *options,
            str(repository),
            env=environment(GIT_PROTOCOL=request.headers.get("Git-Protocol", ""), HOME=os.devnull),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate(body)
        kind = "advertisement" if options else "result"
        return web.Response(
            body=prefix + out,
            headers={"Content-Type": f"application/x-git-upload-pack-{kind}", "Cache-Control": "no-cache"},
        )

    async def references(request: web.Request) -> web.Response:
        if request.query.get("service") != "git-upload-pack":
            raise web.HTTPForbidden(text="this repository is read-only, by the smart protocol\n")
        prefix = (
            b"" if "version=2" in request.headers.get("Git-Protocol", "") else b"001e# service=git-upload-pack\n0000"
        )
        return await upload_pack(request, "--http-backend-info-refs", prefix=prefix)

    async def pack(request: web.Request) -> web.Response:
        # aiohttp decodes `Content-Encoding: gzip`; some clients send the magic bytes without saying so.
        body = await request.read()
        return await upload_pack(request, body=gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)

    app = web.Application(client_max_size=2**26)
    app.router.add_get(f"/{REPOSITORY_NAME}/info/refs", references)
    app.router.add_post(f"/{REPOSITORY_NAME}/git-upload-pack", pack)
    return app
