"""From which installed version the program may go to which other one: upwards, without skipping a minor version."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from config.faults import Fault
from config.k3s_version import K3sVersion

_NUMBERS = re.compile(r"v?([0-9]+)\.([0-9]+)\.([0-9]+)")


def _numbers(version: str) -> tuple[int, int, int]:
    found = _NUMBERS.fullmatch(version)
    if found is None:
        raise ValueError(f"{version!r} is not three numbers")
    return int(found[1]), int(found[2]), int(found[3])


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A part whose makers refuse downgrades and skipped minor versions."""

    name: str
    path: str
    read: Callable[[str], tuple[int, ...]]
    back: str
    """What it takes to have an older version."""


# Argo CD has no row: its docs (operator-manual/upgrading/overview.md) let several minor versions be skipped, and ask
# only that the notes of each are read.
_PARTS: Mapping[str, _Part] = {
    # K3s docs: upgrades/manual.md (no minor version is skipped), upgrades/automated.md, Downgrade Prevention (K3s' own
    # upgrade image refuses an older patch or release too), upgrades/roll-back.md (the way back).
    "k3s": _Part(
        name="K3s",
        path="lab.kubernetes.version",
        read=K3sVersion.parse,
        back="the way back is a snapshot of etcd that the older version took",
    ),
    # Longhorn docs: deploy/upgrade/_index.md, Upgrade Path Enforcement and Downgrade Prevention.
    "longhorn": _Part(
        name="Longhorn",
        path="config/versions.py LONGHORN_CHART",
        read=_numbers,
        back="the way back is a new Longhorn and a restore from backups",
    ),
}


def skew_faults(before: Mapping[str, str], after: Mapping[str, str]) -> list[Fault]:
    """Return why the versions of ``before``, which are installed, cannot be followed by those of ``after``.

    Both are by part: ``k3s``, ``longhorn``. A part that only one of them has is a new or a dropped one, and no fault.

    Raises:
        ValueError: ``after`` has a version that cannot be read.
    """
    return [
        fault
        for key, part in _PARTS.items()
        if key in before and key in after and (fault := _step(part, before[key], after[key]))
    ]


def _step(part: _Part, before: str, after: str) -> Fault | None:
    try:
        old = part.read(before)
    except ValueError:
        problem = f"follows {before!r}, which the stack's outputs name and which is no version of {part.name}"
        fix = "see what is installed, and put `versions` in the stack's outputs right (pulumi stack export and import)"
        return Fault(part.path, after, problem, fix)
    new = part.read(after)
    stay = f"keep {before}, or take a newer release of {old[0]}.{old[1]}"
    if new[0] != old[0]:
        problem = f"is another major version than the installed {before}, and nothing is known of such a step"
        return Fault(part.path, after, problem, stay)
    if new < old:
        problem = f"is older than the installed {before}, and {part.name} cannot be downgraded"
        return Fault(part.path, after, problem, f"{stay}; {part.back}")
    if new[1] > old[1] + 1:
        problem = f"skips minor versions after the installed {before}, and {part.name} takes them one at a time"
        return Fault(part.path, after, problem, f"first go to a release of {old[0]}.{old[1] + 1}, then on from there")
    return None
