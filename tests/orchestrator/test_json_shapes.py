"""What --json prints keeps its keys, and they are those that the help names."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from orchestrator.cli import jobs, machine, measuring, reporting, studies, trials
from orchestrator.jobs.record import JobRecord, write_record
from orchestrator.paths import JobPaths
from tests.public_names import listed

STUDY = ["name", "directions", "n_trials", "counts", "best_value", "first_activity", "last_activity", "runs"]
COUNTS = ["complete", "pruned", "failed", "running", "waiting"]
RUN = ["run_id", "owner", "state", "at_work", "n_trials", "claimed"]
TRIAL = ["number", "state", "values", "params", "duration_s", "user_attrs", "intermediate_values"]
TRIAL += ["attempts", "cause"]
ATTEMPT = [
    "trial",
    "attempt",
    "trial_state",
    "cause",
    "detail",
    "host",
    "rank",
    "slot",
    "cpus",
    "pid",
    "start",
]
ATTEMPT += ["end", "exit_status", "peak_rss_mib", "cpu_s", "job", "log"]
JOB = ["job_id", "state", "is_over", "elapsed", "exit_code", "study", "storage", "trials_done", "n_trials"]
JOB += ["n_tasks", "submitted", "output", "script", "command"]


def named_in(help_text: str) -> set[str]:
    return set(re.findall(r'"(\w+)"', help_text))


@pytest.fixture
def failing_run(cli, storage_url):
    words = ("-n", 4, "--storage", storage_url, "--study-name", "s", "--draw", "none", "-q")
    assert cli("run", "job.py:every_third_fails", *words).code == 0
    return ("--storage", storage_url, "--json")


def test_studies(cli, failing_run):
    said: dict[str, Any] = cli("studies", *failing_run).json
    (study,) = said["studies"]
    (run,) = study["runs"]
    assert (list(said), list(study), list(run)) == (["storage", "studies"], STUDY, RUN)
    assert list(study["counts"]) == COUNTS
    assert named_in(studies._JSON_HELP) == {*said, *study, *run}
    assert all(name in studies._JSON_HELP for name in COUNTS)


def test_trials_and_failed_attempts(cli, failing_run):
    found = cli("trials", *failing_run).json
    assert {tuple(trial) for trial in found} == {tuple(TRIAL)}
    failed = cli("trials", "--failed", *failing_run).json
    assert {tuple(attempt) for attempt in failed} == {tuple(ATTEMPT)}
    of_trials, _, of_attempts = trials._EPILOG.partition("--failed")
    assert named_in(of_trials) == set(TRIAL)
    assert named_in(of_attempts) == set(ATTEMPT)


def test_the_summary_of_report_run_and_file(cli, failing_run):
    said: dict[str, Any] = cli("report", *failing_run, "--draw", "none", "--run-dir", "again").json
    named = named_in(reporting._JSON_HELP)
    assert {*said, *said["attempts"], *said["runs"][0]} <= named
    assert named <= {*said, *said["attempts"], *said["runs"][0], *said["slots"][0]}
    assert list(said) == [*json.loads((cli.cwd / "again" / "summary.json").read_text()), "report"]


def test_topology(here):
    said = json.loads(here("topology", "-p", "1", "--json").out)
    assert {*said, *said["constraints"][0], *said["slots"][0]} == named_in(machine._JSON_HELP)
    tried = json.loads(here("topology", "-p", "1", "--verify", "--json").out)
    assert {*tried, *tried["slots"][0]} == named_in(machine._VERIFY_HELP) - {"alone", "together"}


def test_tune_parallels(here):
    said = json.loads(here("tune-parallels", "--widths", "1", "--seconds", "0.1", "--json", "true").out)
    assert {*said, *said["widths"][0]} == named_in(measuring._TUNE_JSON)


def test_every_verb_that_prints_lines_can_print_json():
    """But those whose output is in another language, and ``bind``, whose output is another program's."""
    others = {"nano-hpo bind", "nano-hpo completion", "nano-hpo db grant"}
    verbs = {name for name in listed() if name.startswith("nano-hpo ") and " -" not in name}
    verbs -= {verb for verb in verbs if any(other.startswith(f"{verb} ") for other in verbs)}
    verbs |= {"nano-hpo studies"}
    assert {verb for verb in verbs if f"{verb} --json" not in listed()} == others


def test_jobs(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = JobRecord(
        job_id="12",
        submitted="2026-01-01T00:00:00+00:00",
        study="s",
        n_trials=3,
        storage="mysql://user:***@host/db",
        has_secret=True,
        run_dir=None,
        command=("nano-hpo", "run", "f.py"),
        script="12.sbatch",
        output="out",
        is_over=True,
    )
    paths = JobPaths.of_folder(tmp_path)
    paths.root.mkdir(parents=True)
    write_record(record, paths)
    done = here("jobs", "--all", "--json")
    assert done.code == 0, done.err
    (job,) = json.loads(done.out)
    assert sorted(job) == sorted(JOB)
    assert named_in(jobs._JSON_HELP) == set(JOB)
