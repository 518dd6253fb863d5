"""The pfSense stand-in by itself: what it answers, what it refuses and how it calls that."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.pfsense.firewall import Firewall
from tests.unit.firewall import KEY, NETWORK, Served, serve

RULE = {"type": "pass", "interface": ["opt1"], "ipprotocol": "inet", "source": "any", "destination": "any"}
ALIAS = {"name": "nodes", "type": "host", "address": ["127.20.0.11"], "detail": ["a"]}
NAME = {"host": "a", "domain": "lab.test", "ip": ["127.20.0.11"]}
MAPPING = {"parent_id": "opt1", "mac": "bc:24:11:00:00:0b", "ipaddr": "127.20.0.11"}
PATHS = {
    "alias": ("firewall/alias", ALIAS),
    "rule": ("firewall/rule", RULE),
    "name": ("services/dns_resolver/host_override", NAME),
    "mapping": ("services/dhcp_server/static_mapping", MAPPING),
}


class Client:
    def __init__(self, served: Served, key: str = KEY) -> None:
        self._served = served
        self._key = key

    def ask(self, method: str, path: str, body: object = None, **query: str) -> httpx.Response:
        with httpx.Client(trust_env=True) as client:
            url = f"{self._served.endpoint}/api/v2/{path}"
            return client.request(method, url, headers={"X-API-Key": self._key}, json=body, params=query or None)

    def well(self, method: str, path: str, body: object = None, **query: str) -> Any:
        answer = self.ask(method, path, body, **query)
        envelope = answer.json()
        assert (answer.status_code, envelope["code"], envelope["response_id"]) == (200, 200, "SUCCESS"), envelope
        assert envelope["status"] == "ok"
        return envelope["data"]

    def refused(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        answer = self.ask(method, path, body)
        envelope = answer.json()
        assert envelope["code"] == answer.status_code
        assert envelope["data"] == []
        return answer.status_code, str(envelope["response_id"])


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with serve(tmp_path, monkeypatch) as one:
        yield one


@pytest.fixture
def client(served: Served) -> Client:
    return Client(served)


@pytest.mark.parametrize(
    ("kind", "change", "status", "response_id"),
    [
        ("alias", {"name": None}, 400, "FIELD_IS_REQUIRED"),
        ("alias", {"name": "no-hyphens"}, 400, "FILTER_NAME_VALIDATOR_INVALID_CHARACTERS"),
        ("alias", {"name": "pkg_mine"}, 400, "FILTER_NAME_VALIDATOR_CANNOT_START_WITH_PKG"),
        ("alias", {"name": "12345"}, 400, "FILTER_NAME_VALIDATOR_CANNOT_BE_NUMERICAL"),
        ("alias", {"name": "reject"}, 400, "FILTER_NAME_VALIDATOR_RESERVED_NAME_USED"),
        ("alias", {"name": "a" * 32}, 400, "LENGTH_VALIDATOR_MAXIMUM_CONSTRAINT"),
        ("alias", {"name": ""}, 400, "FIELD_EMPTY_NOT_ALLOWED"),
        ("alias", {"name": 7}, 400, "FIELD_INVALID_TYPE"),
        ("alias", {"type": "url"}, 400, "FIELD_INVALID_CHOICE"),
        ("alias", {"address": "127.20.0.11"}, 400, "FIELD_INVALID_MANY_VALUE"),
        ("alias", {"address": ["127.20.0.0/16"]}, 400, "INVALID_HOST_ALIAS_ADDRESS"),
        ("alias", {"type": "network"}, 400, "INVALID_NETWORK_ALIAS_ADDRESS"),
        ("alias", {"type": "port", "address": ["65536"]}, 400, "INVALID_PORT_ALIAS_ADDRESS"),
        ("alias", {"type": "port", "address": ["90:80"]}, 400, "INVALID_PORT_ALIAS_ADDRESS"),
        ("alias", {"detail": ["a", "b"]}, 400, "TOO_MANY_ALIAS_DETAILS"),
        ("rule", {"interface": ["opt9"]}, 400, "FIELD_INVALID_CHOICE"),
        ("rule", {"interface": ["lan", "opt1"]}, 400, "FIREWALL_RULE_MULTIPLE_INTERFACE_WITHOUT_FLOATING"),
        ("rule", {"interface": []}, 400, "FIELD_EMPTY_NOT_ALLOWED"),
        ("rule", {"source": "nobody"}, 400, "FILTER_ADDRESS_FIELD_INVALID"),
        ("rule", {"source": "!any"}, 400, "FILTER_RULE_ADDRESS_FIELD_WITH_INVERT_ANY"),
        ("rule", {"protocol": "tcp", "destination_port": "https"}, 400, "PORT_FIELD_INVALID"),
        ("rule", {"statetype": "synproxy state"}, 400, "FIREWALL_RULE_SYNPROXY_STATE_TYPE_WITH_NON_TCP_PROTOCOL"),
        ("rule", {"gateway": "WAN_DHCP"}, 404, "FOREIGN_MODEL_FIELD_VALUE_NOT_FOUND"),
        ("rule", {"log": "yes"}, 400, "FIELD_INVALID_TYPE"),
        ("name", {"ip": ["127.20.0.300"]}, 400, "IP_ADDRESS_VALIDATOR_FAILED"),
        ("name", {"host": "a b"}, 400, "HOSTNAME_VALIDATOR_FAILED"),
        ("name", {"domain": ""}, 400, "FIELD_EMPTY_NOT_ALLOWED"),
        ("name", {"aliases": [{"host": "b"}]}, 400, "FIELD_IS_REQUIRED"),
        ("mapping", {"mac": "bc:24:11"}, 400, "MAC_ADDRESS_VALIDATOR_FAILED"),
        ("mapping", {"parent_id": None}, 400, "MODEL_PARENT_ID_REQUIRED"),
        ("mapping", {"parent_id": "wan"}, 404, "MODEL_PARENT_OBJECT_NOT_FOUND"),
        ("mapping", {"ipaddr": "10.1.1.1"}, 400, "DHCP_SERVER_STATIC_MAPPING_IPADDR_NOT_WITHIN_SUBNET"),
        ("mapping", {"ipaddr": "127.20.0.150"}, 409, "DHCP_SERVER_STATIC_MAPPING_IPADDR_OVERLAPS_EXISTING_OBJECT"),
        ("mapping", {"maxleasetime": 60}, 400, "DHCP_SERVER_STATIC_MAPPING_MAX_LEASE_TIME_LESS_THAN_DEFAULT"),
    ],
)
def test_a_value_is_refused_as_pfsense_refuses_it(  # noqa: PLR0913, PLR0917 - a row of the table
    served: Served, client: Client, kind: str, change: dict[str, Any], status: int, response_id: str
) -> None:
    path, good = PATHS[kind]
    before = json.dumps(served.firewall.config)
    assert client.refused("POST", path, {**good, **change}) == (status, response_id)
    assert json.dumps(served.firewall.config) == before
    client.well("POST", path, good)


@pytest.mark.parametrize(
    ("kind", "response_id"),
    [
        ("alias", "FIELD_MUST_BE_UNIQUE"),
        ("mapping", "FIELD_MUST_BE_UNIQUE"),
        ("name", "MODEL_FIELDS_NOT_UNIQUE_TOGETHER"),
    ],
)
def test_a_key_is_taken_once(client: Client, kind: str, response_id: str) -> None:
    path, good = PATHS[kind]
    client.well("POST", path, good)
    assert client.refused("POST", path, good) == (400, response_id)


def test_two_rules_may_be_alike(served: Served, client: Client) -> None:
    client.well("POST", "firewall/rule", RULE)
    client.well("POST", "firewall/rule", RULE)
    assert len(served.rows("rules")) == 4


def test_ids_shift_when_objects_are_sorted_and_deleted(client: Client) -> None:
    path = "services/dns_resolver/host_override"
    assert client.well("POST", path, {**NAME, "host": "m"})["id"] == 0
    assert client.well("POST", path, {**NAME, "host": "z"})["id"] == 1
    assert client.well("POST", path, {**NAME, "host": "b"})["id"] == 0
    client.well("DELETE", path, {"id": 0})
    assert [(row["id"], row["host"]) for row in client.well("GET", f"{path}s")] == [(0, "m"), (1, "z")]
    assert client.refused("DELETE", path, {"id": 2}) == (404, "MODEL_OBJECT_NOT_FOUND")
    assert client.refused("PATCH", path, {"descr": "x"}) == (400, "MODEL_REQUIRES_ID")


def test_reservations_are_sorted_as_numbers(client: Client) -> None:
    for last in (20, 3, 11):
        mac = f"bc:24:11:00:00:{last:02x}"
        client.well(
            "POST", "services/dhcp_server/static_mapping", {**MAPPING, "mac": mac, "ipaddr": f"127.20.0.{last}"}
        )
    rows = client.well("GET", "services/dhcp_server/static_mappings")
    assert [row["ipaddr"] for row in rows] == ["127.20.0.3", "127.20.0.11", "127.20.0.20"]


def test_what_is_given_is_changed_and_the_rest_stays(client: Client) -> None:
    made = client.well("POST", "firewall/rule", {**RULE, "descr": "mine", "protocol": "tcp", "destination_port": "80"})
    changed = client.well("PATCH", "firewall/rule", {"id": made["id"], "log": True})
    same = {name: value for name, value in changed.items() if name not in ("log", "updated_time")}
    assert same == {name: value for name, value in made.items() if name not in ("log", "updated_time")}
    assert changed["log"] is True
    # A port means nothing without a protocol that has ports.
    assert client.well("PATCH", "firewall/rule", {"id": made["id"], "protocol": "icmp"})["destination_port"] is None
    assert client.refused("PATCH", "firewall/rule", {"id": made["id"], "floating": True}) == (
        400,
        "FIELD_VALUE_CHANGED_WHEN_NOT_EDITABLE",
    )


def test_a_rule_goes_to_its_place(client: Client) -> None:
    for descr, place in (("last", 99), ("first", 0), ("second", 1)):
        client.well("POST", "firewall/rule", {**RULE, "descr": descr, "placement": place})
    order = [row["descr"] for row in client.well("GET", "firewall/rules")]
    assert (order[:2], order[-1]) == (["first", "second"], "last")


def test_the_last_rule_cannot_be_deleted(client: Client) -> None:
    client.well("DELETE", "firewall/rule", {"id": 1})
    assert client.refused("DELETE", "firewall/rule", {"id": 0}) == (403, "MODEL_MANY_MINIMUM_REACHED")


def test_a_change_takes_force_when_it_is_applied(served: Served, client: Client) -> None:
    client.well("POST", "firewall/alias", ALIAS)
    assert client.well("GET", "firewall/apply") == {"applied": False, "pending_subsystems": ["aliases"]}
    assert served.firewall.in_force["aliases"] == []
    client.well("POST", "services/dns_resolver/host_override", {**NAME, "apply": True})
    assert [row["host"] for row in served.firewall.in_force["hosts"]] == ["a"]
    assert client.well("GET", "services/dns_resolver/apply") == {"applied": True}
    assert client.well("POST", "firewall/apply", {"async": False}) == {"applied": True, "pending_subsystems": []}
    assert [row["name"] for row in served.firewall.in_force["aliases"]] == ["nodes"]


def test_rules_that_name_a_missing_alias_do_not_take_force(served: Served, client: Client) -> None:
    client.well("POST", "firewall/alias", {**ALIAS, "name": "lab_nodes"})
    client.well("POST", "firewall/rule", {**RULE, "source": "!lab_nodes", "descr": "mine"})
    client.well("POST", "firewall/apply")
    client.well("DELETE", "firewall/alias", {"id": 0})
    client.well("POST", "firewall/apply")
    assert [row["name"] for row in served.firewall.in_force["aliases"]] == ["lab_nodes"]
    assert "lab_nodes not defined" in served.firewall.notices[-1]


def test_who_asks_is_checked_before_what(served: Served, client: Client) -> None:
    assert Client(served, "wrong").refused("GET", "firewall/aliases") == (401, "AUTH_AUTHENTICATION_FAILED")
    assert client.refused("GET", "firewall/alias", {"id": 0}) == (403, "AUTH_AUTHORIZATION_FAILED")
    assert client.refused("DELETE", "firewall/aliases") == (403, "AUTH_AUTHORIZATION_FAILED")
    assert client.ask("GET", "firewall/nothing").status_code == 404
    assert client.ask("GET", "firewall/nothing").headers["content-type"].startswith("text/plain")


def test_a_list_is_cut_and_filtered(client: Client) -> None:
    assert len(client.well("GET", "firewall/rules", limit="1")) == 1
    assert [row["id"] for row in client.well("GET", "firewall/rules", offset="1")] == [1]
    assert len(client.well("GET", "firewall/rules", ipprotocol="inet6")) == 1


def test_the_firewall_remembers(served: Served, client: Client, tmp_path: Path) -> None:
    client.well("POST", "firewall/alias", ALIAS)
    again = Firewall(tmp_path / "config.json", NETWORK)
    assert again.config == served.firewall.config
    assert again.pending("firewall") == ["aliases"]
    assert (tmp_path / "config.json").stat().st_mode & 0o077 == 0
