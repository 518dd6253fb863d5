"""The repository that Argo CD syncs from: what a snapshot commits, and what a real git client gets and may not do."""

import asyncio
import os
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from sandbox.mirror import git
from sandbox.pki import Authority
from tests.unit.sandbox_parts import https


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "gitops" / "hub").mkdir(parents=True)
    (folder / "gitops" / "hub" / "deployment.yaml").write_text("replicas: 2\n")
    (folder / "README.md").write_text("not synced\n")
    return folder


def snapshot(source: Path, repository: str = "homelab.git") -> str:
    return asyncio.run(git.snapshot(source.parent / repository, source, "gitops"))


def ask(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_same_content_is_the_same_commit_in_every_repository(source: Path) -> None:
    first = snapshot(source)
    assert snapshot(source) == first
    assert snapshot(source, "another.git") == first
    assert ask(source.parent / "homelab.git", "rev-list", "--count", "main") == "1"


def test_only_the_folder_is_committed_and_all_of_it_ignored_files_too(source: Path) -> None:
    (source / ".gitignore").write_text("*.yaml\n")
    commit = snapshot(source)
    assert ask(source.parent / "homelab.git", "ls-tree", "-r", "--name-only", commit) == "gitops/hub/deployment.yaml"


def test_a_change_is_a_new_commit_on_top_of_the_last(source: Path) -> None:
    first = snapshot(source)
    (source / "gitops" / "hub" / "deployment.yaml").write_text("replicas: 3\n")
    second = snapshot(source)
    (source / "gitops" / "hub" / "deployment.yaml").unlink()
    (source / "gitops" / "hub" / "service.yaml").write_text("port: 80\n")
    third = snapshot(source)
    repository = source.parent / "homelab.git"
    assert ask(repository, "rev-list", "main").splitlines() == [third, second, first]
    assert ask(repository, "show", f"{second}:gitops/hub/deployment.yaml") == "replicas: 3"
    assert ask(repository, "ls-tree", "-r", "--name-only", third) == "gitops/hub/service.yaml"


def test_the_operators_git_settings_change_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = snapshot(source)
    config = tmp_path / "gitconfig"
    config.write_text(
        "[user]\nname = Somebody\nemail = s@example.com\n[commit]\ngpgSign = true\n[core]\nautocrlf = true\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert snapshot(source, "another.git") == first


def test_a_failure_has_the_words_of_git(source: Path) -> None:
    with pytest.raises(git.GitError, match=r"git add: .*nowhere"):
        asyncio.run(git.snapshot(source.parent / "homelab.git", source, "nowhere"))


def served(source: Path, work: Callable[[str, dict[str, str]], None]) -> None:
    """Serve the repository, and do ``work`` in a thread with its URL and the environment for git."""
    authority = Authority.at(source.parent / "pki", "test CA")
    trusting = {
        "PATH": os.environ["PATH"],
        "HOME": str(source.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSL_CAINFO": str(authority.certificate),
    }

    async def scenario() -> None:
        async with https(git.application(source.parent / "homelab.git"), authority) as url:
            await asyncio.to_thread(work, f"{url}/homelab.git", trusting)

    asyncio.run(scenario())


def run_git(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["git", *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("protocol", ["0", "2"])
def test_a_real_client_clones_and_fetches_over_verified_tls(source: Path, protocol: str) -> None:
    commit = snapshot(source)
    clone = source.parent / "clone"

    def work(url: str, environment: dict[str, str]) -> None:
        cloned = run_git(environment, "-c", f"protocol.version={protocol}", "clone", url, str(clone))
        assert cloned.returncode == 0, cloned.stderr
        assert ask(clone, "rev-parse", "HEAD") == commit
        assert (clone / "gitops" / "hub" / "deployment.yaml").read_text() == "replicas: 2\n"

        (source / "gitops" / "hub" / "deployment.yaml").write_text("replicas: 3\n")
        changed = snapshot(source)
        fetched = run_git(environment, "-c", f"protocol.version={protocol}", "-C", str(clone), "fetch", "origin")
        assert fetched.returncode == 0, fetched.stderr
        assert ask(clone, "rev-parse", "origin/main") == changed

    served(source, work)


def test_a_client_that_does_not_trust_the_authority_gets_nothing(source: Path) -> None:
    snapshot(source)

    def work(url: str, environment: dict[str, str]) -> None:
        untrusting = {key: value for key, value in environment.items() if key != "GIT_SSL_CAINFO"}
        cloned = run_git(untrusting, "clone", url, str(source.parent / "clone"))
        assert cloned.returncode != 0
        assert "certificate" in cloned.stderr

    served(source, work)


def test_nobody_can_push(source: Path) -> None:
    commit = snapshot(source)
    clone = source.parent / "clone"

    def work(url: str, environment: dict[str, str]) -> None:
        run_git(environment, "clone", url, str(clone))
        (clone / "gitops" / "hub" / "deployment.yaml").write_text("replicas: 9\n")
        identity = ("-c", "user.name=a", "-c", "user.email=a@localhost")
        run_git(environment, "-C", str(clone), *identity, "commit", "--all", "--message", "mine")
        pushed = run_git(environment, "-C", str(clone), "push", "origin", "HEAD:main")
        assert pushed.returncode != 0
        assert "403" in pushed.stderr

        context = ssl.create_default_context(cafile=environment["GIT_SSL_CAINFO"])
        with httpx.Client(verify=context, trust_env=False) as client:
            assert client.post(f"{url}/git-receive-pack", content=b"").status_code == 404
            assert client.get(f"{url}/info/refs").status_code == 403, "the dumb protocol is not served"
            assert client.get(f"{url}/HEAD").status_code == 404

    served(source, work)
    assert ask(source.parent / "homelab.git", "rev-parse", "main") == commit
