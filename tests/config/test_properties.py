"""Labs that nobody thought of: what is accepted can be provisioned, and nothing breaks the validator."""

import copy
import json
import runpy
from typing import Any

import pulumi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.faults import Fault, LabError
from config.rules import read_lab
from tests.config.labs import CHECKSUM, ROOT, Data, production
from tests.harness import record
from tests.stacks import COMPUTED, SECRETS

# No database: each run finds its own examples, and one that fails prints how to repeat it.
settings.register_profile("homelab", database=None, deadline=None, print_blob=True)
settings.load_profile("homelab")

LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def labs(draw: st.DrawFn) -> Data:
    """Labs as people would write them. Most fit; some ask for too much, or put servers where they may not be."""
    hosts = draw(st.lists(LABELS, min_size=1, max_size=5, unique=True))
    servers = draw(st.sampled_from([1, 3, 3, 3, 5]))
    agents = draw(st.integers(0, 6))
    names = draw(st.lists(LABELS, min_size=servers + agents, max_size=servers + agents, unique=True))
    storage = draw(st.booleans()) and agents > 0
    data: Data = {
        "name": draw(LABELS),
        "domain": "lab.example.com",
        "protect": draw(st.booleans()),
        "proxmox": {
            "endpoint": "https://pve.lab.example.com:8006",
            "hosts": [
                {"name": host, "cores": 32, "memory": 131_072, "datastores": {"local": 40, "local-lvm": 4000}}
                for host in hosts
            ],
            "image": {"url": "https://images.example.com/a.qcow2", "checksum": CHECKSUM, "file_name": "a.qcow2"},
        },
        "networks": {
            "nodes": {
                "cidr": "10.7.0.0/16",
                "gateway": "10.7.0.1",
                "dns": ["10.7.0.1"],
                "bridge": "vmbr0",
                "vlan": draw(st.none() | st.integers(1, 4094)),
            }
        },
        "nodes": [
            {
                "name": name,
                "role": "server" if number < servers else "agent",
                "host": hosts[number % len(hosts)],
                "vm_id": 1000 + number,
                "address": f"10.7.1.{10 + number}",
                "cores": draw(st.integers(2, 8)),
                "memory": draw(st.sampled_from([4096, 8192, 32_768])),
                "disks": {"system": 40, "longhorn": draw(st.sampled_from([50, 500]))}
                if storage and number >= servers
                else {},
            }
            for number, name in enumerate(names)
        ],
        "kubernetes": {"api_address": "10.7.0.10"},
        "gitops": {"repository": "https://git.example.com/lab.git", "revision": "main"},
        "applications": {
            name: {"image": f"ghcr.io/example/{name}:1.0", "replicas": draw(st.integers(1, 3))}
            for name in draw(st.lists(LABELS, max_size=3, unique=True))
        },
    }
    if storage:
        data["storage"] = {"replicas": draw(st.integers(1, min(2, agents)))}
        data["observability"] = draw(
            st.fixed_dictionaries({}, optional={"metrics": st.just({}), "logs": st.just({}), "traces": st.just({})})
        )
    return data


@st.composite
def spoiled(draw: st.DrawFn) -> Any:
    """The production example with one to three places, at any depth, replaced by anything or taken away."""
    data: Any = copy.deepcopy(production())
    for _ in range(draw(st.integers(1, 3))):
        at: Any = data
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(at[key], dict | list) and draw(st.integers(0, 3)):
                at = at[key]
                continue
            if draw(st.booleans()):
                at[key] = draw(JUNK)
            else:
                del at[key]
            break
    return data


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(labs())
def test_every_lab_that_is_accepted_registers_without_an_error(data: Data) -> None:
    try:
        lab = read_lab(data)
    except LabError:
        return
    pulumi.runtime.set_all_config({"homelab:lab": json.dumps(data), **SECRETS}, list(SECRETS))
    recording = record(lambda: runpy.run_path(str(ROOT / "__main__.py")), outputs=COMPUTED)
    recording.assert_well_formed()
    machines = recording.urns_of("proxmoxve:index/vmLegacy:VmLegacy")
    assert len(machines) == len(recording.urns_of("pulumi-python:dynamic/k3s:Node")) == len(lab.nodes)
    assert set(recording.exports["applications"]) == set(lab.applications)


def test_the_generated_labs_are_accepted_often_enough_to_mean_something() -> None:
    answers: list[bool] = []

    @settings(max_examples=100)
    @given(labs())
    def count(data: Data) -> None:
        try:
            read_lab(data)
        except LabError:
            answers.append(False)
        else:
            answers.append(True)

    count()
    assert sum(answers) >= 0.3 * len(answers)
    assert not all(answers)


@settings(max_examples=200)
@given(st.one_of(spoiled(), JUNK))
def test_nothing_breaks_the_validator(data: Any) -> None:
    faults: tuple[Fault, ...] = ()
    try:
        read_lab(data)
    except LabError as error:
        faults = error.faults
        assert faults
    assert all(fault.path.startswith("lab") and fault.fix for fault in faults)
