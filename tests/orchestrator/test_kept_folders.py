"""Folders of finished trials with ``--keep-top K``: the best and the failed stay, and what is at work."""

from __future__ import annotations

import math
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.study import StudyDirection
from optuna.trial import TrialState

from orchestrator import kept_folders
from orchestrator.causes import Cause
from orchestrator.host import this_process
from orchestrator.kept_folders import KeptFolders, remove, remove_spare_folders, spare_folders
from orchestrator.run_handle import RunHandle
from orchestrator.spec import RunSpec
from orchestrator.sql import schema
from orchestrator.sql.opening import open_database
from orchestrator.storage.attempts import AttemptTable, Loss, Result, Seat
from orchestrator.storage.claims import Claim, Claims
from orchestrator.storage.rows import set_attribute
from orchestrator.storage.runs import RunTable
from orchestrator.storage.study_storage import StudyStorage
from orchestrator.storage.trial_writer import TrialWriter
from orchestrator.trial_folder import FOLDER, folder_name
from tests.mpi import environment, needs_open_mpi, open_mpi
from tests.orchestrator.waiting import wait_until

WRITES = """
import optuna
from orchestrator import trial_dir

def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    (trial_dir(trial) / "state").write_text(str(trial.number))
    if trial.number == 3:
        raise ValueError("what it has left says why")
    if trial.number == 4:
        raise optuna.TrialPruned
    return float(trial.number % 5)
"""


HOLDS = """    import time
    from pathlib import Path
    if trial.number == 5:
        Path("at-5").touch()
        while not Path("go").exists():
            time.sleep(0.02)
"""


@dataclass
class Run:
    """A run of many tickets whose trials are claimed and finished here, each with a folder."""

    handle: RunHandle
    run_dir: Path

    def begin(self) -> Claim:
        seat = Seat(self.handle.run_id, self.handle.agent_id, 0, "0", "some CPU", 1, 1)
        claims = Claims(self.handle.database, self.handle.study_id)
        token = f"token-{len(list(self.run_dir.rglob('state')))}-{self.handle.run_id}"
        claim = claims.claim(seat, token)
        assert claim is not None
        folder = self.folder(claim.number)
        folder.mkdir(parents=True)
        (folder / "state").touch()
        self.handle.database.write(lambda c: set_attribute(c, claim.trial_id, FOLDER, str(folder)))
        return claim

    def finish(
        self, *values: float, state: TrialState = TrialState.COMPLETE, claim: Claim | None = None
    ) -> int:
        claim = claim or self.begin()
        result = Result(state, values or None, Cause.RETURNED)
        TrialWriter(self.handle.database).finish(claim, result)
        return claim.number

    def folder(self, number: int) -> Path:
        return self.run_dir / "trials" / folder_name(number)

    def spare(self, keep_top: int) -> list[str]:
        return [path.name for path in spare_folders(self.handle, self.run_dir, keep_top)]

    def left(self) -> list[int]:
        return sorted(int(path.name.split("-")[1]) for path in (self.run_dir / "trials").iterdir())


@pytest.fixture
def make_run(storage_url, tmp_path):
    databases = []

    def make(*directions: str, run_id: str = "run", study_id: int | None = None) -> Run:
        database = open_database(storage_url)
        databases.append(database)
        if study_id is None:
            goals = [StudyDirection[one.upper()] for one in directions or ("minimize",)]
            study_id = StudyStorage(database).create_new_study(goals, "s")
        runs = RunTable(database)
        runs.create(run_id, study_id, RunSpec("f", "s", n_trials=100), seed=1)
        runs.register_agent(f"agent-{run_id}", run_id, 0, this_process())
        handle = RunHandle(database, storage_url, "s", study_id, run_id, f"agent-{run_id}", 1, joined=False)
        return Run(handle, tmp_path / "a run")

    yield make
    for database in databases:
        database.close()


def names(*numbers: int) -> list[str]:
    return [folder_name(number) for number in numbers]


def test_of_a_run_the_folders_of_the_best_and_of_failed_trials_stay(cli, storage_url):
    (cli.cwd / "writes.py").write_text(WRITES)
    words = (
        "-n",
        12,
        "-p",
        2,
        "--oversubscribe",
        "--storage",
        storage_url,
        "--study-name",
        "s",
        "--draw",
        "none",
    )
    done = cli("run", "writes.py", *words, "--run-dir", "a run", "--keep-top", 2)
    assert done.code == 0, done.err
    states = {t.number: t.state.name for t in optuna.load_study(study_name="s", storage=storage_url).trials}
    assert (states[3], states[4]) == ("FAIL", "PRUNED")
    left = sorted(path.name for path in (cli.cwd / "a run" / "trials").iterdir())
    assert left == names(0, 3, 5)  # 0, 5 and 10 gave 0: the earliest two
    assert not cli("run", "writes.py", *words, "--run-dir", "b", "--resume").code
    assert len(list((cli.cwd / "b" / "trials").iterdir())) == 12  # nobody asked
    words = (*words, "--run-dir", "c", "--resume", "--keep-top", 1)
    assert not cli("run", "writes.py", *words).code
    assert list((cli.cwd / "c" / "trials").iterdir()) == []  # the best of the study is trial 0
    assert len(list((cli.cwd / "b" / "trials").iterdir())) == 12  # of another run


@pytest.mark.parametrize(
    ("directions", "values", "keep_top", "spare"),
    [
        (["minimize"], [[3], [1], [2], [1]], 2, [0, 2]),
        (["maximize"], [[3], [1], [2], [3]], 1, [1, 2, 3]),
        (["minimize"], [[3], [1]], 5, []),
        (["minimize"], [[3], [1]], 0, [0, 1]),
        (["minimize"], [[math.inf], [1], [-math.inf]], 1, [0, 1]),
        (["maximize"], [[math.inf], [1], [-math.inf]], 2, [2]),
        (["minimize", "maximize"], [[1, 1], [2, 2], [3, 1], [1, 0], [1, 1]], 1, [2, 3]),
        (["minimize", "minimize"], [[1, math.inf], [2, 2], [-math.inf, 3]], 1, [0]),
    ],
)
def test_the_best_are_those_of_the_study_in_its_directions(make_run, directions, values, keep_top, spare):
    run = make_run(*directions)
    for some in values:
        run.finish(*some)
    assert run.spare(keep_top) == names(*spare)


def test_a_feasible_trial_stays_beside_better_ones_that_are_not(make_run):
    run = make_run()
    for value, violation in ((3.0, 0.0), (1.0, 1.0), (2.0, -1.0)):
        claim = run.begin()
        run.handle.database.write(
            lambda c, t=claim.trial_id, v=violation: set_attribute(c, t, "constraints", [v])
        )
        run.finish(value, claim=claim)
    assert run.spare(1) == names(0)


def test_no_folder_of_a_trial_at_work_waiting_or_failed_is_spare(make_run):
    run = make_run()
    run.finish(0.0)
    run.finish(state=TrialState.FAIL)
    run.finish(state=TrialState.PRUNED)
    _, released, returned = run.begin(), run.begin(), run.begin()
    table = AttemptTable(run.handle.database, run.handle.study_id)
    table.release(released.token, released.trial_id, Loss(Cause.RELEASED))
    table.give_back(returned.token, returned.trial_id, Loss(Cause.AGENT_LOST), max_retries=3)
    states = [t.state.name for t in StudyStorage(run.handle.database).get_all_trials(run.handle.study_id)]
    assert states == ["COMPLETE", "FAIL", "PRUNED", "RUNNING", "WAITING", "RUNNING"]
    assert run.spare(0) == names(0, 2)


def test_what_loggers_wrote_for_a_failed_trial_stays_although_the_trial_names_no_folder(make_run):
    run = make_run()
    run.finish(state=TrialState.FAIL)
    run.finish(1.0)
    with run.handle.database.engine.begin() as c:
        c.execute(sa.delete(schema.trial_system_attributes))
    assert run.spare(0) == names(1)


def test_a_folder_that_another_trial_names_as_its_own_stays(make_run):
    run = make_run()
    first = run.finish(1.0)
    second = run.begin()  # its attributes are a copy, as when Optuna tries a failed trial again
    run.handle.database.write(
        lambda c: set_attribute(c, second.trial_id, FOLDER, f"/else/{folder_name(first)}")
    )
    assert run.spare(0) == []
    run.finish(1.0, claim=second)
    assert run.spare(0) == names(0, 1)


def test_what_is_not_a_finished_trial_of_this_run_stays(make_run, tmp_path):
    first = make_run()
    first.finish(1.0)
    second = make_run(run_id="second", study_id=first.handle.study_id)
    second.finish(2.0)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    trials = second.run_dir / "trials"
    for odd in ("trial-1", "trial-00001-x", "notes", "trial-00099"):
        (trials / odd).mkdir()
    (trials / "trial-00001-3").symlink_to(elsewhere)
    (trials / "trial-00001-2").mkdir()  # of Lightning's loggers
    (trials / "trial-00001-4").touch()
    assert second.spare(0) == ["trial-00001", "trial-00001-2"]
    assert spare_folders(second.handle, tmp_path / "no such run", 0) == []


def test_a_folder_goes_at_the_second_look_and_one_at_work_at_none(make_run):
    run = make_run()
    for value in (2.0, 1.0, 3.0):
        run.finish(value)
    at_work = run.begin()
    kept = KeptFolders(run.run_dir, 1, lambda text: pytest.fail(text))
    assert not kept.is_due  # in a minute
    kept.look(run.handle)
    assert run.left() == [0, 1, 2, 3]
    kept.look(run.handle)
    kept._remover.join()
    assert run.left() == [1, 3]
    run.finish(0.0, claim=at_work)
    kept.look(run.handle)
    kept.look(run.handle)
    kept._remover.join()
    assert run.left() == [3]


def test_a_removal_that_was_cut_off_is_done_again(make_run):
    run = make_run()
    run.finish(1.0)
    (run.folder(0) / "state").unlink()
    (run.folder(0) / "deep" / "er").mkdir(parents=True)
    remove_spare_folders(run.handle, run.run_dir, 0, lambda text: pytest.fail(text))
    assert run.left() == []
    remove_spare_folders(run.handle, run.run_dir, 0, lambda text: pytest.fail(text))


def test_several_may_remove_the_same_folders_at_once(tmp_path):
    folders = [tmp_path / str(number) for number in range(20)]
    for folder in folders:
        for number in range(30):
            (folder / str(number)).mkdir(parents=True)
            (folder / str(number) / "file").touch()
    errors: list[Any] = []
    threads = [threading.Thread(target=lambda: errors.extend(remove(folders))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (errors, list(tmp_path.iterdir())) == ([], [])


def test_a_folder_that_cannot_be_removed_is_named_and_the_others_go(make_run, monkeypatch):
    run = make_run()
    for value in (1.0, 2.0):
        run.finish(value)
    rmtree = kept_folders.shutil.rmtree

    def refuse_first(path: Path) -> None:
        if path == run.folder(0):
            raise PermissionError(13, "Permission denied")
        rmtree(path)

    monkeypatch.setattr(kept_folders.shutil, "rmtree", refuse_first)
    said: list[str] = []
    remove_spare_folders(run.handle, run.run_dir, 0, said.append)
    assert run.left() == [0]
    assert said == [
        f"1 folders of finished trials cannot be removed; the first: {run.folder(0)} (Permission denied)."
    ]


def test_a_number_below_zero_is_refused_and_the_number_is_no_part_of_a_runs_identity():
    some = RunSpec("f", "s", n_trials=1, keep_top=3)
    assert some.identity_hash() == RunSpec("f", "s", n_trials=1).identity_hash()
    with pytest.raises(Exception, match="keep top is -1"):
        RunSpec("f", "s", n_trials=1, keep_top=-1)


@needs_open_mpi
def test_ranks_keep_the_folders_of_the_best_of_all(cli, storage_url):
    (cli.cwd / "writes.py").write_text(WRITES)
    words = ("-n", 12, "--oversubscribe", "--storage", storage_url, "--study-name", "s", "--draw", "none")
    command = [*open_mpi(3), *cli.argv("run", "writes.py", *words, "--run-dir", "a", "--keep-top", 1)]
    env = {**cli.env, **environment()}
    done = subprocess.run(command, cwd=cli.cwd, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (cli.cwd / "a" / "trials").iterdir()) == names(0, 3)


def test_what_a_killed_agent_has_left_goes_with_the_command_that_finishes_the_run(cli, tmp_path):
    (cli.cwd / "stops.py").write_text(WRITES.replace("    x =", HOLDS + "    x ="))
    words = ("run", "stops.py", "-n", 6, "--run-dir", "a", "--draw", "none", "--keep-top", 1, "-q")
    run = cli.start(*words)
    wait_until(lambda: (cli.cwd / "at-5").exists())
    run.kill()
    run.communicate()
    folders = cli.cwd / "a" / "trials"
    assert len(list(folders.iterdir())) == 5
    (cli.cwd / "go").touch()
    done = cli(*words)
    assert done.code == 0, done.err
    assert sorted(path.name for path in folders.iterdir()) == names(0, 3)
