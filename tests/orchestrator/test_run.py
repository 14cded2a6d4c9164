"""``nano-hpo run`` as its user has it: real processes, real databases, real kills."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from tests.orchestrator.waiting import wait_until

TRIALS = ("--draw", "none", "--quiet", "--json")
TWO = ("-p", 2, "--oversubscribe")  # two workers also on a machine of one core


def workers_of(pid: int) -> list[psutil.Process]:
    """The worker processes of an agent; the shims that have not become one are left out."""
    found = []
    for child in psutil.Process(pid).children():
        try:
            if "orchestrator.worker" in child.cmdline() and "bind" not in child.cmdline():
                found.append(child)
        except psutil.Error:
            pass
    return found


def has_ended(process: psutil.Process) -> bool:
    """Gone, or dead and waiting for a parent that never asks."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for_trials(cli, *numbers: int) -> None:
    """Until each of these trials has reported and is held."""
    for number in numbers:
        wait_until((cli.cwd / f"began-{number}").exists, what=f"trial {number}")


def states(url: str, name: str) -> dict[str, int]:
    trials = optuna.load_study(study_name=name, storage=url).get_trials(deepcopy=False)
    return {state.name: n for state in TrialState if (n := sum(t.state is state for t in trials))}


def embedded(cli, run: str = "run-001", study: str = "job") -> str:
    return f"sqlite:///{cli.cwd}/nano-hpo-runs/{study}/{run}/study.db"


def test_two_workers_search_and_leave_every_file(cli):
    done = cli("run", "job.py:quadratic", "-n", 12, *TWO, "--draw", "html", "--study-name", "first")
    assert done.code == 0, done.err
    folder = cli.cwd / "nano-hpo-runs" / "first" / "run-001"
    assert f"Report:  {folder}/report.html" in done.out
    assert "12/12 finished" in done.err
    names = {path.name for path in folder.iterdir()}
    assert {
        "run.json",
        "summary.json",
        "trials.csv",
        "trials.json",
        "report.html",
        "study.db",
        "logs",
    } <= names
    assert len(list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))) == 12
    assert len(json.loads((folder / "trials.json").read_text())) == 12
    summary = json.loads((folder / "summary.json").read_text())
    assert sum(summary["counts"].values()) == 12
    assert [slot["slot"] for slot in summary["slots"]] == [0, 1]
    assert folder.stat().st_mode & 0o077 == 0


def test_each_worker_got_the_slot_that_was_planned_for_it(cli):
    done = cli("run", "job.py:quadratic", "-n", 8, *TWO, *TRIALS)
    slots = done.json["slots"]
    assert all(slot["got_cpus"] == slot["cpus"] and slot["problems"] == [] for slot in slots)
    assert len({slot["cpus"] for slot in slots}) == min(2, len(os.sched_getaffinity(0)))
    assert all(pool["threads"] == slot["threads"] for slot in slots for pool in slot["got_pools"])
    assert any(slot["got_pools"] for slot in slots)


def test_the_budget_is_exact_although_a_worker_is_killed_every_20_trials(cli, storage_url):
    args = ("run", "job.py:gated", "-n", 200, *TWO, "--storage", storage_url, "--study-name", "chaos")
    process = cli.start(*args, "--sampler", "random", "--max-retries", 20, *TRIALS)
    for number in range(20, 200, 20):
        kill(lambda number=number: victims(cli, process, number))
        (cli.cwd / f"through-{number}").touch()
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    trials = optuna.load_study(study_name="chaos", storage=storage_url).get_trials(deepcopy=False)
    assert states(storage_url, "chaos") == {"COMPLETE": 200}
    assert sorted(trial.number for trial in trials) == list(range(200))
    summary = json.loads(out)
    assert summary["counts"] == {"COMPLETE": 200}
    assert sum(slot["n_lost"] for slot in summary["slots"]) >= 5  # those that were killed in a trial


def victims(cli, process, number: int) -> list[psutil.Process]:
    """Once somebody is at the gate of that trial: in turns this worker, and the other, whatever it does."""
    gate = cli.cwd / f"at-{number}"
    at_gate = gate.read_text() if gate.exists() else ""
    if not at_gate.endswith("\n"):
        return []
    is_its_turn = number % 40 == 20
    return [worker for worker in workers_of(process.pid) if (worker.pid == int(at_gate)) is is_its_turn]


def kill(find) -> None:
    """Kill the first process found; another when that has just ended by itself."""
    while True:
        victim = wait_until(find, what="a worker to kill")[0]
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            continue
        wait_until(lambda victim=victim: has_ended(victim), what="its end")
        return


def test_a_trial_whose_worker_died_is_tried_again_with_its_parameters(cli):
    done = cli("run", "job.py:dies_once", "-n", 6, *TWO, "--draw", "none")
    assert done.code == 0
    assert "Trial 2 lost its worker" in done.err
    assert "SIGKILL" in done.err
    trial = optuna.load_study(
        study_name="job-dies_once", storage=embedded(cli, study="job-dies_once")
    ).trials[2]
    assert trial.params["x"] == float((cli.cwd / "died-2").read_text())
    assert states(embedded(cli, study="job-dies_once"), "job-dies_once") == {"COMPLETE": 6}


def test_a_trial_that_kills_every_worker_is_failed_and_the_run_goes_on(cli):
    done = cli("run", "job.py:always_dies", "-n", 5, *TWO, "--max-retries", 1, "--draw", "none", "--json")
    assert done.code == 0
    assert "Trial 1 is failed for good: killed by a signal: SIGSEGV" in done.err
    assert done.json["counts"] == {"COMPLETE": 4, "FAIL": 1}
    assert sum(slot["n_lost"] for slot in done.json["slots"]) == 2


def test_a_killed_run_is_finished_by_the_same_command(cli):
    cli.env["HELD"] = "3:go"
    args = ("run", "job.py:held", "-n", 8, *TWO, *TRIALS)
    process = cli.start(*args)
    wait_for_trials(cli, 3, 4)
    workers = workers_of(process.pid)
    process.kill()
    process.communicate()
    wait_until(lambda: all(map(has_ended, workers)), what="its workers to die too")
    url = embedded(cli, study="job-held")
    assert (len(workers), states(url, "job-held")) == (2, {"RUNNING": 2, "COMPLETE": 3})
    (cli.cwd / "go").touch()
    done = cli(*args)
    assert done.code == 0, done.err
    assert states(url, "job-held") == {"COMPLETE": 8}
    assert sorted(
        trial.number for trial in optuna.load_study(study_name="job-held", storage=url).trials
    ) == list(range(8))
    assert len(done.json["runs"]) == 1


def test_a_finished_run_is_not_repeated_but_followed_by_a_new_one(cli):
    assert cli("run", "job.py:quadratic", "-n", 3, *TRIALS).code == 0
    assert cli("run", "job.py:quadratic", "-n", 3, *TRIALS).code == 0
    assert states(embedded(cli, "run-002", "job-quadratic"), "job-quadratic") != {}
    assert sum(states(embedded(cli, "run-001", "job-quadratic"), "job-quadratic").values()) == 3


def test_resume_adds_trials_to_the_study_and_counts_its_history(cli, storage_url):
    args = ("run", "job.py:quadratic", "-n", 4, "--storage", storage_url, "--study-name", "s", *TRIALS)
    assert cli(*args).code == 0
    refused = cli(*args)
    assert (refused.code, refused.out) == (2, "")
    assert "--resume" in refused.err
    done = cli(*args, "--resume")
    assert done.code == 0, done.err
    assert sum(done.json["counts"].values()) == 8
    assert len(done.json["runs"]) == 2


def test_resume_finds_the_embedded_study_of_the_last_run(cli):
    args = ("run", "job.py:quadratic", "-n", 3, *TRIALS)
    cli(*args)
    assert sum(cli(*args, "--resume").json["counts"].values()) == 6
    assert sum(cli(*args, "--resume").json["counts"].values()) == 9


def test_an_interrupt_releases_what_runs_and_writes_the_report(cli):
    args = ("run", "job.py:held", "-n", 6, *TWO, "--grace", 0, "--draw", "html")
    process = cli.start(*args)
    wait_for_trials(cli, 0, 1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "stopped by SIGINT" in err
    url = embedded(cli, study="job-held")
    assert states(url, "job-held") == {"WAITING": 2}
    params = [trial.params for trial in optuna.load_study(study_name="job-held", storage=url).trials]
    assert (cli.cwd / "nano-hpo-runs" / "job-held" / "run-001" / "report.html").exists()
    (cli.cwd / "go").touch()
    assert cli(*args).code == 0
    assert states(url, "job-held") == {"COMPLETE": 6}
    again = optuna.load_study(study_name="job-held", storage=url).trials
    assert [trial.params for trial in again[:2]] == params
    assert [trial.intermediate_values for trial in again[:2]] == [{0: p["x"]} for p in params]


def test_a_running_trial_may_finish_within_the_grace(cli):
    process = cli.start("run", "job.py:held", "-n", 500, *TWO, "--grace", 600, "--draw", "none")
    wait_for_trials(cli, 0, 1)
    process.send_signal(signal.SIGTERM)
    assert any("running trials have 600 s" in line for line in iter(process.stderr.readline, ""))
    (cli.cwd / "go").touch()
    process.communicate(timeout=240)
    assert process.returncode == 130
    begun = len(list(cli.cwd.glob("began-*")))
    assert 2 <= begun < 500  # the word to stop may reach a worker a little after the note reaches us
    assert states(embedded(cli, study="job-held"), "job-held") == {"COMPLETE": begun}


def test_a_second_interrupt_stops_at_once_and_leaves_nothing_running(cli):
    process = cli.start("run", "job.py:held", "-n", 6, *TWO, "--grace", 600, "--draw", "none")
    wait_for_trials(cli, 0, 1)
    workers = workers_of(process.pid)
    process.send_signal(signal.SIGINT)
    assert any("Again: stop at once" in line for line in iter(process.stderr.readline, ""))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=240)
    assert process.returncode == 130
    assert [has_ended(worker) for worker in workers] == [True, True]
    assert states(embedded(cli, study="job-held"), "job-held") == {"WAITING": 2}


def test_a_timeout_begins_no_further_trial(cli):
    cli.env["SLOW_S"] = "0.2"
    for timeout_s in (2, 8, 32, 128):  # on a slow machine the first may pass before a trial begins
        done = cli("run", "job.py:slow", "--timeout", timeout_s, *TWO, *TRIALS)
        assert done.code == 0, done.err
        if done.json["counts"]:
            break
    assert done.json["counts"] == {"COMPLETE": len(list(cli.cwd.glob("began-*")))}


def test_a_failing_trial_is_a_fail_with_its_traceback_in_the_log(cli):
    done = cli("run", "job.py:every_third_fails", "-n", 7, *TWO, "--draw", "none")
    assert done.code == 0
    assert "Trial 3 failed: RuntimeError: trial 3" in done.err
    folder = cli.cwd / "nano-hpo-runs" / "job-every_third_fails" / "run-001"
    assert states(f"sqlite:///{folder}/study.db", "job-every_third_fails") == {"COMPLETE": 4, "FAIL": 3}
    logs = "".join(path.read_text() for path in (folder / "logs").iterdir())
    assert 'raise RuntimeError(f"trial {trial.number}")' in logs


def test_a_search_whose_first_trials_all_fail_alike_stops_early_and_says_why(cli):
    done = cli("run", "job.py:bad", "-n", 100, *TWO, "--draw", "none")
    assert done.code == 1
    assert "all failed alike (ValueError: no such layer (job.py, line" in done.err
    assert 5 <= states(embedded(cli, study="job-bad"), "job-bad")["FAIL"] < 30


def test_an_objective_that_returns_nothing_says_so(cli):
    done = cli("run", "job.py:nothing", "-n", 2, "--draw", "none")
    assert "the objective returned None, not a number" in done.err


def test_study_stop_ends_the_run(cli):
    done = cli("run", "job.py:stops", "-n", 50, *TRIALS)
    assert done.code == 0
    assert done.json["counts"] == {"COMPLETE": 1}


def test_a_grid_ends_when_it_is_exhausted(cli):
    grid = 'search_space={"x": [-1.0, 0.0, 1.0], "kind": ["a"]}'
    done = cli(
        "run",
        "job.py:quadratic",
        "-n",
        50,
        "--sampler",
        "grid",
        "--sampler-arg",
        grid,
        "--pruner",
        "none",
        *TRIALS,
    )
    assert done.code == 0, done.err
    assert done.json["counts"] == {"COMPLETE": 3}


def test_two_runs_with_one_worker_and_one_seed_are_identical(cli):
    def params(run_dir: str) -> list[dict]:
        done = cli("run", "job.py:quadratic", "-n", 20, "--seed", 5, "--run-dir", run_dir, *TRIALS)
        assert done.code == 0, done.err
        rows = json.loads((cli.cwd / run_dir / "trials.json").read_text())
        return [(row["params"], row["state"]) for row in rows]

    assert params("one") == params("two")


def test_several_objectives_give_a_pareto_front(cli):
    two = ("--direction", "minimize", "--direction", "minimize")
    done = cli("run", "job.py:two", "-n", 6, *two, *TRIALS)
    assert done.code == 0, done.err
    assert len(done.json["best_trials"]) == 6


def test_the_same_command_twice_at_once_is_refused_the_second_time(cli):
    args = ("run", "job.py:held", "-n", 6, "--grace", 0, *TRIALS)
    process = cli.start(*args)
    wait_for_trials(cli, 0)
    second = cli(*args)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=240)
    assert second.code == 2
    assert f"process {process.pid}" in second.err


def test_a_run_id_finds_its_run_from_any_folder_and_is_used_once(cli, storage_url):
    args = (
        "run",
        "job.py:held",
        "-n",
        3,
        "--storage",
        storage_url,
        "--study-name",
        "named",
        "--run-id",
        "night",
    )
    process = cli.start(*args, "--grace", 0, *TRIALS)
    wait_for_trials(cli, 0)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=240)
    (cli.cwd / "go").touch()
    done = cli(*args, "--run-dir", "elsewhere", *TRIALS)
    assert done.code == 0, done.err
    assert done.json["counts"] == {"COMPLETE": 3}
    assert [run["run_id"] for run in done.json["runs"]] == ["night"]
    again = cli(*args, "--run-dir", "third")
    assert again.code == 2
    assert "night is finished" in again.err


def test_a_plain_optuna_worker_may_join_while_a_run_goes_on(cli, storage_url):
    # Of the numbers from 20 on the plain worker can take five at most: the run cannot end before it.
    cli.env["HELD"] = "0:go 20:end"
    args = ("run", "job.py:held", "-n", 20, *TWO, "--storage", storage_url, "--study-name", "both")
    process = cli.start(*args, *TRIALS)
    wait_for_trials(cli, 0, 1)
    study = optuna.load_study(study_name="both", storage=storage_url)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=5)  # while both are held
    (cli.cwd / "go").touch()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=5)  # beside them
    (cli.cwd / "end").touch()
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert states(storage_url, "both") == {"COMPLETE": 30}
    trials = optuna.load_study(study_name="both", storage=storage_url).trials
    assert sorted(trial.number for trial in trials) == list(range(30))


def test_the_dashboard_reads_the_study(cli):
    from optuna_dashboard import wsgi

    cli("run", "job.py:quadratic", "-n", 4, *TRIALS)
    app = wsgi(embedded(cli, study="job-quadratic"))
    answers: list[str] = []
    environ = {"PATH_INFO": "/api/studies/1", "QUERY_STRING": "after=0"}
    setup_testing_defaults(environ)
    body = b"".join(app(environ, lambda status, headers, exc_info=None: answers.append(status)))
    assert answers == ["200 OK"]
    assert len(json.loads(body)["trials"]) == 4


def test_report_rebuilds_everything_from_the_storage_alone(cli, storage_url):
    args = ("--storage", storage_url, "--study-name", "r")
    cli("run", "job.py:quadratic", "-n", 5, *TWO, *args, *TRIALS)
    done = cli("report", *args, "--run-dir", "again", "--draw", "html", "--json")
    assert done.code == 0, done.err
    assert sum(done.json["counts"].values()) == 5
    assert len(done.json["slots"]) == 2
    assert (cli.cwd / "again" / "report.html").stat().st_size > 100_000


def test_a_study_of_plain_optuna_gets_a_report_too(cli):
    url = f"sqlite:///{cli.cwd}/plain.db"
    study = optuna.create_study(storage=url, study_name="plain")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=4)
    done = cli("report", "--storage", url, "--draw", "html", "--json")
    assert done.code == 0, done.err
    assert done.json["counts"] == {"COMPLETE": 4}


CRASH = """
import os, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.kill(os.getpid(), 11)
def f(trial): return 1
"""
BAD = [
    (("run", "none.py:objective", "-n", 1), "no file none.py"),
    (("run", "job.py:quadratik", "-n", 1), "it defines empty, quadratic"),
    (("run", "job.py:number", "-n", 1), "not callable"),
    (("run", "broken.py:f", "-n", 1), "no_such_library"),
    (("run", "crash.py:f", "-n", 1), "SIGSEGV (segmentation fault)"),
    (("run", "job.py:empty"), "--n-trials"),
    (("run", "job.py:empty", "-n", "x"), "invalid int value"),
    (("run", "job.py:empty", "-n", 0), "n_trials is 0"),
    (("run", "job.py:empty", "-n", 1, "--sampler", "randm"), "did you mean random"),
    (("run", "job.py:empty", "-n", 1, "--pruner", "medium"), "did you mean median"),
    (("run", "job.py:empty", "-n", 1, "--sampler-arg", "seed"), "KEY=VALUE"),
    (("run", "job.py:empty", "-n", 1, "-p", 0), "n_parallels is 0"),
    (("run", "job.py:empty", "-n", 1, "-p", "many"), "'many'"),
    (("run", "job.py:empty", "-n", 1, "-p", 4000), "4000 slots"),
    (("run", "job.py:empty", "-n", 1, "--storage", "nonsense"), "not a database URL"),
    (("run", "job.py:empty", "-n", 1, "--storage", "sqlite:///no/folder/x.db"), "no folder"),
    (("run", "job.py:empty", "-n", 1, "--storage", "mysql://me:s3cr3t@127.0.0.1:1/db"), "mysql://me:***@127"),
    (("run", "job.py:empty", "-n", 1, "--resume"), "no study 'job-empty'"),
    (("run", "job.py:empty", "-n", 1, "--run-dir", "/proc/nowhere"), "not writable"),
    (("run", "job.py:empty", "-n", 1, "--run-dir", "job.py"), "not writable"),
    (("run", "job.py:empty", "-n", 1, "--seed", -3), "seed is -3"),
    (("report",), "--storage"),
    (("report", "--storage", "sqlite:///nowhere.db"), "There is no study"),
    (("bind", "-p", 1, "--slot", 1, "--", "true"), "no slot 1"),
    (("bind", "-p", 1, "--slot", 0, "--", "no-such-command"), "no-such-command"),
    (("topology", "--synthetic", "lots"), "lots"),
    (("topology", "--root", "/nowhere"), "/nowhere"),
    (("topology", "--synthetic", "2 4", "-p", 9), "9 slots"),
    (("jump",), "jump"),
]


@pytest.mark.parametrize(("words", "expected"), BAD, ids=lambda value: " ".join(map(str, value))[:60])
def test_bad_input_is_one_line_and_exit_code_2_and_writes_nothing(cli, words, expected):
    (cli.cwd / "broken.py").write_text("import no_such_library\ndef f(trial): return 1\n")
    (cli.cwd / "crash.py").write_text(CRASH)
    before = files(cli.cwd)
    done = cli(*words)
    assert done.code == 2, done
    assert expected in done.err
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert (done.out, "s3cr3t" in done.err) == ("", False)
    assert files(cli.cwd) == before


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_a_refused_database_is_one_line_with_the_password_masked(cli, mariadb):
    url = mariadb.create_database().replace("root@", "nobody:s3cr3t@")
    done = cli("run", "job.py:empty", "-n", 1, "--storage", url)
    assert done.code == 2
    assert "Access denied" in done.err
    assert "s3cr3t" not in done.err


def test_directions_that_do_not_match_the_stored_study_are_refused(cli):
    cli("run", "job.py:quadratic", "-n", 2, *TRIALS)
    done = cli("run", "job.py:quadratic", "-n", 2, "--resume", "--direction", "maximize")
    assert done.code == 2
    assert "minimize, not to maximize" in done.err


def test_a_password_appears_in_no_file_and_no_command_line_of_a_run(cli, mariadb):
    url = mariadb.create_database()
    mariadb.execute("CREATE USER IF NOT EXISTS 'keeper'@'localhost' IDENTIFIED BY 's3cr3t'")
    mariadb.execute("GRANT ALL ON *.* TO 'keeper'@'localhost'")
    cli.env["NANO_HPO_STORAGE"] = url.replace("root@", "keeper:s3cr3t@")
    process = cli.start("run", "job.py:held", "-n", 2, *TWO, "--study-name", "secret", *TRIALS)
    wait_for_trials(cli, 0, 1)
    children = psutil.Process(process.pid).children(recursive=True)
    lines = [" ".join(child.cmdline()) for child in children]
    (cli.cwd / "go").touch()
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert sum("orchestrator.worker" in line for line in lines) == 2
    assert not any("s3cr3t" in text for text in [*lines, out, err])
    written = [path for path in files(cli.cwd) if path.is_file()]
    assert not any(b"s3cr3t" in path.read_bytes() for path in written)
    run = json.loads((cli.cwd / "nano-hpo-runs" / "secret" / "run-001" / "run.json").read_text())
    assert "keeper:***@" in run["spec"]["storage_url"]


def test_bind_runs_a_command_inside_each_slot(cli):
    code = "import os; print(sorted(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'])"
    for slot in cli("topology", *TWO, "--json").json["slots"]:
        done = cli("bind", *TWO, "--slot", slot["index"], "--", sys.executable, "-c", code)
        assert done.code == 0, done.err
        assert done.out == f"{slot['pus']} {slot['threads']}\n"


def test_topology_as_json_has_the_documented_shape(cli):
    data = cli("topology", "--synthetic", "2 4 2", "-p", 4, "--json").json
    assert data["allowed"] == list(range(16))
    assert [slot["index"] for slot in data["slots"]] == [0, 1, 2, 3]
    assert {"index", "pus", "cores", "numa_nodes", "threads"} <= set(data["slots"][0])
    assert all("source" in constraint for constraint in cli("topology", "--json").json["constraints"])


def test_help_imports_nothing_heavy(cli):
    cli.env["PYTHONPROFILEIMPORTTIME"] = "1"
    done = cli("--help")
    assert done.code == 0
    loaded = {line.rsplit("|", 1)[-1].strip().partition(".")[0] for line in done.err.splitlines()}
    assert "orchestrator" in loaded
    heavy = {"torch", "tensorflow", "plotly", "pandas", "optuna", "sqlalchemy", "numpy", "rich", "psutil"}
    assert loaded & heavy == set()
