"""Objectives that misbehave: each fault is the trial's own, said in its log, and costs no worker."""

from __future__ import annotations

import json

import pytest

HOSTILE = """
import os, sys
calls = {"n": 0}

class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")

def leaves(trial): sys.exit(3)
def interrupts(trial): raise KeyboardInterrupt
def too_large(trial): return 10**400
def unspeakable(trial): raise Unspeakable
def surrogate(trial): raise ValueError("bad \\udc80")
def byte(trial): return b"a"
def two(trial): return 1, 2
def dies(trial): os._exit(0)
def crashes(trial): os.kill(os.getpid(), 11)
def long_attribute(trial):
    trial.set_user_attr("text", "x" * 70_000)
    return 1.0
def strange_attribute(trial):
    trial.set_user_attr("text", "bad \\udc80")
    trial.report(float("inf"), 0)
    return float("inf")
a, objective = 1, lambda trial: 2.0
"""


@pytest.fixture
def hostile(cli):
    (cli.cwd / "hostile.py").write_text(HOSTILE)
    return cli


def the_log(cli) -> str:
    return "".join(path.read_text() for path in cli.cwd.glob("nano-hpo-runs/*/run-001/logs/*.log"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("leaves", "SystemExit: 3"),
        ("interrupts", "KeyboardInterrupt"),
        ("too_large", "not a number"),
        ("unspeakable", "Unspeakable"),
        ("surrogate", "bad \\udc80"),
        ("byte", "returned b'a', not a number"),
        ("two", "returned 2 values, not 1: one for each direction"),
    ],
)
def test_a_fault_of_the_objective_fails_its_trial_and_no_worker_is_lost(hostile, name, said):
    done = hostile("run", f"hostile.py:{name}", "-n", 2, "--draw", "html", "--json")
    assert done.code == 1, done.err
    assert done.json["counts"] == {"FAIL": 2}
    assert said in done.err
    assert said in the_log(hostile)
    assert sum(slot["n_lost"] for slot in done.json["slots"]) == 0


def test_an_attribute_too_long_for_the_database_fails_its_trial(hostile, mariadb):
    url = mariadb.create_database()
    done = hostile("run", "hostile.py:long_attribute", "-n", 2, "--storage", url, "--draw", "none", "--json")
    assert done.json["counts"] == {"FAIL": 2}
    assert "Data too long" in done.err
    assert sum(slot["n_lost"] for slot in done.json["slots"]) == 0


def test_text_that_is_no_unicode_and_values_that_are_no_json_reach_the_files(hostile):
    done = hostile(
        "run", "hostile.py:strange_attribute", "-n", 1, "--draw", "html", "--run-dir", "r", "--json"
    )
    assert done.code == 0, done.err
    assert done.json["best_trials"][0]["values"] == ["inf"]

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    for file in ("summary.json", "trials.json"):
        json.loads((hostile.cwd / "r" / file).read_text(), parse_constant=refuse)


@pytest.mark.parametrize(("name", "how"), [("crashes", "SIGSEGV"), ("dies", "exit status 0")])
def test_a_run_whose_workers_only_die_stops_and_says_so(hostile, name, how):
    done = hostile("run", f"hostile.py:{name}", "-n", 30, "--draw", "none", "--json")
    assert done.code == 1
    assert "5 trials all failed alike (" in done.err
    assert how in done.err
    assert sum(done.json["counts"].values()) < 30
    assert "RUNNING" not in done.json["counts"]


def test_a_sampler_that_fails_when_it_samples_fails_the_trials_with_its_reason(hostile):
    words = ("--sampler-arg", "n_startup_trials=0", "--sampler-arg", "n_ei_candidates=many")
    words += ("--draw", "none", "--json")
    done = hostile("run", "job.py:quadratic", "-n", 8, *words)
    assert done.code == 1
    assert "all failed alike (ValueError" in done.err


def test_a_name_bound_beside_others_is_an_objective(hostile):
    assert hostile("run", "hostile.py", "-n", 1, "--draw", "none").code == 0
