"""What trials may take, and what becomes of those that take more, crash, or leave something behind."""

from __future__ import annotations

import json
import signal
import time

import optuna
import psutil
import pytest

from tests.orchestrator.waiting import wait_until

TRIALS = """
import os, resource, signal, subprocess, sys, time
from pathlib import Path

def first(name):
    there = Path(name).exists()
    Path(name).touch()
    return not there

def hangs(trial):
    x = trial.suggest_float("x", 0, 1)
    if trial.number == 1:
        try:
            time.sleep(600)
        finally:
            Path("finally").touch()
    return x

def hangs_for_good(trial):
    if trial.number == 1:
        child = subprocess.Popen(["setsid", "sleep", "600"])
        Path("child").write_text(f"{child.pid}\\n")
        while True:
            try:
                time.sleep(600)
            except BaseException:
                Path("caught").touch()
    return 0.0

def hoards(trial):
    if trial.number == 1:
        code = "b = bytearray(300 << 20); b[::4096] = b'x' * len(b[::4096]); import time; time.sleep(600)"
        subprocess.run([sys.executable, "-c", code])
    return 0.0

def litters(trial):
    command = "sleep 600 & setsid sleep 600 & echo; wait"
    shell = subprocess.Popen(command, shell=True, stdout=subprocess.PIPE)
    shell.stdout.readline()
    Path(f"child-{trial.number}").write_text(f"{shell.pid}\\n")
    return 0.0

def forks(trial):
    if os.fork() == 0 and trial.number == 0:
        return 7.0
    time.sleep(0.5)
    return float(os.getpid() > 0)

def exits(trial):
    if trial.number == 1 and first("exited"):
        os._exit(3)
    return 0.0

def tells_its_process(trial):
    trial.set_user_attr("pid", os.getpid())
    return 0.0

def counts_children(trial):
    import psutil
    return float(len(psutil.Process().children(recursive=True)))

def raises(trial):
    if trial.number == 1:
        raise ValueError("no\\nsuch layer")
    return 0.0

def waits(trial):
    trial.suggest_float("x", 0, 1)
    Path(f"began-{trial.number}").touch()
    while not trial.study.is_stopping:
        time.sleep(0.02)
    Path(f"heard-{trial.number}").touch()
    if os.environ.get("OBEYS"):
        return 1.0
    time.sleep(600)
"""


@pytest.fixture
def jobs(cli):
    (cli.cwd / "trials.py").write_text(TRIALS)
    return cli


def run(jobs, name: str, *words: object):
    done = jobs("run", f"trials.py:{name}", "-n", 3, "--draw", "none", "--json", "--run-dir", "run", *words)
    assert done.code == 0, done.err
    return done


def failures(jobs) -> list[dict]:
    return jobs("trials", "--failed", "--json", "--storage", f"sqlite:///{jobs.cwd}/run/study.db").json


def test_a_trial_over_its_time_is_failed_and_its_python_code_may_clean_up(jobs):
    done = run(jobs, "hangs", "--trial-timeout", 2)
    assert done.json["counts"] == {"COMPLETE": 2, "FAIL": 1}
    assert (jobs.cwd / "finally").exists()
    (lost,) = failures(jobs)
    assert (lost["trial"], lost["attempt"], lost["cause"]) == (1, 1, "timed out")
    assert lost["detail"] == "it ran for more than 2 s"
    assert "Trial 1 is failed for good: timed out: it ran for more than 2 s." in done.err
    assert "WorkerEnded" in (jobs.cwd / "run" / lost["log"]).read_text()


def test_a_trial_that_does_not_obey_is_killed_with_what_it_has_started(jobs):
    done = run(jobs, "hangs_for_good", "--trial-timeout", 1)
    assert done.json["counts"] == {"COMPLETE": 2, "FAIL": 1}
    assert (jobs.cwd / "caught").exists()
    assert failures(jobs)[0]["exit_status"] == -signal.SIGKILL
    assert is_gone(int((jobs.cwd / "child").read_text()))


def test_a_trial_that_takes_too_much_memory_with_a_process_of_its_own_is_failed(jobs):
    done = run(jobs, "hoards", "--trial-memory", "250M")
    assert done.json["counts"] == {"COMPLETE": 2, "FAIL": 1}
    (lost,) = failures(jobs)
    assert (lost["trial"], lost["cause"]) == (1, "over its memory limit")
    assert lost["peak_rss_mib"] > 250


def test_memory_that_does_not_fit_is_refused(jobs):
    done = jobs("run", "trials.py:hangs", "-n", 3, "--trial-memory", "100T")
    assert done.code == 2
    assert "do not fit in" in done.err
    assert not (jobs.cwd / "nano-hpo-runs").exists()


@pytest.mark.parametrize("size", ["much", "-1G", "5X", ""])
def test_a_size_that_is_none_is_refused(jobs, size):
    done = jobs("run", "trials.py:hangs", "-n", 3, f"--trial-memory={size}")
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1


def test_nothing_that_a_trial_has_started_outlives_it(jobs):
    done = run(jobs, "litters")
    assert done.json["counts"] == {"COMPLETE": 3}
    for number in range(3):
        assert is_gone(int((jobs.cwd / f"child-{number}").read_text()))
    log = (jobs.cwd / "run/logs/rank0-slot0.log").read_text()
    assert "Trial 0 has left processes running; 3 were ended." in log


def test_a_process_that_a_trial_has_forked_is_no_second_worker(jobs):
    done = run(jobs, "forks")
    assert done.json["counts"] == {"COMPLETE": 3}
    assert [trial["values"] for trial in done.json["best_trials"]] == [[1.0]]


def test_a_library_that_ends_the_process_loses_an_attempt_and_no_trial(jobs):
    done = run(jobs, "exits")
    assert done.json["counts"] == {"COMPLETE": 3}
    (lost,) = failures(jobs)
    assert (lost["cause"], lost["detail"], lost["exit_status"]) == ("ended its process", "exit status 3", 3)
    assert lost["trial_state"] == "COMPLETE"


def test_what_a_trial_raised_is_told_with_its_place(jobs):
    run(jobs, "raises")
    (failed,) = failures(jobs)
    assert failed["cause"] == "raised"
    assert failed["detail"].startswith("ValueError: no\nsuch layer (trials.py, line ")
    table = jobs("trials", "--failed", "--storage", f"sqlite:///{jobs.cwd}/run/study.db").out.splitlines()
    assert len(table) == 2
    assert "raised ValueError: no\\nsuch layer (trials.py" in table[1]
    of_all = jobs("trials", "--storage", f"sqlite:///{jobs.cwd}/run/study.db").out.splitlines()
    assert [line.split()[:2] for line in of_all[1:]] == [["0", "complete"], ["1", "fail"], ["2", "complete"]]


@pytest.mark.parametrize(
    ("words", "n_processes"), [(["--isolate"], 3), (["--trials-per-worker", 2], 2), ([], 1)]
)
def test_processes_are_renewed_when_asked(jobs, words, n_processes):
    done = run(jobs, "tells_its_process", *words)
    assert done.json["counts"] == {"COMPLETE": 3}
    trials = jobs("trials", "--json", "--storage", f"sqlite:///{jobs.cwd}/run/study.db").json
    assert len({trial["user_attrs"]["pid"] for trial in trials}) == n_processes
    assert not failures(jobs)
    assert "died" not in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_trial_hears_that_the_run_stops_and_may_finish(jobs, number):
    jobs.env["OBEYS"] = "1"
    process = start_and_stop(jobs, number)
    out, err = process.communicate(timeout=240)
    assert process.returncode == (75 if number == signal.SIGUSR1 else 130), err
    assert json.loads(out)["counts"] == {"COMPLETE": 1}


@pytest.mark.parametrize(
    ("number", "environ", "cause"),
    [
        (signal.SIGINT, {}, "interrupted"),
        (signal.SIGTERM, {}, "interrupted"),
        (signal.SIGTERM, {"SLURM_JOB_ID": "7"}, "preempted"),
        (signal.SIGUSR1, {}, "preempted"),
    ],
)
def test_a_trial_that_is_cut_off_waits_for_the_same_command_and_says_why(jobs, number, environ, cause):
    jobs.env |= environ
    process = start_and_stop(jobs, number)
    out, err = process.communicate(timeout=240)
    assert process.returncode == (75 if number == signal.SIGUSR1 else 130), err
    summary = json.loads(out)
    assert summary["counts"] == {"WAITING": 1}
    assert summary["attempts"]["causes"] == {cause: 1}
    (trial,) = jobs("trials", "--json", "--storage", f"sqlite:///{jobs.cwd}/run/study.db").json
    jobs.env["OBEYS"] = "1"
    again = start_and_stop(jobs, signal.SIGINT)
    again.communicate(timeout=240)
    (same,) = jobs("trials", "--json", "--storage", f"sqlite:///{jobs.cwd}/run/study.db").json
    assert (same["number"], same["params"], same["attempts"]) == (0, trial["params"], 2)
    assert same["state"] == "COMPLETE"


def start_and_stop(jobs, number: int):
    for file in ("began-0", "heard-0"):
        (jobs.cwd / file).unlink(missing_ok=True)
    words = ("-n", 3, "--grace", 1, "--draw", "none", "--json", "--run-dir", "run")
    process = jobs.start("run", "trials.py:waits", *words)
    wait_until((jobs.cwd / "began-0").exists, process)
    process.send_signal(number)
    wait_until((jobs.cwd / "heard-0").exists, process)
    return process


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_log_for_which_there_is_no_room_costs_no_trial(jobs):
    logs = jobs.cwd / "run" / "logs"
    logs.mkdir(parents=True)
    (logs / "rank0-slot0.log").symlink_to("/dev/full")
    done = run(jobs, "litters")  # of which the worker has something to say
    assert done.json["counts"] == {"COMPLETE": 3}


CRASHES = """
import os, resource, signal

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

def mostly(trial):
    if trial.number:
        os.kill(os.getpid(), signal.SIGSEGV)
    return 0.0

def always(trial):
    os.kill(os.getpid(), signal.SIGSEGV)
"""


def test_a_run_goes_on_though_most_of_its_trials_kill_their_workers(cli):
    (cli.cwd / "crashes.py").write_text(CRASHES)
    done = cli("run", "crashes.py:mostly", "-n", 4, "--draw", "none", "--json")
    assert done.code == 0, done.err
    assert done.json["counts"] == {"COMPLETE": 1, "FAIL": 3}
    assert done.json["attempts"]["causes"] == {"returned": 1, "killed by a signal": 9}


def test_a_run_all_of_whose_first_trials_kill_their_workers_stops(cli):
    (cli.cwd / "crashes.py").write_text(CRASHES)
    done = cli("run", "crashes.py:always", "-n", 100, "--draw", "none", "--json")
    assert done.code == 1
    assert "5 trials all failed alike (killed by a signal: SIGSEGV (segmentation fault))" in done.err
    assert done.json["counts"] == {"FAIL": 5}


CATCHES = """
import time
from orchestrator import WorkerEnded

def objective(trial):
    try:
        if trial.number == 0:
            time.sleep(600)
    except WorkerEnded:
        return 5.0
    return 1.0
"""


def test_a_trial_that_catches_its_end_may_return_and_no_other_begins_in_its_process(cli):
    (cli.cwd / "catches.py").write_text(CATCHES)
    words = ("-n", 3, "--trial-timeout", 1, "--draw", "none", "--json", "--run-dir", "run")
    done = cli("run", "catches.py", *words)
    assert done.code == 0, done.err
    assert done.json["counts"] == {"COMPLETE": 3}
    assert done.json["attempts"] == {"n": 3, "causes": {"returned": 3}}
    trials = cli("trials", "--json", "--storage", f"sqlite:///{cli.cwd}/run/study.db").json
    assert [trial["values"] for trial in trials] == [[5.0], [1.0], [1.0]]


def test_a_run_whose_time_is_over_and_whose_trial_goes_on_is_stopped_by_a_signal(jobs):
    words = ("-n", 3, "--timeout", 1, "--grace", 1, "--draw", "none", "--json", "--run-dir", "run")
    process = jobs.start("run", "trials.py:waits", *words)
    wait_until((jobs.cwd / "began-0").exists, process)
    time.sleep(2.0)
    assert not (jobs.cwd / "heard-0").exists()  # its time is its own
    process.send_signal(signal.SIGTERM)
    wait_until((jobs.cwd / "heard-0").exists, process)
    out, err = process.communicate(timeout=240)
    assert json.loads(out)["counts"] == {"WAITING": 1}, err


ODD = """
import asyncio, multiprocessing, os, signal, subprocess, threading, time

POOLS = []

def pools(trial):
    if not POOLS:
        POOLS.append(multiprocessing.Pool(2))
    return float(sum(POOLS[0].map(abs, range(4))))

def respawns(trial):
    def again():
        while True:
            subprocess.Popen(["sleep", "601.25"]).wait()

    threading.Thread(target=again, daemon=True).start()
    time.sleep(0.2)
    return float(os.getpid())

def cancelled(trial):
    if trial.number == 1:
        raise asyncio.CancelledError
    return 0.0

def wraps(trial):
    try:
        if trial.number == 1:
            time.sleep(600)
    except BaseException as error:
        raise RuntimeError("training failed") from error
    return 0.0

def handles(trial):
    signal.signal(signal.SIGTERM, lambda *_: None)
    until_s = time.monotonic() + (2.5 if trial.number == 0 else 30)
    while time.monotonic() < until_s:
        time.sleep(0.1)
    return 0.0

def hides(trial):
    if trial.number == 1:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["env", "-i", "setsid", "sleep", "600"])
        open("child", "w").write(str(child.pid))
        time.sleep(600)
    return 0.0

def shares(trial):
    hoard = bytearray(150 << 20)
    hoard[::4096] = b"x" * len(hoard[::4096])
    children = [os.fork() for _ in range(1)]
    for _ in range(3):
        if children[-1]:
            children.append(os.fork())
    if not all(children):
        time.sleep(3)
        os._exit(0)
    time.sleep(3)
    return 0.0
"""


@pytest.fixture
def odd(cli):
    (cli.cwd / "odd.py").write_text(ODD)

    def run(name: str, *words: object):
        return cli("run", f"odd.py:{name}", "-n", 3, "--draw", "none", "--json", "--run-dir", "run", *words)

    run.failures = lambda: failures(cli)
    run.cwd = cli.cwd
    return run


def test_a_pool_that_trials_share_stays_and_ends_with_the_run(odd):
    done = odd("pools")
    assert done.json["counts"] == {"COMPLETE": 3}, done.err


def test_what_comes_back_however_often_it_is_ended_goes_with_its_worker(odd):
    done = odd("respawns")
    assert done.json["counts"] == {"COMPLETE": 3}, done.err
    assert not odd.failures()
    sleeping = ["sleep", "601.25"]
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == sleeping]


def test_an_exception_that_is_no_error_fails_its_trial_and_costs_no_worker(odd):
    done = odd("cancelled")
    assert done.json["counts"] == {"COMPLETE": 2, "FAIL": 1}
    (failed,) = odd.failures()
    assert (failed["cause"], failed["attempt"]) == ("raised", 1)
    assert failed["detail"].startswith("CancelledError")


def test_what_is_raised_because_the_time_is_over_is_not_the_cause(odd):
    done = odd("wraps", "--trial-timeout", 1)
    assert done.json["counts"] == {"COMPLETE": 2, "FAIL": 1}
    assert [one["cause"] for one in odd.failures()] == ["timed out"]


def test_a_handler_of_the_trials_own_saves_no_other_trial_from_beginning(odd):
    done = odd("handles", "--trial-timeout", 1)
    assert done.json["counts"] == {"COMPLETE": 1, "FAIL": 2}
    assert {(one["trial"], one["cause"]) for one in odd.failures()} == {(1, "timed out"), (2, "timed out")}


def test_what_hides_from_marks_and_groups_ends_with_a_killed_trial(odd):
    done = odd("hides", "--trial-timeout", 1)
    assert done.json["counts"] == {"COMPLETE": 2, "FAIL": 1}
    assert is_gone(int((odd.cwd / "child").read_text()))


def test_memory_that_processes_share_counts_once(odd):
    done = odd("shares", "--trial-memory", "500M")
    assert done.json["counts"] == {"COMPLETE": 3}, done.err


def test_trials_of_a_run_that_died_here_wait_for_a_new_run(jobs):
    storage = ("--storage", f"sqlite:///{jobs.cwd}/s.db", "--study-name", "s")
    process = jobs.start("run", "trials.py:waits", "-n", 3, "--draw", "none", *storage)
    wait_until((jobs.cwd / "began-0").exists, process)
    process.kill()
    process.wait()
    words = ("-n", 2, "--draw", "none", "--json", "--resume", "--run-dir", "another")
    done = jobs("run", "trials.py:tells_its_process", *words, *storage)
    assert done.json["counts"] == {"COMPLETE": 2}, done.err
    assert done.json["attempts"]["causes"] == {"agent lost": 1, "returned": 2}


def test_failed_trials_that_are_not_ours_are_listed_without_a_cause(cli, storage_url):
    study = optuna.create_study(study_name="s", storage=storage_url)
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    cli(
        "run",
        "job.py:empty",
        "-n",
        1,
        "--resume",
        "--storage",
        storage_url,
        "--draw",
        "none",
        "--study-name",
        "s",
    )
    place = ("--storage", storage_url)
    (failed,) = cli("trials", "--failed", "--json", *place).json
    assert (failed["trial"], failed["trial_state"], failed["cause"]) == (0, "FAIL", None)
    assert "not known: it was not ours" in cli("trials", "--failed", *place).out
