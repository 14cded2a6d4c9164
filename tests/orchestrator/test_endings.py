"""What people are told at the end of a run, and which exit code their scripts see."""

from __future__ import annotations

import signal
import time
from dataclasses import replace

import optuna

from orchestrator import search


def quadratic(trial):
    x = trial.suggest_float("x", -1, 1)
    return x * x


def test_a_run_whose_trials_all_failed_has_failed(cli):
    done = cli("run", "job.py:bad", "-n", 2, "--draw", "none")
    assert done.code == 1
    assert "all trials of the run failed" in done.err


def test_a_run_with_one_success_among_failures_is_done(cli):
    done = cli("run", "job.py:every_third_fails", "-n", 2, "--draw", "none")
    assert done.code == 0, done.err
    assert "1 complete, 1 fail" in done.out


def test_stopping_at_once_says_that_there_is_no_report(cli):
    process = cli.start("run", "job.py:slow", "-n", 3)
    while not (cli.cwd / "began-0").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "Again: stop at once" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "no report was written; 'nano-hpo report' makes one" in said


def test_slots_that_did_not_do_all_of_a_run_are_those_of_its_last_launch():
    summary = search(quadratic, n_trials=3, progress=False)
    assert "last launch" not in str(summary)
    (slot,) = summary.slots
    continued = replace(summary, slots=(replace(slot, n_trials=1),))
    assert "Slots of the last launch:" in str(continued)


def test_a_summary_prints_as_the_command_line_does():
    summary = search(quadratic, n_trials=3, progress=False)
    assert repr(summary) == "<Summary of study 'test_endings-quadratic': 3 trials, 3 complete>"
    lines = str(summary).splitlines()
    assert lines[1] == "Trials:  3 (3 complete)"
    assert max(map(len, lines)) <= 110


def test_a_search_in_this_process_says_what_it_had():
    summary = search(quadratic, n_trials=3, progress=False)
    assert summary.run_dir is None
    (slot,) = summary.slots
    assert slot.problems == ()
    assert slot.got_cpus
    assert slot.n_trials == 3


def test_a_search_with_workers_says_where_its_files_are(tmp_path, capsys):
    summary = search(quadratic, n_trials=2, run_dir=tmp_path / "r", draw="none", progress=True)
    assert summary.run_dir == tmp_path / "r"
    assert (tmp_path / "r" / "trials.csv").exists()
    assert str(tmp_path / "r") in capsys.readouterr().err


def test_an_interrupted_search_in_this_process_says_so(capsys):
    def interrupted(trial):
        if trial.number == 1:
            signal.raise_signal(signal.SIGINT)
        return 0.0

    summary = search(interrupted, n_trials=5)
    assert len(summary.trials) == 2
    assert "stopped by SIGINT after 2 of 5 trials" in capsys.readouterr().err


def test_slots_are_known_although_no_trial_has_ended(cli):
    process = cli.start("run", "job.py:slow", "-n", 2, "--grace", 0, "--draw", "none")
    while not (cli.cwd / "began-0").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=240)
    assert "(got unknown)" not in out
    assert "no pools seen" not in out


def test_topology_divides_by_itself_into_one_slot_a_core(cli):
    done = cli("topology", "--synthetic", "1 4 2", "-p", "auto", "--json")
    assert [slot["pus"] for slot in done.json["slots"]] == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_a_table_of_trials_is_that_of_its_summary_although_others_go_on(storage_url, tmp_path):
    place = {"storage": storage_url, "study_name": "s", "run_dir": tmp_path / "r"}
    summary = search(quadratic, n_trials=3, progress=False, draw="none", **place)
    study = optuna.load_study(study_name="s", storage=storage_url)
    study.optimize(quadratic, n_trials=2)
    frame = summary.trials_dataframe()
    assert list(frame["number"]) == [0, 1, 2]
    assert frame["objective_s"].notna().all()
    assert list(frame["slot"]) == [0, 0, 0]
