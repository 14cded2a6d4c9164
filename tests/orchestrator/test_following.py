"""What people ask of a study while and after a run: status, watch, stop, best, trials, enqueue."""

from __future__ import annotations

import json
import subprocess
import tomllib

import pytest

from tests.orchestrator.conftest import CommandLine
from tests.orchestrator.waiting import wait_until

# In a file the same words are read by the tests above and below.
on_a_server = pytest.mark.parametrize("storage_url", ["mariadb"], indirect=True)

TWO = ("-p", 2, "--oversubscribe", "--draw", "none", "-q")


def held_run(cli: CommandLine, *words: object, begun: int = 5) -> subprocess.Popen[str]:
    """A run of ten trials of which the first five are finished and two wait for the file ``go``."""
    cli.env["HELD"] = "5:go"
    process = cli.start("run", "job.py:held", "-n", 10, *TWO, *words)
    wait_until(lambda: (cli.cwd / f"began-{begun + 1}").exists() and (cli.cwd / f"began-{begun}").exists())
    return process


def let_go(cli: CommandLine) -> None:
    (cli.cwd / "go").touch()


def test_status_of_this_folders_last_run_needs_no_words(cli, ask):
    process = held_run(cli)
    said = ask("status").out
    assert "Study:    job-held (minimize) in sqlite:///" in said
    assert "5/10 finished" in said
    assert "At work:  1 agent on " in said
    at_trials = [line.split()[4] for line in said.split("\n")[-3:-1]]
    assert sorted(at_trials) == ["5", "6"]
    let_go(cli)
    process.wait(60)
    assert "finished, 10/10 finished" in ask("status").out


def test_status_from_elsewhere_says_the_same_as_json(cli, storage_url, tmp_path):
    process = held_run(cli, "--storage", storage_url)
    elsewhere = CommandLine(tmp_path)
    found = elsewhere("status", "--storage", storage_url, "--json").json
    run = found["run"]
    assert (run["state"], run["finished"], run["n_trials"], run["agents"]) == ("running", 5, 10, 1)
    assert found["counts"] == {"COMPLETE": 5, "RUNNING": 2}
    assert sorted(slot["trial"] for slot in run["slots"]) == [5, 6]
    assert all(slot["step"] == 0 and 0 <= slot["value"] <= 1 for slot in run["slots"])
    assert found["best"]["params"]["x"] == found["best"]["value"]
    let_go(cli)
    process.wait(60)
    run = elsewhere("status", "--storage", storage_url, "--json").json["run"]
    assert (run["state"], run["slots"], run["agents"]) == ("finished", [], 0)


def test_a_run_whose_agent_was_killed_is_cut_off(cli, ask):
    process = held_run(cli)
    process.kill()
    process.wait(60)
    assert ask("status", "--json").json["run"]["state"] == "cut off"
    assert cli("stop").code == 2


def test_stop_ends_a_run_in_order_and_the_same_command_goes_on(cli, ask, storage_url, tmp_path):
    process = held_run(cli, "--storage", storage_url, "--grace", 1)
    elsewhere = CommandLine(tmp_path)
    assert "is asked to stop" in elsewhere("stop", "--storage", storage_url).out
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    found = ask("status", "--storage", storage_url, "--json").json
    assert found["run"]["state"] == "stopped"
    assert found["run"]["reason"].startswith("asked to stop by ")
    assert found["counts"]["WAITING"] == 2
    let_go(cli)
    assert cli("run", "job.py:held", "-n", 10, *TWO, "--storage", storage_url).code == 0
    found = ask("status", "--storage", storage_url, "--json").json
    assert (found["run"]["state"], found["counts"]) == ("finished", {"COMPLETE": 10})


def test_stop_waits_for_the_agents_and_running_trials_may_finish(cli, ask):
    process = held_run(cli)
    stopping = cli.start("stop", "--wait")
    wait_until(lambda: ask("status", "--json").json["run"]["state"] == "stopping")
    assert "stopping already" in cli("stop").out
    said = cli("stop", "--json").json
    assert (said["study"], said["was_asked_before"]) == ("job-held", True)
    let_go(cli)
    assert stopping.wait(60) == 0
    process.wait(60)
    found = ask("status", "--json").json
    assert found["run"]["state"] == "stopped"
    assert found["counts"] == {"COMPLETE": 7}


def test_a_watcher_in_a_log_sees_the_run_to_its_end(cli):
    process = held_run(cli)
    watcher = cli.start("watch", "--every", 0.5)
    let_go(cli)
    out, err = watcher.communicate(timeout=60)
    process.wait(60)
    assert (watcher.returncode, out) == (0, "The run is finished.\n")
    assert "10/10 finished" in err


def test_a_watcher_that_is_a_program_reads_a_line_for_each_look(cli):
    process = held_run(cli)
    watcher = cli.start("watch", "--every", 0.5, "--json")
    first = json.loads(watcher.stdout.readline())
    assert (first["run"]["state"], first["run"]["finished"]) == ("running", 5)
    let_go(cli)
    looks = [json.loads(line) for line in watcher.communicate(timeout=60)[0].splitlines()]
    process.wait(60)
    assert (looks[-1]["run"]["state"], looks[-1]["run"]["finished"]) == ("finished", 10)


def test_best_prints_parameters_that_programs_read(cli, ask):
    cli("run", "job.py:quadratic", "-n", 12, "--seed", 1, "--draw", "none", "-q")
    (best,) = ask("best", "--json").json
    assert ask("best", "--format", "json").json == best["params"]
    assert (
        ask("best", "--format", "args").out == f"--x={best['params']['x']} --kind={best['params']['kind']}\n"
    )

    assert tomllib.loads(ask("best", "--format", "toml").out) == best["params"]
    values = [trial["value"] for trial in map(_with_value, ask("best", "--top", 3, "--json").json)]
    assert values == sorted(values)
    assert values[0] == best["values"][0]
    assert f"(trial {best['number']}" in ask("best").out


def _with_value(trial):
    return {**trial, "value": trial["values"][0]}


def test_best_of_two_objectives_is_the_front_and_of_none_is_said(cli, ask):
    words = ("--direction", "minimize", "--direction", "maximize", "--draw", "none", "-q")
    cli("run", "job.py:two", "-n", 6, *words)
    front = ask("best", "--json").json
    assert front
    assert [t["values"][0] for t in front] == sorted(t["values"][0] for t in front)
    cli("run", "job.py:bad", "-n", 3, "--draw", "none", "-q")
    done = ask("best")
    assert (done.code, done.err) == (1, "nano-hpo: no trial of study 'job-bad' is complete.\n")


@on_a_server
def test_trials_are_chosen_by_number_state_age_and_value(cli, ask, storage_url):
    cli("run", "job.py:every_third_fails", "-n", 9, "--draw", "none", "-q", "--storage", storage_url)

    def numbers(*words):
        return [trial["number"] for trial in ask("trials", *words, "--json", "--storage", storage_url).json]

    assert numbers() == list(range(9))
    assert numbers("last") == [8]
    assert numbers("--last", 3) == [6, 7, 8]
    assert numbers("2", "4-6", "100") == [2, 4, 5, 6]
    assert numbers("--state", "failed") == [0, 3, 6]
    assert numbers("--state", "failed,running", "1-5") == [3]
    assert numbers("--top", 2) == [1, 2]  # equally good: by age
    assert numbers("--top", 2, "4-9") == [4, 5]
    assert [
        row["trial"] for row in ask("trials", "--failed", "3", "--json", "--storage", storage_url).json
    ] == [3]


BAD_WORDS = {
    "trials --state compelte": "there is no state 'compelte'; did you mean 'complete'?",
    "trials --top 0": "--top is 0; it must be 1 or more.",
    "trials 7-3": "'7-3' names no trials; give numbers as 12 or 3-7, or 'last'.",
    "trials first": "'first' names no trials; give numbers as 12 or 3-7, or 'last'.",
    "trials last --top 2": "leave numbers and --top out.",
    "best --top -1": "--top is -1; it must be 1 or more.",
    "watch --every 0": "--every is 0.0 s; it must be 0.5 or more.",
    "enqueue": "Give parameters as NAME=VALUE …, or --file FILE with sets of them.",
    "enqueue x": "parameter 'x' is not KEY=VALUE.",
    "enqueue --file none.json": "none.json cannot be read as JSON",
    "enqueue kidn=a": "No trial of the study has a parameter 'kidn'; did you mean 'kind'?",
    "enqueue x=7": "x = 7 is not in its range (-5 to 5); --force enqueues it.",
    "enqueue kind=c": "kind = 'c' is not in its range (one of a, b); --force enqueues it.",
    "stop": "Nobody is at work on a run of study 'job-quadratic'; 'nano-hpo status' shows how it stands.",
}


def test_bad_words_are_one_line_each(cli, ask):
    cli("run", "job.py:quadratic", "-n", 2, "--draw", "none", "-q")
    for words, said in BAD_WORDS.items():
        done = ask(*words.split())
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), (words, done)
        assert said in done.err


def test_in_a_folder_without_runs_the_next_step_is_said(ask):
    for verb in ("status", "watch", "best", "trials", "stop", "report"):
        done = ask(verb)
        assert (done.code, done.out) == (2, ""), verb
        assert "No run was begun in " in done.err
        assert "name the storage: --storage URL" in done.err


@on_a_server
def test_the_last_study_is_the_one_in_which_something_happened(cli, ask, storage_url):
    words = ("--storage", storage_url, "--draw", "none", "-q")
    cli("run", "job.py:empty", "-n", 1, "--study-name", "first", *words)
    cli("run", "job.py:empty", "-n", 1, "--study-name", "second", *words)
    assert ask("status", "--study", "last", "--storage", storage_url, "--json").json["study"] == "second"
    cli("run", "job.py:empty", "-n", 1, "--study-name", "first", "--resume", *words)
    assert ask("status", "--study", "last", "--storage", storage_url, "--json").json["study"] == "first"
    assert "holds several studies" in ask("status", "--storage", storage_url).err


@on_a_server
def test_enqueued_parameters_are_tried_first_and_count(cli, ask, storage_url):
    words = ("--storage", storage_url, "--study-name", "s")
    cli("run", "job.py:quadratic", "-n", 2, *words, "--draw", "none", "-q")
    assert ask("enqueue", "x=1.5", "kind=b", *words).out == "Trial 2 waits in study 's'.\n"
    (cli.cwd / "sets.json").write_text(json.dumps([{"x": 2.5}, {"kind": "a"}]))
    assert ask("enqueue", "--file", "sets.json", *words, "--json").json == [3, 4]
    assert ask("enqueue", "x=0.5", "kimd=b", *words).code == 2
    assert cli("run", "job.py:quadratic", "-n", 3, "--resume", *words, "--draw", "none", "-q").code == 0
    trials = ask("trials", "2-9", "--json", *words).json
    assert [trial["number"] for trial in trials] == [2, 3, 4]
    assert trials[0]["params"] == {"x": 1.5, "kind": "b"}
    assert trials[1]["params"]["x"] == 2.5
    assert trials[2]["params"]["kind"] == "a"


def test_a_run_in_a_storage_with_a_password_is_not_guessed(cli, ask, mariadb):
    url = mariadb.create_database()
    cli("run", "job.py:empty", "-n", 1, "--storage", url, "--draw", "none", "-q")
    assert "1/1 finished" in ask("status").out  # it has no password: run.json tells all
    (file,) = (cli.cwd / "nano-hpo-runs").rglob("run.json")
    written = json.loads(file.read_text()) | {"storage": "mysql://me:***@host/db"}
    file.write_text(json.dumps(written))
    done = ask("status")
    assert (done.code, done.out) == (2, "")
    assert "mysql://me:***@host/db, and its password is not kept; name the storage" in done.err
    cli.env["NANO_HPO_STORAGE"] = url
    assert "1/1 finished" in cli("status").out


def test_trials_are_told_with_their_parameters_or_why_they_failed(cli, ask):
    name = "two\nlines"
    cli("run", "job.py:every_third_fails", "-n", 2, "--study-name", name, "--draw", "none", "-q")
    header, failed, complete = ask("trials").out.splitlines()
    assert header.split() == [
        "trial",
        "state",
        "value",
        "took",
        "attempts",
        "parameters,",
        "or",
        "cause",
        "of",
        "failure",
    ]
    assert "  raised RuntimeError: trial 0 (job.py, line " in failed
    (trial,) = ask("trials", "1", "--json").json
    assert complete.endswith(f"  k={trial['params']['k']}")
    assert "Study:    two\\nlines (minimize) in " in ask("status").out
    assert "Study:   two\\nlines in " in ask("report", "--draw", "none").out
