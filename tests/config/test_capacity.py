"""What fits and what does not: machines in hosts, pods in nodes, volumes on disks."""

import io
from typing import Any

import pytest
from rich.console import Console

from config.capacity import Capacity, measure
from config.faults import LabError
from config.rules import read_lab
from config.workloads import ARGOCD, replicated
from lab.plan import tables
from tests.config.labs import changed, of_size, production, smallest


def capacity(data: object) -> Capacity:
    return measure(read_lab(data, measured=False))


def refused(data: object) -> list[str]:
    try:
        read_lab(data)
    except LabError as error:
        return [str(fault) for fault in error.faults]
    return []


def used(data: object, what: str, where: str = "pve") -> tuple[int, int]:
    return next(
        (usage.asked, usage.there) for usage in capacity(data).hosts if usage.where == where and usage.what == what
    )


def test_a_host_gives_its_machines_what_it_does_not_need_itself() -> None:
    assert used(smallest(), "cores") == (2, 32)
    assert used(smallest(), "memory") == (4096, 65536 - 2048)
    assert used(smallest(), "local-lvm") == (32, 1000)


def test_all_disks_of_a_machine_count() -> None:
    data = changed(smallest(), "nodes/0/disks", {"system": 40, "etcd": 16, "longhorn": 100})
    assert used(data | {"storage": {"replicas": 1}}, "local-lvm") == (156, 1000)


@pytest.mark.parametrize(
    ("setting", "what", "spoiled", "cured"),
    [
        ("cpu", "cores", ("nodes/0/cores", 33), 3),
        ("memory", "memory", ("nodes/0/memory", 63_489), 1.5),
        ("disk", "local-lvm", ("nodes/0/disks", {"system": 1001}), 2),
    ],
)
def test_a_machine_that_is_too_large_for_its_host_fits_when_more_may_be_promised(
    setting: str, what: str, spoiled: tuple[str, Any], cured: float
) -> None:
    data = changed(smallest(), *spoiled)
    (fault,) = refused(data)
    assert what in fault
    assert f"raise proxmox.overcommit.{setting}" in fault
    assert refused(changed(data, "proxmox/overcommit", {setting: cured})) == []


def test_a_machine_just_as_large_as_its_host_fits() -> None:
    assert refused(changed(smallest(), "nodes/0/cores", 32)) == []
    assert refused(changed(smallest(), "nodes/0/memory", 63_488)) == []
    assert refused(changed(smallest(), "nodes/0/disks", {"system": 1000})) == []


def test_pods_may_not_ask_for_more_than_the_system_leaves_of_a_node() -> None:
    asked = sum(one.requests.memory * one.replicas for one in replicated(read_lab(smallest())))
    whole = capacity(smallest()).pods[0]
    memory = next(usage for usage in whole.usages if usage.what == "memory")
    assert memory.there == 4096 - 2048
    # A single node takes one pod of each kind; second ones wait for a second node.
    second = sum(requests.memory for replicas, requests in ARGOCD.values() if replicas > 1)
    assert memory.asked == asked - second


def test_copies_of_one_workload_go_to_different_nodes() -> None:
    data = of_size(1, 2, hosts=1)
    data["applications"] = {"a": {"image": "a:1", "replicas": 3, "memory": 2000}}
    # 2000 MiB fit beside nothing else on the server, twice on no agent's rest.
    found = capacity(data).pods[0]
    assert [usage.asked >= 2000 for usage in found.usages if usage.what == "memory"] == [True, True, True]


def test_only_a_lab_with_several_servers_has_to_survive_a_node() -> None:
    assert [placement.lost for placement in capacity(of_size(1, 2, hosts=1)).pods] == [None]
    assert [placement.lost for placement in capacity(of_size(3, 1)).pods] == [
        None,
        "node-1",
        "node-2",
        "node-3",
        "node-4",
    ]


def test_what_fits_as_long_as_every_node_is_there_may_not_fit_without_one() -> None:
    data = of_size(3, 2)
    data["applications"] = {"big": {"image": "a:1", "replicas": 2, "memory": 3000}}
    found = capacity(data).pods
    assert found[0].homeless == ()
    lost_agents = [placement for placement in found if placement.lost in ("node-4", "node-5")]
    assert all(placement.homeless == ("big",) for placement in lost_agents)
    (fault,) = refused(data)
    assert fault.startswith("lab.nodes: when node-4 is lost, no node has room for big")


def test_a_pod_whose_only_volume_is_on_the_lost_node_waits_for_it() -> None:
    data = of_size(3, 3)
    data["storage"] = {}
    for node in data["nodes"][3:]:
        node |= {"memory": 8192, "disks": {"longhorn": 100}}
    data["observability"] = {"logs": {"nodes": 3, "memory": 5000}}
    assert refused(data) == []


def test_a_volume_takes_room_for_each_of_its_copies_each_on_a_disk_of_its_own() -> None:
    data = of_size(3, 2)
    data["storage"] = {"replicas": 2}
    for node in data["nodes"][3:]:
        node["disks"] = {"longhorn": 100}
    data["databases"] = {"mysql": {"volume": 90}}
    assert [usage.asked for usage in capacity(data).volumes[0].usages] == [90, 90]
    assert refused(data) == []
    assert refused(changed(data, "databases/mysql/volume", 91)) == [
        (
            "lab.storage: no disk has room for the volumes of mysql. Fix: make disks.longhorn larger, give more nodes "
            "one, or make volumes or storage.replicas smaller."
        )
    ]


def test_members_that_copy_among_themselves_need_one_volume_each() -> None:
    data = production()
    by_name = {one.name: one for one in replicated(read_lab(data))}
    assert (by_name["mongodb"].replicas, by_name["mongodb"].copies) == (3, 1)
    single = {one.name: one for one in replicated(read_lab(changed(data, "databases/mongodb/members", 1)))}
    assert (single["mongodb"].replicas, single["mongodb"].copies) == (1, 2)


def test_a_copy_is_made_again_elsewhere_when_there_is_a_disk_left_for_it() -> None:
    assert [placement.lost for placement in capacity(production()).volumes] == [
        None,
        "k3s-agent-1",
        "k3s-agent-2",
        "k3s-agent-3",
    ]
    assert [placement.lost for placement in capacity(changed(production(), "storage/replicas", 3)).volumes] == [None]


def shown(data: object) -> str:
    screen = Console(file=io.StringIO(), width=80)
    screen.print(tables(read_lab(data, measured=False)))
    return screen.file.getvalue()  # type: ignore[attr-defined]


def test_the_plan_shows_hosts_nodes_disks_and_every_workload_in_eighty_columns() -> None:
    text = shown(production())
    for expected in ("Machines in hosts", "Pods in nodes", "Volumes on disks", "k3s-agent-1 lost", "elasticsearch"):
        assert expected in text
    (row,) = [line.split() for line in text.splitlines() if line.startswith("pve1") and "local-lvm" in line]
    assert row[2:6] == ["416", "GiB", "600", "GiB"]
    assert row[-1] == "69%"
    assert "…" not in text.partition("Machines in hosts")[2]


def test_the_plan_shows_what_does_not_fit_too() -> None:
    text = shown(changed(smallest(), "nodes/0/disks", {"system": 1500}))
    assert "150%" in text
    assert "Volumes on disks" not in text
