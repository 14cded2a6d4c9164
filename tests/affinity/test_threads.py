"""Thread variables: set for the slot, kept where the user set them, checked."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affinity import (
    Binding,
    bind_command,
    format_list,
    limit_loaded_pools,
    read_allowance,
    read_topology,
    thread_variables,
)
from affinity.places import BINDERS, named_pus
from affinity.threads import POOLS


def test_every_pool_gets_the_threads_of_the_slot() -> None:
    settings = thread_variables(4, {})
    for name in ("OMP", "MKL", "OPENBLAS", "BLIS", "NUMEXPR", "NUMBA"):
        assert settings.set[f"{name}_NUM_THREADS"] == "4"
    assert settings.set["TF_NUM_INTRAOP_THREADS"] == "4"
    assert settings.set["TF_NUM_INTEROP_THREADS"] == "1"
    assert (settings.kept, settings.warnings) == ({}, ())
    assert not {"OMP_PROC_BIND", "GOMP_CPU_AFFINITY", "KMP_AFFINITY", "MKL_DYNAMIC"} & settings.set.keys()


@pytest.mark.parametrize(("workers", "left"), [(1, "3"), (4, "1"), (9, "1")])
def test_dataloader_workers_are_taken_off(workers: int, left: str) -> None:
    settings = thread_variables(4, {}, dataloader_workers=workers)
    assert settings.set["OMP_NUM_THREADS"] == left
    assert settings.set["LOKY_MAX_CPU_COUNT"] == "4"
    told = settings.set["NANO_HPO_THREADS"], settings.set["NANO_HPO_DATALOADER_WORKERS"]
    assert told == ("4", str(workers))


@given(st.integers(1, 300), st.integers(0, 300))
def test_all_compute_pools_agree_and_the_others_have_one_thread(threads: int, workers: int) -> None:
    settings = thread_variables(threads, {}, dataloader_workers=workers)
    computing = max(1, threads - workers)
    assert {settings.set[name] for name in POOLS} == {str(computing)}
    assert settings.set["TF_NUM_INTEROP_THREADS"] == "1"
    assert not set(BINDERS) & settings.set.keys()
    assert settings.set.get("KMP_BLOCKTIME") == ("1" if computing > 1 else None)


def test_threads_of_several_pools_do_not_spin_for_long_unless_the_user_says_so() -> None:
    assert thread_variables(4, {}).set["KMP_BLOCKTIME"] == "1"
    assert "KMP_BLOCKTIME" not in thread_variables(4, {"KMP_BLOCKTIME": "infinite"}).set
    assert "KMP_BLOCKTIME" not in thread_variables(4, {}, dataloader_workers=3).set


@pytest.mark.parametrize("how", ["close", "spread"])
def test_openmp_is_bound_when_asked_for_unless_the_user_has_bound_it(how: str) -> None:
    bound = thread_variables(4, {}, omp_bind=how)  # type: ignore[arg-type]
    assert (bound.set["OMP_PROC_BIND"], bound.set["OMP_PLACES"]) == (how, "cores")
    assert not bound.warnings
    for name in BINDERS:
        settings = thread_variables(4, {name: "0"}, omp_bind=how)  # type: ignore[arg-type]
        assert not set(BINDERS) & settings.set.keys()
        assert len(settings.warnings) == 1


@pytest.mark.parametrize(
    ("value", "pus"),
    [
        ("{0,1,2}", {0, 1, 2}),
        ("{0:4}, {8:4}", {0, 1, 2, 3, 8, 9, 10, 11}),
        ("{0:4:2}", {0, 2, 4, 6}),
        ("{0:2}:2:4", {0, 1, 4, 5}),
        ("{0:2}:2", {0, 1, 2, 3}),
        ("{4}:2:-2", {4, 2}),
        ("{0:4,!1}", {0, 2, 3}),
        ("!{0},{1}", {1}),
        ("threads", set()),
        ("sockets(2)", set()),
        ("{}", set()),
        ("{x},{1", set()),
        ("{0:99999999999}", set()),
        ("{0:1:0}", set()),
    ],
)
def test_places_are_read_as_openmp_writes_them(value: str, pus: set[int]) -> None:
    assert named_pus("OMP_PLACES", value) == pus


@given(st.sampled_from(BINDERS), st.text(alphabet="{}[]:,!-0123456789 proclist=", max_size=40))
def test_any_list_of_the_user_is_read_or_left(name: str, value: str) -> None:
    assert all(isinstance(pu, int) for pu in named_pus(name, value))


def test_what_the_user_set_is_kept_and_checked() -> None:
    environ = {
        "OMP_NUM_THREADS": "8,2",
        "MKL_NUM_THREADS": "2",
        "NUMBA_NUM_THREADS": "many",
        "BLIS_NUM_THREADS": " ",
    }
    settings = thread_variables(4, environ)
    assert settings.kept == {
        name: environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    }
    assert not settings.kept.keys() & settings.set.keys()
    assert settings.set["BLIS_NUM_THREADS"] == "4"
    over, garbage = settings.warnings
    assert "OMP_NUM_THREADS=8,2" in over
    assert "4 threads" in over
    assert "NUMBA_NUM_THREADS=many" in garbage


def test_half_of_a_numexpr_pair_is_left_to_the_user() -> None:
    settings = thread_variables(4, {"NUMEXPR_MAX_THREADS": "2"})
    assert "NUMEXPR_NUM_THREADS" not in settings.set


@pytest.mark.parametrize(
    ("name", "value", "outside"),
    [
        ("GOMP_CPU_AFFINITY", "0 2-3", ""),
        ("GOMP_CPU_AFFINITY", "0-6:3", "6"),
        ("KMP_AFFINITY", "granularity=fine,proclist=[0,{5,6}],explicit", "5-6"),
        ("KMP_AFFINITY", "compact,1,0", ""),
        ("OMP_PLACES", "{0,1},{2:2}", ""),
        ("OMP_PLACES", "cores(4)", ""),
        ("OMP_PLACES", "{0},{4}", "4"),
        ("OMP_PLACES", "{0:2}:3:2", "4-5"),
        ("OMP_PROC_BIND", "close", ""),
    ],
)
def test_binders_of_the_user_are_kept_mentioned_and_checked(name: str, value: str, outside: str) -> None:
    settings = thread_variables(4, {name: value}, pus=(0, 1, 2, 3))
    assert settings.kept == {name: value}
    (warning,) = settings.warnings
    assert f"{name}={value}" in warning
    assert (f"PUs {outside} are not in the slot" in warning) == bool(outside)


OPENMP = """
import json, os, sys
import torch
before = sorted(os.sched_getaffinity(0))
torch.ones(1000, 1000) @ torch.ones(1000, 1000)
masks = {}
for task in os.listdir("/proc/self/task"):
    for line in open(f"/proc/self/task/{task}/status"):
        if line.startswith("Cpus_allowed_list"):
            masks[task] = line.split()[1]
print(json.dumps([before, sorted(os.sched_getaffinity(0)), torch.get_num_threads(), sorted(masks.values())]))
"""


def openmp(omp_bind: str | None, workers: int = 0) -> tuple[list[int], list[int], int, list[str]]:
    """What torch's OpenMP makes of it: the main thread's mask at first and after, threads, all masks."""
    topology = read_topology()
    cores = topology.cores_within(read_allowance(topology).pus)
    pus = tuple(pu for core in cores for pu in core.pus)
    binding = Binding(tuple(sorted(pus)), (), len(cores), "none", omp_bind, workers)  # type: ignore[arg-type]
    done = subprocess.run(
        bind_command(binding, [sys.executable, "-c", OPENMP]), capture_output=True, text=True, check=True
    )
    return tuple(json.loads(done.stdout))  # type: ignore[return-value]


def test_a_real_openmp_is_free_in_the_slot_or_bound_to_its_cores_as_asked() -> None:
    topology = read_topology()
    cores = topology.cores_within(read_allowance(topology).pus)
    everything = sorted(pu for core in cores for pu in core.pus)
    _, free, threads, masks = openmp(None)
    assert (free, threads) == (everything, len(cores))
    assert len(set(masks)) == 1
    _, bound, threads, masks = openmp("close")
    assert bound in [list(core.pus) for core in cores]
    assert threads == len(cores)
    assert {format_list(core.pus) for core in cores} <= set(masks)


def test_a_real_openmp_leaves_cores_to_data_loaders() -> None:
    topology = read_topology()
    cores = topology.cores_within(read_allowance(topology).pus)
    assert openmp(None, workers=1)[2] == max(1, len(cores) - 1)


@pytest.mark.parametrize("has_set", [True, False])
def test_torch_that_is_loaded_has_one_inter_op_thread_unless_the_program_has_chosen(has_set: bool) -> None:
    code = f"""
import torch
from affinity import limit_loaded_pools
if {has_set}:
    torch.set_num_interop_threads(2)
limit_loaded_pools()
limit_loaded_pools()
print(torch.get_num_interop_threads())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2" if has_set else "1"]


def test_pools_that_are_not_loaded_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    limit_loaded_pools()
    assert "torch" not in sys.modules
