"""Reading machines: own trees, real snapshots, invented texts, garbage."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import CPU, MACHINES, NODE, OWN, index, machine_root, smt_machine, write_tree

from affinity import (
    AffinityError,
    SyntheticError,
    Topology,
    TopologyError,
    read_allowance,
    read_topology,
    synthetic_topology,
)

DIFFERENCES = {
    # INDEX.tsv follows hwloc, which corrects the kernel from CPUID or drops what looks broken; we say what
    # the kernel says, because that is what its scheduler and its masks act on.
    "64amd64-4s2n4ca2co": {"cores": 32},  # Bulldozer modules: the kernel calls two integer cores siblings
    "64amd64-4p2n4ca2co": {"cores": 32},
    "40intel64-4n10c+pci-conflicts": {"packages": 4, "L3": 4},  # the kernel has the ids 0 to 3
    "16ia64-8n2s": {"packages": 8},  # two CPUs share each physical_package_id
    "8em64t-2s2ca2c-buggynuma": {"numanodes": 8},  # all 8 nodes list all CPUs; node 0 gets them
    "nvidiagpunumanodes": {"numanodes": 8},  # 6 nodes are the memory of GPUs
    "128ia64-17n4s2c": {"numanodes": 17},  # one node has no CPU
    "4fake-4gr1nu1pu": {"cores": 4},  # no siblings told: each PU is a core
    "2ps3-2t": {"packages": 1},  # none told: one, numbered -1
}


def counts(topology: Topology) -> dict[str, int]:
    return {
        "packages": len(topology.packages),
        "numanodes": len(topology.numa_nodes),
        "cores": len(topology.cores),
        "PUs": len(topology.pus),
    }


def consistent(topology: Topology) -> None:
    """What Topology promises."""
    assert [core.index for core in topology.cores] == list(range(len(topology.cores)))
    everything = sorted(pu for core in topology.cores for pu in core.pus)
    assert tuple(everything) == topology.pus
    assert len(set(everything)) == len(everything)
    for groups, field in (
        ({one.index: one.pus for one in topology.packages}, "package"),
        ({one.os_index: one.pus for one in topology.numa_nodes}, "numa_node"),
        ({one.index: one.pus for one in topology.llcs}, "llc"),
        ({one.index: one.pus for one in topology.kinds}, "kind"),
    ):
        assert sorted(pu for pus in groups.values() for pu in pus) == everything
        for core in topology.cores:
            assert set(core.pus) <= set(groups[getattr(core, field)])
    assert not set(topology.offline) & set(everything)


OWN_COUNTS = {
    "smt": {"packages": 2, "numanodes": 2, "cores": 4, "PUs": 8, "smt": 2, "L3": 2},
    "old": {"packages": 1, "numanodes": 1, "cores": 2, "PUs": 3, "smt": 2, "L3": 1},
    "odd": {"packages": 1, "numanodes": 4, "cores": 3, "PUs": 4, "smt": 2, "L3": 2},
    "hybrid": {"packages": 1, "numanodes": 1, "cores": 6, "PUs": 8, "smt": 2, "L3": 1},
    "caged": {"packages": 2, "numanodes": 2, "cores": 4, "PUs": 8, "smt": 2, "L3": 2},
    "far": {"packages": 1, "numanodes": 3, "cores": 2, "PUs": 2, "smt": 1, "L3": 1},
}
ALLOWED = {
    "caged": (3, (1,)),
    "16amd64-4n4c-cgroup-distance-merge": (4, (2, 3)),
    "16em64t-4s2ca2c-cpusetreorder": (11, (0,)),
    "4fake-4gr1nu1pu": (2, (0, 2)),
    "nvidiagpunumanodes": (16, (0,)),  # hwloc reads cpuset.cpus, the kernel uses effective_cpus: 0-87
}
"""Where a cpuset says less than the whole machine: how many PUs, and the memory nodes."""


def expected_counts(name: str) -> dict[str, int]:
    """What is known of a machine; a snapshot's row of INDEX.tsv may leave SMT and L3 out."""
    if name in OWN:
        return OWN_COUNTS[name]
    row = index()[name]
    told = {key: int(row[key]) for key in ("packages", "numanodes", "cores", "PUs")}
    told |= {"smt": int(row["smt"])} if row["smt"].isdigit() else {}
    told |= {"L3": int(row["L3"])} if int(row["L3"]) > 0 else {}
    return told | DIFFERENCES.get(name, {})


@pytest.mark.parametrize("name", MACHINES)
def test_own_and_real_machines_have_the_counts_that_are_known(name: str, tmp_path: Path) -> None:
    """The real ones only where their snapshots are at hand: pytest's header says whether they are."""
    topology = read_topology(machine_root(name, tmp_path))
    consistent(topology)
    found = counts(topology) | {"smt": topology.smt, "L3": len(topology.llcs)}
    expected = expected_counts(name)
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("name", MACHINES)
def test_cpusets_of_own_and_real_machines_are_honoured(name: str, tmp_path: Path) -> None:
    """The real ones only where their snapshots are at hand: pytest's header says whether they are."""
    root = machine_root(name, tmp_path)
    topology = read_topology(root)
    allowance = read_allowance(topology, root)
    pus, nodes = ALLOWED.get(name, (len(topology.pus), None))
    assert len(allowance.pus) == pus
    assert nodes in (None, allowance.memory_nodes)


def test_a_plain_server_is_read_in_full(tmp_path: Path) -> None:
    topology = read_topology(write_tree(tmp_path, smt_machine()))
    assert [core.pus for core in topology.cores] == [(0, 4), (1, 5), (2, 6), (3, 7)]
    assert [core.numa_node for core in topology.cores] == [0, 0, 1, 1]
    assert [(llc.pus, llc.size_kib) for llc in topology.llcs] == [
        ((0, 1, 4, 5), 16384),
        ((2, 3, 6, 7), 16384),
    ]
    assert [(node.memory_mib, node.distances) for node in topology.numa_nodes] == [
        (8192, (10, 21)),
        (8192, (21, 10)),
    ]
    assert (topology.smt, topology.cpu_model, topology.kinds[0].name) == (2, "Example 9000", "any")


def test_a_sysfs_alone_is_read_too(tmp_path: Path) -> None:
    write_tree(tmp_path, smt_machine())
    assert read_topology(tmp_path / "sys").cores == read_topology(tmp_path).cores


def test_masks_nul_bytes_and_offline_cpus_of_old_kernels(tmp_path: Path) -> None:
    topology = read_topology(write_tree(tmp_path, OWN["old"]()))
    assert [core.pus for core in topology.cores] == [(0, 2), (1,)]
    assert topology.offline == (3,)
    assert topology.packages[0].index == -1
    assert [node.os_index for node in topology.numa_nodes] == [0]
    assert len(topology.llcs) == 1


def test_the_online_list_and_the_online_files_hold(tmp_path: Path) -> None:
    files = smt_machine() | {f"{CPU}/online": "0-6\n", f"{CPU}/cpu2/online": "0\n"}
    topology = read_topology(write_tree(tmp_path, files))
    assert topology.offline == (2, 7)
    assert [core.pus for core in topology.cores] == [(0, 4), (1, 5), (3,), (6,)]


def test_a_core_of_two_nodes_is_not_split_and_sparse_nodes_keep_their_numbers(tmp_path: Path) -> None:
    topology = read_topology(write_tree(tmp_path, OWN["odd"]()))
    assert [(node.os_index, node.pus, node.memory_mib) for node in topology.numa_nodes] == [
        (0, (0, 2, 3), 1024),
        (2, (1,), 0),
        (5, (), 2048),
        (8, (), 2048),
    ]


def test_a_core_lies_in_the_node_of_most_of_its_pus(tmp_path: Path) -> None:
    files = {f"{CPU}/cpu{pu}/topology/core_cpus_list": "0-2" for pu in range(3)}
    files |= {f"{NODE}/node0/cpulist": "0", f"{NODE}/node1/cpulist": "1-2"}
    (core,) = read_topology(write_tree(tmp_path, files)).cores
    assert core.numa_node == 1


def test_a_cache_whose_map_is_empty_belongs_to_its_pu(tmp_path: Path) -> None:
    files = {name: text for name, text in smt_machine().items() if "shared_cpu_list" not in name}
    topology = read_topology(write_tree(tmp_path, files))
    assert [llc.pus for llc in topology.llcs] == [core.pus for core in topology.cores]


def test_instruction_and_first_level_caches_are_no_llc(tmp_path: Path) -> None:
    files = {name: text for name, text in smt_machine().items() if "index3" not in name}
    for pu in range(8):
        files |= {f"{CPU}/cpu{pu}/cache/index2/level": "2", f"{CPU}/cpu{pu}/cache/index2/type": "Instruction"}
        files[f"{CPU}/cpu{pu}/cache/index2/shared_cpu_list"] = str(pu)
    topology = read_topology(write_tree(tmp_path, files))
    assert [llc.pus for llc in topology.llcs] == [(0, 1, 4, 5), (2, 3, 6, 7)]


@pytest.mark.parametrize(
    ("capacities", "kinds"),
    [
        ([1024] * 8, ["any"]),
        ([1024, 1000, 980, 960] * 2, ["any"]),
        ([1024, 1024, 400, 400] * 2, ["performance", "efficient"]),
        ([1024, 700, 400, 400] * 2, ["performance", "efficient", "efficient"]),
    ],
)
def test_core_kinds_follow_cpu_capacity(capacities: list[int], kinds: list[str], tmp_path: Path) -> None:
    files = smt_machine() | {f"{CPU}/cpu{pu}/cpu_capacity": str(one) for pu, one in enumerate(capacities)}
    assert [kind.name for kind in read_topology(write_tree(tmp_path, files)).kinds] == kinds


def test_core_kinds_follow_base_frequency_last(tmp_path: Path) -> None:
    files = smt_machine()
    for pu in range(8):
        files[f"{CPU}/cpu{pu}/cpufreq/base_frequency"] = "3200000" if pu % 4 == 2 else "2400000"
    kinds = read_topology(write_tree(tmp_path, files)).kinds
    assert [(kind.name, kind.pus) for kind in kinds] == [
        ("performance", (2, 6)),
        ("efficient", (0, 1, 3, 4, 5, 7)),
    ]


def test_a_folder_without_cpus_is_one_clear_line(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(TopologyError, match=r"No CPUs under .*sys/devices/system/cpu"):
            read_topology(folder)


FUZZ_FILES = sorted({*smt_machine(), *OWN["odd"](), *OWN["old"](), "proc/self/cgroup", "proc/mounts"})
GARBAGE = st.sampled_from(
    ["", "\0", "-1", "0-", "x" * 99, "999999999999", "0-1048575", "7-0", "\xff\xfe", "1,,2", "ffffffff"]
)


@given(
    st.dictionaries(st.sampled_from(FUZZ_FILES), GARBAGE | st.text(max_size=8), max_size=25), st.booleans()
)
@settings(max_examples=40)
def test_garbage_files_raise_nothing_but_affinity_errors(
    tmp_path_factory: pytest.TempPathFactory, garbage: dict[str, str], whole: bool
) -> None:
    root = write_tree(tmp_path_factory.mktemp("fuzz"), (smt_machine() if whole else {}) | garbage)
    try:
        topology = read_topology(root)
    except AffinityError:
        return
    consistent(topology)
    assert set(read_allowance(topology, root).pus) <= set(topology.pus)


def test_folders_where_files_should_be_raise_nothing(tmp_path: Path) -> None:
    files = {name: text for name, text in smt_machine().items() if "distance" not in name}
    root = write_tree(tmp_path, files)
    for name in (f"{NODE}/node0/distance", "proc/self/cgroup", f"{CPU}/cpu0/online"):
        (root / name).mkdir(parents=True)
    assert read_topology(root).numa_nodes[0].distances == ()


def test_numbers_mean_packages_cores_and_pus() -> None:
    assert counts(synthetic_topology("2 8 2")) == {"packages": 2, "numanodes": 2, "cores": 16, "PUs": 32}
    assert counts(synthetic_topology("2 8")) == {"packages": 2, "numanodes": 2, "cores": 16, "PUs": 16}
    assert counts(synthetic_topology("8")) == {"packages": 1, "numanodes": 1, "cores": 8, "PUs": 8}
    assert synthetic_topology("2 2 2").cores[1].pus == (1, 5)


def test_labels_mean_what_they_say() -> None:
    topology = synthetic_topology("pack:2 numa:2 l3:3 core:4 pu:2")
    consistent(topology)
    assert counts(topology) == {"packages": 2, "numanodes": 4, "cores": 48, "PUs": 96}
    assert len(topology.llcs) == 12
    assert topology.numa_nodes[0].distances == (10, 12, 21, 21)
    assert counts(synthetic_topology("numa:2 core:3"))["numanodes"] == 2


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("2 x 2", "x"),
        ("2 0", "0"),
        ("1 2 3 4", "4"),
        ("pack:2 cpu:2", "cpu:2"),
        ("core:2 pack:1", "pack:1"),
        ("core:2 core:2", "core:2"),
        ("core:", "core:"),
        ("core:2 3", "3"),
        ("9999 9999", "9999 9999"),
        ("-1", "-1"),
        ("", ""),
    ],
)
def test_bad_texts_name_the_token(text: str, token: str) -> None:
    with pytest.raises(SyntheticError, match=f"^'{token}'"):
        synthetic_topology(text)


def test_this_machine_is_consistent() -> None:
    consistent(read_topology())
