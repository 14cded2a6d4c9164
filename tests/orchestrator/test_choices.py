"""How a machine is divided, chosen by options and from Python: the same everywhere, and by all ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from affinity import Allowance, Choices, Topology, parse_list, synthetic_topology, unrestricted
from launchers import Rank
from orchestrator import machine, search
from orchestrator.errors import SpecError
from orchestrator.spec import RunSpec

CORES = len(os.sched_getaffinity(0))
two_cores = pytest.mark.skipif(CORES < 2, reason="one core cannot be divided")

TELLS = """
import json, os, subprocess, sys
from pathlib import Path

def objective(trial):
    names = ("OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_PLACES", "KMP_BLOCKTIME", "NANO_HPO_DATALOADER_WORKERS")
    code = "from affinity import get_policy; print(get_policy()[0])"
    inherited = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    told = {name: os.environ.get(name) for name in names} | {"policy": inherited}
    Path(f"told-{trial.number}").write_text(json.dumps(told))
    return 0.0
"""


@pytest.fixture
def told(cli):
    """Runs a search with these options: what its first trial found, its slots, what was said."""

    def run(*options):
        (cli.cwd / "tells.py").write_text(TELLS)
        done = cli("run", "tells.py", "-n", 1, "--draw", "none", "--json", *options)
        assert done.code == 0, done.err
        return json.loads((cli.cwd / "told-0").read_text()), done.json["slots"], done.err

    return run


def test_a_trial_finds_what_was_chosen_and_so_do_its_children(told):
    found, _, said = told(
        *("--mem-policy", "interleave", "--omp-bind", "close", "--dataloader-workers", 1, "--explain")
    )
    assert (found["OMP_PROC_BIND"], found["OMP_PLACES"]) == ("close", "cores")
    assert found["NANO_HPO_DATALOADER_WORKERS"] == "1"
    assert found["OMP_NUM_THREADS"] == str(max(1, CORES - 1))
    assert found["policy"] in ("interleave", "default", "unknown")  # a container may forbid it
    assert "narrows the main thread to one core" in said
    assert "What each policy gives:" in said
    assert "slot 0: " in said


def test_a_trial_finds_nothing_bound_when_nothing_was_chosen(told, cli):
    cli.env["NANO_HPO_DATALOADER_WORKERS"] = "1"
    found, _, said = told("--mem-policy", "none")
    assert found["OMP_PROC_BIND"] is None
    assert found["policy"] in ("default", "unknown")
    assert found["NANO_HPO_DATALOADER_WORKERS"] == "1"
    assert "Why:" not in said


def test_a_list_of_cpus_that_the_user_set_is_checked_before_the_run(told, cli):
    cli.env["KMP_AFFINITY"] = "explicit,proclist=[0-9999]"
    _, _, said = told("--mem-policy", "none")
    assert said.count("KMP_AFFINITY=explicit,proclist=[0-9999] was kept, but PUs") == 1


@two_cores
@pytest.mark.parametrize(
    "options",
    [
        ("--cores-per-slot", 1),
        ("--reserve", 1),
        pytest.param(("--exclude", str(max(os.sched_getaffinity(0)))), marks=pytest.mark.long),
        pytest.param(("--smt", "off", "--core-kind", "performance"), marks=pytest.mark.long),
    ],
    ids=lambda options: options[0],
)
def test_the_verbs_divide_alike(cli, told, options):
    plan = cli("topology", "-p", "auto", "--json", *options).json
    _, slots, _ = told("-p", "auto", *options)
    assert [parse_list(slot["cpus"]) for slot in slots] == [tuple(slot["pus"]) for slot in plan["slots"]]
    assert [parse_list(slot["got_cpus"] or slot["cpus"]) for slot in slots] == [
        tuple(slot["pus"]) for slot in plan["slots"]
    ]
    code = "import os; print(sorted(os.sched_getaffinity(0)))"
    done = cli("bind", "-p", "auto", "--slot", 0, *options, "--", sys.executable, "-c", code)
    assert (done.code, done.out) == (0, f"{plan['slots'][0]['pus']}\n")


def test_a_core_that_stays_idle_is_said(cli):
    done = cli("topology", "--synthetic", "7", "-p", "auto", "--cores-per-slot", 3)
    assert "Warning: 1 of 7 cores stays idle (PUs 0): 2 slots of 3 cores." in done.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--reserve", 10**6), "reserved cores leave none"),
        (("--reserve", -1), "reserve is -1"),
        (("--cores-per-slot", 10**6), "none such fit"),
        (("--exclude", "0-9999"), "Nothing is left to be divided"),
        (("--exclude", "all"), "exclude is 'all'"),
        (("--dataloader-workers", -1), "dataloader_workers is -1"),
        (("--core-kind", "efficient"), "no efficient core"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_is_refused_in_one_line(cli, options, words):
    done = cli("topology", "-p", 1, *options)
    assert done.code == 2, done.out
    assert words in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("width", [1, "auto"])
@pytest.mark.parametrize(
    "words", [("run", "job.py:empty", "-n", 1), ("bind", "--slot", 0)], ids=lambda words: words[0]
)
def test_the_other_verbs_refuse_likewise_and_write_nothing(cli, words, width):
    done = cli(*words, "-p", width, "--reserve", 10**6, *(("--", "true") if words[0] == "bind" else ()))
    assert done.code == 2, done.out
    assert "reserved cores leave none" in done.err
    assert done.err.count("\n") == 1
    assert not (cli.cwd / "nano-hpo-runs").exists()


def test_a_wrong_environment_variable_is_named(cli):
    cli.env["NANO_HPO_DATALOADER_WORKERS"] = "some"
    done = cli("topology", "-p", 1)
    assert (done.code, "NANO_HPO_DATALOADER_WORKERS is 'some'" in done.err) == (2, True)


def test_python_chooses_by_the_same_words():
    quiet = {"n_trials": 1, "progress": False, "draw": "none"}
    for wrong, words in (
        ({"reserve": 10**6, "n_parallels": 2}, "reserved cores leave none"),
        ({"reserve": 10**6, "n_parallels": "auto"}, "reserved cores leave none"),
        ({"exclude": "x"}, "exclude is 'x'"),
        ({"smt": "off"}, "smt is 'off'"),
        ({"cores_per_slot": 10**6, "n_parallels": "auto"}, "none such fit"),
        ({"mem_policy": "near"}, "mem_policy is 'near'"),
        ({"dataloader_workers": -1}, "dataloader_workers is -1"),
    ):
        with pytest.raises(SpecError, match=words):
            search(lambda trial: 0.0, **quiet, **wrong)


def test_how_a_machine_is_divided_is_not_part_of_what_a_run_is():
    plain = RunSpec("f", "s", n_trials=1)
    chosen = Choices(reserve=2, cores_per_slot=3, smt=False, exclude=(1,), omp_bind="close")
    other = RunSpec("f", "s", n_trials=1, choices=chosen, explain=True)
    assert plain.identity_hash() == other.identity_hash()
    assert other.differences(json.loads(json.dumps(plain.as_json()))) == []
    assert json.loads(json.dumps(other.as_json()))["choices"]["exclude"] == [1]


# A larger machine, and several ranks


def rank(index: int, size: int) -> Rank:
    return Rank(index, size, index, size, "slurm")


@pytest.fixture
def larger(monkeypatch) -> Topology:
    topology = synthetic_topology("pack:2 numa:2 l3:2 core:4 pu:2")

    def allowed(_: Topology, mask: object = None) -> Allowance:
        return unrestricted(topology)

    monkeypatch.setattr(machine, "read_topology", lambda: topology)
    monkeypatch.setattr(machine, "read_allowance", allowed)
    return topology


@pytest.mark.parametrize(
    "choices",
    [
        Choices(),
        Choices(reserve=3),
        Choices(smt=False, exclude=(0, 9)),
        Choices(cores_per_slot=3),
        Choices(cores_per_slot=5, policy="balanced", reserve=1),
        Choices(policy="local", reserve=2),
        Choices(mem_policy="bind", omp_bind="spread", dataloader_workers=2),
    ],
    ids=["plain", "reserve", "excluded", "size", "size 5", "local", "bound"],
)
@pytest.mark.parametrize(("n_ranks", "n_parallels"), [(1, 4), (2, 2), (3, 1), (4, 1)])
def test_ranks_that_cannot_talk_divide_a_machine_alike(larger, choices, n_ranks, n_parallels):
    spec = RunSpec("f", "s", n_trials=1, n_parallels=n_parallels, choices=choices)
    shares = [machine.read_share(spec, rank(index, n_ranks), {}) for index in range(n_ranks)]
    assert len({share.partition for share in shares}) == 1
    slots = [slot for share in shares for slot in share.slots]
    assert tuple(slots) == shares[0].partition.slots
    used = [pu for slot in slots for pu in slot.pus]
    assert len(set(used)) == len(used)


def test_auto_is_as_many_as_fit_for_each_rank(larger, monkeypatch):
    for n_ranks, choices, wanted in (
        (1, Choices(), 32),
        (1, Choices(cores_per_slot=3), 10),
        (1, Choices(cores_per_slot=3, policy="local"), 8),
        (3, Choices(cores_per_slot=3), 3),
        (2, Choices(reserve=3), 14),
        (1, Choices(cores_per_slot=99), 1),  # which is then refused with the numbers
    ):
        monkeypatch.setattr(machine, "read_rank", lambda environ, n=n_ranks: rank(0, n))
        assert machine.most_parallels(choices, {}) == wanted


def test_a_small_machine_may_submit_what_a_larger_one_will_run(cli):
    done = cli("submit", "--dry-run", "--", "run", "job.py:empty", "-n", 1, "--cores-per-slot", 999)
    assert done.code == 0, done.err


# Elsewhere than on Linux

MAC = """
import sys, sysconfig
sysconfig.get_config_vars()  # it is of the real system
import psutil
del psutil.Process.cpu_affinity  # as psutil is on macOS
sys.platform = "darwin"
"""


def test_a_system_that_cannot_bind_runs_a_search_with_thread_counts(told, cli):
    (cli.cwd / "sitecustomize.py").write_text(MAC)
    cli.env["PYTHONPATH"] = str(cli.cwd)
    found, slots, said = told("-p", 2, "--oversubscribe")
    assert said.count("(darwin) binds no processes to cores") == 1
    assert len(slots) == 2
    assert found["OMP_NUM_THREADS"] == str(slots[0]["threads"])
    assert {tuple(parse_list(slot["got_cpus"])) for slot in slots if slot["got_cpus"]} <= {
        tuple(sorted(os.sched_getaffinity(0)))
    }


def test_a_rank_alone_on_such_a_system_has_slots_and_a_line():
    code = (
        MAC
        + """
from launchers import ALONE
from orchestrator.machine import read_share
from orchestrator.spec import RunSpec
share = read_share(RunSpec("f", "s", n_trials=1), ALONE, {})
print(len(share.slots), share.slots[0].threads == len(share.topology.cores), len(share.notes))
"""
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1 True 1\n"
