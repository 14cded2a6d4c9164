"""An allocation that ends: what still begins before it, what becomes of what runs, how the run goes on."""

from __future__ import annotations

import math
import signal
import sqlite3
import time
from contextlib import closing

import pytest

from launchers import AllocationEnd
from orchestrator import search
from orchestrator.agent.forecast import USUAL, Forecast
from orchestrator.agent.walltime import Walltime
from orchestrator.errors import RunFailed, SpecError
from orchestrator.spec import RunSpec

TRIALS = """
import os, time
from pathlib import Path

def waits(trial):
    x = trial.suggest_float("x", 0, 1)
    if trial.number < int(os.environ.get("LAST", 0)):
        return x
    time.sleep(2)
    Path("ask").write_text(os.environ.get("LEFT", ""))
    Path(f"began-{trial.number}").touch()
    while not os.environ.get("FREE") and not (os.environ.get("OBEYS") and trial.study.is_stopping):
        time.sleep(0.02)
    time.sleep(1)  # squeue has been asked by then
    return x
"""


# What a trial takes


def test_of_too_few_durations_nothing_is_told():
    forecast = Forecast()
    forecast.saw([1.0, 2.0])
    assert forecast.takes_s(USUAL) is None
    forecast.saw([3.0])
    assert forecast.takes_s(USUAL) == 3.0


def test_one_slow_trial_in_a_hundred_does_not_count():
    forecast = Forecast()
    forecast.saw([500.0, *range(1, 100)])
    assert forecast.takes_s(USUAL) == 90.0


def test_no_trial_takes_longer_than_its_limit():
    forecast = Forecast(limit_s=20.0)
    forecast.saw([30.0, 30.0, 30.0])
    assert forecast.takes_s(USUAL) == 20.0


# What still fits


def made(walltime_s, **settings) -> Walltime:
    return Walltime(RunSpec("f", "s", n_trials=9, walltime_s=walltime_s, **settings), {})


def test_without_an_end_everything_may_begin():
    for walltime in (made("auto"), made("none")):
        assert not walltime.may_end
        assert walltime.may_begin()
        assert walltime.notice_at_s == math.inf
        assert not walltime.is_short()


def test_before_the_end_there_is_time_for_grace_and_report():
    walltime = made(3600.0, grace_s=40.0)
    assert walltime.end is not None
    assert walltime.end.at_s - walltime.release_at_s == 30.0
    assert walltime.release_at_s - walltime.notice_at_s == pytest.approx(40.0)


def test_of_a_short_time_a_part_is_left_for_trials():
    walltime = made(60.0)
    assert walltime.end is not None
    assert walltime.end.at_s - walltime.notice_at_s == pytest.approx(25.0)


def test_a_trial_begins_as_long_as_most_would_finish():
    walltime = made(1000.0, grace_s=70.0)
    assert walltime.may_begin()
    walltime.saw([1.0] * 8 + [850.0] * 2)
    assert walltime.may_begin()
    assert walltime._first_s is not None
    walltime._first_s -= 100.0
    walltime.end = AllocationEnd(time.monotonic() + 940.0, "squeue")
    assert not walltime.may_begin()
    assert walltime.why_not().startswith("the allocation ends at ")
    assert walltime.why_not().endswith("(squeue), and 90% of trials take up to 14 min 10 s")


def test_where_no_trial_ever_fits_they_begin_all_the_same():
    walltime = made(100.0)
    walltime.saw([500.0] * 5)
    assert walltime.may_begin()


@pytest.mark.parametrize("value", [0, -1.0, math.inf, "soon", True])
def test_a_walltime_that_is_none_is_refused(value):
    with pytest.raises(SpecError, match="walltime"):
        RunSpec("f", "s", n_trials=1, walltime_s=value)


def test_the_walltime_is_no_part_of_a_runs_identity():
    one, other = (RunSpec("f", "s", n_trials=1, walltime_s=value) for value in (10.0, "none"))
    assert one.identity_hash() == other.identity_hash()
    assert "asked_s" not in one.as_json()


# Runs


@pytest.fixture
def jobs(cli):
    """Job 7, whose squeue answers when the file ``ask`` is there, with what is in it."""
    (cli.cwd / "trials.py").write_text(TRIALS)
    squeue = cli.cwd / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text(f"#!/bin/sh\ncd '{cli.cwd}'\nwhile [ ! -s ask ]; do sleep 0.05; done\ncat ask\n")
    squeue.chmod(0o755)
    cli.env |= {"SLURM_JOB_ID": "7", "PATH": f"{squeue.parent}:{cli.env['PATH']}"}
    cli.env.pop("SLURM_JOB_END_TIME", None)
    return cli


def words(name: str, n_trials: int, *more: object) -> tuple[object, ...]:
    return ("run", f"trials.py:{name}", "-n", n_trials, "--draw", "none", "--json", "--run-dir", "run", *more)


def trials(jobs) -> list[dict]:
    return jobs("trials", "--json", "--storage", f"sqlite:///{jobs.cwd}/run/study.db").json


def test_what_runs_at_the_end_is_released_and_the_same_command_goes_on(jobs):
    jobs.env |= {"LAST": "3", "LEFT": "0:01"}
    first = jobs(*words("waits", 6, "--grace", 0.5))
    assert first.code == 75, first.err
    assert first.json["counts"] == {"COMPLETE": 3, "WAITING": 1}
    assert first.json["attempts"]["causes"] == {"preempted": 1, "returned": 3}
    assert "(squeue). The same command goes on" in first.err
    before = trials(jobs)

    # 20 minutes with half a minute for the report; when the second trial would begin, a second is missing.
    with closing(sqlite3.connect(jobs.cwd / "run" / "study.db")) as database, database:
        database.execute("update nano_attempts set objective_s = 1171 where objective_s is not null")
    (jobs.cwd / "ask").unlink()
    jobs.env |= {"LEFT": "20:00", "FREE": "1"}
    second = jobs(*words("waits", 6, "--grace", 0))
    assert second.code == 75, second.err
    assert second.json["counts"] == {"COMPLETE": 4}
    assert "(squeue), and 90% of trials take up to 19 min 31 s. The same command goes on" in second.err
    after = trials(jobs)
    assert (after[3]["number"], after[3]["params"], after[3]["attempts"]) == (3, before[3]["params"], 2)

    third = jobs(*words("waits", 6, "--walltime", "none"))
    assert (third.code, third.json["counts"]) == (0, {"COMPLETE": 6}), third.err
    assert [trial["attempts"] for trial in trials(jobs)] == [1, 1, 1, 2, 1, 1]


@pytest.mark.parametrize(("n_trials", "code"), [(2, 75), (1, 0)])
def test_a_trial_that_hears_of_the_end_may_finish_and_none_begins_after_it(jobs, n_trials, code):
    jobs.env |= {"LAST": "0", "LEFT": "0:05", "OBEYS": "1"}
    done = jobs(*words("waits", n_trials, "--grace", 600))
    assert (done.code, done.json["counts"]) == (code, {"COMPLETE": 1}), done.err


@pytest.mark.parametrize("source", ["--walltime", "SLURM_JOB_END_TIME"])
def test_the_end_may_be_known_from_the_beginning(jobs, source):
    more: tuple[object, ...] = ("--walltime", "6s") if source == "--walltime" else ()
    jobs.env |= {"LAST": "0", "LEFT": "", "SLURM_JOB_END_TIME": str(int(time.time()) + 8)}
    done = jobs(*words("waits", 1, "--grace", 0, *more))
    assert done.code == 75, done.err
    assert f"({source})" in done.err


@pytest.mark.parametrize(
    ("signals", "code"),
    [([signal.SIGUSR1], 75), ([signal.SIGTERM], 130), ([signal.SIGUSR1, signal.SIGINT], 130)],
)
def test_a_warning_says_go_on_later_and_an_order_does_not(jobs, signals, code):
    process = jobs.start(*words("waits", 2, "--grace", 0.5 if len(signals) == 1 else 600))
    while not (jobs.cwd / "began-0").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    assert process.stderr is not None
    for number in signals:
        process.send_signal(number)
        while "Stopping" not in process.stderr.readline() and number == signals[0]:
            assert process.poll() is None
    _, said = process.communicate(timeout=240)
    assert process.returncode == code, said
    assert [trial["state"] for trial in trials(jobs)] == ["WAITING"]


@pytest.mark.parametrize("text", ["soon", "1:2:3:4", "-5", ""])
def test_a_walltime_that_is_no_time_is_one_line(jobs, text):
    done = jobs(*words("waits", 1), f"--walltime={text}")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert not (jobs.cwd / "run").exists()


def test_a_search_in_this_process_ends_before_its_allocation(capsys):
    def naps(trial):
        time.sleep(0.4)
        return 0.0

    summary = search(naps, n_trials=50, walltime_s=4.0, grace_s=0.0)
    assert 1 <= len(summary.trials) < 50
    assert summary.runs[-1].state == "stopped"
    assert (
        f"Stopped after {len(summary.trials)} of 50 trials: the allocation ends at" in capsys.readouterr().err
    )


def test_a_running_trial_of_this_process_hears_of_the_end(capsys):
    def waits(trial):
        while not trial.study.is_stopping:
            time.sleep(0.01)
        return 0.0

    summary = search(waits, n_trials=2, walltime_s=1.0)
    assert len(summary.trials) == 1


def test_a_search_whose_objective_is_not_loaded_by_the_end_has_no_time_to_begin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(600)\n\ndef objective(trial): return 0.0\n")
    with pytest.raises(RunFailed, match=r"no time to begin: the allocation ends at .* \(--walltime\)\."):
        search("slow.py:objective", n_trials=1, walltime_s=3.0, draw="none")
