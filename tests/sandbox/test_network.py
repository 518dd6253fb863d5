"""The firewall of a lab that is up: every kind of object changed by hand, seen, put right, and gone at the end."""

from typing import Any

import pytest

from tests.sandbox.lab import TestLab

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]

ALIASES, RULES = "firewall/aliases", "firewall/rules"
NAMES, RESERVATIONS = "services/dns_resolver/host_overrides", "services/dhcp_server/static_mappings"
COLLECTIONS = (ALIASES, RULES, NAMES, RESERVATIONS)


def listed(lab: TestLab) -> dict[str, list[dict[str, Any]]]:
    """What the firewall has, without what changes with every write."""
    return {
        path: [
            {k: v for k, v in row.items() if k not in ("updated_time", "updated_by")}
            for row in lab.pfsense("GET", path)
        ]
        for path in COLLECTIONS
    }


def row(lab: TestLab, collection: str, descr: str) -> dict[str, Any]:
    (found,) = [one for one in lab.pfsense("GET", collection) if one["descr"] == descr]
    return dict(found)


def test_changes_by_hand_are_seen_by_refresh_and_put_right_by_up(provisioned: TestLab) -> None:
    before = listed(provisioned)
    assert {path: len(rows) for path, rows in before.items()} == {ALIASES: 6, RULES: 10, NAMES: 9, RESERVATIONS: 5}

    alias = row(provisioned, ALIASES, "dev: nodes")
    provisioned.pfsense("PATCH", "firewall/alias", id=alias["id"], address=[*alias["address"], "192.168.1.66"])
    rule = row(provisioned, RULES, "dev: nodes reach nothing else")
    provisioned.pfsense("PATCH", "firewall/rule", id=rule["id"], type="pass", disabled=True)
    opened = {"type": "pass", "interface": ["opt1"], "ipprotocol": "inet", "source": "any", "destination": "any"}
    place = row(provisioned, RULES, "dev: nodes ask for the time")["id"]
    provisioned.pfsense("POST", "firewall/rule", **opened, descr="just for now", placement=place)
    name = row(provisioned, NAMES, "dev: api")
    provisioned.pfsense("PATCH", "services/dns_resolver/host_override", id=name["id"], ip=["192.168.1.66"])
    reserved = row(provisioned, RESERVATIONS, "dev: k3s-agent-2")
    reference = {"id": reserved["id"], "parent_id": reserved["parent_id"]}
    provisioned.pfsense("DELETE", "services/dhcp_server/static_mapping", **reference)

    seen = provisioned.run("lab", "refresh", "--", "--diff").output
    assert "network-reservation-k3s-agent-2" in seen
    assert seen.count('"192.168.1.66"') == 2
    drift = provisioned.run("lab", "preview").output
    for changed in ("network-alias-nodes", "network-rule-nodes-rest", "network-rule-nodes-ntp", "network-name-api"):
        assert changed in drift

    provisioned.up()
    ours = {path: [one for one in rows if one["descr"] != "just for now"] for path, rows in listed(provisioned).items()}
    assert [one["descr"] for one in ours[RULES]] == [one["descr"] for one in before[RULES]]
    for path in (ALIASES, NAMES):
        assert ours[path] == before[path]
    assert [one["descr"] for one in provisioned.pfsense("GET", RULES)][-1] == "just for now"
    provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes")

    for part in ("firewall", "services/dns_resolver", "services/dhcp_server"):
        assert provisioned.pfsense("GET", f"{part}/apply")["applied"] is True
    left = row(provisioned, RULES, "just for now")
    provisioned.pfsense("DELETE", "firewall/rule", id=left["id"])


def test_a_firewall_that_fails_for_a_while_is_waited_for_and_one_that_refuses_is_named(provisioned: TestLab) -> None:
    name = row(provisioned, NAMES, "dev: pve3")
    provisioned.pfsense("PATCH", "services/dns_resolver/host_override", id=name["id"], ip=["192.168.1.66"])
    path = "/services/dns_resolver/host_override"
    write = ["sandbox", "fault", "pfsense", "--method", "PATCH", "--path", path]
    try:
        provisioned.run(*write, "--status", "403", "--times", "1")
        failed = provisioned.run("lab", "up", "--", "--refresh", expect=1).output
        assert "host override pve3/lab.example.com: update: PATCH services/dns_resolver/host_override: 403" in failed
        assert "api-v2-services-dns-resolver-host-override-patch" in failed
        assert "Traceback" not in failed

        provisioned.run(*write, "--status", "503", "--times", "2")
        done = provisioned.up().output
        assert "attempt 2 of 4: PATCH services/dns_resolver/host_override: 503" in done
    finally:
        provisioned.run("sandbox", "fault", "--clear")
    assert row(provisioned, NAMES, "dev: pve3")["ip"] == [provisioned.settings.proxmox["pve3"].host]
    assert provisioned.pfsense("GET", "services/dns_resolver/apply")["applied"] is True
    provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes")
