"""Renovate reads every pin, and offers what belongs together as one change."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import json5
import pytest
import yaml

from config import versions
from toolchain.model import Build
from toolchain.tools import TOOLS

ROOT = Path(__file__).parents[2]
CONFIG: dict[str, Any] = json5.loads((ROOT / "renovate.json5").read_text())
PINS = {name: value for name, value in vars(versions).items() if name.isupper() and isinstance(value, str)}
HELD_PIN = re.compile(r'^# held\b.*: .+\n([A-Z0-9_]+): Final = "', re.MULTILINE)
HELD = set(HELD_PIN.findall((ROOT / "config" / "versions.py").read_text()))
BUILDS = [build for tool in TOOLS for build in tool.builds]
STACKS = sorted(path.name for path in ROOT.glob("Pulumi.*.yaml"))


def python_regex(pattern: str) -> re.Pattern[str]:
    """The same pattern in Python's spelling."""
    return re.compile(re.sub(r"\(\?<(?=\w)", "(?P<", pattern))


def dependencies(name: str) -> Iterator[re.Match[str]]:
    """What the custom managers find in a file."""
    text = (ROOT / name).read_text()
    for manager in CONFIG["customManagers"]:
        if any(python_regex(pattern.strip("/")).search(name) for pattern in manager["managerFilePatterns"]):
            for expression in manager["matchStrings"]:
                yield from python_regex(expression).finditer(text)


@cache
def pins() -> dict[str, re.Match[str]]:
    """What is found in the file of pins, by the name of the constant."""
    found = list(dependencies("config/versions.py"))
    named = {match[0].rpartition("\n")[2].partition(":")[0]: match for match in found}
    assert len(named) == len(found)
    return named


def settled(manager: str, dependency: str, file: str = "", kind: str = "") -> dict[str, Any]:
    """What the rules decide for a dependency: each may override those before it."""
    decided: dict[str, Any] = {}
    for rule in CONFIG["packageRules"]:
        asked = {
            "matchManagers": manager,
            "matchDepNames": dependency,
            "matchFileNames": file,
            "matchDepTypes": kind,
        }
        given = {key: rule[key] for key in asked if key in rule}
        if given and all(any(fnmatchcase(asked[key], one) for one in wanted) for key, wanted in given.items()):
            decided |= rule
    return decided


def held_by(build: Build) -> bool:
    """Whether the pin of a Go module's version is held."""
    names = {name for name, value in PINS.items() if value.removeprefix("v") == build.module_version.removeprefix("v")}
    assert names, build.module
    return bool(names & HELD)


def test_every_pin_that_is_not_held_is_found_once_with_its_value() -> None:
    assert HELD
    assert {name: match["currentValue"] for name, match in pins().items()} == {
        name: value for name, value in PINS.items() if name not in HELD
    }


def test_every_pin_names_a_source_and_what_to_look_up_there() -> None:
    for name, match in pins().items():
        assert match["datasource"] in {"github-releases", "go", "helm", "pypi"}, name
        assert re.fullmatch(r"[\w.-]+(/[\w.-]+)*", match["depName"]), name
        assert bool(match["registryUrl"]) is (match["datasource"] == "helm"), name


@pytest.mark.parametrize("folder", sorted((ROOT / "gitops").iterdir()), ids=lambda folder: folder.name)
def test_every_image_of_an_application_is_pinned_where_renovate_reads_it(folder: Path) -> None:
    (image,) = yaml.safe_load((folder / "kustomization.yaml").read_text())["images"]
    assert image["name"] == "app"
    assert "/" in image["newName"]
    assert re.fullmatch(r"v?\d+(\.\d+)+[\w.-]*", image["newTag"])
    assert "kustomize" in CONFIG["enabledManagers"]


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("ghcr.io/a/b:1.2", "1.2"),
        ("registry:5000/a:v3-alpine", "v3-alpine"),
        ("a:1", "1"),
        ("registry:5000/a", None),
        ("a@sha256:" + "0" * 64, None),
    ],
)
def test_the_tag_of_an_image_is_what_follows_its_repository(image: str, tag: str | None) -> None:
    (expression,) = CONFIG["customManagers"][1]["matchStrings"]
    found = python_regex(expression).search(f"# renovate: datasource=docker depName=a/b\n        image: {image}\n")
    assert (found and found["currentValue"]) == tag


def test_nothing_merges_itself_and_nothing_is_offered_on_its_first_days() -> None:
    assert CONFIG["automerge"] is False
    assert not any(rule.get("automerge") for rule in CONFIG["packageRules"])
    assert re.fullmatch(r"\d+ days", CONFIG["minimumReleaseAge"])


@pytest.mark.parametrize("dependency", ["k3s-io/k3s", "kubernetes/kubernetes"])
def test_kubernetes_is_offered_within_its_minor_version_and_the_next(dependency: str) -> None:
    rule = settled("custom.regex", dependency)
    (current,) = (match["currentValue"] for match in pins().values() if match["depName"] == dependency)
    prefix, major, minor, rest = re.fullmatch(r"(v?)(\d+)\.(\d+)(\..+)", current).groups()  # type: ignore[union-attr]
    filled = rule["allowedVersions"].replace("{{major}}", major).replace("{{minor}}", minor)
    filled = filled.replace("{{add minor 1}}", str(int(minor) + 1))
    assert "{{" not in filled
    allowed = re.compile(filled.strip("/"))
    offered = {step: bool(allowed.search(f"{prefix}{major}.{int(minor) + step}{rest}")) for step in (-1, 0, 1, 2, 10)}
    assert offered == {-1: False, 0: True, 1: True, 2: False, 10: False}
    assert not allowed.search(f"{prefix}{int(major) + 1}.{minor}{rest}")


def test_a_k3s_release_is_more_than_its_kubernetes_version() -> None:
    scheme, _, expression = settled("custom.regex", "k3s-io/k3s")["versioning"].partition(":")
    assert scheme == "regex"
    read = python_regex(expression)
    assert read.search("v1.34.3+k3s12")["build"] == "12"  # type: ignore[index]
    assert not read.search("v1.35.0-rc1+k3s1")


@pytest.mark.parametrize("build", BUILDS, ids=[build.folder for build in BUILDS])
def test_a_go_module_is_offered_together_with_its_pin_and_not_at_all_if_that_is_held(build: Build) -> None:
    rule = settled("gomod", build.module, f"toolchain/go/{build.folder}/go.mod", "require")
    assert rule["enabled"] is not held_by(build)
    if rule["enabled"]:
        value = build.module_version.removeprefix("v")
        names = [match["depName"] for match in pins().values() if match["currentValue"].removeprefix("v") == value]
        assert rule["groupName"] in {settled("custom.regex", name)["groupName"] for name in names}


def test_other_go_modules_are_never_offered() -> None:
    assert settled("gomod", "github.com/google/uuid", "toolchain/go/argocd/go.mod", "indirect")["enabled"] is False
    assert settled("gomod", "k8s.io/api", "toolchain/go/argocd/go.mod", "replace")["enabled"] is False
    assert settled("gomod", "k8s.io/klog/v2", "toolchain/go/controlplane/go.mod", "indirect")["enabled"] is False
    assert settled("gomod", "k8s.io/api", "toolchain/go/controlplane/go.mod", "replace")["enabled"] is True


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("custom.regex", "pulumi/pulumi"), ("pip-compile", "pulumi")),
        (("custom.regex", "pulumi/pulumi-kubernetes"), ("pip-compile", "pulumi-kubernetes")),
        (("custom.regex", "muhlba91/pulumi-proxmoxve"), ("pip-compile", "pulumi-proxmoxve")),
        (("custom.regex", "argo-cd"), ("custom.regex", "argoproj/argo-cd")),
        (("custom.regex", "k3s-io/k3s"), ("custom.regex", "kubernetes/kubernetes")),
    ],
)
def test_what_must_change_together_is_one_change(first: tuple[str, str], second: tuple[str, str]) -> None:
    assert settled(*first)["groupName"] == settled(*second)["groupName"]
    names = {match["depName"] for match in pins().values()}
    assert {dependency for manager, dependency in (first, second) if manager == "custom.regex"} <= names


def test_the_lock_says_how_it_was_made_in_a_form_that_can_be_run_again() -> None:
    # Renovate reads the command from there, and takes an option's value only behind an equals sign.
    lock = (ROOT / "requirements.txt").read_text()
    command = re.match(r"# .*\n# {4}(uv pip compile(?: --[a-z-]+(?:=\S+)?| requirements\.in)+)\n", lock)
    assert command is not None
    recipe = re.sub(r"\\\n\s*", "", (ROOT / "Makefile").read_text())
    assert command[1] in recipe.replace(" --quiet --upgrade", "")
    (pattern,) = CONFIG["pip-compile"]["managerFilePatterns"]
    assert re.fullmatch(pattern.strip("/"), "requirements.txt")
