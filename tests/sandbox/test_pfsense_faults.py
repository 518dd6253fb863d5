"""Random faults at random requests: whatever goes wrong, the next run converges and nothing is there twice."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers import pfsense
from providers.base import Props, ProviderError
from sandbox.faults import Fault
from sandbox.pfsense import firewall
from tests.unit.firewall import Served, alias, mapping, override, rule, serve, with_key

# Half a minute: after the fast ones.
pytestmark = pytest.mark.sandbox

ALIAS = with_key(pfsense.AliasProvider())
RULE = with_key(pfsense.RuleProvider())
OVERRIDE = with_key(pfsense.HostOverrideProvider())
MAPPING = with_key(pfsense.StaticMappingProvider())
APPLY = with_key(pfsense.ApplyProvider())
PARTS = ("firewall/apply", "services/dns_resolver/apply", "services/dhcp_server/apply")
PATHS = (
    *("*", "/*/apply", "/firewall/rule", "/firewall/rules", "/firewall/alias"),
    *("/services/dns_resolver/host_override", "/services/dhcp_server/static_mapping"),
)

FAULTS = st.builds(
    Fault,
    service=st.just("pfsense"),
    methods=st.sampled_from([("GET",), ("POST",), ("PATCH",), ("DELETE",), ("GET", "POST", "PATCH", "DELETE")]),
    path=st.sampled_from(PATHS),
    status=st.sampled_from([400, 403, 409, 429, 500, 502, 503]),
    # Half of them strike after the change was made: the answer is lost, not the request.
    after=st.booleans(),
    times=st.integers(1, 6),
)


@dataclass
class Stack:
    """What Pulumi does with a few resources: it keeps the state of those that succeeded, and goes on next time."""

    served: Served
    state: dict[str, Props]

    def wanted(self, version: int) -> dict[str, tuple[Any, Props]]:
        served = self.served
        addresses = [f"127.20.0.{number}" for number in range(11, 12 + version)]
        return {
            "alias": (ALIAS, alias(served, address=addresses, detail=addresses)),
            **{f"rule-{number}": (RULE, rule(served, number, log=version > 1)) for number in (1, 2)},
            **{f"name-{host}": (OVERRIDE, override(served, host, ip=addresses[-1:])) for host in ("b", "a")},
            "reservation": (MAPPING, mapping(served, ipaddr=addresses[-1])),
        }

    def up(self, version: int) -> bool:
        """Return whether everything succeeded; a resource that fails stops nothing beside it."""
        well = True
        for name, (provider, props) in self.wanted(version).items():
            well = self._one(name, provider, props) and well
        written = {
            name: outs["written"] for name, outs in self.state.items() if "written" in outs and "part" not in outs
        }
        for part in PARTS if well else ():
            props = {"endpoint": self.served.endpoint, "owner": "lab: ", "part": part, "written": written}
            well = self._one(part, APPLY, props) and well
        return well

    def _one(self, name: str, provider: Any, props: Props) -> bool:
        try:
            if name not in self.state:
                self.state[name] = provider.create(props).outs
            elif provider.diff(name, self.state[name], props).changes:
                self.state[name] = provider.update(name, self.state[name], props).outs
        except ProviderError:
            return False
        return True

    def refresh(self) -> None:
        providers = {name: provider for name, (provider, _) in self.wanted(1).items()} | dict.fromkeys(PARTS, APPLY)
        for name, provider in providers.items():
            if name in self.state:
                read = provider.read(name, self.state[name])
                if read.id:
                    self.state[name] = read.outs
                else:
                    del self.state[name]

    def destroy(self) -> bool:
        well = True
        for name, (provider, _) in reversed(self.wanted(1).items()):
            if name in self.state:
                try:
                    provider.delete(name, self.state[name])
                    del self.state[name]
                except ProviderError:
                    well = False
        return well


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch, serve(tmp_path_factory.mktemp("pfsense"), patch) as one:
        # Nobody else writes here.
        patch.setattr(firewall, "LATENCY", 0)
        yield one


def own(served: Served) -> dict[str, list[str]]:
    keys = {"aliases": "name", "rules": "descr", "hosts": "host", "mappings": "mac"}
    return {listing: [str(row[key]) for row in served.own(listing)] for listing, key in keys.items()}


EXPECTED = {
    "aliases": ["lab_nodes"],
    "rules": ["lab: 1", "lab: 2"],
    "hosts": ["a", "b"],
    "mappings": ["bc:24:11:00:00:0b"],
}


@settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedule=st.lists(FAULTS, min_size=1, max_size=5), refreshed=st.booleans())
def test_after_any_faults_the_next_run_converges_and_nothing_is_there_twice(
    served: Served, schedule: list[Fault], *, refreshed: bool
) -> None:
    fresh: dict[str, list[Any]] = {"aliases": [], "hosts": [], "mappings": []}
    served.firewall.config |= {
        **fresh,
        "rules": [row for row in served.rows("rules") if row not in served.own("rules")],
    }
    assert own(served) == {listing: [] for listing in EXPECTED}
    stack = Stack(served, {})
    for version in (1, 2):
        for fault in schedule:
            served.faults.add(Fault(**vars(fault)))
        stack.up(version)
        for listing, keys in own(served).items():
            assert len(keys) == len(set(keys)), f"{listing} has something twice: {keys}"
        served.faults.clear()
        if refreshed:
            stack.refresh()
        assert stack.up(version)
        assert own(served) == EXPECTED
        assert {listing: served.firewall.in_force[listing] for listing in EXPECTED} == served.firewall.config
        before = len(served.changed())
        assert stack.up(version)
        assert len(served.changed()) == before, "a run with nothing to do changes nothing"

    for fault in schedule:
        served.faults.add(Fault(**vars(fault)))
    stack.destroy()
    served.faults.clear()
    assert stack.destroy()
    assert own(served) == {listing: [] for listing in EXPECTED}
    assert served.firewall.in_force == served.firewall.config
