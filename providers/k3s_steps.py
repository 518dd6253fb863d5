"""The steps that make, watch and unmake a K3s node, each of which can be repeated after an interruption.

Every step is one argv over SSH; files travel through stdin, so that the token is on no command line.
"""

import asyncio
import hashlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pulumi
import yaml

from providers.k3s_membership import readiness
from providers.ssh import CommandError, RemoteError, Session, failure

CONFIG = "/etc/rancher/k3s/config.yaml"
BINARY = "/usr/local/bin/k3s"
DOWNLOAD = "/usr/local/bin/k3s.download"
FOLDERS = ("/etc/rancher", "/var/lib/rancher", "/var/lib/kubelet")
CURL = ("curl", "--fail", "--silent", "--show-error", "--location", "--retry", "3")

CLOUD_INIT_TIMEOUT = 900.0
DOWNLOAD_TIMEOUT = 600.0
# systemd reports a server's start as done only when its API serves; a join copies the datastore first.
START_TIMEOUT = 600.0
READY_TIMEOUT = 300.0
READY_PAUSE = 1.0
PROGRESS_EVERY = 15.0

# uname -m -> the suffix of the release's files
SUFFIXES = {"x86_64": ("k3s", "amd64"), "aarch64": ("k3s-arm64", "arm64")}

UNIT = """\
[Unit]
Description=K3s {role}
Documentation=https://k3s.io
Wants=network-online.target
After=network-online.target

[Service]
Type={type}
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/k3s {role}
Restart=always
RestartSec=5s
TimeoutStartSec=0
# Containers are children of their shims, which must outlive a restart of K3s.
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity

[Install]
WantedBy=multi-user.target
"""


class InstallError(RemoteError):
    """The binary could not be fetched or is not what it should be."""


class NotReadyError(RemoteError):
    """K3s was installed, but the node did not become Ready."""


@dataclass(frozen=True)
class Spec:
    """What a node should be."""

    name: str
    role: str
    version: str
    release_url: str
    config: Mapping[str, Any]
    token: str = field(repr=False)
    sha256: str = ""

    @property
    def service(self) -> str:
        """The systemd unit's name, which K3s' own tools expect too."""
        return "k3s" if self.role == "server" else "k3s-agent"

    def config_file(self, config: Mapping[str, Any] | None = None) -> str:
        """Return the text of config.yaml: stable, so that its hash tells drift."""
        return yaml.safe_dump({**(self.config if config is None else config), "token": self.token}, sort_keys=True)

    @property
    def config_sha256(self) -> str:
        """The hash of config.yaml as it should be."""
        return hashlib.sha256(self.config_file().encode()).hexdigest()


@dataclass(frozen=True)
class Observed:
    """What a node is; `version` is empty when K3s is not installed."""

    version: str
    config_sha256: str
    active: bool
    ready: bool


async def install(session: Session, spec: Spec) -> None:
    """Put the verified binary in place."""
    machine = (await session.run("uname", "-m")).stdout.strip()
    if machine not in SUFFIXES:
        message = f"{spec.name}: K3s has no release for the architecture {machine}; use one of {', '.join(SUFFIXES)}"
        raise InstallError(message)
    file, suffix = SUFFIXES[machine]
    base = f"{spec.release_url}/{quote(spec.version, safe='')}"
    pulumi.log.info(f"{spec.name}: fetching K3s {spec.version}")
    await session.run("sudo", "-n", *CURL, "--output", DOWNLOAD, f"{base}/{file}", timeout=DOWNLOAD_TIMEOUT)
    expected = spec.sha256 or await _published_sha256(session, f"{base}/sha256sum-{suffix}.txt", file)
    actual = (await session.run("sha256sum", DOWNLOAD)).stdout.split(" ")[0].strip()
    if actual != expected:
        await session.run("sudo", "-n", "rm", "-f", DOWNLOAD)
        message = (
            f"{spec.name}: {base}/{file} has the SHA-256 {actual}, not {expected} as "
            f"{'pinned' if spec.sha256 else 'published'}; it was removed and nothing was installed. "
            "Run again; if it stays so, the release or the pin is wrong."
        )
        raise InstallError(message)
    await session.run("sudo", "-n", "install", "-m", "0755", DOWNLOAD, BINARY)
    await session.run("sudo", "-n", "rm", "-f", DOWNLOAD)


async def _published_sha256(session: Session, url: str, file: str) -> str:
    listed = (await session.run(*CURL, url)).stdout
    for line in listed.splitlines():
        digest, _, name = line.partition(" ")
        if name.strip().lstrip("*") == file:
            return digest
    message = f"{session.machine.name}: {url} lists no checksum for {file}; pin one with `sha256`, or check the version"
    raise InstallError(message)


async def configure(session: Session, spec: Spec, config: Mapping[str, Any] | None = None) -> None:
    """Write config.yaml, readable by root only."""
    text = spec.config_file(config)
    await session.run("sudo", "-n", "install", "-D", "-m", "0600", "/dev/stdin", CONFIG, stdin=text)


async def start(session: Session, spec: Spec) -> None:
    """Install the unit, start or restart it, and wait until the node is Ready."""
    unit = UNIT.format(role=spec.role, type="notify" if spec.role == "server" else "exec")
    path = f"/etc/systemd/system/{spec.service}.service"
    await session.run("sudo", "-n", "install", "-D", "-m", "0644", "/dev/stdin", path, stdin=unit)
    await session.run("sudo", "-n", "systemctl", "daemon-reload")
    await session.run("sudo", "-n", "systemctl", "enable", spec.service)
    pulumi.log.info(f"{spec.name}: starting {spec.service}")
    try:
        await session.run("sudo", "-n", "systemctl", "restart", spec.service, timeout=START_TIMEOUT)
    except CommandError as error:
        raise NotReadyError(f"{error}\n{await _journal(session, spec)}") from error
    await _wait_ready(session, spec)


async def _wait_ready(session: Session, spec: Spec) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + READY_TIMEOUT
    next_progress = loop.time() + PROGRESS_EVERY
    while True:
        ready, reason = await readiness(session, spec.name, spec.role)
        if ready:
            return
        if loop.time() >= end:
            message = f"{spec.name}: not Ready after {READY_TIMEOUT:.0f} s: {reason}\n{await _journal(session, spec)}"
            raise NotReadyError(message)
        if loop.time() >= next_progress:
            pulumi.log.info(f"{spec.name}: waiting to be Ready: {reason}")
            next_progress = loop.time() + PROGRESS_EVERY
        await asyncio.sleep(READY_PAUSE)


async def _journal(session: Session, spec: Spec) -> str:
    lines = ("sudo", "-n", "journalctl", "--unit", spec.service, "--lines", "20", "--no-pager")
    answer = await session.run(*lines, check=False)
    return f"Last lines of {spec.service} on {spec.name}:\n{answer.stdout.strip() or answer.stderr.strip()}"


async def observe(session: Session, spec: Spec) -> Observed:
    """Look at the machine and change nothing."""
    version = await session.run("k3s", "--version", check=False)
    if version.status != 0:
        return Observed("", "", active=False, ready=False)
    reported = re.match(r"k3s version (\S+)", version.stdout)
    active = await _is_active(session, spec)
    ready = active and (await readiness(session, spec.name, spec.role))[0]
    found = reported.group(1) if reported else "unknown"
    return Observed(found, await config_hash(session), active=active, ready=ready)


async def _is_active(session: Session, spec: Spec) -> bool:
    return (await session.run("systemctl", "is-active", spec.service, check=False)).stdout.strip() == "active"


async def config_hash(session: Session) -> str:
    """Return the hash of config.yaml, empty when there is none."""
    answer = await session.run("sudo", "-n", "sha256sum", CONFIG, check=False)
    return answer.stdout.split(" ")[0].strip() if answer.status == 0 else ""


async def wait_for_boot(session: Session) -> None:
    """Wait until cloud-init has finished: before that, packages and accounts may still change."""
    argv = ("cloud-init", "status", "--wait")
    answer = await session.run(*argv, check=False, timeout=CLOUD_INIT_TIMEOUT)
    # 2 is "done, with recoverable errors".
    if answer.status not in (0, 2):
        said = (answer.stderr or answer.stdout).strip()
        machine = session.machine
        message = f"{machine.name}: cloud-init failed (status {answer.status}): {said}"
        message += f"\nLook with: {machine.shell} cloud-init status --long"
        raise RemoteError(message)


async def remove(session: Session, spec: Spec) -> None:
    """Stop K3s and delete what it left on the disk."""
    disable = ("sudo", "-n", "systemctl", "disable", "--now", spec.service)
    # Fails when an interrupted removal has taken the unit away already; only a service that still runs is a fault.
    disabled = await session.run(*disable, check=False, timeout=START_TIMEOUT)
    if disabled.status != 0 and await _is_active(session, spec):
        raise CommandError(failure(session.machine, shlex.join(disable), disabled))
    unit = f"/etc/systemd/system/{spec.service}.service"
    # A volume that is still mounted below these folders holds data: it must not be emptied through its mount.
    await session.run("sudo", "-n", "rm", "-rf", "--one-file-system", *FOLDERS, BINARY, unit)
    await session.run("sudo", "-n", "systemctl", "daemon-reload")
