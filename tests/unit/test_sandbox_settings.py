"""Where a sandbox lives, what it is known by, and what its mirror publishes."""

import hashlib
import re
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml

from config import versions
from sandbox.credentials import Credentials
from sandbox.mirror import releases
from sandbox.settings import REPOSITORY, Endpoint, Settings


@pytest.mark.parametrize("network", ["127.10", "127.1", "127.99", "127.199", "127.255"])
def test_every_endpoint_lies_in_the_sandboxs_network_and_none_twice(tmp_path: Path, network: str) -> None:
    settings = Settings(tmp_path, network)
    found = [getattr(settings, name) for name, one in vars(Settings).items() if isinstance(one, property)]
    endpoints = [one for one in found if isinstance(one, Endpoint)] + list(settings.proxmox.values())
    assert len(endpoints) > 12
    assert len(set(endpoints)) == len(endpoints)
    assert all(IPv4Address(one.host) in settings.cidr for one in endpoints)


@pytest.mark.parametrize(
    "network", ["10.0", "127", "127.256", "127.10.0", "127.-1", "127.010", "127.1\u0660", "127.10\n", ""]
)
def test_a_network_that_is_not_two_numbers_of_loopback_is_refused_by_its_value(tmp_path: Path, network: str) -> None:
    with pytest.raises(ValueError, match=f"HOMELAB_SANDBOX_NETWORK is {re.escape(repr(network))}; give two numbers"):
        Settings(tmp_path, network)


def test_the_environment_moves_a_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOMELAB_SANDBOX", "here")
    monkeypatch.setenv("HOMELAB_SANDBOX_NETWORK", "127.12")
    assert Settings.from_environment() == Settings(tmp_path / "here", "127.12")
    monkeypatch.setenv("HOMELAB_SANDBOX", "")
    monkeypatch.setenv("HOMELAB_SANDBOX_NETWORK", "")
    assert Settings.from_environment() == Settings(REPOSITORY / ".sandbox", "127.10")


def test_credentials_are_made_once_each_another_in_a_file_of_their_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "sandbox" / "credentials.json"
    made = Credentials.at(file)
    assert Credentials.at(file) == made
    assert file.stat().st_mode & 0o777 == 0o600
    other = Credentials.at(tmp_path / "another.json")
    values = {made.control_token, made.proxmox_token, made.passphrase}
    assert len(values | {other.control_token, other.proxmox_token, other.passphrase}) == 6
    assert not any(value in repr(made) for value in values)


def test_the_proxmox_token_has_the_form_of_its_header(tmp_path: Path) -> None:
    token = Credentials.at(tmp_path / "credentials.json").proxmox_api_token
    assert re.fullmatch(r"[^@!=]+@[a-z]+![a-z]+=[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", token)


def test_the_image_is_the_one_whose_checksum_the_dev_stack_pins() -> None:
    config = yaml.safe_load((REPOSITORY / "Pulumi.dev.yaml").read_text())["config"]
    pinned = config["homelab:lab"]["proxmox"]["image"]
    assert hashlib.sha512(releases.image()).hexdigest() == pinned["checksum"]
    assert pinned["url"].endswith(f"/images/{releases.IMAGE}")


def test_the_mirror_has_the_release_of_k3s_that_the_program_installs() -> None:
    assert releases.has_release(versions.K3S)


def test_the_mirror_has_older_releases_too_and_none_that_the_sandbox_could_not_run() -> None:
    major, minor, patch = (int(number) for number in releases.KUBERNETES.split("."))
    has = {
        f"v{major}.{other}+k3s{release}": releases.has_release(f"v{major}.{other}+k3s{release}")
        for other in (f"{minor}.0", f"{minor}.{patch}", f"{minor}.{patch + 1}", f"{minor + 1}.0", f"{minor - 1}.0")
        for release in (1, 2)
    }
    assert list(has.values()) == [True] * 4 + [False] * 6
    assert not any(map(releases.has_release, (f"v{releases.KUBERNETES}", f"v{releases.KUBERNETES}+k3s1-rc1", "k3s")))


def test_the_binary_is_no_program_that_runs_on_the_host() -> None:
    assert releases.k3s_binary("v1", "k3s") != releases.k3s_binary("v1", "k3s-arm64")
    assert releases.k3s_binary("v1", "k3s") != releases.k3s_binary("v2", "k3s")
    assert releases.k3s_binary("v1", "k3s").endswith(b"exit 1\n")
