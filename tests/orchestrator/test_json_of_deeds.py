"""What verbs that change something print with --json: the keys of their help, and how far they came."""

from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState, create_trial

from orchestrator.cli.main import _parser
from orchestrator.sql import schema
from tests.orchestrator.test_housekeeping import answered

DEED = ["study", "n_trials", "n_runs"]


def help_of(*verb: str) -> str:
    """The part of a verb's help that is about JSON."""
    parser: argparse.ArgumentParser = _parser()
    for word in verb:
        parser = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction)).choices[word]
    return str(parser.epilog).partition("example")[0]


def keys_in_help(*verb: str) -> set[str]:
    return set(re.findall(r'"(\w+)"', help_of(*verb)))


def add_study(url: str, name: str, n_trials: int, n_running: int = 0) -> None:
    study = optuna.create_study(storage=optuna.storages.RDBStorage(url), study_name=name)
    for number in range(n_trials):
        state = TrialState.RUNNING if number < n_running else TrialState.COMPLETE
        study.add_trial(create_trial(state=state, value=None if number < n_running else 1.0))


def names(url: str) -> list[str]:
    return optuna.get_all_study_names(optuna.storages.RDBStorage(url))


def make_old(url: str) -> None:
    moment = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=100)
    with sa.create_engine(url).begin() as c:
        c.execute(sa.update(schema.trials).values(datetime_start=moment, datetime_complete=moment))


def refuse(url: str, what: str, row: str, name: str) -> None:
    """The database itself refuses what is done to the study of that name, as it would on a full disk."""
    trigger = f"CREATE TRIGGER refuses BEFORE {what} ON studies WHEN {row}.study_name LIKE '%{name}' "
    with sa.create_engine(url).begin() as c:
        c.execute(sa.text(trigger + "BEGIN SELECT RAISE(ABORT, 'no room left'); END"))


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Three studies, ``a`` the smallest, in a folder with a space in its name."""
    folder = tmp_path / "my studies"
    folder.mkdir()
    found = f"sqlite:///{folder / 'all.db'}"
    for n, name in enumerate("abc", 1):
        add_study(found, name, n)
    return found


@pytest.fixture
def answer(here):
    """The object that a verb prints; it says nothing else."""

    def call(*words: object):
        done = here(*words, "--json")
        assert (done.code, done.err) == (0, "")
        return json.loads(done.out)

    return call


# Keeping in order


@pytest.mark.parametrize("verb", [("studies", "rm"), ("delete",)], ids=" ".join)
def test_removing_tells_of_each_study(answer, url, verb):
    said = answer(*verb, "c", "a", "--storage", url, "--yes")
    assert said == {
        "storage": url,
        "studies": [
            {"study": "a", "n_trials": 1, "n_runs": 0, "done": True},
            {"study": "c", "n_trials": 3, "n_runs": 0, "done": True},
        ],
    }
    assert {*said, *said["studies"][0]} == keys_in_help(*verb)
    assert names(url) == ["b"]


def test_the_verb_around_may_have_been_given_json(here, url):
    done = here("studies", "--storage", url, "--json", "rm", "a", "--yes")
    assert [study["study"] for study in json.loads(done.out)["studies"]] == ["a"]


def test_quiet_leaves_what_a_program_asked_for(answer, url):
    assert answer("studies", "rm", "a", "--storage", url, "--yes", "-q")["studies"][0]["done"] is True


def test_renaming_tells_both_names(answer, url):
    said = answer("studies", "rename", "a", "é 'x'", "--storage", url)
    more = {"n_trials": 1, "n_runs": 0, "old_name": "a", "done": True}
    assert said == {"storage": url, "study": "é 'x'", **more}
    assert set(said) == keys_in_help("studies", "rename")


def test_runs_are_counted_and_a_command_that_has_to_change_is_said_on_stderr(here, make_ledger, storage_url):
    make_ledger(2).claim()
    done = here("studies", "rename", "ledger", "new", "--storage", storage_url, "--force", "--json")
    said = json.loads(done.out)
    assert (said["study"], said["n_runs"], said["n_trials"]) == ("new", 1, 1)
    assert "--study-name 'new' --resume" in done.err


def test_a_plan_of_archiving_has_the_shape_of_the_deed(answer, url, tmp_path):
    make_old(url)
    words = ("studies", "archive", "--older-than", "9d", "--to", tmp_path / "old ones", "--storage", url)
    plan = answer(*words, "--dry-run")
    assert not (tmp_path / "old ones").exists()
    done = answer(*words, "--yes")
    assert [study.pop("done") for study in plan["studies"]] == [False] * 3
    assert [study.pop("done") for study in done["studies"]] == [True] * 3
    assert plan == done
    assert plan["folder"] == str(tmp_path / "old ones")
    assert {*plan, *plan["studies"][0], "done"} == keys_in_help("studies", "archive")
    for study in done["studies"]:
        assert gzip.decompress(Path(study["file"]).read_bytes()).count(b"\n") >= study["n_trials"]
        assert study["last_activity"].endswith("Z")
    assert names(url) == []
    assert answer(*words, "--yes")["studies"] == []


def test_files_have_the_names_that_they_really_got(answer, url, tmp_path):
    make_old(url)
    (tmp_path / "b.jsonl.gz").write_text("something else")
    words = ("studies", "archive", "--older-than", "9d", "--to", tmp_path, "--storage", url)
    files = [Path(study["file"]).name for study in answer(*words, "--keep")["studies"]]
    assert files == ["a.jsonl.gz", "b-2.jsonl.gz", "c.jsonl.gz"]
    assert names(url) == ["a", "b", "c"]


@pytest.mark.parametrize("how", ["--dry-run", "--yes"])
def test_a_study_that_a_run_is_at_work_on_is_told_of_and_stays(here, make_ledger, storage_url, tmp_path, how):
    make_ledger(2).claim()
    add_study(storage_url, "idle", 1)
    make_old(storage_url)
    words = ("studies", "archive", "--older-than", "9d", "--to", tmp_path, "--storage", storage_url)
    done = here(*words, how, "--json")
    busy, idle = json.loads(done.out)["studies"]
    assert (busy["study"], busy["run_at_work"], busy["file"], busy["done"]) == ("ledger", "run", None, False)
    assert (idle["study"], idle["run_at_work"], idle["done"]) == ("idle", None, how == "--yes")
    assert done.err == "nano-hpo: study 'ledger' stays: run run is at work on it.\n"


@pytest.mark.parametrize(
    "words",
    [("studies", "rm", "a"), ("delete", "a*"), ("studies", "archive", "--older-than", "9d", "--to", "old")],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_program_is_not_asked(here, url, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    make_old(url)
    done = here(*words, "--storage", url, "--json")
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith("nano-hpo: With --json nobody is asked whether ")
    assert line.endswith("may be deleted; add --yes.")
    assert names(url) == ["a", "b", "c"]
    assert not (tmp_path / "old").exists()


def test_not_even_at_a_terminal(cli, url):
    code, shown = answered(cli.argv("studies", "rm", "a", "--storage", url, "--json"), "yes")
    assert (code, "add --yes." in shown, "{" in shown) == (2, True, False)
    assert names(url) == ["a", "b", "c"]


def test_an_error_is_one_line_on_stderr_and_nothing_for_the_program(here, url, tmp_path):
    words = [
        ("studies", "rm", "nobody", "--yes", "--storage", url),
        ("studies", "rename", "a", "b", "--storage", url),
        ("studies", "archive", "--older-than", "soon", "--to", tmp_path, "--storage", url),
        ("export", "--storage", url, "--study-name", "nobody", "-o", tmp_path / "x"),
        ("import", tmp_path / "none", "--storage", url),
        ("copy", url, url, "--all"),
    ]
    for some in words:
        done = here(*some, "--json")
        assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1), some


def test_a_removal_that_is_cut_short_says_how_far_it_came(here, url):
    refuse(url, "DELETE", "OLD", "b")
    done = here("studies", "rm", "*", "--storage", url, "--yes", "--json")
    assert done.code != 0
    assert len(done.err.splitlines()) == 1
    assert "no room left" in done.err
    assert [(s["study"], s["done"]) for s in json.loads(done.out)["studies"]] == [
        ("a", True),
        ("b", False),
        ("c", False),
    ]
    assert names(url) == ["b", "c"]


# Carrying


def test_an_export_tells_of_its_file(answer, url, tmp_path):
    for name, form, n_runs in (("c é.jsonl.gz", "jsonl", 0), ("c.csv", "csv", 0), ("c.txt", "methods", 0)):
        file = tmp_path / name
        form_words = ("--format", form) if form == "methods" else ()
        said = answer("export", "--storage", url, "--study-name", "c", "-o", file, *form_words)
        assert said == {
            "storage": url,
            "study": "c",
            "n_trials": 3,
            "n_runs": n_runs,
            "file": str(file),
            "format": form,
            "bytes": file.stat().st_size,
            "done": True,
        }
    assert set(said) == keys_in_help("export")


def test_an_export_names_the_file_that_a_link_leads_to(answer, url, tmp_path):
    (tmp_path / "link.jsonl").symlink_to("real.jsonl")
    said = answer("export", "--storage", url, "--study-name", "a", "-o", tmp_path / "link.jsonl")
    assert (said["file"], said["bytes"] > 0) == (str(tmp_path / "real.jsonl"), True)


def test_a_study_and_json_do_not_share_standard_output(here, url):
    for more in ((), ("-o", "-")):
        done = here("export", "--storage", url, "--study-name", "a", "--json", *more)
        assert (done.code, done.out) == (2, "")
        assert done.err == (
            "nano-hpo: --json and the study would both go to standard output; name a file: -o FILE.\n"
        )


def test_an_import_tells_of_its_study(answer, url, tmp_path):
    add_study(url, "at work", 3, n_running=2)
    file, there = tmp_path / "s.jsonl", f"sqlite:///{tmp_path / 'there.db'}"
    answer("export", "--storage", url, "--study-name", "at work", "-o", file)
    said = answer("import", file, "--storage", there, "--as", "new")
    assert said == {
        "storage": there,
        "file": str(file),
        "study": "new",
        "n_trials": 3,
        "n_runs": 0,
        "n_were_running": 2,
        "old_name": "at work",
        "done": True,
    }
    assert set(said) == keys_in_help("import")


def test_an_import_from_standard_input_has_no_file(cli, url, tmp_path):
    file, there = tmp_path / "s.jsonl", f"sqlite:///{tmp_path / 'there.db'}"
    assert cli("export", "--storage", url, "--study-name", "a", "-o", file, "-q").code == 0
    with file.open() as lines:
        words = cli.argv("import", "-", "--storage", there, "--json")
        done = subprocess.run(words, stdin=lines, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert (said["file"], said["study"], said["old_name"]) == (None, "a", "a")


def test_a_copy_tells_of_each_study(answer, url, tmp_path):
    there = f"sqlite:///{tmp_path / 'there.db'}"
    said = answer("copy", url, there, "--all")
    assert (said["source"], said["storage"]) == (url, there)
    assert [(s["study"], s["n_trials"], s["done"]) for s in said["studies"]] == [
        ("a", 1, True),
        ("b", 2, True),
        ("c", 3, True),
    ]
    (one,) = answer("copy", url, there, "--study-name", "c", "--as", "d")["studies"]
    assert list(one) == [*DEED, "n_were_running", "old_name", "done"]
    assert (one["study"], one["old_name"]) == ("d", "c")
    assert {*said, *one} == keys_in_help("copy")


def test_a_copy_that_is_cut_short_says_how_far_it_came(here, url, tmp_path):
    there = f"sqlite:///{tmp_path / 'there.db'}"
    add_study(there, "there before", 0)
    refuse(there, "INSERT", "NEW", "of b")
    done = here("copy", url, there, "--all", "--json")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    rows = json.loads(done.out)["studies"]
    assert [(row["study"], row["n_trials"], row["done"]) for row in rows] == [
        ("a", 1, True),
        ("b", None, False),
        ("c", None, False),
    ]
    assert all(list(row) == list(rows[0]) for row in rows)
    assert names(there) == ["there before", "a"]


def test_no_password_is_in_any_of_it(here, url):
    secret = "mysql://me:hunter2@localhost/none"
    for words in (("copy", url, secret), ("studies", "rm", "a", "--yes", "--storage", secret)):
        done = here(*words, "--json")
        assert (done.code, done.out) == (2, "")
        assert "hunter2" not in done.err


# Files to begin with


@pytest.mark.parametrize("words", [("study", "job.py:empty", "-n", "3", "a b.toml"), ("slurm", "jobs")])
def test_what_init_wrote_is_told_by_absolute_paths(cli, words):
    done = cli("init", *words, "--json")
    assert (done.code, done.err) == (0, "")
    assert list(done.json) == ["files", "done"]
    assert done.json["done"] is True
    assert all(Path(file).is_absolute() and Path(file).is_file() for file in done.json["files"])
    again = cli("init", *words, "--json")
    assert (again.code, again.out, len(again.err.splitlines())) == (2, "", 1)


def test_json_of_init_study_does_not_go_into_the_file(cli):
    assert cli("init", "study", "--json", "job.py:empty", "-n", "3").json["files"] == [
        str(cli.cwd / "study.toml")
    ]
    text = (cli.cwd / "study.toml").read_text()
    assert "json" not in text
    other = cli("init", "study", "job.py:empty", "-n", "3", "other.toml")
    assert (other.out, (cli.cwd / "other.toml").read_text()) == (
        "other.toml\n",
        text.replace("study.toml", "other.toml"),
    )
