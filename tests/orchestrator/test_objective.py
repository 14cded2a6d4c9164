"""Objectives: found and checked without running them, loaded in the worker, explained in one line."""

from __future__ import annotations

import sys

import optuna
import pytest

from orchestrator.errors import ObjectiveError
from orchestrator.interrupts import WorkerEnded
from orchestrator.objective import ObjectiveRef, file_objective, pickled_objective
from orchestrator.payload import ArrayFolder


@pytest.fixture(autouse=True)
def _same_imports(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder, text, name="train_it.py"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_function_of_a_file_is_loaded(tmp_path):
    path = write(tmp_path, "def objective(trial):\n    return 7\n")
    ref = file_objective(f"{path}:objective")
    assert ObjectiveRef.from_json(ref.as_json()).load()(None) == 7
    assert file_objective(str(path)).function == "objective"


def test_checking_does_not_run_the_file(tmp_path):
    path = write(tmp_path, "open('touched', 'w')\ndef objective(trial): return 1\n")
    file_objective(f"{path}:objective")
    assert not (tmp_path / "touched").exists()


def test_a_neighbouring_module_is_found_by_the_worker(tmp_path):
    write(tmp_path, "def value(): return 11\n", "neighbour_module.py")
    path = write(tmp_path, "import neighbour_module\ndef objective(t): return neighbour_module.value()\n")
    assert file_objective(f"{path}:objective").load()(None) == 11


def test_a_file_named_like_a_module_that_is_loaded_already_is_still_the_one_meant(tmp_path):
    path = write(tmp_path, "def objective(trial): return 5\n", "json.py")
    assert file_objective(f"{path}:objective").load()(None) == 5


@pytest.mark.parametrize(
    ("text", "function", "word"),
    [
        ("def objective(trial): return 1\n", "objectve", "it defines objective"),
        ("objective = 3\n", "objective", "not callable"),
        ("def objective(trial) return 1\n", "objective", "line 1 is not Python"),
        ("if True:\n    def other(t): return 1\n", "objective", "does not define"),
    ],
)
def test_what_the_text_shows_to_be_wrong_is_said_at_once(tmp_path, text, function, word):
    path = write(tmp_path, text)
    with pytest.raises(ObjectiveError, match=word):
        file_objective(f"{path}:{function}")


def test_a_file_named_as_a_module_is_asked_for(tmp_path):
    path = write(tmp_path, "def objective(trial): return 1\n")
    with pytest.raises(ObjectiveError, match=r"did you mean .*train_it\.py\?"):
        file_objective(f"{path.with_suffix('')}:objective")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ObjectiveError, match="no file"):
        file_objective(f"{tmp_path}/none.py:objective")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("import no_such_library\ndef objective(t): return 1\n", r"no_such_library.*\(line 1\)"),
        ("import math\n\n1 / 0\ndef objective(t): return 1\n", r"ZeroDivisionError.*\(line 3\)"),
        ("from json import *\n", "does not define 'objective'"),
        ("objective = int('3')\n", "not callable"),
        ("import sys\ndef objective(t): return 1\nsys.exit(4)\n", "SystemExit"),
        ("def objective(): return 1\n", r"takes \(\); name a function of one argument"),
        ("def objective(trial, data): return 1\n", r"takes \(trial, data\)"),
        ("from . import data\ndef objective(trial): return 1\n", r"no known parent package \(line 1\)"),
    ],
)
def test_what_only_importing_shows_is_one_line_with_the_place(tmp_path, text, word):
    ref = file_objective(f"{write(tmp_path, text)}:objective")
    with pytest.raises(ObjectiveError, match=word):
        ref.load()


def test_a_worker_that_is_told_to_end_while_it_imports_does_not_blame_the_file(tmp_path):
    text = "from orchestrator import WorkerEnded\ndef objective(t): return 1\nraise WorkerEnded\n"
    with pytest.raises(WorkerEnded):
        file_objective(f"{write(tmp_path, text)}:objective").load()


def test_a_member_of_a_package_may_import_from_it_by_dots(tmp_path):
    inner = tmp_path / "my_package" / "inner"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        write(folder, "", "__init__.py")
    write(inner.parent, "def value(): return 13\n", "values.py")
    path = write(inner, "def objective(t):\n    from ..values import value\n    return value()\n")
    assert file_objective(f"{path}:objective").load()(None) == 13


def test_an_objective_may_have_more_arguments_where_they_have_defaults(tmp_path):
    text = "from functools import partial\ndef f(data, trial, n=1): return n\nobjective = partial(f, [])\n"
    assert file_objective(f"{write(tmp_path, text)}:objective").load()(None) == 1


UNGUARDED = """
import optuna

def objective(trial):
    return 1.0

def main():
    study = optuna.create_study()
    study.optimize(objective, n_trials=1)

main()
"""


def test_a_script_that_searches_when_it_is_imported_is_refused(tmp_path):
    path = write(tmp_path, UNGUARDED)
    with pytest.raises(ObjectiveError, match=r"every worker .*; put it under if __name__ == .* \(line 9\)"):
        file_objective(str(path)).load()
    guarded = UNGUARDED.replace("\nmain()\n", "\nif __name__ == '__main__':\n    main()\n")
    assert file_objective(str(write(tmp_path, guarded, "guarded.py"))).load()(None) == 1.0
    study = optuna.create_study()
    study.optimize(lambda trial: 1.0, n_trials=1)  # outside all is as before
    assert len(study.trials) == 1


def test_a_module_that_the_objective_imports_may_search(tmp_path):
    write(tmp_path, UNGUARDED, "tunes_itself.py")
    path = write(tmp_path, "from tunes_itself import objective\n")
    assert file_objective(str(path)).load()(None) == 1.0


def test_names_bound_in_branches_count(tmp_path):
    path = write(tmp_path, "try:\n    import nope as objective\nexcept ImportError:\n    objective = len\n")
    assert file_objective(f"{path}:objective").load() is len


def test_a_folder_that_hides_one_of_our_packages_is_refused(tmp_path):
    write(tmp_path, "", "affinity.py")
    path = write(tmp_path, "def objective(trial): return 1\n")
    with pytest.raises(ObjectiveError, match=r"affinity\.py"):
        file_objective(f"{path}:objective")


def test_a_closure_travels_by_value_in_a_private_file(tmp_path):
    factor = 6
    arrays = ArrayFolder(tmp_path / "arrays")
    ref = pickled_objective(lambda trial: factor * trial, tmp_path / "objective.pkl", arrays)
    ref = ObjectiveRef.from_json(ref.as_json())
    assert ref.load()(7) == 42
    assert ref.path.stat().st_mode & 0o077 == 0


def test_what_cannot_be_pickled_is_said(tmp_path):
    import threading

    lock = threading.Lock()
    with pytest.raises(ObjectiveError, match="cannot be sent"):
        pickled_objective(lambda trial: lock, tmp_path / "objective.pkl", ArrayFolder(tmp_path / "arrays"))
    assert list(tmp_path.iterdir()) == []
