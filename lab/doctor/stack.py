"""Look at what lies on this computer: tools, the stack's file and its secrets, and the backend with its passphrase."""

import shutil
from collections.abc import Mapping

from config.faults import LabError
from config.model import Lab
from config.rules import read_lab
from config.secrets import SECRETS, SecretKey
from lab.doctor.finding import Area, Finding
from lab.stack import PROJECT, Stack, StackError
from toolchain import Toolchain, ToolchainError, survey
from toolchain.cache import Cache
from toolchain.host import require_git

TOOLS = Area("Tools")
CONFIGURATION = Area("Configuration")
STACK = Area("Stack")
GIB = 1024**3
# What the caches of a first run take when everything is built.
BUILD_SPACE = 25
EVERYTHING = "make up (fetches or builds what is missing)"


def tools(cache: Cache) -> tuple[Toolchain | None, list[Finding]]:
    """Return the toolchain if every tool is there, and how the tools stand; nothing is obtained."""
    found = []
    try:
        _, version = require_git()
        found.append(TOOLS.ok("git", version))
    except ToolchainError as error:
        found.append(TOOLS.wrong("git", error.problem, error.advice))
    statuses = survey(cache)
    absent = [status.tool.name for status in statuses if not status.ready]
    if not absent:
        found.append(TOOLS.ok("toolchain", f"{len(statuses)} tools in their pinned versions"))
        return Toolchain(cache, statuses), found
    found.append(TOOLS.wrong("toolchain", f"{', '.join(absent)} missing", EVERYTHING))
    at = next(path for path in (cache.root, *cache.root.parents) if path.exists())
    free = shutil.disk_usage(at).free // GIB
    if free < BUILD_SPACE:
        detail = f"{free} GiB free at {at}, a build of all tools takes {BUILD_SPACE}"
        found.append(TOOLS.wrong("disk", detail, "free some, or: export HOMELAB_CACHE=<a folder with room>"))
    return None, found


def configuration(data: object) -> tuple[Lab | None, list[Finding]]:
    """Return the lab that ``data`` describes if it has no fault but in its sizes, and its faults."""
    try:
        lab = read_lab(data)
    except LabError as error:
        faults = [CONFIGURATION.wrong(fault.path, fault.problem, fault.fix) for fault in error.faults]
        try:
            return read_lab(data, measured=False), faults
        except LabError:
            return None, faults
    return lab, [CONFIGURATION.ok("lab", f"{len(lab.nodes)} nodes on {len(lab.proxmox.hosts)} hosts")]


def secrets(stack: Stack, lab: Lab | None, written: Mapping[str, object]) -> tuple[dict[SecretKey, str], list[Finding]]:
    """Return the secrets of ``stack`` that are good, and how they stand; ``written`` is the config in its file."""
    values: dict[SecretKey, str] = {}
    found: list[Finding] = []
    init = f"make init STACK={stack.name}"
    try:
        stack.read("stack", "export")
    except StackError as error:
        command = error.hint.command if error.hint else "see that the backend is there: pulumi whoami -v"
        return {}, [STACK.wrong("backend", str(error), command)]
    for key in SECRETS:
        if lab is not None and not key.needed(lab):
            continue
        entry = written.get(f"{PROJECT}:{key.name}")
        if entry is None:
            found.append(STACK.wrong(key.name, "is not set", f"{init}, which asks for {key.what}"))
        elif not isinstance(entry, dict):
            step = f"make a new one, since this one was readable; then {init} --replace"
            found.append(STACK.wrong(key.name, "stands in the file in plain text", step))
        else:
            found.append(_decrypted(stack, key, values, init))
    return values, found


def _decrypted(stack: Stack, key: SecretKey, values: dict[SecretKey, str], init: str) -> Finding:
    try:
        value = stack.read("config", "get", key.name, "--config-file", str(stack.config_file)).strip()
    except StackError as error:
        if error.hint:
            return STACK.wrong(key.name, error.hint.cause, error.hint.command)
        return STACK.wrong(key.name, str(error), f"{init} --replace")
    if not key.form.fullmatch(value):
        return STACK.wrong(key.name, f"is not of the form: {key.shape}", f"{init} --replace")
    values[key] = value
    return STACK.ok(key.name, "encrypted, of the right form")
