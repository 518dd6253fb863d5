"""The doctor: what each area finds, what it says about it, and which commands it gives."""

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from rich.console import Console

from config import versions
from config.model import Lab
from config.rules import read_lab
from lab.doctor import cloudflare, network, pfsense, proxmox, rights
from lab.doctor import stack as local
from lab.doctor.finding import Area, Finding, State
from lab.doctor.reach import Reach, UnreachableError
from lab.doctor.report import report
from lab.hints import Hint
from lab.stack import StackError
from sandbox.pfsense.api import lab_privileges
from sandbox.pki import Authority
from sandbox.proxmox.access import as_documented
from tests.config.labs import MISSING, changed, development, production

PAGE = Path(__file__).parents[2] / "docs" / "real-lab.md"
GIB = 1024**3
Answer = tuple[int, Any] | UnreachableError


class FakeReach:
    """Servers that answer from a table of paths; what is not in it is 404."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def get(self, url: str, _: Any = None, /, **query: str) -> httpx.Response:
        path = httpx.URL(url).path.removeprefix("/api2/json").removeprefix("/client/v4")
        key = f"{path}?path={query['path']}" if "path" in query else path
        self.asked.append(key)
        answer = self.answers.get(key, (404, {}))
        if isinstance(answer, UnreachableError):
            raise answer
        status, body = answer
        if isinstance(body, str):
            return httpx.Response(status, text=body)
        return httpx.Response(status, json=body, extensions={"reason_phrase": b"said why"})

    async def head(self, url: str) -> httpx.Response:
        return await self.get(url)


def lab(data: Any = None) -> Lab:
    return read_lab(data or development())


def of(findings: list[Finding], what: str) -> Finding:
    found = [finding for finding in findings if finding.what == what]
    assert len(found) == 1, [finding.what for finding in findings]
    return found[0]


def wrongs(findings: list[Finding]) -> list[str]:
    return [finding.what for finding in findings if finding.state is State.WRONG]


# --- Proxmox


def datacenter() -> dict[str, Answer]:
    """What the lab's own Proxmox would answer before the first machine is made."""
    storages = [
        {"storage": "local", "content": "iso,import", "enabled": 1, "active": 1, "avail": 90 * GIB},
        {"storage": "local-lvm", "content": "images,rootdir", "enabled": 1, "active": 1, "avail": 500 * GIB},
    ]
    storages.append({"storage": "backups", "content": "backup", "enabled": 1, "active": 1, "avail": 500 * GIB})
    answers: dict[str, Any] = {
        "/version": {"version": "9.0.11"},
        "/pools": [{"poolid": "homelab"}],
        "/cluster/firewall/options": {"enable": 1},
        "/nodes": [{"node": f"pve{n}", "status": "online", "maxcpu": 16, "maxmem": 64 * GIB} for n in (1, 2, 3)],
        "/cluster/resources": [],
    }
    for right in rights.rights(lab()):
        answers[f"/access/permissions?path={right.path}"] = {right.path: dict.fromkeys(right.privileges, 1)}
    for number in (1, 2, 3):
        answers[f"/nodes/pve{number}/storage"] = storages
        answers[f"/nodes/pve{number}/network"] = [{"iface": "vmbr0"}]
        answers[f"/nodes/pve{number}/qemu"] = []
    return {path: (200, {"data": data}) for path, data in answers.items()}


def ask(answers: dict[str, Answer]) -> list[Finding]:
    return asyncio.run(proxmox.examine(lab(), "token", FakeReach(answers)))  # type: ignore[arg-type]


def test_a_proxmox_that_has_everything_is_well_in_all_respects() -> None:
    findings = ask(datacenter())
    assert wrongs(findings) == []
    assert of(findings, "rights on /pool/homelab").detail == "13 of 13"
    assert of(findings, "pve1: room on local-lvm").detail == "64 GiB to be made, 500 GiB free"
    assert of(findings, "VM ids").detail == "0 of 5 machines exist"


def test_a_proxmox_that_does_not_answer_is_one_finding() -> None:
    findings = ask({"/version": UnreachableError("nothing listens at pve:8006", "see that pve:8006 is up")})
    assert findings == [Area("Proxmox").wrong("answers", "nothing listens at pve:8006", "see that pve:8006 is up")]


def test_a_refused_token_comes_with_the_commands_that_make_one() -> None:
    finding = of(ask({"/version": (401, {"data": None})}), "token")
    assert finding.detail == "is refused: said why"
    assert finding.steps[:2] == ("pveum user add homelab@pve", "pveum user token add homelab@pve pulumi --privsep 0")
    assert "make init" in finding.steps[2]


@pytest.mark.parametrize("right", rights.rights(read_lab(development())), ids=lambda right: right.path)
def test_a_missing_privilege_is_named_with_its_path_and_the_commands_that_grant_it(right: rights.Right) -> None:
    held = dict.fromkeys(right.privileges[1:], 1)
    answers = datacenter() | {f"/access/permissions?path={right.path}": (200, {"data": {right.path: held}})}
    findings = ask(answers)
    assert wrongs(findings) == [f"rights on {right.path}"]
    finding = of(findings, f"rights on {right.path}")
    assert finding.detail == f"{right.privileges[0]} missing"
    assert f'pveum role modify {right.role} --privs "{" ".join(right.privileges)}"' in finding.steps[0]
    reach = " --propagate 0" if right.path == "/" else ""
    assert finding.steps[1] == f"pveum acl modify {right.path} --users homelab@pve --roles {right.role}{reach}"


def entry(**changes: Any) -> Callable[[Any], Any]:
    return lambda data: [{**data[0], **changes}, *data[1:]]


SPOILED = [
    ("/nodes", entry(node="other"), "pve1", "is no host of this cluster"),
    ("/nodes", entry(status="offline"), "pve1", "is offline"),
    ("/nodes", entry(maxcpu=8), "pve1: cores", "the lab counts on 16, and there are 8"),
    ("/nodes", entry(maxmem=32 * GIB), "pve1: memory", "the lab counts on 65536 MiB, and there are 32768 MiB"),
    ("/nodes/pve1/storage", entry(content="iso"), "pve1: datastore local", "does not take Import"),
    ("/nodes/pve1/storage", entry(storage="other"), "pve1: datastore local", "is not there for the token; it sees: ba"),
    ("/nodes/pve1/storage", entry(enabled=0), "pve1: datastore local", "is switched off"),
    ("/nodes/pve1/network", entry(iface="vmbr7"), "pve1: bridge vmbr0", "it sees: vmbr7"),
    ("/nodes/pve1/storage", lambda data: data[:2], "pve1: datastore backups", "it sees: local, local-lvm"),
    ("/pools", lambda _: [], "pool homelab", "is not there for the token"),
    ("/cluster/firewall/options", lambda _: {"policy_in": "DROP"}, "firewall", "is off for the whole of Proxmox"),
    ("/cluster/resources", lambda _: [{"vmid": 112, "name": "nas"}], "VM ids", "112 is the id of nas"),
]


@pytest.mark.parametrize(("path", "change", "what", "detail"), SPOILED, ids=[f"{row[2]} {row[3]}" for row in SPOILED])
def test_what_the_hosts_lack_is_told_with_what_is_there(
    path: str, change: Callable[[Any], Any], what: str, detail: str
) -> None:
    answers = datacenter()
    answers[path] = (200, {"data": change(answers[path][1]["data"])})  # type: ignore[index]
    findings = ask(answers)
    assert wrongs(findings) == [what]
    assert detail in of(findings, what).detail
    assert of(findings, what).steps


def test_a_machine_of_the_lab_that_is_not_in_its_pool_is_found_since_the_token_may_not_touch_it() -> None:
    machine = {"vmid": 112, "name": "k3s-server-2"}
    answers = datacenter() | {"/cluster/resources": (200, {"data": [machine]})}
    assert wrongs(ask(answers)) == ["VM ids"]
    finding = of(ask(answers), "VM ids")
    assert finding.detail == "112, k3s-server-2, is outside of pool homelab"
    assert finding.steps == ("pvesh set /pools/homelab --vms 112, if it is the lab's",)
    answers["/cluster/resources"] = (200, {"data": [{**machine, "pool": "homelab"}]})
    assert wrongs(ask(answers)) == []


def test_a_machine_without_a_firewall_in_front_of_it_is_named_with_the_command_that_puts_one_there() -> None:
    machines = [{"vmid": node.vm_id, "name": node.name, "pool": "homelab"} for node in lab().nodes[:2]]
    options = "/nodes/pve{0}/qemu/11{0}/firewall/options"
    answers = datacenter() | {"/cluster/resources": (200, {"data": machines})}
    answers |= {options.format(number): (200, {"data": {"enable": 1}}) for number in (1, 2)}
    assert wrongs(ask(answers)) == []
    answers[options.format(2)] = (200, {"data": {"policy_in": "DROP"}})
    assert wrongs(ask(answers)) == ["firewall of k3s-server-2"]
    (step,) = of(ask(answers), "firewall of k3s-server-2").steps
    assert step == f"on a host: pvesh set {options.format(2)} --enable 1 --policy_in DROP"


def of_all_proxmox(**parts: Any) -> tuple[str, ...]:
    asked = rights.rights(lab(changed(development(), "proxmox/datacenter", parts)))
    return next((right.privileges for right in asked if right.path == "/"), ())


def test_each_part_asks_only_for_the_rights_on_all_of_proxmox_that_it_needs() -> None:
    assert of_all_proxmox() == ()
    assert of_all_proxmox(start_order=True) == ("Sys.Modify",)
    assert of_all_proxmox(firewall_group=True) == ("Sys.Audit", "Sys.Modify")
    assert of_all_proxmox(backups={"datastore": "nas"}) == ("Sys.Audit", "Sys.Modify")
    assert of_all_proxmox(high_availability=True) == ("Sys.Audit", "Sys.Console")


def test_a_backup_of_machines_is_a_right_that_only_a_lab_with_a_backup_job_asks_for() -> None:
    def held(**parts: Any) -> set[str]:
        asked = rights.rights(lab(changed(development(), "proxmox/datacenter", parts)))
        return {f"{right.path} {name}" for right in asked for name in right.privileges}

    more = held(backups={"datastore": "nas"}) - held(start_order=True, firewall_group=True)
    assert more == {"/pool/homelab VM.Backup", "/storage/nas Datastore.Allocate", "/storage/nas Datastore.Audit"}


def test_machines_that_are_to_move_need_disks_that_the_hosts_share() -> None:
    data = changed(development(), "proxmox/datacenter", {"high_availability": True})
    answers = datacenter()
    answers["/access/permissions?path=/"] = (200, {"data": {"/": {"Sys.Audit": 1, "Sys.Console": 1}}})

    def found() -> list[str]:
        return wrongs(asyncio.run(proxmox.examine(lab(data), "token", FakeReach(answers))))  # type: ignore[arg-type]

    assert found() == [f"pve{number}: datastore local-lvm" for number in (1, 2, 3)]
    for number in (1, 2, 3):
        storages = answers[f"/nodes/pve{number}/storage"][1]["data"]  # type: ignore[index]
        answers[f"/nodes/pve{number}/storage"] = (200, {"data": [{**one, "shared": 1} for one in storages]})
    assert found() == []


def test_disks_that_do_not_fit_any_more_are_told_unless_their_machines_exist() -> None:
    answers = datacenter()
    storages = answers["/nodes/pve1/storage"][1]["data"]  # type: ignore[index]
    answers["/nodes/pve1/storage"] = (200, {"data": [storages[0], {**storages[1], "avail": 10 * GIB}, storages[2]]})
    assert of(ask(answers), "pve1: room on local-lvm").detail == "64 GiB to be made, 10 GiB free"
    assert wrongs(ask(answers)) == ["pve1: room on local-lvm"]
    answers["/nodes/pve1/qemu"] = (200, {"data": [{"vmid": 111}, {"vmid": 121}]})
    assert wrongs(ask(answers)) == []


def test_sizes_that_the_token_may_not_read_are_skipped() -> None:
    answers = datacenter() | {"/nodes": (200, {"data": [{"node": f"pve{n}", "status": "online"} for n in (1, 2, 3)]})}
    assert of(ask(answers), "pve2: size").state is State.SKIPPED


def test_the_page_for_operators_grants_what_the_doctor_asks_for() -> None:
    text = PAGE.read_text().replace("$vm.", "VM.Config.")
    for right in rights.rights(lab()):
        (line,) = [line for line in text.splitlines() if line.startswith(f"pveum role add {right.role} ")]
        assert set(line.split('"')[1].split()) == set(right.privileges)
        assert rights.steps(right)[1] in text
    for step in rights.token_steps()[:2]:
        assert step in text


def test_what_the_doctor_asks_for_is_what_the_sandboxs_proxmox_was_proved_to_need() -> None:
    access = as_documented()
    asked = {(right.path, right.role, frozenset(right.privileges)) for right in rights.rights(lab())}
    assert asked == {(one.path, one.role, access.privileges_of(one.role)) for one in access.grants}


# --- pfSense


def ask_pfsense(status: int, **other: int) -> list[Finding]:
    answers: dict[str, Answer] = {f"/api/v2/{path}": (status, {}) for path in pfsense.READ}
    answers |= {f"/api/v2/{path}": (code, {}) for path, code in other.items()}
    return asyncio.run(pfsense.examine("https://10.0.0.1/", "key", FakeReach(answers)))  # type: ignore[arg-type]


def test_a_pfsense_whose_key_reads_everything_is_well() -> None:
    assert wrongs(ask_pfsense(200)) == []
    assert len(ask_pfsense(200)) == 2 + len(pfsense.READ)


def test_a_pfsense_without_the_package_and_one_that_refuses_the_key_are_told_apart() -> None:
    assert "pfSense-pkg-RESTAPI" in of(ask_pfsense(404), "answers").steps[0]
    assert of(ask_pfsense(401), "key").detail == "is refused"
    assert "make init" in of(ask_pfsense(401), "key").steps[1]


def test_a_missing_privilege_of_pfsense_is_named_as_pfsense_names_it() -> None:
    findings = ask_pfsense(200, **{"services/dns_resolver/host_overrides": 403})
    assert wrongs(findings) == ["reads services/dns_resolver/host_overrides"]
    (step,) = of(findings, "reads services/dns_resolver/host_overrides").steps
    assert "api-v2-services-dns-resolver-host-overrides-get" in step
    assert "api-v2-services-dns-resolver-host-override-delete" in step


def test_what_the_doctor_asks_for_is_what_the_sandboxs_pfsense_lets_the_key_do() -> None:
    asked = {privilege for privileges in pfsense.READ.values() for privilege in privileges}
    assert asked == lab_privileges()
    listed = set(re.findall(r"`(api-v2-[a-z0-9-]+)`", PAGE.read_text()))
    assert listed == asked


# --- Cloudflare


def ask_cloudflare(**changes: Answer) -> list[Finding]:
    edge = lab(production()).edge
    assert edge
    zone = {"name": "lab.example.com", "status": "active", "account": {"id": edge.account}}
    ids = {"zone": edge.zone, "account": edge.account}
    answers: dict[str, Answer] = {
        "/user/tokens/verify": (200, {"result": {"status": "active"}}),
        f"/zones/{edge.zone}": (200, {"result": zone}),
        **{one.path.format_map(ids): (200, {"result": []}) for one in cloudflare.PERMISSIONS},
        **{path.format_map(ids): answer for path, answer in changes.items()},
    }
    return asyncio.run(cloudflare.examine(edge, "lab.example.com", "t", FakeReach(answers)))  # type: ignore[arg-type]


def test_a_token_that_reads_everything_of_the_right_zone_is_well() -> None:
    assert wrongs(ask_cloudflare()) == []


def test_a_token_of_the_account_is_as_good_as_one_of_a_user() -> None:
    verify = {"/accounts/{account}/tokens/verify": (200, {"result": {"status": "active"}})}
    assert wrongs(ask_cloudflare(**{"/user/tokens/verify": (401, {}), **verify})) == []


def test_a_token_that_is_not_active_comes_with_every_permission_that_a_new_one_needs() -> None:
    (finding,) = ask_cloudflare(**{"/user/tokens/verify": (401, {})})
    assert finding.detail == "is not active"
    assert all(permission.name in finding.steps[0] for permission in cloudflare.PERMISSIONS)


@pytest.mark.parametrize("permission", cloudflare.PERMISSIONS, ids=lambda one: one.name)
def test_a_missing_permission_is_called_what_the_dashboard_calls_it(permission: cloudflare.Permission) -> None:
    assert wrongs(ask_cloudflare(**{permission.path: (403, {})})) == [permission.name]


@pytest.mark.parametrize(
    ("zone", "detail"),
    [
        ({"name": "example.net", "status": "active", "account": {"id": "0" * 32}}, "is that of example.net"),
        ({"name": "lab.example.com", "status": "active", "account": {"id": "1" * 32}}, "belongs to another account"),
        ({"name": "lab.example.com", "status": "pending", "account": {"id": "0" * 32}}, "is pending"),
    ],
)
def test_a_zone_that_is_not_the_labs_is_told(zone: dict[str, Any], detail: str) -> None:
    findings = ask_cloudflare(**{"/zones/{zone}": (200, {"result": zone})})
    assert (wrongs(findings), of(findings, "zone").detail) == (["zone"], detail)


# --- sources


def ask_sources(**changes: Answer) -> list[Finding]:
    answers: dict[str, Answer] = {
        "/homelab.git/info/refs": (200, "001e# service=git-upload-pack\n0000003fabc refs/heads/main\n"),
        "/charts/index.yaml": (200, "x"),
        f"/k3s/{versions.K3S}/sha256sum-amd64.txt": (200, "x"),
        "/images/debian-13.qcow2": (200, "x"),
        "/images/SHA512SUMS": (200, f"{'1' * 128}  debian-12.qcow2\n{lab().proxmox.image.checksum} *debian-13.qcow2\n"),
        **changes,
    }
    return asyncio.run(network.examine(lab(), FakeReach(answers)))  # type: ignore[arg-type]


def test_sources_that_answer_are_well() -> None:
    assert wrongs(ask_sources()) == []
    assert len(ask_sources()) == 5


@pytest.mark.parametrize(
    ("path", "answer", "what", "detail"),
    [
        ("/homelab.git/info/refs", (401, ""), "Git repository", "answers with status 401"),
        ("/homelab.git/info/refs", (200, "abc refs/heads/trunk\n"), "Git repository", "has no branch or tag main"),
        ("/charts/index.yaml", (404, ""), "chart repository", "answers with status 404"),
        (f"/k3s/{versions.K3S}/sha256sum-amd64.txt", (404, ""), f"K3s {versions.K3S}", "answers with status 404"),
        ("/images/debian-13.qcow2", (404, ""), "cloud image", "answers with status 404"),
        ("/charts/index.yaml", UnreachableError("charts has no address", "x"), "chart repository", "has no address"),
    ],
)
def test_a_source_that_is_not_there_is_told_with_the_setting(path: str, answer: Answer, what: str, detail: str) -> None:
    findings = ask_sources(**{path: answer})
    assert wrongs(findings) == [what]
    assert detail in of(findings, what).detail


def test_a_checksum_that_is_not_the_publishers_is_told_with_the_one_that_is() -> None:
    listed = "f" * 128
    findings = ask_sources(**{"/images/SHA512SUMS": (200, f"{listed}  debian-13.qcow2\n")})
    assert wrongs(findings) == ["cloud image's checksum"]
    assert listed in of(findings, "cloud image's checksum").detail
    assert "proxmox.image.checksum" in of(findings, "cloud image's checksum").steps[0]


@pytest.mark.parametrize("answer", [(404, ""), (200, ""), (200, f"{'1' * 128}  debian-12.qcow2\n")])
def test_a_publisher_without_a_list_is_no_fault(answer: Answer) -> None:
    findings = ask_sources(**{"/images/SHA512SUMS": answer})
    assert wrongs(findings) == []
    assert of(findings, "cloud image's checksum").state is State.SKIPPED


# --- the stack


class FakeStack:
    """A stack whose secrets are what they are, or that fails as Pulumi does."""

    name = "prod"
    config_file = Path("Pulumi.prod.yaml")

    def __init__(self, values: dict[str, str], error: StackError | None = None) -> None:
        self.values, self.error = values, error

    def read(self, *arguments: str) -> str:
        if self.error:
            raise self.error
        return f"{self.values[arguments[2]]}\n" if arguments[0] == "config" else ""


SECURE = {"homelab:proxmoxApiToken": {"secure": "v1:x"}}


def behind_no_firewall() -> Lab:
    return lab(changed(development(), "firewall", MISSING))


GOOD = {"proxmoxApiToken": "homelab@pve!pulumi=11111111-2222-3333-4444-555555555555"}


def test_an_encrypted_secret_of_the_right_form_is_handed_on_and_never_shown() -> None:
    values, findings = local.secrets(FakeStack(GOOD), behind_no_firewall(), SECURE)  # type: ignore[arg-type]
    assert list(values.values()) == list(GOOD.values())
    assert wrongs(findings) == []
    assert "11111111" not in str(findings)


@pytest.mark.parametrize(
    ("written", "values", "error", "detail", "step"),
    [
        ({}, GOOD, None, "is not set", "make init STACK=prod"),
        ({"homelab:proxmoxApiToken": "a@b!c=d"}, GOOD, None, "stands in the file in plain text", "make a new one"),
        (SECURE, {"proxmoxApiToken": "SENTINEL"}, None, "is not of the form", "make init STACK=prod --replace"),
        (SECURE, GOOD, StackError("no", Hint("the passphrase is another", "export P=F")), "no", "export P=F"),
    ],
)
def test_what_is_wrong_with_a_secret_is_told_with_the_next_command(
    written: dict[str, Any], values: dict[str, str], error: StackError | None, detail: str, step: str
) -> None:
    known, findings = local.secrets(FakeStack(values, error), behind_no_firewall(), written)  # type: ignore[arg-type]
    assert known == {}
    (finding,) = findings
    assert detail in finding.detail
    assert any(step in one for one in finding.steps)
    assert "SENTINEL" not in str(finding)


def test_a_lab_is_asked_for_the_secrets_of_its_own_sections() -> None:
    _, findings = local.secrets(FakeStack(GOOD), lab(production()), SECURE)  # type: ignore[arg-type]
    assert wrongs(findings) == ["pfsenseApiKey", "cloudflareApiToken"]


def test_every_fault_of_the_configuration_is_a_finding_and_sizes_alone_stop_nothing() -> None:
    known, findings = local.configuration(changed(development(), "nodes/0/memory", 90_000))
    assert known
    assert wrongs(findings) == ["lab.proxmox.hosts[0].memory"]
    known, findings = local.configuration(changed(development(), "nodes/0/host", "pve9"))
    assert known is None
    assert wrongs(findings) == ["lab.nodes[0].host"]


# --- reaching out


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Authority]]:
    """A server on loopback, and the authority that its certificate is from."""
    authority = Authority.at(tmp_path_factory.mktemp("pki"), "doctor's test authority")
    pair = authority.issue("server", hosts=["127.0.8.41"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    loop = asyncio.new_event_loop()

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def here(_: web.Request) -> web.Response:
        return web.Response(text="here")

    async def start() -> tuple[web.AppRunner, int]:
        app = web.Application()
        app.router.add_get("/slow", slow)
        app.router.add_get("/", here)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.8.41", 0, ssl_context=context).start()
        return runner, runner.addresses[0][1]

    runner, port = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"https://127.0.8.41:{port}", authority
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_an_answer_is_returned_whatever_its_status(servers: tuple[str, Authority]) -> None:
    url, authority = servers
    reach = Reach(str(authority.certificate))
    assert asyncio.run(reach.get(url)).text == "here"
    assert asyncio.run(reach.head(f"{url}/nothing")).status_code == 404


def failing(url: str, authority: str | None = None) -> tuple[str, str]:
    with pytest.raises(UnreachableError) as caught:
        asyncio.run(Reach(authority).get(url))
    return str(caught.value), caught.value.step


def test_a_certificate_of_an_unknown_authority_is_called_that(servers: tuple[str, Authority]) -> None:
    problem, step = failing(servers[0])
    assert problem.endswith("is not trusted")
    assert "SSL_CERT_FILE" in step


def test_a_port_at_which_nothing_listens_is_called_that() -> None:
    with socket.create_server(("127.0.8.41", 0)) as server:
        port = server.getsockname()[1]
    assert failing(f"https://127.0.8.41:{port}")[0] == f"nothing listens at 127.0.8.41:{port}"


def test_a_name_without_an_address_is_called_that(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", unknown)
    problem, step = failing("https://pve.lab.invalid:8006")
    assert problem == "pve.lab.invalid has no address"
    assert "DNS" in step


def test_a_server_that_is_silent_is_given_up_after_some_seconds(
    servers: tuple[str, Authority], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.doctor.reach.PATIENCE", 0.3)
    assert "does not answer within" in failing(f"{servers[0]}/slow", str(servers[1].certificate))[0]


# --- the report


def test_the_report_shows_every_finding_and_the_steps_of_the_wrong_ones_as_they_are() -> None:
    area = Area("Area")
    found = [area.ok("one", "[fine]"), area.wrong("two", "bad", "run [this]"), area.skipped("three", "why not")]
    screen = Console(width=100, record=True)
    with screen.capture() as capture:
        for part in report(found):
            screen.print(part)
    lines = capture.get().splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["Area", "✓", "one", "[fine]"],
        ["✗", "two", "bad"],
        ["-", "three", "why", "not"],
    ]
    assert lines[-2:] == ["✗ Area, two: bad", "    run [this]"]
