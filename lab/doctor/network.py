"""Ask what the lab is built from: the Git repository with its revision, the charts, K3s' releases, the cloud image."""

import asyncio

import httpx

from config.model import Lab
from config.model.infrastructure import Image
from lab.doctor.finding import Area, Finding
from lab.doctor.reach import Reach, UnreachableError

AREA = Area("Sources")
CHECKSUMS = "SHA512SUMS"


async def examine(lab: Lab, reach: Reach) -> list[Finding]:
    """Return how this computer reaches them; hosts and machines have to reach them as well."""
    release = lab.kubernetes.version.replace("+", "%2B")
    checks = (
        _repository(lab, reach),
        _file("chart repository", f"{lab.gitops.argocd_charts.rstrip('/')}/index.yaml", "gitops.argocd_charts", reach),
        _file(
            f"K3s {lab.kubernetes.version}",
            f"{lab.kubernetes.release_url.rstrip('/')}/{release}/sha256sum-amd64.txt",
            "kubernetes.version or kubernetes.release_url",
            reach,
        ),
        _file("cloud image", lab.proxmox.image.url, "proxmox.image.url", reach, whole=False),
        _checksum(lab.proxmox.image, reach),
    )
    return list(await asyncio.gather(*checks))


async def _file(what: str, url: str, setting: str, reach: Reach, *, whole: bool = True) -> Finding:
    try:
        answer = await (reach.get(url) if whole else reach.head(url))
    except UnreachableError as error:
        return AREA.wrong(what, str(error), error.step)
    if answer.status_code != httpx.codes.OK:
        return AREA.wrong(what, f"{url} answers with status {answer.status_code}", f"correct {setting}")
    return AREA.ok(what)


async def _checksum(image: Image, reach: Reach) -> Finding:
    """Compare the checksum with the list that publishers put beside their images."""
    what = "cloud image's checksum"
    folder, _, name = image.url.rpartition("/")
    try:
        answer = await reach.get(f"{folder}/{CHECKSUMS}")
    except UnreachableError as error:
        return AREA.wrong(what, str(error), error.step)
    if answer.status_code != httpx.codes.OK:
        return AREA.skipped(what, f"there is no {CHECKSUMS} beside the image")
    # Each line is a checksum, two blanks or a blank and an asterisk, and a name.
    lines = (line.split(maxsplit=1) for line in answer.text.splitlines())
    listed = {parts[1].lstrip("*").strip(): parts[0].lower() for parts in lines if len(parts) > 1}
    if name not in listed:
        return AREA.skipped(what, f"{CHECKSUMS} does not list {name}")
    if listed[name] != image.checksum:
        problem = f"is not the publisher's, which is {listed[name]}"
        return AREA.wrong(what, problem, f"put that into proxmox.image.checksum, if {folder} is where you meant")
    return AREA.ok(what, "is the publisher's")


async def _repository(lab: Lab, reach: Reach) -> Finding:
    what = "Git repository"
    url = f"{lab.gitops.repository.rstrip('/')}/info/refs"
    try:
        # The first step of a fetch, in the version of the protocol that lists all branches and tags.
        answer = await reach.get(url, service="git-upload-pack")
    except UnreachableError as error:
        return AREA.wrong(what, str(error), error.step)
    if answer.status_code != httpx.codes.OK:
        step = "correct gitops.repository; it is read without credentials"
        return AREA.wrong(what, f"answers with status {answer.status_code}", step)
    revision = lab.gitops.revision
    names = {line.rpartition(" ")[2].strip() for line in answer.text.splitlines()}
    if not names & {f"refs/heads/{revision}", f"refs/tags/{revision}"} and revision not in answer.text:
        step = "push it, or correct gitops.revision"
        return AREA.wrong(what, f"has no branch or tag {revision} (a commit cannot be seen from here)", step)
    return AREA.ok(what, f"has {revision}")
