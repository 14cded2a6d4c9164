"""Studies kept in order: removed by pattern, renamed while a run works, archived into files read back."""

from __future__ import annotations

import gzip
import json
import os
import pty
import shlex
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState, create_trial

from orchestrator.carry import archive
from orchestrator.carry.reading import StudySource
from orchestrator.errors import StudyError, StudyFileError
from orchestrator.sql import schema
from orchestrator.sql.opening import open_database
from orchestrator.storage import study_rows
from orchestrator.storage.deletion import delete_in_batches
from tests.orchestrator.waiting import wait_until


def plain(url: str) -> optuna.storages.RDBStorage:
    return optuna.storages.RDBStorage(url)


def make_study(url: str, name: str, n_trials: int = 3, age: timedelta = timedelta()) -> optuna.Study:
    """A study whose trials began and ended so long ago."""
    study = optuna.create_study(storage=plain(url), study_name=name)
    study.set_user_attr("z", [1, {"b": 2.5, "a": "é"}])
    study.set_user_attr("a", None)
    space = {"x": optuna.distributions.FloatDistribution(0, 9)}
    for number in range(n_trials):
        content = {"params": {"x": 1.0}, "distributions": space, "intermediate_values": {0: 1.0, 1: 0.1}}
        study.add_trial(create_trial(value=number / 3, user_attrs={"n": number, "also": "x"}, **content))
    moment = datetime.now(UTC).replace(tzinfo=None) - age
    with sa.create_engine(url).begin() as c:
        mine = schema.trials.c.study_id == study._study_id
        c.execute(
            sa.update(schema.trials).where(mine).values(datetime_start=moment, datetime_complete=moment)
        )
    return study


def names(url: str) -> list[str]:
    return optuna.get_all_study_names(plain(url))


def lines_of(file: Path) -> list[str]:
    return gzip.decompress(file.read_bytes()).decode().splitlines()


OLD, YOUNG = timedelta(days=100), timedelta(days=80)


# Removing


def test_several_studies_are_removed_by_name_and_by_pattern(here, storage_url):
    for name in ("digits-1", "digits-2", "digits", "other"):
        make_study(storage_url, name, 1)
    done = here("studies", "rm", "other", "digits-*", "--storage", storage_url, "--yes")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        f"Study '{n}' is deleted, with 1 trial." for n in ("digits-1", "digits-2", "other")
    ]
    assert names(storage_url) == ["digits"]


def test_a_name_that_is_there_is_no_pattern(here, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    for name in ("run[1]", "run1", "a*", "ab"):
        make_study(url, name, 0)
    assert here("studies", "rm", "run[1]", "a*", "--storage", url, "--yes", "-q").out == ""
    assert names(url) == ["run1", "ab"]


def test_nothing_is_removed_when_one_of_the_names_is_wrong(here, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    make_study(url, "a", 1)
    for pattern, what in (("b", "There is no study 'b'"), ("b*", "No study matches 'b*'")):
        done = here("studies", "rm", "a", pattern, "--storage", url, "--yes")
        assert (done.code, done.err) == (2, f"nano-hpo: {what}; the storage holds a.\n")
    assert names(url) == ["a"]


def test_the_storage_may_stand_before_or_behind_the_action(here, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    make_study(url, "a", 0)
    make_study(url, "b", 0)
    assert here("studies", "--storage", url, "rm", "a", "--yes").code == 0
    assert here("studies", "rm", "b", "--yes", "--storage", url).code == 0
    assert here("studies", "--storage", url, "-q").out == ""


def test_one_of_several_at_work_spares_all(here, make_ledger, storage_url):
    make_ledger(1).claim()
    make_study(storage_url, "idle", 1)
    done = here("studies", "rm", "*", "--storage", storage_url, "--yes")
    assert (done.code, "Run run is at work on study 'ledger'" in done.err) == (2, True)
    assert names(storage_url) == ["ledger", "idle"]
    assert here("studies", "rm", "*", "--storage", storage_url, "--yes", "--force").code == 0
    assert names(storage_url) == []


def answered(words: list[str], answer: str) -> tuple[int, str]:
    """Exit code and output of a command whose person types an answer."""
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen(words, stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True)
    os.close(terminal)
    os.write(keyboard, f"{answer}\n".encode())
    shown = b""
    while True:
        try:
            piece = os.read(keyboard, 4096)
        except OSError:  # EIO: nobody has the terminal any more
            break
        if not piece:
            break
        shown += piece
    os.close(keyboard)
    return process.wait(240), shown.decode()


@pytest.mark.parametrize(("answer", "code", "left"), [("yes", 0, []), ("n", 1, ["a", "b"])])
def test_a_person_is_asked_once_for_all(cli, tmp_path, answer, code, left):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    make_study(url, "a", 1)
    make_study(url, "b", 2)
    ended, shown = answered(cli.argv("studies", "rm", "a", "b", "--storage", url), answer)
    assert ended == code, shown
    assert shown.count("Delete 2 studies ('a', 'b') with 3 trials and 0 runs from sqlite:///") == 1
    assert names(url) == left


# Renaming


def test_a_renamed_study_keeps_all_but_its_name(here, storage_url):
    before = make_study(storage_url, "old", 3)
    done = here("studies", "rename", "old", "a new/name *", "--storage", storage_url)
    assert (done.code, done.out) == (0, "Study 'old' is 'a new/name *' now.\n"), done.err
    after = optuna.load_study(storage=plain(storage_url), study_name="a new/name *")
    assert (after._study_id, after.trials) == (before._study_id, before.trials)
    assert names(storage_url) == ["a new/name *"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("a", "b", "There is a study 'b' already; choose another name"),
        ("a", "a", "has that name already"),
        ("c", "d", "There is no study 'c'; the storage holds a, b."),
        ("a", "", "1 to 512 characters; this one has 0"),
        ("a", "x" * 513, "1 to 512 characters; this one has 513"),
        ("a", "\udc80", "is not text"),
    ],
)
def test_a_name_that_cannot_be_is_refused(here, tmp_path, old, new, said):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    make_study(url, "a", 0)
    make_study(url, "b", 0)
    done = here("studies", "rename", old, new, "--storage", url)
    assert (done.code, said in done.err, len(done.err.splitlines())) == (2, True, 1), done.err
    assert names(url) == ["a", "b"]


def test_a_study_that_a_run_works_on_is_renamed_by_force_alone(here, make_ledger, storage_url):
    make_ledger(1).claim()
    done = here("studies", "rename", "ledger", "new", "--storage", storage_url)
    assert (done.code, "is at work" in done.err) == (2, True)
    done = here("studies", "rename", "ledger", "new", "--storage", storage_url, "--force")
    assert (done.code, names(storage_url)) == (0, ["new"])
    assert "--study-name 'new' --resume" in done.err


def test_a_run_goes_on_in_a_renamed_study_with_new_workers_too(cli, here, storage_url):
    words = ("-n", 4, "--storage", storage_url, "--study-name", "old", "--draw", "none", "--isolate")
    cli.env["HELD"] = "1:go"
    run = cli.start("run", "job.py:held", *words)
    wait_until(lambda: (cli.cwd / "began-1").exists())
    assert here("studies", "rename", "old", "new", "--storage", storage_url, "--force").code == 0
    (cli.cwd / "go").touch()
    out, err = run.communicate(timeout=240)
    assert run.returncode == 0, err
    assert "Study:   new in" in out
    (study,) = optuna.get_all_study_summaries(plain(storage_url))
    assert (study.study_name, study.n_trials) == ("new", 4)


# Archiving


def test_old_studies_go_into_files_that_bring_them_back(here, storage_url, tmp_path):
    kept = make_study(storage_url, "a/b c", 5, OLD).trials
    make_study(storage_url, "young", 2, YOUNG)
    make_study(storage_url, "untouched", 0)
    folder = tmp_path / "old studies" / "2026"
    done = here(
        "studies", "archive", "--older-than", "90d", "--to", folder, "--storage", storage_url, "--yes"
    )
    assert done.code == 0, done.err
    file = folder / "a_b_c.jsonl.gz"
    assert done.out == f"Study 'a/b c' went into {file}, with 5 trials.\n"
    assert list(folder.iterdir()) == [file]
    assert names(storage_url) == ["young", "untouched"]
    assert here("import", file, "--storage", storage_url).code == 0
    back = optuna.load_study(storage=plain(storage_url), study_name="a/b c")
    assert [(t.params, t.value, t.user_attrs) for t in back.trials] == [
        (t.params, t.value, t.user_attrs) for t in kept
    ]


def test_a_dry_run_says_what_would_go_and_does_nothing(here, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    make_study(url, "a", 1002, OLD)
    folder = tmp_path / "there"
    done = here("studies", "archive", "--older-than", "2w", "--to", folder, "--storage", url, "--dry-run")
    assert (done.code, done.err) == (0, "")
    titles, row = (line.split() for line in done.out.splitlines())
    assert titles == ["study", "trials", "last", "file"]
    assert (row[:2], row[-1]) == (["a", "1,002"], str(folder / "a.jsonl.gz"))
    assert not folder.exists()
    assert names(url) == ["a"]


def test_keep_writes_files_and_deletes_nothing_and_writes_none_twice(here, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    make_study(url, "a", 2, OLD)
    words = ("studies", "archive", "--older-than", "1h", "--to", tmp_path, "--storage", url, "--keep")
    for _ in range(2):
        assert here(*words).code == 0
        assert names(url) == ["a"]
        assert [path.name for path in tmp_path.glob("*.gz")] == ["a.jsonl.gz"]


def test_nothing_is_archived_where_nobody_can_be_asked_or_the_answer_is_no(cli, here, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    make_study(url, "a", 2, OLD)
    words = ("studies", "archive", "--older-than", "1h", "--to", tmp_path / "to", "--storage", url)
    done = here(*words)
    assert (done.code, "add --yes" in done.err) == (2, True)
    code, shown = answered(cli.argv(*words), "no")
    assert (code, "Archive study 'a' with 2 trials" in shown) == (1, True), shown
    assert not (tmp_path / "to").exists()
    assert names(url) == ["a"]


def test_a_file_of_another_study_is_left_and_the_next_name_taken(here, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    make_study(url, "a b", 1, OLD)
    make_study(url, "a/b", 2, OLD)
    (tmp_path / "a_b.jsonl.gz").write_bytes(gzip.compress(b"no study")[:-3])
    words = ("studies", "archive", "--older-than", "1h", "--to", tmp_path, "--storage", url, "--yes")
    assert here(*words).code == 0
    heads = {p.name: json.loads(lines_of(p)[0])["study_name"] for p in tmp_path.glob("a_b-*.gz")}
    assert heads == {"a_b-2.jsonl.gz": "a b", "a_b-3.jsonl.gz": "a/b"}
    assert names(url) == []


def test_an_archiving_that_was_interrupted_is_finished_by_the_same_command(
    here, storage_url, tmp_path, monkeypatch
):
    make_study(storage_url, "a", 10, OLD)
    words = ("studies", "archive", "--older-than", "1h", "--to", tmp_path, "--storage", storage_url)
    assert here(*words, "--keep").code == 0
    whole = (tmp_path / "a.jsonl.gz").read_bytes()
    monkeypatch.setattr(study_rows, "BATCH", 4)

    def interrupt(n: int) -> None:
        raise KeyboardInterrupt

    with closing(open_database(storage_url)) as database, pytest.raises(KeyboardInterrupt):
        archive.delete_idle(database, StudySource(database, "a").study_id, "a", interrupt)
    assert here(*words, "--yes").code == 0
    assert names(storage_url) == []
    assert [path.name for path in tmp_path.glob("*.gz")] == ["a.jsonl.gz"]
    assert (tmp_path / "a.jsonl.gz").read_bytes() == whole


def test_a_study_that_a_run_works_on_is_never_archived(here, make_ledger, storage_url, tmp_path):
    ledger = make_ledger(2)
    ledger.claim()
    long_ago = datetime(2020, 1, 1)
    with ledger.database.engine.begin() as c:
        c.execute(sa.update(schema.trials).values(datetime_start=long_ago))
    folder = tmp_path / "to"
    done = here("studies", "archive", "--older-than", "1h", "--to", folder, "--storage", storage_url, "--yes")
    assert done.code == 0
    assert "study 'ledger' stays: run run is at work on it" in done.err
    assert names(storage_url) == ["ledger"]
    assert not folder.exists()
    with pytest.raises(
        StudyError, match="begun to work on study"
    ):  # it came between the look and the deletion
        archive.delete_idle(ledger.database, ledger.study_id, "ledger", lambda n: None)
    assert names(storage_url) == ["ledger"]


def test_a_study_that_changes_while_it_is_written_stays(storage_url, tmp_path, monkeypatch):
    study = make_study(storage_url, "a", 3, OLD)
    write = archive.write_study

    def written_and_changed(*arguments):
        written = write(*arguments)
        study.add_trial(create_trial(state=TrialState.FAIL))
        return written

    monkeypatch.setattr(archive, "write_study", written_and_changed)
    with closing(open_database(storage_url)) as database, pytest.raises(StudyFileError, match="changed"):
        archive.put_aside(database, "a", tmp_path)
    assert not list(tmp_path.glob("*.gz"))
    assert len(study.trials) == 4


@pytest.mark.parametrize("change", ["UPDATE trial_params SET param_value = 2 WHERE trial_id = 2",
                                    "UPDATE trial_values SET value = 7 WHERE trial_id = 3",
                                    "DELETE FROM trial_user_attributes WHERE trial_id = 1 AND `key` = 'n'",
                                    "UPDATE study_user_attributes SET value_json = '3'",
                                    "UPDATE trials SET state = 'PRUNED' WHERE trial_id = 1"])  # fmt: skip
def test_a_file_that_differs_in_anything_does_not_hold_the_study(tmp_path, change):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    make_study(url, "a", 3, OLD)
    with closing(open_database(url)) as database:
        file = archive.put_aside(database, "a", tmp_path)
        assert archive.holds(file, StudySource(database, "a"))
        with database.engine.begin() as c:
            c.exec_driver_sql(change)
        assert not archive.holds(file, StudySource(database, "a"))


def test_a_study_with_runs_is_held_whatever_the_order_of_its_attributes(cli, storage_url, tmp_path):
    words = (
        "run",
        "job.py:quadratic",
        "-n",
        3,
        "--storage",
        storage_url,
        "--study-name",
        "s",
        "--draw",
        "none",
    )
    assert cli(*words).code == 0
    with closing(open_database(storage_url)) as database:
        file = archive.put_aside(database, "s", tmp_path)
        lines = lines_of(file)
        turned = [json.dumps(dict(reversed(json.loads(line).items()))) for line in lines]
        file.write_bytes(gzip.compress("".join(f"{line}\n" for line in turned).encode()))
        assert archive.holds(file, StudySource(database, "s"))
        file.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines[:-2] + lines[-1:]).encode()))
        with pytest.raises(StudyFileError):
            archive.holds(file, StudySource(database, "s"))
        delete_in_batches(database, StudySource(database, "s").study_id)


@pytest.mark.parametrize("storage_url", ["mariadb"], indirect=True)  # whose files have no limit here
def test_a_full_disk_leaves_study_and_folder_as_they_were(cli, storage_url, tmp_path):
    study = make_study(storage_url, "a", 1, OLD)
    study.set_user_attr("noise", os.urandom(20_000).hex())
    words = cli.argv(
        "studies", "archive", "--older-than", "1h", "--to", tmp_path / "to", "--storage", storage_url
    )
    limited = f"ulimit -f 4; exec {shlex.join([*words, '--yes'])}"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, timeout=240)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert list((tmp_path / "to").iterdir()) == []
    assert names(storage_url) == ["a"]


@pytest.mark.parametrize("age", ["90", "", "d", "-1d", "1y", "nan d", "999999999999d"])
def test_an_age_that_is_none_is_refused(here, tmp_path, age):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    make_study(url, "a", 0)
    done = here("studies", "archive", f"--older-than={age}", "--to", tmp_path, "--storage", url)
    assert (done.code, "such as 90d" in done.err) == (2, True)


def test_a_folder_that_cannot_be_is_one_line(here, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    make_study(url, "a", 1, OLD)
    Path(tmp_path / "file").touch()
    words = ("studies", "archive", "--older-than", "1h", "--to", tmp_path / "file" / "x", "--storage", url)
    done = here(*words, "--yes")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert names(url) == ["a"]
