"""Studies for other programs and for papers: a streamed table, a paragraph, and formats by name."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import tracemalloc
from contextlib import closing

import optuna
import pandas as pd
import pytest
import sqlalchemy as sa
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from orchestrator.carry.reading import StudySource
from orchestrator.export import csv_table
from orchestrator.export.formats import FORMATS, Exported, format_for
from orchestrator.export.methods import methods
from orchestrator.sql import schema
from orchestrator.sql.opening import open_database
from orchestrator.summarise import summarise

SPACE = {"x": FloatDistribution(0, 9), "kind of\n thing": CategoricalDistribution(("a", None, 2, True))}


def plain(url: str) -> optuna.storages.RDBStorage:
    return optuna.storages.RDBStorage(url)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def odd_study(url: str, name: str = "odd") -> optuna.Study:
    """A study of plain Optuna with what tables are afraid of."""
    study = optuna.create_study(storage=plain(url), study_name=name)
    params = {"x": 1.5, "kind of\n thing": "a"}
    attrs = {"list": [1, {"a": None}], "text": 'two\nlines, "quoted", ünï', "truth": True, "half": "\ud800"}
    study.add_trial(create_trial(value=0.1 + 0.2, params=params, distributions=SPACE, user_attrs=attrs))
    study.add_trial(create_trial(value=math.inf, params={"x": 2.0}, distributions={"x": SPACE["x"]}))
    study.add_trial(create_trial(state=TrialState.FAIL))
    study.enqueue_trial({"x": 3.0})
    return study


def test_the_table_has_a_row_for_each_trial_whatever_it_holds(here, storage_url):
    odd_study(storage_url)
    done = here("export", "--storage", storage_url, "--format", "csv")
    assert done.code == 0, done.err
    first, second, failed, waiting = rows_of(done.out)
    assert (first["number"], first["state"], float(first["value"])) == ("0", "COMPLETE", 0.1 + 0.2)
    assert (first["params_x"], first["params_kind of\n thing"]) == ("1.5", "a")
    assert json.loads(first["user_attrs_list"]) == [1, {"a": None}]
    assert first["user_attrs_text"] == 'two\nlines, "quoted", ünï'
    assert (first["user_attrs_truth"], first["user_attrs_half"]) == ("True", "\\ud800")
    assert (second["value"], second["params_x"], second["params_kind of\n thing"]) == ("inf", "2.0", "")
    assert (failed["state"], failed["value"], failed["host"], failed["attempts"]) == ("FAIL", "", "", "")
    assert (waiting["state"], waiting["datetime_start"], waiting["duration_s"]) == ("WAITING", "", "")
    assert "is on standard output: 4 trials." in done.err


def test_the_table_says_where_and_how_long_trials_ran(cli, storage_url):
    words = (
        "-n",
        4,
        "-p",
        2,
        "--oversubscribe",
        "--storage",
        storage_url,
        "--study-name",
        "s",
        "--draw",
        "html",
    )
    assert cli("run", "job.py:quadratic", *words, "--run-dir", "run").code == 0
    done = cli("export", "--storage", storage_url, "-o", "out table.csv.gz")
    assert done.code == 0, done.err
    assert "is in out table.csv.gz: 4 trials." in done.err
    exported = pd.read_csv(cli.cwd / "out table.csv.gz").set_index("number")
    of_run = pd.read_csv(cli.cwd / "run" / "trials.csv").set_index("number")
    for name in ("state", "value", "params_x", "params_kind", "host", "rank", "slot"):
        pd.testing.assert_series_equal(exported[name], of_run[name], check_dtype=False)
    assert exported["duration_s"].tolist() == pytest.approx(of_run["objective_s"].tolist())
    assert exported["attempts"].tolist() == [1, 1, 1, 1]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_several_objectives_have_a_column_each_by_their_names(here, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    study = optuna.create_study(storage=plain(url), study_name="s", directions=["minimize", "maximize"])
    study.add_trial(create_trial(values=[1.0, 2.0]))
    words = ("export", "--storage", url, "--format", "csv")
    (row,) = rows_of(here(*words).out)
    assert (row["values_0"], row["values_1"]) == ("1.0", "2.0")
    study.set_metric_names(["loss", "seconds"])
    (row,) = rows_of(here(*words).out)
    assert (row["values_loss"], row["values_seconds"]) == ("1.0", "2.0")


def test_an_empty_study_is_a_table_without_rows(here, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    optuna.create_study(storage=plain(url), study_name="s")
    assert rows_of(here("export", "--storage", url, "--format", "csv").out) == []
    assert "0 trials" in here("export", "--storage", url, "-o", tmp_path / "f.csv").err


def test_other_studies_of_the_database_are_not_in_the_table(here, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    odd_study(url)
    study = optuna.create_study(storage=plain(url), study_name="s")
    study.add_trial(create_trial(value=1.0))
    done = here("export", "--storage", url, "--study-name", "s", "--format", "csv")
    assert not [title for title in rows_of(done.out)[0] if title.startswith(("params_", "user_attrs_"))]


def filled(url: str, n_trials: int) -> None:
    study = optuna.create_study(storage=plain(url), study_name="s")
    study.add_trials([create_trial(value=1.0, params={"x": 1.0}, distributions={"x": SPACE["x"]})] * 2)
    engine = sa.create_engine(url)
    with engine.begin() as c:  # doubled as often as it takes: much faster than one by one
        for table, key in (
            (schema.trials, None),
            (schema.trial_params, "trial_id"),
            (schema.trial_values, "trial_id"),
        ):
            rows = [dict(row) for row in c.execute(sa.select(table).limit(1)).mappings()]
            new = []
            for number in range(2, n_trials):
                row = {**rows[0]}
                del row[next(iter(table.primary_key)).name]
                row |= {"number": number} if key is None else {key: number + 1}
                new.append(row)
            c.execute(sa.insert(table), new)
    engine.dispose()


def test_the_memory_that_a_table_takes_does_not_grow_with_the_study(tmp_path):
    def peak_mib(n_trials: int) -> float:
        url = f"sqlite:///{tmp_path / f'{n_trials}.db'}"
        filled(url, n_trials)
        with closing(open_database(url)) as database:
            source = StudySource(database, "s")
            tracemalloc.start()
            exported = csv_table.write(database, source, str(tmp_path / "t.csv"), lambda n: None)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert exported == Exported(f"{n_trials:,} trials", n_trials, n_runs=0)
        return peak / 2**20

    peak_mib(1_000)  # what is loaded for the first time
    assert peak_mib(8_000) < 1.3 * peak_mib(2_000)
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 2_001


# Formats


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("-", None, "jsonl"),
        ("a", None, "jsonl"),
        ("a.jsonl.gz", None, "jsonl"),
        ("a.csv", None, "csv"),
        ("A.CSV.GZ", None, "csv"),
        ("a.csv", "jsonl", "jsonl"),
        ("a.gz", "csv", "csv"),
        ("a.txt", "methods", "methods"),
        ("acsv", None, "jsonl"),
    ],
)
def test_a_format_is_that_of_its_name_else_of_the_files(file, name, expected):
    assert format_for(file, name).name == expected


def test_every_format_writes_whole_files_and_says_what_is_in_them(here, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    odd_study(url)
    for one in FORMATS:
        file = tmp_path / f"out.{one}"
        done = here("export", "--storage", url, "--format", one, "-o", file)
        assert (done.code, file.stat().st_size > 100) == (0, True), done.err
        missing = here("export", "--storage", url, "--format", one, "-o", tmp_path / "no" / "file")
        assert (missing.code, len(missing.err.splitlines())) == (2, 1)
    assert sorted(path.name for path in tmp_path.glob("out*")) == sorted(f"out.{one}" for one in FORMATS)


def test_without_a_format_the_lines_are_those_that_import_reads(here, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    odd_study(url)
    assert here("export", "--storage", url, "-o", tmp_path / "f.gz").code == 0
    assert gzip.decompress((tmp_path / "f.gz").read_bytes()).startswith(
        b'{"format":"nano-hpo study","version":1'
    )


# Methods


def test_the_paragraph_says_how_a_study_was_searched(cli, storage_url):
    words = ("-n", 3, "--storage", storage_url, "--study-name", "s", "--draw", "none", "--seed", 7)
    assert cli("run", "job.py:quadratic", *words, "--sampler", "random", "--pruner", "none").code == 0
    assert cli("run", "job.py:quadratic", *words, "--sampler-arg", "n_startup_trials=2", "--resume").code == 0
    done = cli("export", "--storage", storage_url, "--format", "methods")
    assert done.code == 0, done.err
    assert max(map(len, done.out.splitlines())) <= 88
    text = " ".join(done.out.split())
    version = cli("--version").out.split()[1]
    for sentence in (
        f"Hyperparameters of job.py:quadratic were optimised with nano-hpo {version} and Optuna "
        f"{optuna.__version__} (study 's').",
        "The objective was minimised.",
        "The search space had 2 parameters: kind (one of a, b); x (-5 to 5).",
        "Parameters were drawn by random sampling with seed 7; no trial was ended early.",
        "In a later run: parameters were drawn by the tree-structured Parzen estimator (TPE) "
        "(n_startup_trials 2) with seed 7; unpromising trials were ended early by the median pruner.",
        "The budgets of 2 runs were 3 finished trials and 3 finished trials.",
        "at most 1 trial at a time with",
        "of wall time, and took",
    ):
        assert sentence in text, text
    best = optuna.load_study(storage=plain(storage_url), study_name="s").best_trial
    assert f"is that of trial {best.number} with x = " in text


def test_the_paragraph_says_that_trials_were_pruned(tmp_path):
    url = f"sqlite:///{tmp_path / 'p.db'}"
    study = optuna.create_study(storage=url, study_name="p")
    study.tell(study.ask(), 1.0)
    study.tell(study.ask(), state=optuna.trial.TrialState.PRUNED)
    with closing(open_database(url)) as database:
        text = " ".join(methods(summarise(database, "p", url)).split())
    assert "Of 2 trials, 1 completed and 1 was pruned." in text


def test_the_paragraph_of_a_study_of_plain_optuna_guesses_nothing(storage_url):
    odd_study(storage_url)
    with closing(open_database(storage_url)) as database:
        text = " ".join(methods(summarise(database, "odd", storage_url)).split())
    assert text.startswith("Hyperparameters were optimised with Optuna (version not recorded) (study 'odd').")
    assert "Sampler, pruner and seed are not recorded" in text
    assert "Of 4 trials, 2 completed, 1 failed and 1 still waiting." in text
    assert "host" not in text


def test_a_run_that_was_begun_before_versions_were_recorded_has_none(make_ledger, storage_url):
    ledger = make_ledger(2)
    with ledger.database.engine.begin() as c:
        spec = json.loads(c.execute(sa.select(schema.runs.c.spec)).scalar())
        del spec["versions"]
        c.execute(sa.update(schema.runs).values(spec=json.dumps(spec)))
    text = " ".join(methods(summarise(ledger.database, "ledger", storage_url)).split())
    assert "nano-hpo and Optuna (versions not recorded)" in text
    assert "No parameter was searched." in text
    assert "No trial was begun." in text


def test_several_objectives_have_a_front_in_the_paragraph(tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    study = optuna.create_study(storage=plain(url), study_name="s", directions=["minimize", "maximize"])
    for values in ([1.0, 1.0], [2.0, 2.0], [3.0, 1.0]):
        study.add_trial(create_trial(values=values))
    with closing(open_database(url)) as database:
        text = " ".join(methods(summarise(database, "s", url)).split())
    assert (
        "2 objectives were optimised together: objective 0 (minimised) and objective 1 (maximised)." in text
    )
    assert "2 trials are Pareto-optimal." in text
