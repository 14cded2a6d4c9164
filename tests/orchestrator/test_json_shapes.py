"""What --json prints keeps its keys, and they are those that the help names."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from orchestrator.cli import jobs, studies, trials
from orchestrator.jobs.record import JobRecord, write_record
from orchestrator.paths import JobPaths

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
