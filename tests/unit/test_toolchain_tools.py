"""The one list of tools agrees with the Go modules, the Python packages and itself."""

import re
from pathlib import Path

import pytest

from config import versions
from toolchain.model import Build, Tool
from toolchain.tools import GO_MODULES, TOOLS

REPOSITORY = GO_MODULES.parents[1]
BUILDS = [(tool, build) for tool in TOOLS for build in tool.builds]
BUILD_IDS = [build.folder for _, build in BUILDS]


def required(folder: str) -> dict[str, str]:
    """Read the versions that a go.mod requires."""
    text = (GO_MODULES / folder / "go.mod").read_text()
    blocks = re.sub(r"^replace\b.*?(^\)|$)", "", text, flags=re.MULTILINE | re.DOTALL)
    return dict(re.findall(r"^(?:require )?\t?([a-z0-9][\w./-]+\.[\w./-]+) (v\S+)", blocks, flags=re.MULTILINE))


def test_every_tool_and_every_program_is_listed_once() -> None:
    names = [tool.name for tool in TOOLS]
    programs = [one.name for tool in TOOLS for one in tool.executables]
    assert len(names) == len(set(names))
    assert len(programs) == len(set(programs))
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", tool.version) for tool in TOOLS)


@pytest.mark.parametrize(("_tool", "build"), BUILDS, ids=BUILD_IDS)
def test_each_go_module_requires_the_version_in_the_list(_tool: Tool, build: Build) -> None:
    assert required(build.folder)[build.module] == build.module_version


@pytest.mark.parametrize(("_tool", "build"), BUILDS, ids=BUILD_IDS)
def test_each_go_sum_pins_the_content_of_that_version(_tool: Tool, build: Build) -> None:
    pins = (GO_MODULES / build.folder / "go.sum").read_text()
    assert f"\n{build.module} {build.module_version} h1:" in f"\n{pins}"


@pytest.mark.parametrize(("_tool", "build"), BUILDS, ids=BUILD_IDS)
def test_no_go_module_asks_for_a_newer_go_than_is_looked_for(_tool: Tool, build: Build) -> None:
    wanted = re.search(r"^go (\d+)\.(\d+)", (GO_MODULES / build.folder / "go.mod").read_text(), flags=re.MULTILINE)
    assert wanted is not None
    assert (int(wanted[1]), int(wanted[2])) <= versions.GO_MINIMUM


@pytest.mark.parametrize(("tool", "build"), BUILDS, ids=BUILD_IDS)
def test_what_is_stamped_into_a_program_is_its_tools_version(tool: Tool, build: Build) -> None:
    stamped = [value for name, value in build.stamps.items() if name.lower().endswith("version")]
    assert all(value.removeprefix("v") == tool.version for value in stamped)
    assert bool(stamped) is bool(build.stamps)


def test_etcd_and_the_python_scripts_come_in_their_own_pinned_versions() -> None:
    engine = next(tool for tool in TOOLS if tool.name == "pulumi")
    assert required("controlplane")["go.etcd.io/etcd/server/v3"] == f"v{versions.ETCD}"
    assert required("pulumi")["github.com/pulumi/pulumi/sdk/v3"] == f"v{engine.version}"


def test_engine_and_plugins_have_the_version_that_the_python_packages_ask_for() -> None:
    pins = dict(re.findall(r"^([a-z-]+)==(\S+)", (REPOSITORY / "requirements.in").read_text(), flags=re.MULTILINE))
    implemented = {f"pulumi-{tool.plugin}" if tool.plugin else tool.name: tool.version for tool in TOOLS}
    for package in ("pulumi", "pulumi-kubernetes", "pulumi-proxmoxve"):
        assert implemented[package] == pins[package], package


def test_every_release_is_verified_over_https() -> None:
    for tool in TOOLS:
        for artifact in tool.release:
            assert artifact.url.startswith("https://"), tool.name
            assert artifact.checksums_url.startswith("https://"), tool.name


def test_a_release_brings_every_program_of_its_tool() -> None:
    for tool in TOOLS:
        brought = [name for artifact in tool.release for name in artifact.members.values()]
        assert not tool.release or sorted(brought) == sorted(one.name for one in tool.executables), tool.name


def test_the_go_wheel_is_pinned_by_hash_on_every_platform() -> None:
    assert len(set(versions.GO_WHEEL_HASHES)) == 4
    assert all(re.fullmatch(r"[0-9a-f]{64}", one) for one in versions.GO_WHEEL_HASHES)


def test_the_scripts_that_start_built_programs_are_there() -> None:
    for _, build in BUILDS:
        assert not build.script or (Path(GO_MODULES.parent) / build.script).read_text().startswith("#!/bin/sh\n")
