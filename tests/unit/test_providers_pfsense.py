"""The pfSense provider against the stand-in: what it makes, finds, mends and removes, and what it says of failures."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from providers import pfsense, pfsense_api
from providers.base import Props, ProviderError
from sandbox.faults import WRITES, Fault
from tests.unit.firewall import Served, alias, mapping, override, rule, serve, with_key

ALIAS = with_key(pfsense.AliasProvider())
RULE = with_key(pfsense.RuleProvider())
OVERRIDE = with_key(pfsense.HostOverrideProvider())
MAPPING = with_key(pfsense.StaticMappingProvider())
APPLY = with_key(pfsense.ApplyProvider())
OBJECTS: list[tuple[Any, Callable[..., Props], str, dict[str, Any]]] = [
    (ALIAS, alias, "aliases", {"address": ["127.20.0.12", "127.20.0.13"], "detail": ["b", "c"]}),
    (RULE, lambda served, **changed: rule(served, 1, **changed), "rules", {"type": "block"}),
    (OVERRIDE, override, "hosts", {"ip": ["127.20.0.99"]}),
    (MAPPING, mapping, "mappings", {"ipaddr": "127.20.0.77"}),
]
KINDS = pytest.mark.parametrize(("provider", "make", "listing", "change"), OBJECTS, ids=[one[2] for one in OBJECTS])


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with serve(tmp_path, monkeypatch) as one:
        yield one


def create_rules(served: Served, count: int) -> list[Props]:
    return [RULE.create(rule(served, number)).outs for number in range(1, count + 1)]


@KINDS
def test_an_object_is_created_read_changed_and_deleted(
    served: Served, provider: Any, make: Callable[..., Props], listing: str, change: dict[str, Any]
) -> None:
    before = len(served.rows(listing))
    made = provider.create(make(served))
    assert len(served.rows(listing)) == before + 1
    read = provider.read(made.id, made.outs)
    assert (read.id, read.outs) == (made.id, made.outs)
    assert not provider.diff(made.id, read.outs, make(served)).changes

    wanted = make(served, **change)
    assert provider.diff(made.id, read.outs, wanted).changes
    assert provider.diff(made.id, read.outs, wanted).replaces == []
    outs = provider.update(made.id, read.outs, wanted).outs
    assert outs["written"] != made.outs["written"]
    (row,) = served.own(listing)
    assert {name: row[name] for name in change} == change

    provider.delete(made.id, outs)
    assert len(served.rows(listing)) == before
    assert provider.read(made.id, outs).id == ""
    provider.delete(made.id, outs)


@KINDS
def test_what_somebody_changed_is_seen_and_mended(
    served: Served, provider: Any, make: Callable[..., Props], listing: str, change: dict[str, Any]
) -> None:
    made = provider.create(make(served))
    (row,) = served.own(listing)
    before = dict(row)
    row.update(change)
    seen = provider.read(made.id, made.outs).outs
    assert {name: seen[name] for name in change} == change
    assert provider.diff(made.id, seen, make(served)).changes
    provider.update(made.id, seen, make(served))
    assert {name: served.own(listing)[0][name] for name in change} == {name: before[name] for name in change}


@KINDS
def test_an_identical_object_is_taken_over_and_one_of_somebody_else_is_left_alone(
    served: Served,
    provider: Any,
    make: Callable[..., Props],
    listing: str,
    change: dict[str, Any],
) -> None:
    provider.create(make(served))
    provider.create(make(served))
    assert len(served.own(listing)) == 1
    # Left by an earlier run of ours, as its description says: brought into line.
    provider.create(make(served, **change))
    assert len(served.own(listing)) == 1
    if listing == "rules":
        return  # whose description is all that identifies it
    (row,) = served.own(listing)
    row["descr"] = "by hand"
    with pytest.raises(ProviderError, match="made by somebody else") as raised:
        provider.create(make(served))
    field = next(iter(change))
    assert f"{field}: there {change[field]!r}" in str(raised.value)
    assert row["descr"] == "by hand"


def test_another_natural_key_is_another_object(served: Served) -> None:
    made = ALIAS.create(alias(served)).outs
    assert ALIAS.diff("x", made, alias(served, name="lab_other")).replaces == ["name"]
    reserved = MAPPING.create(mapping(served)).outs
    assert MAPPING.diff("x", reserved, mapping(served, 12)).delete_before_replace
    assert MAPPING.diff("x", reserved, mapping(served, parent_id="lan")).replaces == ["parent_id"]
    assert not MAPPING.diff("x", reserved, mapping(served, mac="BC:24:11:00:00:0B")).changes


def test_ids_that_shift_never_lead_to_the_wrong_object(served: Served) -> None:
    hosts = [f"node-{number:02}" for number in range(12)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda host: OVERRIDE.create(override(served, host)), reversed(hosts)))
        assert [row["host"] for row in served.rows("hosts")] == hosts
        list(pool.map(lambda host: OVERRIDE.delete(host, override(served, host)), hosts[::2]))
    assert [row["host"] for row in served.rows("hosts")] == hosts[1::2]


def test_deletions_beside_each_other_take_force_together(served: Served) -> None:
    hosts = [f"node-{number:02}" for number in range(12)]
    for host in hosts:
        OVERRIDE.create(override(served, host))
    together = threading.Barrier(len(hosts))

    def delete(host: str) -> None:
        together.wait()
        OVERRIDE.delete(host, override(served, host))

    with ThreadPoolExecutor(len(hosts)) as pool:
        list(pool.map(delete, hosts))
    applied = served.requests.count("POST services/dns_resolver/apply")
    assert 1 <= applied <= 3
    assert served.firewall.in_force["hosts"] == []


def test_a_deletion_takes_force_by_itself(served: Served) -> None:
    made = create_rules(served, 1)[0]
    APPLY.create({"endpoint": served.endpoint, "owner": "lab: ", "part": "firewall/apply", "written": {}})
    assert any(row["descr"] == "lab: 1" for row in served.firewall.in_force["rules"])
    RULE.delete("lab: 1", made)
    assert not any(row["descr"] == "lab: 1" for row in served.firewall.in_force["rules"])


def test_rules_stand_in_order_above_all_others_of_their_interface(served: Served) -> None:
    foreign = {"type": "pass", "interface": ["opt1"], "ipprotocol": "inet", "source": "any", "destination": "any"}
    with_key(pfsense.RuleProvider())._api({"endpoint": served.endpoint}).write(
        "POST", "firewall/rule", {**foreign, "descr": "by hand"}
    )
    create_rules(served, 3)
    on_interface = [row["descr"] for row in served.rows("rules") if row["interface"] == ["opt1"]]
    assert on_interface == ["lab: 1", "lab: 2", "lab: 3", "by hand"]
    assert [row["interface"] for row in served.rows("rules")][:2] == [["lan"], ["lan"]]


def test_a_rule_that_somebody_put_among_ours_is_moved_below_them(served: Served) -> None:
    made = create_rules(served, 3)
    rows = served.rows("rules")
    rows.insert(3, {**rows[2], "descr": "by hand", "tracker": 1})
    seen = [RULE.read(one["descr"], one).outs for one in made]
    assert [one["placed"] for one in seen] == [True, False, False]
    for number, one in enumerate(seen, 1):
        wanted = rule(served, number)
        if RULE.diff(one["descr"], one, wanted).changes:
            RULE.update(one["descr"], one, wanted)
    assert [row["descr"] for row in served.rows("rules")][2:] == ["lab: 1", "lab: 2", "lab: 3", "by hand"]


def test_a_rule_in_the_middle_goes_and_the_next_one_follows_the_one_before(served: Served) -> None:
    made = create_rules(served, 3)
    RULE.update("lab: 3", made[2], rule(served, 3, after="lab: 1"))
    RULE.delete("lab: 2", made[1])
    assert [row["descr"] for row in served.own("rules")] == ["lab: 1", "lab: 3"]
    assert RULE.read("lab: 3", {**made[2], "after": "lab: 1"}).outs["placed"]


def test_a_copy_of_a_rule_is_seen_and_removed(served: Served) -> None:
    (made,) = create_rules(served, 1)
    served.rows("rules").append(dict(served.own("rules")[0]))
    seen = RULE.read("lab: 1", made).outs
    assert seen["copies"] == 2
    assert RULE.diff("lab: 1", seen, rule(served, 1)).changes
    RULE.update("lab: 1", seen, rule(served, 1))
    assert len(served.own("rules")) == 1


@KINDS
def test_all_copies_are_removed_and_nothing_else(
    served: Served, provider: Any, make: Callable[..., Props], listing: str, change: dict[str, Any]
) -> None:
    assert change
    before = [dict(row) for row in served.rows(listing)]
    made = provider.create(make(served)).outs
    (row,) = served.own(listing)
    for operation, left in (
        (lambda: provider.update("x", made, make(served)), [row]),
        (lambda: provider.delete("x", made), []),
    ):
        served.rows(listing)[:] = [*before, row, dict(row), dict(row)]
        operation()
        assert served.rows(listing) == [*before, *left]


def test_rules_that_somebody_swapped_are_put_in_order_again(served: Served) -> None:
    made = create_rules(served, 3)
    rows = served.rows("rules")
    rows[2], rows[3] = rows[3], rows[2]
    for number, one in enumerate(made, 1):
        RULE.update(one["descr"], RULE.read(one["descr"], one).outs, rule(served, number))
    assert [row["descr"] for row in served.rows("rules")][2:] == ["lab: 1", "lab: 2", "lab: 3"]
    assert all(RULE.read(one["descr"], one).outs["placed"] for one in made)


def test_a_rule_that_is_moved_down_ends_directly_below_the_one_before(served: Served) -> None:
    made = create_rules(served, 3)
    rows = served.rows("rules")
    rows[2], rows[3] = rows[3], rows[2]
    RULE.update("lab: 2", made[1], rule(served, 2))
    assert [row["descr"] for row in served.rows("rules")][2:] == ["lab: 1", "lab: 2", "lab: 3"]


def test_an_apply_that_fails_for_one_deletion_is_made_for_the_others(served: Served) -> None:
    hosts = [f"node-{number}" for number in range(6)]
    for host in hosts:
        OVERRIDE.create(override(served, host))
    APPLY.create({"endpoint": served.endpoint, "owner": "lab: ", "part": "services/dns_resolver/apply", "written": {}})
    served.faults.add(Fault("pfsense", ("POST",), "*/apply", times=pfsense_api.ATTEMPTS))
    together = threading.Barrier(len(hosts))

    def delete(host: str) -> str:
        together.wait()
        try:
            OVERRIDE.delete(host, override(served, host))
        except ProviderError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(len(hosts)) as pool:
        *succeeded, failed = sorted(pool.map(delete, hosts))
    assert succeeded == [""] * 5
    assert "delete: services/dns_resolver/apply: no success" in failed
    assert served.firewall.in_force["hosts"] == []


@pytest.mark.parametrize("interface", ["wan", "WAN", "any"])
def test_a_rule_where_the_world_comes_in_is_refused(interface: str) -> None:
    failures = RULE.check({}, {"descr": "lab: x", "interface": [interface]}).failures
    assert [failure.property for failure in failures] == ["interface"]
    assert RULE.check({}, {"descr": "lab: x", "interface": ["opt1"]}).failures == []


def test_what_waits_to_be_applied_is_seen_and_applied(served: Served) -> None:
    props = {
        "endpoint": served.endpoint,
        "owner": "lab: ",
        "part": "services/dns_resolver/apply",
        "written": {"a": "1"},
    }
    made = APPLY.create(props).outs
    assert not APPLY.diff("x", APPLY.read("x", made).outs, props).changes
    assert APPLY.diff("x", made, {**props, "written": {"a": "2"}}).changes
    OVERRIDE.create(override(served))
    seen = APPLY.read("x", made).outs
    assert APPLY.diff("x", seen, props).changes
    APPLY.update("x", seen, props)
    assert len(served.firewall.in_force["hosts"]) == 1


def test_rules_that_were_written_and_not_applied_are_seen_though_pfsense_does_not_tell(served: Served) -> None:
    (made,) = create_rules(served, 1)
    props = {"endpoint": served.endpoint, "owner": "lab: ", "part": "firewall/apply", "written": {"a": "1"}}
    applied = APPLY.create(props).outs
    assert not APPLY.diff("x", APPLY.read("x", applied).outs, props).changes
    # An update whose run was killed before it was noted.
    RULE.update("lab: 1", made, rule(served, 1, log=True))
    assert served.firewall.pending("firewall") == []
    seen = APPLY.read("x", applied).outs
    assert APPLY.diff("x", seen, props).changes
    APPLY.update("x", seen, props)
    assert served.firewall.in_force == served.firewall.config
    served.rows("rules").append({**served.rows("rules")[0], "descr": "by hand"})
    assert APPLY.read("x", applied).outs["applied"] is False
    assert APPLY.read("x", APPLY.update("x", seen, props).outs).outs["applied"] is True


@KINDS
def test_a_short_outage_is_waited_out_and_a_long_one_named(
    served: Served, provider: Any, make: Callable[..., Props], listing: str, change: dict[str, Any]
) -> None:
    for status in (500, 503, 429):
        served.faults.add(Fault("pfsense", status=status, times=pfsense_api.ATTEMPTS - 1))
        provider.create(make(served))
        assert len(served.own(listing)) == 1
    made = provider.create(make(served)).outs
    operations: dict[str, Callable[[], object]] = {
        "create": lambda: provider.create(make(served)),
        "read": lambda: provider.read("x", made),
        "update": lambda: provider.update("x", made, make(served, **change)),
        "delete": lambda: provider.delete("x", made),
    }
    for name, operation in operations.items():
        served.faults.clear()
        served.faults.add(Fault("pfsense", status=500, message="on purpose", times=100))
        with pytest.raises(ProviderError) as raised:
            operation()
        said = str(raised.value)
        assert provider.kind.identity(made) in said
        assert f": {name}: no success in 4 attempts; the last: GET " in said
        assert "500 SANDBOX_FAULT: on purpose" in said
        assert "make doctor" in said


def test_a_write_that_fails_is_tried_again_from_the_start(served: Served) -> None:
    served.faults.add(Fault("pfsense", WRITES, "/firewall/alias", times=2))
    ALIAS.create(alias(served))
    assert served.requests == ["GET firewall/aliases", "POST firewall/alias"] * 3
    assert len(served.rows("aliases")) == 1


def test_a_refusal_is_not_tried_again_and_says_what_pfsense_said(served: Served) -> None:
    with pytest.raises(ProviderError) as raised:
        ALIAS.create(alias(served, address=["no address!"]))
    assert "alias lab_nodes: create: POST firewall/alias: 400 INVALID_HOST_ALIAS_ADDRESS" in str(raised.value)
    assert len(served.changed()) == 1


def test_a_key_that_is_refused_or_may_too_little_leads_to_the_step(served: Served) -> None:
    with pytest.raises(ProviderError, match=r"401 AUTH_AUTHENTICATION_FAILED(.|\n)*make init"):
        with_key(pfsense.AliasProvider(), "wrong").create(alias(served))
    served.faults.add(Fault("pfsense", ("POST",), status=403))
    with pytest.raises(ProviderError, match="api-v2-firewall-alias-post"):
        ALIAS.create(alias(served))


def test_a_server_that_is_no_pfsense_is_told_apart(served: Served) -> None:
    with pytest.raises(ProviderError, match="pfSense-pkg-RESTAPI"):
        ALIAS._api({"endpoint": f"{served.endpoint}/elsewhere"}).get("firewall/aliases")
    with pytest.raises(pfsense_api.TransientError, match="Connection refused"):
        pfsense_api.PfSense("https://127.0.0.1:9", "x").get("firewall/aliases")


def test_a_certificate_that_is_not_trusted_is_no_reason_to_wait(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    pfsense_api.client.cache_clear()
    with pytest.raises(ProviderError, match="is not trusted: export SSL_CERT_FILE"):
        ALIAS.create(alias(served))
    assert served.requests == []
