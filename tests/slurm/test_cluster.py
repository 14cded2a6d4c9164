"""The scripts of `slurm/` and the verbs about jobs, end to end on a cluster of four nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import MariaDB
from tests.slurm.cluster import Cluster

SCRIPTS = Path(__file__).parents[2] / "slurm"
BIN = Path(sys.executable).parent
SMALL = ("--cpus-per-task=1", "--time=5")

TRAIN = """\
import os
import time
from pathlib import Path


def objective(trial):
    x = trial.suggest_float("x", -1, 1)
    trial.set_user_attr("node", os.environ.get("SLURMD_NODENAME"))
    time.sleep(float(os.environ.get("NAP", "0")))
    while trial.number >= int(os.environ.get("HOLD_FROM", "1000000")) and not Path("go").exists():
        time.sleep(0.1)
    return x * x
"""


class Desk:
    """A folder with a space in its name, an objective, and what a person types there."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster = folder, cluster
        (folder / "train.py").write_text(TRAIN)
        self.environ = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "XDG_CONFIG_HOME": str(folder / "config"),
            "CORES_PER_TRIAL": "1",
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_btl": "self,tcp",
        }

    def sbatch(self, *words: str | Path, **environ: str) -> str:
        return self.cluster.sbatch(*words, folder=self.folder, environ=self.environ | environ)

    def type(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """``nano-hpo …``, typed here."""
        return subprocess.run(
            [str(BIN / "nano-hpo"), *words],
            cwd=self.folder,
            env=self.cluster.environ | self.environ | environ,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def output(self, job: str) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob(f"nano-hpo-{job}*.out")))

    def trials(self, url: str, study: str) -> list[dict[str, object]]:
        done = self.type("trials", "--storage", url, "--study-name", study, "--json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, object]] = json.loads(done.stdout)
        return found

    def await_trials(self, job: str, url: str, states: dict[str, int]) -> None:
        """Return when the trials are in these states; fail when the job is over before."""

        def reached() -> bool:
            over = not {"PENDING", "RUNNING"}.intersection(self.cluster.states(job))
            assert not over, self.output(job)
            listed = self.type("trials", "--storage", url, "--study-name", "s", "--json")
            found = json.loads(listed.stdout) if listed.returncode == 0 else []
            return Counter(trial["state"] for trial in found) >= Counter(states)

        self.cluster.wait(reached, f"{states} of job {job}")

    def runs(self, url: str, study: str) -> list[dict[str, object]]:
        listed = json.loads(self.type("studies", "--storage", url, "--json").stdout)
        return next(one["runs"] for one in listed["studies"] if one["name"] == study)


@pytest.fixture
def desk(cluster: Cluster, tmp_path: Path) -> Desk:
    folder = tmp_path / "my searches"
    folder.mkdir()
    return Desk(folder, cluster)


@pytest.fixture
def url(mariadb: MariaDB) -> str:
    return mariadb.create_database()


def run_words(url: str | None, n_trials: int, study: str = "s") -> list[str]:
    words = ["train.py:objective", "--n-trials", str(n_trials), "--study-name", study, "--draw", "none"]
    return words if url is None else [*words, "--storage", url]


def all_complete(trials: list[dict[str, object]]) -> bool:
    return {trial["state"] for trial in trials} == {"COMPLETE"}


def test_search_on_one_node_needs_no_database_server(desk: Desk) -> None:
    job = desk.sbatch(*SMALL, SCRIPTS / "search.sbatch", *run_words(None, 5))
    assert desk.cluster.finish(job) == ["COMPLETED"], desk.output(job)
    trials = json.loads((desk.folder / "nano-hpo-runs/s/run-001/trials.json").read_text())
    assert len(trials) == 5


@pytest.mark.parametrize("script", ["search_multinode.sbatch", "search_mpirun.sbatch"])
def test_agents_on_two_nodes_share_one_run(desk: Desk, url: str, script: str) -> None:
    job = desk.sbatch(*SMALL, SCRIPTS / script, *run_words(url, 12), NAP="0.3")
    assert desk.cluster.finish(job) == ["COMPLETED"], desk.output(job)
    trials = desk.trials(url, "s")
    assert len(trials) == 12
    assert all_complete(trials)
    (run,) = desk.runs(url, "s")
    assert (run["state"], run["claimed"]) == ("finished", 12)
    assert not list(desk.folder.glob(".nano-hpo-*"))


def test_agents_on_two_nodes_need_no_database_server(desk: Desk) -> None:
    job = desk.sbatch(*SMALL, SCRIPTS / "search_multinode.sbatch", *run_words(None, 12), NAP="0.3")
    assert desk.cluster.finish(job) == ["COMPLETED"], desk.output(job)
    run = desk.folder / "nano-hpo-runs/s/run-001"
    assert len(json.loads((run / "trials.json").read_text())) == 12
    assert {slot["rank"] for slot in json.loads((run / "summary.json").read_text())["slots"]} == {0, 1}
    assert "Rank 0 lends the database" in desk.output(job)


def test_four_jobs_of_an_array_share_one_run(desk: Desk, url: str) -> None:
    job = desk.sbatch(*SMALL, SCRIPTS / "search_array.sbatch", *run_words(url, 16), NAP="0.3")
    assert desk.cluster.finish(job) == ["COMPLETED"] * 4, desk.output(job)
    trials = desk.trials(url, "s")
    assert len(trials) == 16
    assert all_complete(trials)
    assert len(desk.runs(url, "s")) == 1


def test_a_job_can_bring_its_own_database(desk: Desk) -> None:
    job = desk.sbatch(*SMALL, SCRIPTS / "database.sbatch", *run_words(None, 6))
    assert desk.cluster.finish(job) == ["COMPLETED"], desk.output(job)
    database = desk.folder / "nano-hpo-runs" / "database"
    assert (database / "client.cnf").stat().st_mode & 0o777 == 0o600
    assert desk.type("db", "status", str(database)).returncode == 1, "the job has stopped its server"
    assert desk.type("db", "start", str(database)).returncode == 0
    try:
        url = desk.type("db", "url", str(database)).stdout.strip()
        assert len(desk.trials(url, "s")) == 6
    finally:
        desk.type("db", "stop", str(database))
    secret = (database / "client.cnf").read_text().split("password")[1].split()[-1].strip('"')
    assert secret not in desk.output(job)


def test_submit_shows_its_job_and_waits_for_it(desk: Desk, url: str) -> None:
    done = desk.type(
        "submit", "--wait", "--nodes", "2", "-c", "1", "--time", "5", "--", "run", *run_words(url, 6)
    )
    assert done.returncode == 0, done.stderr + done.stdout
    job = done.stdout.split()[1]
    assert f"Job {job}: COMPLETED, 6 of 6 trials" in done.stderr
    assert "Best" in done.stdout, "the output of the job"
    record = desk.folder / "nano-hpo-runs" / "jobs" / f"{job}.json"
    assert record.stat().st_mode & 0o777 == 0o600
    (shown,) = json.loads(desk.type("jobs", "--json").stdout)
    assert (shown["job_id"], shown["state"], shown["trials_done"], shown["n_trials"]) == (
        job,
        "COMPLETED",
        6,
        6,
    )
    assert "6/6" in desk.type("jobs").stdout


def test_a_study_file_says_all_of_a_job_and_its_search(desk: Desk, url: str) -> None:
    (desk.folder / "study.toml").write_text(
        f"objective = 'train.py'\nn_trials = 6\nstudy_name = 's'\nstorage = '{url}'\ndraw = 'none'\n"
        "n_parallels = 1\n[slurm]\nnodes = 2\ncpus_per_task = 1\ntime = 00:05:00\n"
    )
    done = desk.type("submit", "--wait", "--", "run", "study.toml", "--quiet")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "COMPLETED, 6 of 6 trials" in done.stderr
    (file,) = desk.folder.glob("nano-hpo-runs/s/*/run.json")
    run = json.loads(file.read_text())
    assert (run["ranks"], run["sources"]["n_trials"], run["spec"]["n_trials"]) == (2, "file", 6)


def test_wait_returns_the_code_of_the_search(desk: Desk) -> None:
    (desk.folder / "train.py").write_text("def objective(trial):\n    raise ValueError\n")
    words = ["submit", "--wait", "-c", "1", "--", "run", *run_words(None, 9)]
    done = desk.type(*words)
    assert done.returncode == 1, done.stderr
    assert "FAILED" in done.stderr


def test_a_cancelled_job_gives_its_trials_back_and_the_same_line_goes_on(desk: Desk, url: str) -> None:
    words = ["submit", "--parsable", "-c", "1", "--", "run", *run_words(url, 4)]
    job = desk.type(*words, HOLD_FROM="1").stdout.strip()
    desk.await_trials(job, url, {"COMPLETE": 1, "RUNNING": 1})
    assert "1/4" in desk.type("jobs").stdout
    done = desk.type("cancel", "--study", "s")
    assert done.returncode == 0, done.stderr
    assert desk.cluster.finish(job) == ["CANCELLED"]
    assert "CANCELLED" in desk.type("jobs").stdout
    (desk.folder / "go").touch()
    again = desk.type(*words).stdout.strip()
    assert desk.cluster.finish(again) == ["COMPLETED"], desk.output(again)
    trials = desk.trials(url, "s")
    assert [trial["number"] for trial in trials] == [0, 1, 2, 3]
    assert all_complete(trials)


def test_two_studies_at_once_stay_apart(desk: Desk, url: str) -> None:
    script = SCRIPTS / "search.sbatch"
    jobs = [desk.sbatch(*SMALL, script, *run_words(url, 5, study)) for study in ("one", "two")]
    assert [desk.cluster.finish(job) for job in jobs] == [["COMPLETED"]] * 2
    assert [len(desk.trials(url, study)) for study in ("one", "two")] == [5, 5]


def fake_command(desk: Desk, text: str) -> dict[str, str]:
    """A ``nano-hpo`` of this text that comes first on PATH."""
    fake = desk.folder / "bin" / "nano-hpo"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/bash\n{text}\n")
    fake.chmod(0o755)
    return {"PATH": f"{fake.parent}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("script", "flags"), [("search.sbatch", ()), ("search_array.sbatch", ("--array=0-1",))]
)
def test_a_job_out_of_time_is_requeued_until_it_may_no_more(
    desk: Desk, script: str, flags: tuple[str, ...]
) -> None:
    environ = fake_command(desk, 'echo "restart ${SLURM_RESTART_COUNT:-0}"; exit 75')
    job = desk.sbatch(*SMALL, *flags, SCRIPTS / script, "t.py", **environ, MAX_REQUEUES="1")
    tasks = [f"{job}_0", f"{job}_1"] if flags else [job]
    for task in tasks:
        desk.cluster.wait(lambda t=task: desk.cluster.show(t).get("Restarts") == "1", f"{task} is requeued")
        desk.cluster.wait(lambda t=task: desk.cluster.states(t) == ["PENDING"], f"{task} waits")
        desk.cluster.hurry(task)
    assert desk.cluster.finish(job) == ["FAILED"] * len(tasks)
    output = desk.output(job)
    assert [output.count(f"restart {n}") for n in range(3)] == [len(tasks), len(tasks), 0], output
    assert "after 1 requeues" in output
    assert {desk.cluster.show(task)["ExitCode"] for task in tasks} == {"75:0"}


@pytest.mark.parametrize(
    ("script", "codes", "code"),
    [
        ("search_multinode.sbatch", "137 75", 75),
        ("search_mpirun.sbatch", "137 75", 75),  # left alone, mpirun would end the second as well
        ("search_multinode.sbatch", "75 0", 75),
        ("search_multinode.sbatch", "130 75", 130),
        ("search_multinode.sbatch", "0 137", 0),  # the others have done its trials
        ("search_multinode.sbatch", "1 2", 2),
    ],
)
def test_agents_that_differ_come_to_one_code(desk: Desk, script: str, codes: str, code: int) -> None:
    by_rank = """\
read -ra codes <<<"$CODES"
code=${codes[${OMPI_COMM_WORLD_RANK:-$SLURM_PROCID}]}
[ "$code" = 137 ] && kill -KILL $$
[ "$code" = 75 ] && sleep 1
exit "$code"
"""
    environ = fake_command(desk, by_rank) | {"CODES": codes, "MAX_REQUEUES": "0"}
    job = desk.sbatch(*SMALL, SCRIPTS / script, "t.py", **environ)
    desk.cluster.finish(job)
    assert desk.cluster.show(job)["ExitCode"] == f"{code}:0", desk.output(job)
    assert ("after 0 requeues" in desk.output(job)) == (code == 75)


def test_a_warning_reaches_every_agent_once(desk: Desk) -> None:
    """As ``--signal`` sends it: to the shell, or to the tasks of a step."""
    told = "trap 'echo \"told\"; exit 75' USR1; echo ready; for i in {1..600}; do sleep 0.1; done"
    environ = fake_command(desk, told) | {"MAX_REQUEUES": "0"}
    for script, flags, agents in (
        ("search.sbatch", ("--batch",), 1),
        ("search_multinode.sbatch", (), 2),
        ("search_mpirun.sbatch", ("--batch",), 2),
    ):
        job = desk.sbatch(*SMALL, SCRIPTS / script, "t.py", **environ)
        desk.cluster.wait(lambda j=job, n=agents: desk.output(j).count("ready") == n, "the agents are there")
        desk.cluster.call("scancel", *flags, "--signal=USR1", job)
        desk.cluster.finish(job)
        assert desk.output(job).count("told") == agents, script
        assert desk.cluster.show(job)["ExitCode"] == "75:0", script


def test_a_trial_that_runs_at_the_warning_may_end(desk: Desk, url: str) -> None:
    """Slurm sends it to every process of a task, workers included."""
    words = run_words(url, 4)
    script = SCRIPTS / "search_multinode.sbatch"
    job = desk.sbatch("--nodes=1", *SMALL, script, *words, HOLD_FROM="1", MAX_REQUEUES="0")
    desk.await_trials(job, url, {"COMPLETE": 1, "RUNNING": 1})
    desk.cluster.call("scancel", "--signal=USR1", job)
    (desk.folder / "go").touch()
    desk.cluster.finish(job)
    assert [(trial["state"], trial["attempts"]) for trial in desk.trials(url, "s")][:2] == [
        ("COMPLETE", 1)
    ] * 2


@pytest.mark.long
def test_a_node_that_loses_its_power_costs_no_trial(desk: Desk, url: str) -> None:
    script = SCRIPTS / "search_multinode.sbatch"
    job = desk.sbatch("--nodes=3", *SMALL, script, *run_words(url, 60), NAP="0.5")
    desk.await_trials(job, url, {"COMPLETE": 6})
    nodes = desk.cluster.call("scontrol", "show", "hostnames", desk.cluster.show(job)["NodeList"]).split()
    assert nodes[0] == desk.cluster.show(job)["BatchHost"]
    desk.cluster.power_off(nodes[2])
    try:
        assert desk.cluster.finish(job) == ["COMPLETED"], desk.output(job)
        trials = desk.trials(url, "s")
        assert len(trials) == 60
        assert all_complete(trials)
    finally:
        desk.cluster.start_node(nodes[2])


@pytest.mark.long
def test_a_search_whose_first_node_loses_its_power_is_requeued_and_ends(desk: Desk, url: str) -> None:
    script = SCRIPTS / "search.sbatch"
    job = desk.sbatch(*SMALL, script, *run_words(url, 6), HOLD_FROM="3")
    desk.await_trials(job, url, {"COMPLETE": 3, "RUNNING": 1})
    node = desk.cluster.show(job)["BatchHost"]
    desk.cluster.power_off(node)
    (desk.folder / "go").touch()
    try:
        desk.cluster.wait(lambda: desk.cluster.show(job)["Restarts"] == "1", "it is requeued")
        desk.cluster.hurry(job)
        assert desk.cluster.finish(job) == ["COMPLETED"], desk.output(job)
        assert len(desk.trials(url, "s")) == 6
    finally:
        desk.cluster.start_node(node)


@pytest.mark.long
@pytest.mark.parametrize(
    ("signal", "said"),
    [
        ("B:USR1@120", "stopped by SIGUSR1"),
        ("B:CONT@1", "the allocation ends at"),  # no warning: the agent knows by itself
    ],
)
def test_a_search_that_takes_longer_than_its_job_goes_on_when_it_is_requeued(
    desk: Desk, url: str, signal: str, said: str
) -> None:
    flags = ("--time=1", f"--signal={signal}")
    job = desk.sbatch(*SMALL, *flags, SCRIPTS / "search.sbatch", *run_words(url, 8), NAP="7")
    desk.cluster.wait(lambda: desk.cluster.show(job).get("Restarts") == "1", "it is requeued")
    desk.cluster.wait(lambda: desk.cluster.states(job) == ["PENDING"], "it waits")
    begun = desk.trials(url, "s")
    assert 0 < sum(trial["state"] == "COMPLETE" for trial in begun) < 8
    assert {trial["state"] for trial in begun} <= {"COMPLETE", "WAITING"}
    for restart in range(2, 9):
        desk.cluster.hurry(job)
        desk.cluster.wait(
            lambda n=restart: (
                desk.cluster.states(job) == ["COMPLETED"]
                or (desk.cluster.show(job).get("Restarts"), desk.cluster.states(job)) == (str(n), ["PENDING"])
            ),
            f"restart {restart}, or the end",
        )
        if desk.cluster.states(job) == ["COMPLETED"]:
            break
    assert desk.cluster.finish(job) == ["COMPLETED"], desk.output(job)
    assert said in desk.output(job)
    trials = desk.trials(url, "s")
    assert [trial["number"] for trial in trials] == list(range(8))
    assert all_complete(trials)
    (run,) = desk.runs(url, "s")
    assert (run["state"], run["claimed"]) == ("finished", 8)
