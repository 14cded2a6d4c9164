"""Why slots are as they are: the same figures in words, in a table and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ugly import machines

from affinity import Allowance, Choices, Topology, explain, synthetic_topology, unrestricted
from affinity.explain import alternatives
from affinity.shim import main


@given(machines(), st.data())
@settings(max_examples=100)
def test_each_slot_is_explained_and_each_policy_compared(
    machine: tuple[Topology, Allowance], data: st.DataObject
) -> None:
    topology, allowance = machine
    choices = Choices(policy=data.draw(st.sampled_from(("auto", "balanced", "local"))))
    n = data.draw(st.integers(1, len(topology.cores_within(allowance.pus))))
    divided = choices.divide(topology, allowance, n)
    lines = explain(topology, allowance, choices, divided)
    for slot in divided.slots:
        (line,) = [line for line in lines if line.startswith(f"  slot {slot.index}:")]
        assert ("crosses" in line) == (len(slot.numa_nodes) > 1)
        assert ("LLCs (" in line) == (len(slot.llcs) > 1)
        assert ("fewer than" in line) == any(len(one.cores) > len(slot.cores) for one in divided.slots)
    compared = alternatives(topology, allowance, choices, divided)
    (taken,) = [one for one in compared if one["chosen"]]
    assert taken["policy"] == divided.policy
    assert (taken["crossings"], taken["llc_splits"]) == (divided.crossings, divided.llc_splits)
    assert taken["imbalance"] == divided.imbalance
    for one in compared:
        other = replace(choices, policy=one["policy"]).divide(topology, allowance, n)
        assert (one["crossings"], one["imbalance"]) == (other.crossings, other.imbalance)


def test_what_a_crossing_costs_and_what_the_other_policy_would_give() -> None:
    topology = synthetic_topology("2 3")
    everything, choices = unrestricted(topology), Choices(policy="balanced")
    text = "\n".join(explain(topology, everything, choices, choices.divide(topology, everything, 3)))
    assert "Why: balanced was asked for.  (6 PUs)" in text
    assert "slot 0: 2 cores in NUMA node 0, LLC 0; costs nothing." in text
    assert "slot 1: 2 cores across NUMA nodes 0-1, 2 LLCs; it crosses 1 NUMA node boundary, spans 2" in text
    rows = [line.split() for line in text.splitlines()[-2:]]
    assert rows == [
        ["balanced", "(taken)", "1", "1", "0", "2", "none"],
        ["local", "0", "0", "2", "1-3", "none"],
    ]


def test_a_policy_that_cannot_do_it_says_why() -> None:
    topology = synthetic_topology("2 5")
    everything, choices = unrestricted(topology), Choices(cores_per_slot=3)
    lines = explain(topology, everything, choices, choices.divide(topology, everything, 3))
    assert lines[-1].startswith("  local: 3 slots of 3 cores need 9 without crossing NUMA nodes")


def test_shared_cores_are_named() -> None:
    topology = synthetic_topology("2")
    everything, choices = unrestricted(topology), Choices(oversubscribe=True)
    lines = explain(topology, everything, choices, choices.divide(topology, everything, 4))
    assert sum("shares its core with 1 slot." in line for line in lines) == 4


def test_the_explanation_is_shown_and_given_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["show", "--synthetic", "2 3 2", "--slots", "auto", "--cores-per-slot", "2", "--smt", "off"]
    assert main([*words, "--explain"]) == 0
    shown = capsys.readouterr().out
    assert "SMT siblings idle" in shown
    assert "What each policy gives:" in shown
    assert main([*words, "--explain", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["policy"] for one in told["alternatives"]] == ["balanced", "local"]
    assert (len(told["slots"]), told["idle_pus"]) == (3, [])
    assert all(len(slot["pus"]) == 2 for slot in told["slots"])
