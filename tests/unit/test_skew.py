"""From which installed version to which other one a lab may go."""

import pytest

from config.faults import Fault
from config.skew import skew_faults


def step(part: str, before: str, after: str) -> Fault | None:
    """The fault of a step of one part, if it has one."""
    faults = skew_faults({part: before}, {part: after})
    assert len(faults) <= 1
    return faults[0] if faults else None


@pytest.mark.parametrize(
    ("part", "before", "after"),
    [
        ("k3s", "v1.34.3+k3s1", "v1.34.3+k3s1"),
        ("k3s", "v1.34.3+k3s1", "v1.34.3+k3s2"),
        ("k3s", "v1.34.3+k3s2", "v1.34.9+k3s1"),
        ("k3s", "v1.34.9+k3s2", "v1.35.0+k3s1"),
        ("k3s", "v1.9.1+k3s1", "v1.10.0+k3s1"),
        ("longhorn", "1.12.1", "v1.12.1"),
        ("longhorn", "v1.12.1", "1.12.4"),
        ("longhorn", "1.12.4", "1.13.0"),
        ("argocd", "v3.2.11", "v3.5.1"),
        ("argocd", "v3.2.11", "v2.14.0"),
        ("argocd", "unreadable", "v3.2.11"),
    ],
)
def test_a_step_that_the_makers_support_is_taken(part: str, before: str, after: str) -> None:
    assert step(part, before, after) is None


@pytest.mark.parametrize(
    ("part", "before", "after", "first"),
    [
        ("k3s", "v1.34.3+k3s1", "v1.36.0+k3s1", "1.35"),
        ("k3s", "v1.9.1+k3s1", "v1.34.3+k3s1", "1.10"),
        ("longhorn", "1.10.1", "1.12.1", "1.11"),
    ],
)
def test_a_skipped_minor_version_is_refused_and_the_step_before_it_named(
    part: str, before: str, after: str, first: str
) -> None:
    fault = step(part, before, after)
    assert fault is not None
    assert fault.value == after
    assert fault.problem.startswith(f"skips minor versions after the installed {before}")
    assert fault.fix == f"first go to a release of {first}, then on from there"


@pytest.mark.parametrize(
    ("part", "before", "after", "keep", "back"),
    [
        ("k3s", "v1.34.3+k3s1", "v1.33.9+k3s1", "1.34", "snapshot of etcd"),
        ("k3s", "v1.34.3+k3s1", "v1.34.2+k3s1", "1.34", "snapshot of etcd"),
        ("k3s", "v1.34.3+k3s2", "v1.34.3+k3s1", "1.34", "snapshot of etcd"),
        ("k3s", "v1.10.0+k3s1", "v1.9.9+k3s1", "1.10", "snapshot of etcd"),
        ("longhorn", "1.12.1", "1.12.0", "1.12", "restore from backups"),
        ("longhorn", "1.12.1", "1.11.3", "1.12", "restore from backups"),
    ],
)
def test_a_downgrade_is_refused_with_what_there_is_instead(
    part: str, before: str, after: str, keep: str, back: str
) -> None:
    fault = step(part, before, after)
    assert fault is not None
    assert fault.problem.startswith(f"is older than the installed {before}")
    assert fault.fix.startswith(f"keep {before}, or take a newer release of {keep};")
    assert back in fault.fix


@pytest.mark.parametrize(
    ("part", "before", "after"),
    [
        ("k3s", "v1.34.3+k3s1", "v2.0.0+k3s1"),
        ("k3s", "v2.0.0+k3s1", "v1.34.3+k3s1"),
        ("longhorn", "1.12.1", "2.12.1"),
        ("longhorn", "2.0.0", "1.12.1"),
    ],
)
def test_another_major_version_is_refused(part: str, before: str, after: str) -> None:
    fault = step(part, before, after)
    assert fault is not None
    assert "another major version" in fault.problem
    assert fault.fix.startswith(f"keep {before}")


@pytest.mark.parametrize(
    ("part", "before", "after"),
    [
        ("k3s", "stable", "v1.34.3+k3s1"),
        ("k3s", "v1.34.3", "v1.34.3+k3s1"),
        ("k3s", "", "v1.34.3+k3s1"),
        ("longhorn", "1.12", "1.12.1"),
        ("longhorn", "1.12.1-rc1", "1.12.1"),
    ],
)
def test_an_installed_version_that_cannot_be_read_is_a_fault_that_says_so(part: str, before: str, after: str) -> None:
    fault = step(part, before, after)
    assert fault is not None
    assert fault.problem.startswith(f"follows {before!r}, ")
    assert "outputs" in fault.fix


def test_a_part_that_is_new_or_dropped_is_no_fault() -> None:
    assert skew_faults({}, {"k3s": "v1.34.3+k3s1", "longhorn": "1.12.1"}) == []
    assert skew_faults({"k3s": "v1.36.3+k3s1", "longhorn": "1.14.1", "tempo": "9"}, {}) == []


def test_every_part_has_its_fault_at_the_place_where_its_version_is_chosen() -> None:
    before = {"longhorn": "1.10.0", "k3s": "v1.30.0+k3s1"}
    faults = skew_faults(before, {"k3s": "v1.34.3+k3s1", "longhorn": "1.12.1", "argocd": "v3.2.11"})
    assert [fault.path for fault in faults] == ["lab.kubernetes.version", "config/versions.py LONGHORN_CHART"]
