"""``search()`` from Python: in this process and in memory, and with worker processes."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from orchestrator import ObjectiveError, RunDirError, RunFailed, SpecError, StudyError, Summary, search
from orchestrator.storage.attempts import CAUSE


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NANO_HPO_STORAGE", raising=False)


def quadratic(trial):
    x = trial.suggest_float("x", -5, 5)
    trial.report(x, 0)
    return (x - 1) ** 2


def test_one_worker_without_storage_searches_here_in_memory_and_writes_nothing():
    pids = []

    def objective(trial):  # a closure, which needs no pickling here
        pids.append(os.getpid())
        return quadratic(trial)

    summary = search(objective, n_trials=30, seed=1, progress=False)
    assert isinstance(summary, Summary)
    assert set(pids) == {os.getpid()}
    assert summary.counts == {"COMPLETE": 30}
    assert summary.best_value == min(trial.value for trial in summary.trials)
    assert abs(summary.best_params["x"] - 1) < 1
    assert len(summary.trials_dataframe()) == 30
    assert list(Path().iterdir()) == []


def test_a_seed_repeats_a_search_and_another_does_not():
    def params(seed: int) -> list[dict]:
        return [t.params for t in search(quadratic, n_trials=15, seed=seed, progress=False).trials]

    assert params(3) == params(3) != params(4)


def test_what_the_objective_draws_itself_is_seeded_too():
    import random

    def draws(trial):
        return random.random()

    def values() -> list[float]:
        return [t.value for t in search(draws, n_trials=3, seed=3, progress=False).trials]

    assert values() == values()


def test_maximising_finds_the_largest():
    summary = search(quadratic, n_trials=10, direction="maximize", progress=False)
    assert summary.best_value == max(trial.value for trial in summary.trials)


def test_a_failing_trial_keeps_its_cause():
    def objective(trial):
        if trial.number == 1:
            raise KeyError("units")
        return 0.0

    summary = search(objective, n_trials=3, progress=False)
    assert summary.counts == {"COMPLETE": 2, "FAIL": 1}
    assert summary.trials[1].system_attrs[CAUSE] == "raised KeyError: 'units' (test_search.py, line 74)"


def test_the_place_of_a_failure_is_in_ones_own_code_wherever_packages_lie(tmp_path, monkeypatch):
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "from_elsewhere.py").write_text("def fails(): raise KeyError('units')\n")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")

    def objective(trial):
        if trial.number == 1:
            import from_elsewhere

            from_elsewhere.fails()
        return 0.0

    cause = search(objective, n_trials=3, progress=False).trials[1].system_attrs[CAUSE]
    assert "(test_search.py, line " in cause


def test_pruned_trials_count_as_finished():
    def objective(trial):
        trial.report(trial.number, 0)
        raise optuna.TrialPruned

    assert search(objective, n_trials=3, progress=False).counts == {"PRUNED": 3}


def test_trials_that_all_fail_alike_end_the_search():
    def objective(trial):
        raise ValueError("always")

    with pytest.raises(RunFailed, match="always"):
        search(objective, n_trials=100, progress=False)


def test_an_optuna_sampler_and_pruner_may_be_given():
    sampler = optuna.samplers.RandomSampler(seed=3)
    summary = search(
        quadratic, n_trials=4, sampler=sampler, pruner=optuna.pruners.NopPruner(), progress=False
    )
    assert len(summary.trials) == 4


def test_several_processes_search_with_a_closure_and_objects_by_value():
    offset = 2.5

    def objective(trial):
        trial.set_user_attr("pid", os.getpid())
        return trial.suggest_float("x", 0, 1) + offset

    summary = search(
        objective,
        n_trials=12,
        n_parallels=2,
        sampler=optuna.samplers.RandomSampler(),
        study_name="closure",
        progress=False,
        draw="html",
    )
    assert summary.counts == {"COMPLETE": 12}
    assert os.getpid() not in {trial.user_attrs["pid"] for trial in summary.trials}
    assert len({trial.params["x"] for trial in summary.trials}) == 12
    assert (Path("nano-hpo-runs") / "closure" / "run-001" / "report.html").exists()


def test_workers_see_the_arguments_of_the_calling_script(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--epochs", "3"])

    def objective(trial):
        trial.set_user_attr("argv", sys.argv)
        return 0.0

    summary = search(objective, n_trials=1, n_parallels=2, oversubscribe=True, draw="none", progress=False)
    assert summary.trials[0].user_attrs["argv"] == ["train.py", "--epochs", "3"]


def test_without_a_storage_workers_use_a_file_of_the_run_and_it_is_said(capsys):
    given = {"n_trials": 1, "oversubscribe": True, "draw": "none"}
    search(quadratic, n_parallels=2, **given)
    assert "No storage is named: the study goes into an SQLite file" in capsys.readouterr().err
    search(quadratic, n_parallels=2, storage="sqlite:///s.db", **given)
    search(quadratic, **{**given, "oversubscribe": False})
    assert "No storage" not in capsys.readouterr().err


def test_a_search_that_draws_nothing_names_the_folder_of_its_tables(capsys):
    given = {"n_trials": 1, "oversubscribe": True, "run_dir": "here"}
    search(quadratic, **given, draw="none")
    said = capsys.readouterr().err
    assert f"Tables:  {Path.cwd() / 'here'}" in said
    assert "Report:" not in said


def test_a_stored_study_is_renamed_not_deleted_and_resume_adds_to_it(storage_url):
    def again(**more):
        options = {
            "n_trials": 3,
            "storage": storage_url,
            "study_name": "kept",
            "progress": False,
            "draw": "none",
        }
        return search(quadratic, **options, **more)

    again()
    assert len(again(resume=True).trials) == 6
    assert len(again().trials) == 3
    names = optuna.get_all_study_names(storage_url)
    assert len(names) == 2
    (replaced,) = set(names) - {"kept"}
    assert replaced.startswith("kept (replaced 20")
    assert len(optuna.load_study(study_name=replaced, storage=storage_url).trials) == 6


def test_resume_without_a_study_is_refused(storage_url):
    with pytest.raises(SpecError, match="storage=URL"):
        search(quadratic, n_trials=1, resume=True)
    with pytest.raises(StudyError, match="no study"):
        search(quadratic, n_trials=1, resume=True, storage=storage_url, study_name="none")
    assert list(Path().iterdir()) in ([], [Path("test.db")])


def test_a_script_searches_with_functions_of_its_own_main_module(tmp_path):
    script = tmp_path / "a script.py"
    script.write_text(
        "import functools\n"
        "from orchestrator import search\n"
        "def objective(trial):\n"
        "    return helper(trial.suggest_float('x', 0, 1))\n"
        "@functools.lru_cache(maxsize=7)\n"
        "def helper(x):\n"
        "    assert helper.cache_parameters()['maxsize'] == 7\n"
        "    return x + 1\n"
        "if __name__ == '__main__':\n"
        "    summary = search(objective, n_trials=4, n_parallels=2, draw='none')\n"
        "    print(summary.counts)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "{'COMPLETE': 4}", done.stderr


def test_a_second_interrupt_ends_a_search_in_this_process_at_once():
    import signal

    def stuck(trial):
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        pytest.fail("the second interrupt did not arrive")

    with pytest.raises(KeyboardInterrupt):
        search(stuck, n_trials=3, progress=False)


def test_a_first_interrupt_ends_a_search_in_this_process_after_the_running_trial():
    import signal

    def interrupted(trial):
        if trial.number == 1:
            signal.raise_signal(signal.SIGINT)
        return 0.0

    summary = search(interrupted, n_trials=9, progress=False)
    assert summary.counts == {"COMPLETE": 2}
    assert summary.runs[-1].state == "stopped"


# Callbacks


TWO = {"n_parallels": 2, "oversubscribe": True, "progress": False, "draw": "none"}
HERE = {"progress": False}


@pytest.mark.parametrize("where", [HERE, TWO], ids=["in memory", "two workers"])
def test_a_callback_hears_of_each_finished_trial_in_the_process_that_ran_it(where):
    def objective(trial):
        trial.set_user_attr("pid", os.getpid())
        if trial.number == 1:
            raise KeyError("units")
        if trial.number == 2:
            raise optuna.TrialPruned
        return trial.suggest_float("x", 0, 1)

    def callback(study, trial):
        assert trial.user_attrs["pid"] == os.getpid()
        assert study.trials[trial.number].state == trial.state
        Path(f"heard-{trial.number}").write_text(f"{trial.state.name} {trial.values}")

    summary = search(objective, n_trials=6, callbacks=[callback], **where)
    heard = {int(path.name.split("-")[1]): path.read_text() for path in Path().glob("heard-*")}
    assert heard == {trial.number: f"{trial.state.name} {trial.values}" for trial in summary.trials}


@pytest.mark.parametrize("where", [HERE, TWO], ids=["in memory", "two workers"])
def test_a_callback_may_end_the_search(where):
    enough = optuna.study.MaxTrialsCallback(3, states=(optuna.trial.TrialState.COMPLETE,))
    summary = search(quadratic, n_trials=5000, callbacks=[enough], **where)
    assert 3 <= summary.counts["COMPLETE"] < 1000
    assert summary.runs[-1].state == "finished"


def test_a_callback_that_raises_is_said_once_and_the_search_goes_on(caplog, capsys):
    heard = []

    def bad(study, trial):
        raise ValueError(f"not for {trial.number}")

    summary = search(quadratic, n_trials=3, callbacks=[bad, lambda study, trial: heard.append(trial.number)])
    assert summary.counts == {"COMPLETE": 3}
    assert heard == [0, 1, 2]
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info] == [("not for 0",)]
    said = [line for line in capsys.readouterr().err.splitlines() if "Callback" in line]
    assert len(said) == 1
    assert said[0].endswith("bad raised ValueError: not for 0; the search goes on.")


def test_a_callback_that_raises_in_workers_is_in_their_logs_and_said_once(capsys):
    def bad(study, trial):
        raise ValueError("no such board")

    summary = search(quadratic, n_trials=6, callbacks=[bad], **{**TWO, "progress": True})
    assert summary.counts == {"COMPLETE": 6}
    assert capsys.readouterr().err.count("bad raised ValueError: no such board") == 1
    logs = [path.read_text() for path in (summary.run_dir / "logs").iterdir()]
    assert any("Traceback" in log and "no such board" in log for log in logs)
    assert max(log.count("Traceback") for log in logs) == 1


@pytest.mark.parametrize(
    ("callbacks", "said"),
    [([print, 3], r"callbacks\[1\] is 3"), (print, "give a list"), ("print", "give a list")],
)
def test_what_is_no_callback_is_refused(callbacks, said):
    with pytest.raises(SpecError, match=said):
        search(quadratic, n_trials=1, callbacks=callbacks, **HERE)


def test_a_callback_that_cannot_travel_is_refused_and_leaves_nothing():
    import threading

    lock = threading.Lock()
    with pytest.raises(SpecError, match=r"callbacks cannot be sent .*_thread\.lock"):
        search(quadratic, n_trials=1, callbacks=[lambda study, trial: lock], **TWO)
    assert list(Path().iterdir()) == []


# Going on with an earlier search


def seen_params(trial):
    """Tells how many finished trials the study has, as the sampler sees them."""
    trial.set_user_attr("before", sum(t.state.is_finished() for t in trial.study.trials))
    return trial.suggest_float("x", 0, 1)


def test_a_search_in_memory_goes_on_in_memory():
    first = search(seen_params, n_trials=12, seed=3, **HERE)
    second = search(seen_params, n_trials=12, resume=first, **HERE)
    assert [trial.number for trial in second.trials] == list(range(24))
    assert [trial.user_attrs["before"] for trial in second.trials] == list(range(24))
    assert [trial.params for trial in second.trials[:12]] == [trial.params for trial in first.trials]
    assert len({trial.params["x"] for trial in second.trials}) == 24
    assert second.study.study_name == first.study.study_name
    assert [run.n_trials for run in second.runs] == [12, 12]
    assert len(first.trials) == 12
    assert list(Path().iterdir()) == []
    at_once = search(seen_params, n_trials=24, seed=3, **HERE)
    assert [trial.params for trial in second.trials] == [trial.params for trial in at_once.trials]


def test_an_interrupted_search_in_memory_is_gone_on_with():
    import signal

    def stuck(trial):
        trial.suggest_float("x", 0, 1)
        if trial.number == 2 and not stuck.was_there:
            stuck.was_there = True
            signal.raise_signal(signal.SIGTERM)
        return 0.0

    stuck.was_there = False
    first = search(stuck, n_trials=5, **HERE)
    assert first.runs[-1].state == "stopped"
    second = search(stuck, n_trials=2, resume=first, **HERE)
    assert second.counts == {"COMPLETE": 5}


def test_a_search_in_memory_goes_on_with_workers_in_a_copy_of_its_study():
    first = search(seen_params, n_trials=5, direction="maximize", **HERE)
    second = search(seen_params, n_trials=4, resume=first, run_dir="here", **TWO)
    assert [trial.number for trial in second.trials] == list(range(9))
    assert [trial.params for trial in second.trials[:5]] == [trial.params for trial in first.trials]
    assert min(trial.user_attrs["before"] for trial in second.trials[5:]) >= 5
    assert second.study.study_name == first.study.study_name
    assert second.best_value == max(trial.value for trial in second.trials)
    assert len(second.runs) == 2
    assert len(second.attempts) == 9
    assert len(first.study.trials) == 5
    third = search(seen_params, n_trials=2, resume=second, **{**TWO, "n_parallels": 1})
    assert len(third.trials) == 11
    assert third.storage_url == second.storage_url
    assert third.run_dir != second.run_dir
    by_name = search(
        seen_params, n_trials=1, resume=True, study_name=third.study.study_name, direction="maximize", **TWO
    )
    assert len(by_name.trials) == 12


def test_a_search_in_memory_goes_on_in_a_database_where_a_study_of_its_name_is_renamed(storage_url):
    options = {"storage": storage_url, "study_name": "both", "progress": False, "draw": "none"}
    search(quadratic, n_trials=2, **options)
    first = search(quadratic, n_trials=3, study_name="both", **HERE)
    second = search(quadratic, n_trials=1, resume=first, storage=storage_url, progress=False, draw="none")
    assert len(second.trials) == 4
    names = sorted(optuna.get_all_study_names(storage_url))
    assert names[0] == "both"
    assert names[1].startswith("both (replaced 20")
    assert [len(optuna.load_study(study_name=name, storage=storage_url).trials) for name in names] == [4, 2]


def test_a_search_in_a_database_goes_on_there_without_its_url(storage_url):
    first = search(quadratic, n_trials=2, storage=storage_url, study_name="kept", progress=False, draw="none")
    second = search(quadratic, n_trials=2, resume=first, progress=False, draw="none")
    assert (len(second.trials), second.storage_url) == (4, first.storage_url)
    assert optuna.get_all_study_names(storage_url) == ["kept"]


def test_a_search_in_a_database_goes_on_in_a_copy_in_another(tmp_path):
    options = {"progress": False, "draw": "none"}
    first = search(quadratic, n_trials=2, storage="sqlite:///one.db", study_name="kept", **options)
    second = search(quadratic, n_trials=1, resume=first, storage="sqlite:///two.db", **options)
    assert len(second.trials) == 3
    third = search(quadratic, n_trials=1, resume=second, storage="sqlite:///two.db", **options)
    assert len(third.trials) == 4
    assert len(optuna.load_study(study_name="kept", storage="sqlite:///one.db").trials) == 2


def test_a_study_that_was_renamed_meanwhile_is_gone_on_with(storage_url):
    options = {"storage": storage_url, "progress": False, "draw": "none"}
    first = search(quadratic, n_trials=2, study_name="kept", **options)
    search(quadratic, n_trials=1, study_name="kept", **options)
    second = search(quadratic, n_trials=1, resume=first, **options)
    assert len(second.trials) == 3
    assert second.study.study_name.startswith("kept (replaced 20")


def test_a_run_that_was_cut_off_is_not_taken_for_one_that_goes_on_with_an_earlier_search():
    import signal

    def interrupted(trial):
        if not Path("was-there").exists():
            Path("was-there").touch()
            os.kill(os.getppid(), signal.SIGINT)
        return trial.suggest_float("x", 0, 1)

    cut_off = search(interrupted, n_trials=9, **TWO)
    assert cut_off.runs[-1].state == "stopped"
    first = search(interrupted, n_trials=2, **HERE)
    second = search(interrupted, n_trials=9, resume=first, **TWO)
    assert len(second.trials) == 11
    assert second.run_dir != cut_off.run_dir


def test_a_run_that_was_cut_off_beside_a_copy_of_an_earlier_search_is_not_taken_for_it(tmp_path):
    import signal

    def interrupted(trial):
        if Path("interrupt").exists():
            Path("interrupt").unlink()
            os.kill(os.getppid(), signal.SIGINT)
        return trial.suggest_float("x", 0, 1)

    options = {"storage": "sqlite:///one.db", "progress": False, "draw": "none"}
    first = search(interrupted, n_trials=2, **HERE)
    assert len(search(interrupted, n_trials=1, resume=first, **options).trials) == 3
    Path("interrupt").touch()
    assert search(interrupted, n_trials=20, **options).runs[-1].state == "stopped"
    assert len(search(interrupted, n_trials=20, resume=first, **options).trials) == 22


def test_a_run_on_an_earlier_search_that_was_cut_off_is_finished_by_the_same_call():
    import signal

    def interrupted(trial):
        if trial.number == 4 and not Path("was-there").exists():
            Path("was-there").touch()
            os.kill(os.getppid(), signal.SIGINT)
        return trial.suggest_float("x", 0, 1)

    first = search(interrupted, n_trials=2, **HERE)
    cut_off = search(interrupted, n_trials=50, resume=first, **TWO)
    assert cut_off.runs[-1].state == "stopped"
    second = search(interrupted, n_trials=50, resume=first, **TWO)
    assert len(second.trials) == 52
    assert second.run_dir == cut_off.run_dir


def test_an_earlier_search_is_not_gone_on_with_as_another_study():
    first = search(quadratic, n_trials=1, study_name="one", **HERE)
    with pytest.raises(SpecError, match="goes on with study 'one'"):
        search(quadratic, n_trials=1, resume=first, study_name="two", **HERE)
    with pytest.raises(StudyError, match="made to minimize, not to maximize"):
        search(quadratic, n_trials=1, resume=first, direction="maximize", **HERE)
    with pytest.raises(SpecError, match="True, False or the summary"):
        search(quadratic, n_trials=1, resume="one", **HERE)
    assert len(first.study.trials) == 1


def test_a_copy_that_does_not_begin_leaves_nothing_in_the_database(storage_url):
    import threading

    lock = threading.Lock()
    first = search(quadratic, n_trials=2, study_name="one", **HERE)
    with pytest.raises(ObjectiveError, match="cannot be sent"):
        search(lambda trial: lock, n_trials=1, resume=first, storage=storage_url, progress=False)
    assert optuna.get_all_study_names(storage_url) == []


def test_the_password_of_a_storage_is_not_shown_by_what_a_search_returns():
    class Secretive:
        url = "mysql://me:swordfish@host/db"

    summary = dataclasses.replace(search(quadratic, n_trials=1, **HERE), database=Secretive())
    assert "swordfish" not in f"{summary!r} {summary} {summary.as_json()} {summary.trials_dataframe()}"


# Where a run writes


def test_an_objective_sees_where_its_run_writes():
    def objective(trial):
        folder = trial.study.run_dir
        trial.set_user_attr("folder", None if folder is None else str(folder))
        if folder is not None:
            (folder / f"model-{trial.number}.txt").write_text("weights")
        return 0.0

    assert search(objective, n_trials=1, **HERE).trials[0].user_attrs["folder"] is None
    summary = search(objective, n_trials=3, run_dir="here", progress=False, draw="none")
    assert {trial.user_attrs["folder"] for trial in summary.trials} == {str(Path("here").resolve())}
    assert summary.run_dir == Path("here").resolve()
    assert len(list(Path("here").glob("model-*.txt"))) == 3


# Several ranks


def test_ranks_without_a_storage_share_one_run_instead_of_searching_each_in_memory(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(
        "from orchestrator import search\n"
        "def objective(trial):\n"
        "    return trial.suggest_float('x', 0, 1)\n"
        "if __name__ == '__main__':\n"
        "    summary = search(objective, n_trials=10, draw='none', oversubscribe=True)\n"
        "    assert summary.run_dir is not None\n"
    )

    def rank(index: int) -> subprocess.Popen[str]:
        names = {"RANK": index, "SIZE": 2, "LOCAL_RANK": index, "LOCAL_SIZE": 2}
        env = {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in names.items()}
        return subprocess.Popen(
            [sys.executable, script], env={**os.environ, **env}, stderr=subprocess.PIPE, text=True
        )

    ranks = [rank(0), rank(1)]
    said = [one.communicate(timeout=120)[1] for one in ranks]
    assert [one.returncode for one in ranks] == [0, 0], said
    (run,) = Path("nano-hpo-runs").glob("*/run-*")
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{run / 'study.db'}")
    assert len(study.trials) == 10


# What people read


def test_names_are_shown_as_people_wrote_them_and_stored_as_they_are():
    def objective(trial):
        trial.suggest_categorical("act\u2581choice", ["relu", "tanh"])
        trial.suggest_categorical("both\u2581choice", ["a", "b"])
        return trial.suggest_float("both", 0, 1)

    summary = search(objective, n_trials=2, run_dir="here", progress=False, draw="html")
    shown = [line.strip() for line in str(summary).splitlines()]
    assert any(line.startswith("act = ") for line in shown)
    assert any(line.startswith("both\u2581choice = ") for line in shown)
    assert any(line.startswith("both = ") for line in shown)
    assert "act\u2581choice" not in str(summary)
    assert '<th scope="row">act</th>' in Path("here/report.html").read_text()
    assert "act\u2581choice" in summary.best_params
    assert "params_act\u2581choice" in summary.trials_dataframe()
    assert "act\u2581choice" in Path("here/trials.csv").read_text()
    assert "act\u2581choice" in summary.as_json()["best_trials"][0]["params"]


def test_messages_name_the_way_from_python_too(storage_url):
    with pytest.raises(
        SpecError, match=r"--n-trials N \(n_trials=N\), --timeout SECONDS \(timeout_s=SECONDS\)"
    ):
        search(quadratic)
    with pytest.raises(SpecError, match=r"--oversubscribe \(oversubscribe=True\)"):
        search(quadratic, n_trials=1, n_parallels=3000, progress=False)
    with pytest.raises(StudyError, match=r"leave out --resume \(resume=True\)"):
        search(quadratic, n_trials=1, resume=True, storage=storage_url, study_name="none")
    Path("taken").write_text("")
    with pytest.raises(RunDirError, match=r"--run-dir \(run_dir=DIR\)"):
        search(quadratic, n_trials=1, run_dir="taken", progress=False)
