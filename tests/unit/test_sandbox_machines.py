"""Machines as their guests see them: over real SSH, from the commands that a K3s installation gives."""

import asyncio
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncssh
import pytest
from aiohttp import web

from sandbox.machines import k3s
from sandbox.machines.disk import Disk
from sandbox.mirror import releases
from sandbox.pki import Authority
from tests.unit.sandbox_parts import KEY, VERSION, Lab, Login, https, machine, machines

CURL = "curl --fail --silent --show-error --location --retry 3"


def on_a_machine(root: Path, work: Callable[[Lab, Login], Awaitable[None]]) -> None:
    async def scenario() -> None:
        async with machines(root) as lab:
            await work(lab, await lab.boot())

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"client_keys": [asyncssh.generate_private_key("ssh-ed25519")]}, id="another key"),
        pytest.param({"client_keys": None, "password": "debian"}, id="a password"),
        pytest.param({"username": "root"}, id="another user"),
        pytest.param({"username": ""}, id="no user"),
    ],
)
def test_only_the_user_of_cloud_init_with_its_key_gets_in(tmp_path: Path, options: dict[str, Any]) -> None:
    async def work(lab: Lab, session: Login) -> None:
        assert (await session.run("uname -m")).code == 0
        with pytest.raises(asyncssh.PermissionDenied):
            await lab.login(**options)

    on_a_machine(tmp_path, work)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image": None}, "no bootable disk"),
        ({"address": None}, "nobody can reach it"),
        ({"user": None}, "nobody can reach it"),
    ],
)
def test_a_machine_that_could_not_be_reached_in_a_real_lab_runs_and_does_not_answer(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    async def scenario() -> None:
        async with machines(tmp_path) as lab:
            await lab.host.boot(machine(**changes))
            (running,) = lab.host.running
            assert said in running.journal[-1]
            with pytest.raises(ConnectionRefusedError):
                await lab.connect()

    asyncio.run(scenario())


def test_an_unknown_command_is_not_found_whoever_asks(tmp_path: Path) -> None:
    async def work(_: Lab, session: Login) -> None:
        for command in ("bash -c true", "sudo -n ip address", "ls", "sudo"):
            answer = await session.run(command)
            assert (answer.code, answer.out) == (127, "")
            assert "command not found" in answer.error

    on_a_machine(tmp_path, work)


def test_shell_syntax_does_nothing_but_fail(tmp_path: Path) -> None:
    async def work(lab: Lab, session: Login) -> None:
        await session.put("/tmp/a", "kept")
        assert (await session.run("cat '/tmp/a")).code == 2
        assert (await session.root("cat /tmp/a | rm -f /tmp/a")).code != 0
        assert (await session.root("cat /tmp/a > /tmp/b")).code != 0
        assert not (lab.disk() / "tmp" / "b").exists()
        assert (await session.root("cat /tmp/a")).out == "kept"

    on_a_machine(tmp_path, work)


def test_what_belongs_to_root_needs_sudo(tmp_path: Path) -> None:
    async def work(lab: Lab, session: Login) -> None:
        await session.put("/etc/there", "private", "0600")
        for command in (
            "install -m 0644 /dev/stdin /usr/local/bin/new",
            "rm -f /etc/there",
            "cat /etc/there",
            "sha256sum /etc/there",
            "systemctl restart k3s",
            "systemctl daemon-reload",
            "journalctl --unit k3s",
            f"{CURL} --output /usr/local/bin/k3s.download https://127.0.7.1:9/k3s",
        ):
            answer = await session.run(command)
            assert answer.code == 1, command
            assert "Permission denied" in answer.error
            assert "private" not in answer.out
        assert (lab.disk() / "etc" / "there").read_text() == "private"
        assert not (lab.disk() / "usr" / "local" / "bin").exists()

    on_a_machine(tmp_path, work)


def test_a_file_is_installed_with_its_content_and_mode(tmp_path: Path) -> None:
    async def work(lab: Lab, session: Login) -> None:
        assert (await session.put("/etc/rancher/k3s/config.yaml", "token: a\n", "0600")).code == 0
        file = lab.disk() / "etc" / "rancher" / "k3s" / "config.yaml"
        assert (file.read_text(), file.stat().st_mode & 0o777) == ("token: a\n", 0o600)
        assert (await session.run("cat /etc/rancher/k3s/config.yaml")).code == 1
        assert (await session.root("cat /etc/rancher/k3s/config.yaml")).out == "token: a\n"

        copied = await session.root("install -m 0755 /etc/rancher/k3s/config.yaml /usr/local/bin/copy")
        assert copied.code == 0
        assert (lab.disk() / "usr/local/bin/copy").stat().st_mode & 0o777 == 0o755
        assert (await session.run("cat /usr/local/bin/copy")).out == "token: a\n", "all may read it"

    on_a_machine(tmp_path, work)


def test_folders_are_made_only_with_the_option_for_it(tmp_path: Path) -> None:
    async def work(_: Lab, session: Login) -> None:
        refused = await session.root("install -m 0600 /dev/stdin /etc/rancher/config", "a")
        assert refused.code == 1
        assert "/etc/rancher/config: No such file or directory" in refused.error
        assert (await session.root("install -D -m 0600 /dev/stdin /etc/rancher/config", "a")).code == 0

    on_a_machine(tmp_path, work)


def test_a_missing_file_is_named_as_the_machine_knows_it(tmp_path: Path) -> None:
    async def work(_: Lab, session: Login) -> None:
        for command in ("cat", "sha256sum", "rm"):
            answer = await session.root(f"{command} /etc/missing")
            assert (answer.code, answer.error) == (1, f"{command}: /etc/missing: No such file or directory\n")

    on_a_machine(tmp_path, work)


def test_a_folder_taken_for_a_file_is_an_error_of_the_command_and_not_of_the_connection(tmp_path: Path) -> None:
    async def work(_: Lab, session: Login) -> None:
        await session.put("/etc/folder/file", "a")
        for command, said in (
            ("cat /etc/folder", "cat: /etc/folder: Is a directory\n"),
            ("sha256sum /etc/folder/file/below", "sha256sum: /etc/folder/file/below: Not a directory\n"),
            ("install -m 0644 /etc/folder/file /etc/folder", "install: /etc/folder: Is a directory\n"),
        ):
            answer = await session.root(command)
            assert (answer.code, answer.error) == (1, said)

    on_a_machine(tmp_path, work)


def test_the_checksum_is_printed_as_sha256sum_does(tmp_path: Path) -> None:
    async def work(_: Lab, session: Login) -> None:
        await session.put("/usr/local/bin/k3s.download", "content", "0644")
        answer = await session.run("sha256sum /usr/local/bin/k3s.download")
        assert answer.out == f"{hashlib.sha256(b'content').hexdigest()}  /usr/local/bin/k3s.download\n"

    on_a_machine(tmp_path, work)


def test_removing_needs_force_for_what_is_missing_and_recursion_for_folders(tmp_path: Path) -> None:
    async def work(lab: Lab, session: Login) -> None:
        await session.put("/etc/rancher/node/password", "a")
        await session.put("/usr/local/bin/k3s", "a")
        assert (await session.root("rm -f /etc/missing")).code == 0
        assert (await session.root("rm -f /etc/rancher")).code == 1
        assert (lab.disk() / "etc/rancher/node/password").exists()
        assert (await session.root("rm -rf --one-file-system /etc/rancher /usr/local/bin/k3s /var/lib")).code == 0
        assert not (lab.disk() / "etc/rancher").exists()
        assert not (lab.disk() / "usr/local/bin/k3s").exists()

    on_a_machine(tmp_path, work)


@pytest.mark.parametrize("command", ["cat {}", "rm -rf {}", "install -D -m 0644 /etc/there {}"])
def test_no_path_leads_out_of_the_disk(tmp_path: Path, command: str) -> None:
    async def work(lab: Lab, session: Login) -> None:
        outside = tmp_path / "outside"
        outside.write_text("precious")
        await session.put("/etc/there", "overwritten")
        (lab.disk() / "link").symlink_to(tmp_path)
        (lab.disk() / "etc" / "link").symlink_to(outside)
        for path in ("/../../../outside", "/etc/../../../../outside", "/link/outside", "/etc/link"):
            answer = await session.root(command.format(path))
            assert "precious" not in answer.out
            assert outside.read_text() == "precious"

    on_a_machine(tmp_path, work)


def test_above_the_root_of_a_machine_is_its_root(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.write("/etc/there", b"content")
    assert disk.read("/../etc/./folder/../../etc/there") == b"content"


def test_a_relative_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absolute paths only"):
        Disk(tmp_path).locate("etc/passwd")


def test_a_release_is_downloaded_over_verified_tls_and_has_the_published_checksum(tmp_path: Path) -> None:
    authority = Authority.at(tmp_path / "pki", "test CA")
    trust = ssl.create_default_context(cafile=str(authority.certificate))
    mirror = web.Application()
    releases.add_routes(mirror)

    async def scenario() -> None:
        async with https(mirror, authority) as url, machines(tmp_path, trust) as lab:
            session = await lab.boot()
            base = f"{url}/k3s/{quote(VERSION)}"
            download = f"{CURL} --output /usr/local/bin/k3s.download {base}/k3s"
            assert (await session.root(download)).code == 0
            listed = (await session.run(f"{CURL} {base}/sha256sum-amd64.txt")).out
            actual = (await session.run("sha256sum /usr/local/bin/k3s.download")).out
            assert listed.split() == [actual.split()[0], "k3s"]

            await session.root("install -m 0755 /usr/local/bin/k3s.download /usr/local/bin/k3s")
            assert (await session.run("k3s --version")).out.startswith(f"k3s version {VERSION} ")

    asyncio.run(scenario())


def test_a_download_that_fails_says_why_and_leaves_no_file(tmp_path: Path) -> None:
    authority = Authority.at(tmp_path / "pki", "test CA")
    trust = ssl.create_default_context(cafile=str(authority.certificate))
    other = Authority.at(tmp_path / "other", "another CA")
    mirror = web.Application()
    releases.add_routes(mirror)

    async def scenario() -> None:
        async with (
            https(mirror, authority) as url,
            https(mirror, other, "127.0.7.2") as foreign,
            machines(tmp_path, trust) as lab,
        ):
            session = await lab.boot()
            for wanted, code, said in (
                (f"{url}/k3s/v9.9.9/k3s", 22, "returned error: 404"),
                (f"{foreign}/k3s/{quote(VERSION)}/k3s", 60, "certificate verify failed"),
                ("https://127.0.7.3:9/k3s", 7, "https://127.0.7.3:9/k3s"),
                ("gopher://127.0.7.3/k3s", 3, "gopher://"),
            ):
                answer = await session.root(f"{CURL} --output /usr/local/bin/k3s.download {wanted}")
                assert answer.code == code, answer.error
                assert said in answer.error
                assert not (lab.disk() / "usr/local/bin/k3s.download").exists()

    asyncio.run(scenario())


def test_a_download_that_redirects_is_followed_only_when_asked(tmp_path: Path) -> None:
    authority = Authority.at(tmp_path / "pki", "test CA")
    trust = ssl.create_default_context(cafile=str(authority.certificate))

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound("/there")

    async def there(_: web.Request) -> web.Response:
        return web.Response(text="content")

    app = web.Application()
    app.router.add_get("/moved", moved)
    app.router.add_get("/there", there)

    async def scenario() -> None:
        async with https(app, authority) as url, machines(tmp_path, trust) as lab:
            session = await lab.boot()
            assert (await session.run(f"curl --fail --location {url}/moved")).out == "content"
            assert (await session.run(f"curl --fail {url}/moved")).out != "content"

    asyncio.run(scenario())


def test_options_that_the_stand_in_does_not_know_are_refused(tmp_path: Path) -> None:
    async def work(_: Lab, session: Login) -> None:
        for command in (
            "curl --insecure https://127.0.7.1/",
            "systemctl mask k3s",
            "uname -a",
            "cloud-init clean",
            "journalctl --follow",
            "systemctl restart",
        ):
            assert (await session.root(command)).code == 2, command

    on_a_machine(tmp_path, work)


def test_a_unit_that_is_not_there_cannot_be_changed(tmp_path: Path) -> None:
    async def work(_: Lab, session: Login) -> None:
        for verb, code in {"enable": 1, "disable": 1, "start": 5, "stop": 5, "restart": 5}.items():
            answer = await session.root(f"systemctl {verb} k3s")
            assert (answer.code, answer.error) == (
                code,
                f"Failed to {verb} k3s.service: Unit k3s.service does not exist.\n",
            )
        state = await session.run("systemctl is-active k3s")
        assert (state.code, state.out) == (3, "inactive\n")

    on_a_machine(tmp_path, work)


def test_a_service_that_dies_fails_its_job_and_the_journal_has_the_reason(tmp_path: Path) -> None:
    async def work(_: Lab, session: Login) -> None:
        await session.install_k3s("server", {"cluster-init": True})
        answer = await session.root("systemctl restart k3s")
        assert answer.code == 1
        assert "Job for k3s.service failed" in answer.error
        assert (await session.run("systemctl is-active k3s")).out == "inactive\n"
        journal = (await session.root("journalctl --unit k3s --lines 1 --no-pager")).out
        assert len(journal.splitlines()) == 1
        assert "k3s: level=fatal" in journal
        assert "token" in journal
        assert (await session.root("journalctl --unit k3s-agent")).out == "-- No entries --\n"

    on_a_machine(tmp_path, work)


def test_starting_twice_restarts_nothing_and_disabling_now_stops(tmp_path: Path) -> None:
    async def work(lab: Lab, session: Login) -> None:
        await session.install_k3s("server", {"cluster-init": True, "token": "secret"})
        assert (await session.root("systemctl enable --now k3s")).code == 0
        assert (await session.root("systemctl start k3s")).code == 0
        starts = (await session.root("journalctl --unit k3s --lines 50")).out.count("Starting k3s")
        assert starts == 1
        assert (await session.run("systemctl is-active k3s.service")).out == "active\n"
        assert (await session.root("systemctl disable --now k3s")).code == 0
        assert (await session.run("systemctl is-active k3s")).out == "inactive\n"
        assert lab.cluster.nodes == ()

        await lab.host.halt(111)
        again = await lab.boot()
        await lab.host.settled()
        assert (await again.run("systemctl is-active k3s")).out == "inactive\n", "it is not enabled any more"

    on_a_machine(tmp_path, work)


def test_an_enabled_service_starts_at_boot_and_ends_with_the_power(tmp_path: Path) -> None:
    async def work(lab: Lab, session: Login) -> None:
        await session.install_k3s("server", {"cluster-init": True, "token": "secret"})
        await session.root("systemctl enable k3s")
        await session.root("systemctl restart k3s")
        await lab.host.halt(111)
        assert lab.cluster.nodes == ()
        assert not lab.cluster.control_plane.running

        again = await lab.boot()
        await lab.host.settled()
        assert (await again.run("systemctl is-active k3s")).out == "active\n"
        assert list(lab.cluster.nodes) == ["server-11"]

    on_a_machine(tmp_path, work)


def test_power_off_ends_sessions_and_what_they_were_doing(tmp_path: Path) -> None:
    async def work(lab: Lab, session: Login) -> None:
        # The last of three servers waits for the votes of the other two.
        await session.install_k3s("server", {"cluster-init": True, "token": "secret"})
        await session.start_k3s()
        lab.cluster._state.members += ["server-12", "server-13"]
        waiting = asyncio.create_task(session.connection.run("sudo -n systemctl restart k3s"))
        while "server-11" not in lab.cluster._running or lab.cluster.control_plane.running:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
        await lab.host.halt(111)
        assert (await waiting).exit_status is None, "the connection broke before the command ended"
        assert lab.cluster._running == {}, "a machine that is off has no vote"
        with pytest.raises((asyncssh.Error, OSError)):
            await session.connection.run("uname -m", check=True)
        with pytest.raises(ConnectionRefusedError):
            await lab.connect()

    on_a_machine(tmp_path, work)


def test_the_host_key_stays_over_a_reboot_and_a_rebuilt_machine_has_another(tmp_path: Path) -> None:
    def key(session: Login) -> str:
        shown = session.connection.get_server_host_key()
        assert shown is not None
        return shown.export_public_key().decode()

    async def work(lab: Lab, session: Login) -> None:
        before = key(session)
        file = lab.disk() / "etc/ssh/ssh_host_ed25519_key"
        assert file.stat().st_mode & 0o777 == 0o600
        await lab.host.halt(111)
        assert key(await lab.boot()) == before
        assert key(await lab.boot(12)) != before
        await lab.host.discard(111)
        assert key(await lab.boot()) != before

    on_a_machine(tmp_path, work)


def test_a_halted_machine_keeps_its_disk_and_a_discarded_one_leaves_nothing(tmp_path: Path) -> None:
    async def work(lab: Lab, session: Login) -> None:
        await session.put("/etc/kept", "kept")
        await lab.host.halt(111)
        assert (await (await lab.boot()).root("cat /etc/kept")).out == "kept"
        await lab.host.discard(111)
        assert list((tmp_path / "machines").iterdir()) == []
        assert lab.host.running == ()
        with pytest.raises(ConnectionRefusedError):
            await lab.connect()

    on_a_machine(tmp_path, work)


def test_the_cluster_ends_with_the_disk_of_its_last_server(tmp_path: Path) -> None:
    async def work(lab: Lab, session: Login) -> None:
        await session.install_k3s("server", {"cluster-init": True, "token": "secret"})
        assert await session.start_k3s() == ""
        assert lab.cluster.exists
        await lab.host.discard(111)
        assert not lab.cluster.exists
        assert not (tmp_path / "cluster").exists() or not list((tmp_path / "cluster").glob("*.kubeconfig"))

    on_a_machine(tmp_path, work)


def test_a_login_without_a_command_ends_with_a_reason(tmp_path: Path) -> None:
    async def work(lab: Lab, _: Login) -> None:
        done = await lab.sessions[0].run(None)
        assert done.exit_status == 1
        assert "without a login shell" in str(done.stderr)

    on_a_machine(tmp_path, work)


def test_kubectl_needs_the_kubeconfig_that_k3s_writes(tmp_path: Path) -> None:
    async def work(_: Lab, session: Login) -> None:
        assert (await session.root("k3s kubectl get node")).code == 127, "there is no k3s"
        await session.install_k3s("agent", {})
        answer = await session.root("k3s kubectl get node")
        assert (answer.code, answer.error) == (1, f"k3s: {k3s.KUBECONFIG}: No such file or directory\n")

    on_a_machine(tmp_path, work)


def test_kubectl_of_a_machine_reaches_the_clusters_address_and_deleting_a_node_frees_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n')
    kubectl.chmod(0o755)

    async def work(lab: Lab, session: Login) -> None:
        await session.install_k3s("server", {"cluster-init": True, "token": "secret"})
        await session.start_k3s()
        assert (await session.run("k3s kubectl get node")).code == 1, "the kubeconfig is root's"
        lab.cluster._state.members.append("server-12")
        answer = await session.root("k3s kubectl delete node server-12 --ignore-not-found --wait=true")
        assert answer.code == 0, answer.error
        used = (tmp_path / "arguments").read_text().split()
        assert used[:2] == ["--kubeconfig", str(lab.cluster.control_plane.admin_kubeconfig)]
        assert lab.cluster.members == ("server-11",)

    monkeypatch.setattr("tests.unit.sandbox_parts.NoTools.executable", lambda _, name: tmp_path / name)
    on_a_machine(tmp_path, work)


def test_the_key_may_be_one_of_several(tmp_path: Path) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519")

    async def scenario() -> None:
        async with machines(tmp_path) as lab:
            keys = tuple(key.export_public_key().decode().strip() for key in (other, KEY))
            await lab.boot(authorized_keys=keys)
            await lab.login(client_keys=[other])

    asyncio.run(scenario())
