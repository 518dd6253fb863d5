"""Every version that others make is written once, in config/versions.py, and everything else takes it from there."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from config import versions
from toolchain.charts import CHARTS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "config" / "versions.py").read_text()
PINS = {name: value for name, value in vars(versions).items() if name.isupper() and isinstance(value, str)}

# Three numbers that are no part of an address, with what may follow them in a version.
VERSION = re.compile(r"(?<![\d.])v?\d+\.\d+\.\d+(?!\.?\d)(?:[-+][0-9A-Za-z][\w.+-]*)?")
IMAGE = re.compile(r"^[ -]*image: *[\"']?[^\s\"'{}]*:([\w.-]+)", re.MULTILINE)
MARKED = re.compile(r"# renovate: .*\n.*\n")
EXAMPLES = ("1.2.3", "0.0.0")

# What pins have their own places for, and prose, which tells of a day.
ELSEWHERE = re.compile(r"config/versions\.py|requirements\.(in|txt)|toolchain/go/.*|tests/.*|.*\.md")
ALLOWED = {
    ("pyproject.toml", "0.1.0"): "the project's own",
    ("sandbox/charts/argo-cd/values.yaml", "8.2.2-alpine"): "a default of the real chart; no image is pulled",
    ("sandbox/pfsense/kinds.py", "v2.10.0"): "the REST API that the stand-in passes for",
    ("sandbox/proxmox/guests.py", "10.0.2"): "the QEMU of the Proxmox VE that the stand-in passes for",
    ("sandbox/proxmox/routes_cluster.py", "9.0.11"): "the Proxmox VE that the stand-in passes for",
}


def literals(path: str, text: str) -> set[str]:
    """What is written in a file that looks like the version of something."""
    if re.fullmatch(r"Pulumi\.[^/]*\.yaml", path):
        text = MARKED.sub("", text)
    if re.fullmatch(r"gitops/[^/]+/kustomization\.yaml", path):
        # Renovate's own manager reads these.
        text = re.sub(r"^ +newTag: \S+$", "", text, flags=re.MULTILINE)
    found = {*VERSION.findall(text), *IMAGE.findall(text)}
    return {one for one in found if re.sub(r"^v|[-+].*", "", one) not in EXAMPLES}


def files() -> list[str]:
    """The repository's files, those that are not committed yet among them."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def imported(path: Path) -> set[str]:
    """The top-level packages that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("name", PINS)
def test_a_pin_is_final_and_says_on_the_line_above_how_it_moves(name: str) -> None:
    marker = r"# renovate: datasource=\S+ depName=\S+( registryUrl=https://\S+)?|# held( with [A-Z0-9_]+ \S+)?: .+"
    assert re.search(rf'^({marker})\n{name}: Final = "[^"]+"$', TEXT, re.MULTILINE)


def test_what_is_held_with_another_pin_was_looked_at_when_that_one_moved_last() -> None:
    held = re.findall(r"^# held with ([A-Z0-9_]+) (\S+): .+\n([A-Z0-9_]+): Final = ", TEXT, re.MULTILINE)
    assert {other: PINS[other] for other, _, _ in held} == {other: version for other, version, _ in held}
    assert len(held) == TEXT.count("# held with ")


@pytest.mark.parametrize("name", PINS)
def test_a_pin_is_a_version_and_no_moving_name(name: str) -> None:
    assert re.fullmatch(r"v?\d+\.\d+\.\d+(\+k3s\d+|-\d{14}-[0-9a-f]{12})?", PINS[name])


@pytest.mark.parametrize("name", [name for name in vars(versions) if name.isupper()])
def test_a_pin_is_used(name: str) -> None:
    folders = ("components", "config", "toolchain")
    program = [ROOT / "__main__.py", *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
    assert any(re.search(rf"\bversions\.{name}\b", path.read_text()) for path in program)


def test_no_version_is_written_anywhere_else() -> None:
    read = [name for name in files() if not ELSEWHERE.fullmatch(name)]
    assert len(read) > 100
    found = {(name, one) for name in read for one in literals(name, (ROOT / name).read_text())}
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    ("path", "line", "found"),
    [
        ("a.py", 'VERSION = "4.25.0"', {"4.25.0"}),
        ("a.py", 'K3S = f"v1.34.2+k3s1"', {"v1.34.2+k3s1"}),
        ("a.py", "go get example.com/a/v4@v4.0.0-20260115033456-f47bc2d6f199", {"v4.0.0-20260115033456-f47bc2d6f199"}),
        ("Chart.yaml", "appVersion: 3.2.6-rc.1", {"3.2.6-rc.1"}),
        ("gitops/a.yaml", "  - image: ghcr.io/a/b:1.27", {"1.27"}),
        ("gitops/a.yaml", '  image: "registry:5000/a:main"', {"main"}),
        ("gitops/a.yaml", "# renovate: datasource=docker depName=a\nimage: a:6.9.2\n", {"6.9.2"}),
        ("Pulumi.dev.yaml", "# renovate: datasource=docker depName=a\nimage: a:6.9.2\n", set()),
        ("Pulumi.dev.yaml", "image: a:6.9.2\n", {"6.9.2"}),
        ("gitops/a/kustomization.yaml", "images:\n  - name: app\n    newTag: 6.9.2\n", set()),
        ("gitops/a/deployment.yaml", "    newTag: 6.9.2\n", {"6.9.2"}),
        ("a.yaml", "image: a\nimage: {{ .image }}\naddress: 127.0.0.1\ncidr: 10.42.0.0/16\npython: 3.11", set()),
        ("a.py", '"""As in v1.2.3+k3s1, or 1.2.3."""', set()),
    ],
)
def test_a_version_is_seen_for_what_it_is(path: str, line: str, found: set[str]) -> None:
    assert literals(path, line) == found


def test_pins_and_what_checks_them_need_nothing_that_is_installed() -> None:
    # The toolchain imports them before there is anything else.
    assert imported(ROOT / "config" / "__init__.py") | imported(ROOT / "config" / "versions.py") == {"typing"}
    pure = [ROOT / "config" / f"{name}.py" for name in ("compatibility", "k3s_version", "skew")]
    assert {one for path in pure for one in imported(path)} <= sys.stdlib_module_names | {"config"}


def test_the_sandbox_takes_versions_from_the_toolchain_and_the_toolchain_takes_pins_only() -> None:
    assert not any("config" in imported(path) for path in (ROOT / "sandbox").rglob("*.py"))
    from_config = re.compile(r"^ *(?:from|import) config\b.*", re.MULTILINE)
    taken = {line for path in (ROOT / "toolchain").rglob("*.py") for line in from_config.findall(path.read_text())}
    assert taken == {"from config import versions"}


def test_the_sandbox_serves_the_charts_that_the_program_installs() -> None:
    assert {path.parent.name for path in (ROOT / "sandbox" / "charts").glob("*/Chart.yaml")} == set(CHARTS)


def test_the_sandbox_runs_the_kubernetes_that_k3s_is() -> None:
    assert versions.K3S.startswith(f"v{versions.KUBERNETES.rpartition('.')[0]}.")
