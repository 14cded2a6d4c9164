"""Optuna's command line and its dashboard read and write a study while a run of ours is at work on it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import optuna
from optuna.trial import TrialState

from tests.orchestrator.waiting import wait_until


def optuna_says(*words: object) -> object:
    """What Optuna's own command answers, as JSON."""
    program = Path(sys.executable).with_name("optuna")
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout or "null")


class Dashboard:
    """optuna-dashboard without a socket."""

    def __init__(self, storage_url: str) -> None:
        from optuna_dashboard import wsgi

        self._app = wsgi(optuna.storages.RDBStorage(storage_url))

    def __call__(self, method: str, path: str, body: object = None) -> tuple[str, dict]:
        data = b"" if body is None else json.dumps(body).encode()
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": io.BytesIO(data)}
        environ |= {"CONTENT_LENGTH": str(len(data)), "CONTENT_TYPE": "application/json"}
        environ["QUERY_STRING"] = "after=0"
        setup_testing_defaults(environ)
        status: list[str] = []
        said = b"".join(self._app(environ, lambda code, headers, exc_info=None: status.append(code)))
        return status[0][:3], json.loads(said or b"{}")


def test_optunas_command_line_and_dashboard_work_on_the_study_of_a_run(cli, storage_url):
    study = ("--storage", storage_url, "--study-name", "s")
    process = cli.start("run", "job.py:held", "-n", 2, *study, "--draw", "none", "--json")
    wait_until((cli.cwd / "began-0").exists, process)

    dashboard = Dashboard(storage_url)
    code, seen = dashboard("GET", "/api/studies/1")
    (running,) = seen["trials"]
    assert (code, running["state"], len(running["params"])) == ("200", "Running", 1)
    note = {"user_attrs": {"noted": "by the dashboard"}}
    assert dashboard("POST", f"/api/trials/{running['trial_id']}/user-attrs", note)[0] == "204"

    space = {
        "x": json.loads(
            optuna.distributions.distribution_to_json(optuna.distributions.FloatDistribution(0, 1))
        )
    }
    asked = optuna_says("ask", *study, "--search-space", json.dumps(space), "-f", "json")
    assert (asked["number"], list(asked["params"])) == (1, ["x"])
    optuna_says("tell", *study, "--trial-number", 1, "--values", 0.25)

    (cli.cwd / "go").touch()
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert json.loads(out)["counts"] == {"COMPLETE": 3}
    assert [row["number"] for row in optuna_says("trials", *study, "-f", "json")] == [0, 1, 2]
    trials = optuna.load_study(study_name="s", storage=storage_url).trials
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert trials[0].user_attrs["noted"] == "by the dashboard"
    assert trials[1].value == 0.25
    opened_now = Dashboard(storage_url)  # one that is open shows for some seconds what it has read
    assert len(opened_now("GET", "/api/studies/1")[1]["trials"]) == 3
