"""What each part of a lab says of Kubernetes, and what a cluster of another version is told."""

import re

import pytest

from config import versions
from config.compatibility import SUPPORT, Minors, Support, unsupported
from config.k3s_version import K3sVersion


def test_the_pinned_k3s_suits_every_pinned_part() -> None:
    assert list(unsupported(versions.K3S, SUPPORT)) == []


@pytest.mark.parametrize("support", SUPPORT.values(), ids=SUPPORT)
def test_a_statement_is_of_the_series_that_is_pinned(support: Support) -> None:
    assert f"{support.pin}.".startswith(f"{support.series}."), f"read {support.source} of {support.pin} again"
    assert re.match(r"[\w-]+/[\w-]+, \S", support.source)


@pytest.mark.parametrize(
    ("part", "release", "suits"),
    [
        ("argocd", "v1.30.9+k3s1", False),
        ("argocd", "v1.31.0+k3s1", True),
        ("argocd", "v1.34.9+k3s2", True),
        ("argocd", "v1.35.0+k3s1", False),
        ("longhorn", "v1.32.9+k3s1", False),
        ("longhorn", "v1.36.1+k3s1", True),
        ("mongodb", "v1.33.9+k3s1", False),
        ("mongodb", "v1.37.0+k3s1", False),
        ("prometheus", "v1.24.9+k3s1", False),
        ("prometheus", "v1.99.0+k3s1", True),
        ("prometheus", "v2.30.0+k3s1", False),
    ],
)
def test_a_release_suits_a_part_between_both_ends_of_what_it_supports(part: str, release: str, *, suits: bool) -> None:
    assert [one.part for one in unsupported(release, [part])] == ([] if suits else [part])


def test_a_fault_says_what_there_is_what_the_part_is_for_and_what_suits_all_parts() -> None:
    (eck, mongodb) = unsupported("v1.31.4+k3s1", ["mongodb", "eck", "argocd"])
    assert (eck.part, eck.problem) == (
        "eck",
        f"is Kubernetes 1.31; ECK {versions.ECK_OPERATOR_CHART} is for 1.32 to 1.36",
    )
    assert mongodb.part == "mongodb"
    assert {eck.fix, mongodb.fix} == {"take a K3s of 1.34"}


def test_an_upper_end_is_named_only_where_there_is_one() -> None:
    (tempo,) = unsupported("v1.20.0+k3s1", ["tempo"])
    assert tempo.problem.endswith("is for 1.25 or newer")
    assert tempo.fix == "take a K3s of 1.25 or newer"
    (both, _) = unsupported("v1.20.0+k3s1", ["argocd", "tempo"])
    assert both.fix == "take a K3s of 1.31 to 1.34"


def test_what_two_ranges_have_in_common_is_in_both() -> None:
    ranges = [Minors(31, 34), Minors(33, 36), Minors(25), Minors(34, 34)]
    for one in ranges:
        for other in ranges:
            assert [n for n in range(50) if n in one & other] == [n for n in range(50) if n in one and n in other]


def test_a_part_of_which_nothing_is_known_is_no_part_that_suits() -> None:
    with pytest.raises(KeyError):
        list(unsupported(versions.K3S, ["longhonr"]))


def test_a_release_is_read_number_by_number_and_a_later_one_is_greater() -> None:
    assert K3sVersion.parse("v1.34.10+k3s2") == (1, 34, 10, 2)
    names = ["v1.9.0+k3s1", "v1.34.3+k3s1", "v1.34.3+k3s2", "v1.34.3+k3s10", "v1.34.10+k3s1", "v1.100.0+k3s1"]
    assert sorted(sorted(names), key=K3sVersion.parse) == names


@pytest.mark.parametrize(
    "name",
    [
        "",
        "stable",
        "1.34.3+k3s1",
        "v1.34.3",
        "v1.34+k3s1",
        "v1.34.3+k3s",
        "v1.34.3+k3s0",
        "v1.34.3-rc1+k3s1",
        "v1.34.3+rke2r1",
        "v01.34.3+k3s1",
        "v1.3٤.3+k3s1",
        " v1.34.3+k3s1",
        "v1.34.3+k3s1\n",
    ],
)
def test_anything_else_than_the_name_of_a_release_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a K3s release"):
        K3sVersion.parse(name)
    with pytest.raises(ValueError, match="is not the name of a K3s release"):
        list(unsupported(name, []))
