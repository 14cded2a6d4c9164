"""Input that people do give: one clear line and exit code 2, or a run that works all the same."""

from __future__ import annotations

import json
import subprocess

import optuna
import pytest

from orchestrator import search
from orchestrator.errors import UserError


def trial_of(value):
    def objective(trial):
        return value

    return objective


ODD = [
    (("run", "job.py:empty", "-n", 10**12), "it must be from 1 to 2147483647"),
    (("run", "job.py:empty", "-n", 10**24), "it must be from 1 to 2147483647"),
    (("run", "job.py:empty", "-n", 1, "--run-id", "x" * 300), "A run id has 1 to 191 characters"),
    (("run", "job.py:empty", "-n", 1, "--study-name", b"a\xff".decode(errors="surrogateescape")), "not text"),
    (("run", "job.py:empty", "-n", 1, "--grace", "nan"), "grace is nan"),
    (("run", "x" * 300 + ".py", "-n", 1), "There is no file"),
    (
        ("run", "job.py:empty", "-n", 1, "--sampler", "grid", "--sampler-arg", "search_space=5"),
        "GridSampler refuses its arguments",
    ),
    (("run", "job.py:empty", "-n", 1, "--run-dir", "empty-run"), "was not written by nano-hpo"),
    (("run", "job.py:empty", "-n", 1, "--run-dir", "list-run"), "was not written by nano-hpo"),
    (("topology", "-p", 99999999, "--oversubscribe"), "which nobody can mean"),
    (("run", "job.py:empty", "-n", 1, "-p", 99999999, "--oversubscribe"), "which nobody can mean"),
    (("topology", "-p", "many"), "must be a number of processes, or auto"),
]


@pytest.mark.parametrize(("words", "expected"), ODD, ids=[expected for _, expected in ODD])
def test_odd_input_is_one_line_and_nothing_is_written(cli, words, expected):
    for name, text in (("empty-run", "{}"), ("list-run", "[]")):
        (cli.cwd / name).mkdir()
        (cli.cwd / name / "run.json").write_text(text)
    before = sorted(cli.cwd.rglob("*"))
    done = cli(*words)
    assert done.code == 2, done
    assert expected in done.err
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert sorted(cli.cwd.rglob("*")) == before


@pytest.mark.parametrize("folder", ["a%41b", "a?b", "a#{b}", "é ü"])
def test_a_run_works_in_a_folder_of_any_name(cli, folder):
    (cli.cwd / folder).mkdir()
    (cli.cwd / "job.py").rename(cli.cwd / folder / "job.py")
    cli.cwd = cli.cwd / folder
    for n_runs in (1, 2):
        assert cli("run", "job.py:empty", "-n", 2, "--draw", "none").code == 0
        assert len(list(cli.cwd.glob("nano-hpo-runs/job-empty/*/study.db"))) == n_runs
    assert [path.name for path in cli.cwd.parent.iterdir()] == [folder]


def test_a_study_name_may_be_long(cli):
    name = "long " * 60
    done = cli("run", "job.py:empty", "-n", 1, "--study-name", name, "--draw", "none", "--json")
    assert done.code == 0, done.err
    assert done.json["study_name"] == name


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": None},
        {"objective": 5},
        {"n_trials": "5"},
        {"n_trials": 2.5},
        {"n_trials": True},
        {"n_parallels": 1.5},
        {"seed": "x"},
        {"timeout_s": "1"},
        {"sampler": 5},
        {"pruner": optuna.samplers.RandomSampler()},
        {"storage": 7},
        {"draw": "x"},
        {"directions": "minimize"},
        {"study_name": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("n_parallels", [1, 2])
def test_wrong_arguments_from_python_are_user_errors(tmp_path, monkeypatch, settings, n_parallels):
    monkeypatch.chdir(tmp_path)
    arguments = {"objective": trial_of(1.0), "n_trials": 2, "n_parallels": n_parallels} | settings
    with pytest.raises(UserError):
        search(arguments.pop("objective"), progress=False, oversubscribe=True, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_standard_error_works(cli):
    words = cli.argv("run", "job.py:empty", "-n", 1, "--draw", "none", "--json")
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *words],
        cwd=cli.cwd,
        env=cli.env,
        stdout=subprocess.PIPE,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["counts"] == {"COMPLETE": 1}


def test_help_and_results_are_shown_where_only_ascii_can_be(cli):
    cli.env |= {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    assert cli("run", "--help").code == 0
    (cli.cwd / "greek.py").write_text("def objective(trial): return trial.suggest_float('λ', 0, 1)\n")
    done = cli("run", "greek.py", "-n", 1, "--draw", "none")
    assert done.code == 0, done.err
    assert "\\u03bb" in done.out


def test_a_deleted_current_directory_is_one_line(cli):
    argv = cli.argv("status", "--storage", "sqlite:///s.db")
    gone = cli.cwd / "gone"
    gone.mkdir()
    begin = ["bash", "-c", f'rmdir "{gone}" && exec "$@"', "_", *argv]
    done = subprocess.run(begin, cwd=gone, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done
    assert done.stderr == "nano-hpo: The current directory was deleted; go to one that exists.\n"


def test_a_full_disk_under_the_output_is_one_line(cli):
    words = cli.argv("topology")
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(words, cwd=cli.cwd, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("nano-hpo:")
    assert len(done.stderr.splitlines()) == 1


def test_a_report_needs_no_right_to_create_tables(cli, mariadb):
    url = mariadb.create_database()
    database = url.partition("localhost/")[2].partition("?")[0]
    study = optuna.create_study(storage=url, study_name="plain")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    mariadb.execute(f"CREATE USER reader_{database}@localhost")
    mariadb.execute(f"GRANT SELECT ON {database}.* TO reader_{database}@localhost")
    reader = url.replace("root@", f"reader_{database}@")
    done = cli("report", "--storage", reader, "--draw", "none", "--json")
    assert done.code == 0, done.err
    assert done.json["counts"] == {"COMPLETE": 3}
    assert not mariadb.execute(f"SHOW TABLES IN {database} LIKE 'nano%'")


def test_the_table_of_trials_holds_what_people_look_for(cli):
    assert cli("run", "job.py:quadratic", "-n", 12, "--draw", "none", "--run-dir", "r").code == 0
    columns = (cli.cwd / "r" / "trials.csv").read_text().splitlines()[0].split(",")
    assert {"number", "value", "params_x", "params_kind", "objective_s", "host", "slot"} <= set(columns)
    assert not [name for name in columns if name.startswith("system_attrs")]
