"""Studies carried between databases and files: nothing is lost, and nothing is half there."""

from __future__ import annotations

import gzip
import json
import math
import sqlite3
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from orchestrator.at_work import agents_at_work
from orchestrator.carry.content import Param, RunPart, StudyHead, TrialPart
from orchestrator.carry.decoding import LineReader
from orchestrator.carry.encoding import LineWriter
from orchestrator.carry.files import StudyFile, write_study
from orchestrator.carry.reading import StudySource
from orchestrator.carry.writing import land_study
from orchestrator.errors import StorageError, StudyError
from orchestrator.sql import schema
from orchestrator.sql.asking import study_names
from orchestrator.sql.database import Database
from orchestrator.sql.opening import open_database
from orchestrator.storage.attempts import AttemptTable
from orchestrator.storage.runs import RunTable
from orchestrator.storage.study_storage import StudyStorage

START = datetime(2026, 3, 29, 0, 30)  # whole seconds: MySQL keeps no others
SPACE = {
    "Größe": FloatDistribution(1e-7, 1.0, log=True),
    "step": FloatDistribution(0.0, 1.0, step=0.1),
    "log int": IntDistribution(1, 1024, log=True),
    "n": IntDistribution(0, 10, step=2),
    "kind": CategoricalDistribution((None, True, 1.5, "a", "ü\n")),
}
PARAMS = {"Größe": 0.1 + 0.2, "step": 0.3, "log int": 512, "n": 4, "kind": None}
SPECIAL = {0: math.inf, 3: -math.inf, 7: math.nan, 2**31 - 1: -0.0}


@pytest.fixture
def here(here, tmp_path, monkeypatch):
    """The command line in this process, in a folder with a space."""
    folder = tmp_path / "my files"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return here


def rdb(url: str) -> optuna.storages.RDBStorage:
    return optuna.storages.RDBStorage(url)


def make_study(url: str, name: str = "Studie ☃"):
    """Two objectives, a study with attributes and a trial of every sort, by plain Optuna."""
    study = optuna.create_study(storage=rdb(url), study_name=name, directions=["minimize", "maximize"])
    study.set_user_attr("note", {"α": [1, None, 2.5e-300]})
    study.set_user_attr("odd", [math.nan, -math.inf])
    study._storage.set_study_system_attr(study._study_id, "study:metric_names", ["loss", "speed"])
    end = START + timedelta(hours=2)
    times = {"params": PARAMS, "distributions": SPACE}
    study.add_trial(create_trial(values=[1.5, math.inf], intermediate_values=SPECIAL, **times))
    study.add_trial(create_trial(values=[0.1, -math.inf], **times, user_attrs={"deep": {"x": [True, "\\"]}}))
    study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={5: 0.25}, **times))
    study.add_trial(create_trial(state=TrialState.FAIL, system_attrs={"odd": math.nan, "plain": "\x00"}))
    study.add_trial(create_trial(values=[0, 0], system_attrs={"constraints:c": 1.0}))
    study.enqueue_trial({"step": 0.5}, user_attrs={"by": "hand"})
    for frozen in study.get_trials(deepcopy=False):
        set_times(study, frozen._trial_id, START, end if frozen.state.is_finished() else None)
    return study


def set_times(study, trial_id: int, start: datetime, end: datetime | None) -> None:
    table = schema.trials
    statement = sa.update(table).where(table.c.trial_id == trial_id)
    with study._storage._backend.engine.begin() as c:
        c.execute(statement.values(datetime_start=start, datetime_complete=end))


def seen(url: str, name: str = "Studie ☃"):
    """All that plain Optuna sees of a study, but for ids; by its text, where NaN equals NaN."""
    study = optuna.load_study(storage=rdb(url), study_name=name)
    facts = ("number", "state", "values", "datetime_start", "datetime_complete", "params", "distributions")
    facts += ("user_attrs", "system_attrs", "intermediate_values")
    own = (study.directions, study.user_attrs, study.metric_names)
    frozen = study.get_trials(deepcopy=False)
    return [text(fact) for fact in own], [[text(getattr(trial, fact)) for fact in facts] for trial in frozen]


def text(fact) -> str:
    return repr(sorted(fact.items()) if isinstance(fact, dict) else fact)


def sqlite(path) -> str:
    return f"sqlite:///{path}"


def names_in(url: str) -> list[str]:
    return sorted(study_names(url))


def test_a_copy_is_the_same_study_to_plain_optuna_on_every_database(here, mariadb, tmp_path):
    first, second, third = sqlite(tmp_path / "a.db"), mariadb.create_database(), sqlite(tmp_path / "c.db")
    make_study(first)
    for source, target in ((first, second), (second, third)):
        done = here("copy", source, target)
        assert (done.code, done.err) == (0, ""), done.err
        assert "6 trials; 0 runs" in done.out
    assert seen(second) == seen(first)
    assert seen(third) == seen(first)


@pytest.mark.parametrize("file", ["study.jsonl", "my study.jsonl.gz"])
def test_a_study_comes_back_from_its_file_as_it_was(here, storage_url, file):
    make_study(storage_url)
    assert here("export", "--storage", storage_url, "-o", file).code == 0
    done = here("import", file, "--storage", storage_url, "--as", "again")
    assert (done.code, done.err) == (0, ""), done.err
    assert seen(storage_url, "again") == seen(storage_url)


def test_microseconds_survive_the_file(here, tmp_path):
    url, target = sqlite(tmp_path / "a.db"), sqlite(tmp_path / "b.db")
    study = make_study(url)
    set_times(study, 1, START.replace(microsecond=123456), START.replace(microsecond=7, minute=59))
    assert here("copy", url, target).code == 0
    assert seen(target) == seen(url)


def test_every_line_of_an_export_is_strict_json_in_ascii(here, storage_url):
    make_study(storage_url)
    done = here("export", "--storage", storage_url)
    assert done.code == 0
    assert done.out.isascii()
    lines = [json.loads(line, parse_constant=pytest.fail) for line in done.out.splitlines()]
    assert lines[0]["format"] == "nano-hpo study"
    assert lines[-1] == {"end": {"trials": 6, "runs": 0}}
    assert sum("distribution" in line for line in lines) == len(SPACE)
    assert "6 trials, 0 runs" in done.err


def test_export_and_import_go_together_through_a_pipe(cli, tmp_path):
    source = sqlite(tmp_path / "a.db")
    make_study(source)
    (cli.cwd / "piped").write_text(cli("export", "--storage", source, "-q").out)
    target = sqlite(tmp_path / "b.db")
    with (cli.cwd / "piped").open() as piped:
        words = cli.argv("import", "-", "--storage", target)
        done = subprocess.run(words, stdin=piped, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert seen(target) == seen(source)


numbers = st.floats(allow_nan=False)  # NaN equals nothing; SPECIAL above has it
texts = st.text(max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(texts, some, max_size=3),
    max_leaves=6,
).map(json.dumps)
attributes = st.dictionaries(texts, json_values, max_size=3)
times = st.none() | st.datetimes()
params = st.lists(
    st.builds(Param, texts, numbers, st.just(optuna.distributions.distribution_to_json(SPACE["n"]))),
    max_size=3,
    unique_by=lambda param: param.name,
).map(tuple)
whole = st.integers(-(2**63), 2**63 - 1)
reports = st.dictionaries(whole, numbers, max_size=3).map(lambda d: tuple(d.items()))
trial_parts = st.builds(
    TrialPart,
    number=st.integers(0, 2**63 - 1),
    state=st.sampled_from(TrialState),
    start=times,
    complete=times,
    values=st.tuples(numbers, numbers),
    params=params,
    reported=reports,
    user_attrs=attributes,
    system_attrs=attributes,
    attempts=st.just(()),
)
heads = st.builds(
    StudyHead,
    name=texts,
    directions=st.just((StudyDirection.MINIMIZE, StudyDirection.NOT_SET)),
    user_attrs=attributes,
    system_attrs=attributes,
    n_trials=st.integers(0),
    taken=st.datetimes(),
    optuna=st.none() | texts,
)


@given(heads, trial_parts)
def test_whatever_a_study_holds_its_lines_say_the_same(head, part):
    writer, reader = LineWriter(), LineReader()
    assert reader.head(writer.head(head)) == head
    (*others, again) = [reader.part(line) for line in writer.lines(part)]
    assert (again, set(others)) == (part, {None} & set(others))


def test_a_running_trial_waits_in_the_copy_and_is_done_again(here, storage_url, tmp_path):
    study = optuna.create_study(storage=rdb(storage_url), study_name="s")
    running = study.ask()
    x = running.suggest_float("x", 0, 1)
    running.report(1.0, 0)
    running.set_user_attr("key", 1)
    target = sqlite(tmp_path / "copy.db")
    done = here("copy", storage_url, target)
    assert "1 of them were running and wait to be done again" in done.out
    copied = optuna.load_study(storage=rdb(target), study_name="s")
    assert [trial.state for trial in copied.trials] == [TrialState.WAITING]
    again = copied.ask()
    assert (again.number, again.suggest_float("x", 0, 1), again.user_attrs) == (0, x, {"key": 1})
    again.report(2.0, 0)  # Optuna would ignore a step that is there already
    assert copied.trials[0].intermediate_values == {0: 2.0}
    assert study.trials[0].state is TrialState.RUNNING


def test_a_running_trial_fails_in_the_copy_if_that_is_wished(here, storage_url, tmp_path):
    optuna.create_study(storage=rdb(storage_url), study_name="s").ask()
    target = sqlite(tmp_path / "copy.db")
    assert (
        "1 of them were running and are failed" in here("copy", storage_url, target, "--running", "fail").out
    )
    (trial,) = optuna.load_study(storage=rdb(target), study_name="s").trials
    assert trial.state is TrialState.FAIL
    assert trial.datetime_complete is not None
    assert "running" in trial.system_attrs["nano:cause"]


def test_runs_and_their_slots_and_seconds_come_along(cli, storage_url, tmp_path):
    words = ("run", "job.py:quadratic", "-n", 4, "--study-name", "s", "--draw", "none", "-q")
    assert cli(*words, "--storage", storage_url).code == 0
    cli("export", "--storage", storage_url, "-o", "s.gz")
    target = sqlite(tmp_path / "copy.db")
    assert "4 trials; 1 run." in cli("import", "s.gz", "--storage", target).out
    before, after = (
        cli("report", "--storage", url, "--draw", "none", "--json").json for url in (storage_url, target)
    )
    for said in (before, after):
        for trial in said["best_trials"]:
            trial.pop("duration_s")
    assert after["slots"] == before["slots"] != []
    same = ("counts", "wall_s", "trial_s", "runs", "best_trials")
    assert {key: after[key] for key in same} == {key: before[key] for key in same}


def test_a_run_that_was_at_work_goes_on_in_the_copy_with_what_was_left(make_ledger, storage_url, tmp_path):
    ledger = make_ledger(3)
    _, trial_id = ledger.claim()
    assert trial_id is not None
    with closing(open_database(sqlite(tmp_path / "copy.db"))) as database:
        assert copy_study(ledger.database, database, "ledger", "ledger").n_were_running == 1
        copied = type(ledger)(database, 1, ledger.run_id)
        runs = RunTable(database)
        assert [run.record.state for run in runs.of_study(1)] == ["stopped"]
        assert agents_at_work(database, [ledger.run_id]) == []
        runs.reopen(ledger.run_id)
        taken = [copied.claim()[1] for _ in range(4)]
        assert taken == [1, 2, 3, None]  # the first one is the old one, on its old ticket
        assert [trial.number for trial in copied.trials()] == [0, 1, 2]


def test_a_copy_beside_its_original_has_runs_of_its_own(make_ledger, storage_url):
    ledger = make_ledger(3)
    ledger.claim()
    copy_study(ledger.database, ledger.database, "ledger", "twin")
    rows = all_rows(ledger.database, "nano_runs")
    assert len({row["run_id"] for row in rows}) == 2
    assert {row["study_id"]: row["state"] for row in rows} == {1: "running", 2: "stopped"}
    attempts = all_rows(ledger.database, "nano_attempts")
    assert {row["trial_id"]: row["state"] for row in attempts} == {1: "running", 2: "waiting"}
    assert {(row["run_id"], row["agent_id"]) for row in attempts} == {
        (row["run_id"], row["agent_id"]) for row in all_rows(ledger.database, "nano_agents")
    }


RUN = {"run_id": "run", "owner": "me", "spec": "{}", "spec_hash": "", "seed": 1, "n_trials": 9, "claimed": 9}
RUN |= {"state": "stopped", "reason": None, "start_s": 1.0, "end_s": 2.0}
AGENT = {"agent_id": "agent", "rank": 0, "host": "h", "boot_id": "b", "pid": 1, "pid_start_s": 1.0}
AGENT |= {"start_s": 1.0, "end_s": 2.0, "report": None}
ATTEMPT = {"run_id": "run", "agent_id": "agent", "slot": 0, "cpus": "0", "cpu_model": "", "slot_width": 1}
ATTEMPT |= {"pid": 1, "state": "ended", "start_s": 1.0, "end_s": 2.0, "objective_s": 1.0, "cause": None}
ATTEMPT |= {"exit_status": None, "peak_rss_mib": None}


def parts_of_a_run(n: int):
    """``n`` trials that a run has finished, then the run."""
    yield from (replace(part, attempts=(ATTEMPT,)) for part in bare_parts(n))
    yield RunPart(RUN, (AGENT,))


def ended_by_run(database: Database, name: str) -> dict[str, int]:
    """How many trials each run on a study has finished, as a run counts them that goes on."""
    study_id = StudyStorage(database).get_study_id_from_name(name)
    run_ids = [run.record.run_id for run in RunTable(database).of_study(study_id)]
    assert all(RunTable(database).agents_of(run_id) for run_id in run_ids)
    return {run_id: AttemptTable(database, study_id).counts(run_id)["ended"] for run_id in run_ids}


def kill_an_import(cli, url: str, lines: list[str]) -> None:
    """SIGKILL an import that has written a batch and waits for the rest of its file."""
    words = cli.argv("import", "-", "--storage", url)
    with subprocess.Popen(words, stdin=subprocess.PIPE, text=True, cwd=cli.cwd) as process:
        process.stdin.write("".join(lines[:-100]))
        process.stdin.flush()
        with closing(open_database(url)) as database:
            while not all_rows(database, "nano_attempts"):
                assert process.poll() is None
                time.sleep(0.05)
        process.kill()


def test_an_import_that_was_killed_counts_for_no_run_and_can_be_done_again(cli, storage_url):
    write_study(str(cli.cwd / "f"), head(1500), parts_of_a_run(1500))
    kill_an_import(cli, storage_url, (cli.cwd / "f").read_text().splitlines(keepends=True))
    with closing(open_database(storage_url)) as database:
        assert AttemptTable(database, 1).counts("run") == {}
        done = cli("import", "f", "--storage", storage_url, "-q")
        assert done.code == 0, done.err
        assert ended_by_run(database, "s") == {"run": 1500}
        (unfinished,) = (name for name in names_in(storage_url) if name != "s")
        assert cli("delete", unfinished, "--storage", storage_url, "--yes").code == 0
        assert ended_by_run(database, "s") == {"run": 1500} == {"run": len(all_rows(database, "trials"))}


def test_two_imports_of_one_file_at_once_count_their_own_trials(storage_url, tmp_path):
    write_study(str(tmp_path / "f"), head(1200), parts_of_a_run(1200))
    last_part_is_read = threading.Barrier(2, timeout=240)

    def parts():
        yield from StudyFile(str(tmp_path / "f")).parts()
        last_part_is_read.wait()

    def land(name: str) -> dict[str, int]:
        with closing(open_database(storage_url)) as database:
            land_study(database, head(1200), parts(), name)
            return ended_by_run(database, name)

    open_database(storage_url).close()
    with ThreadPoolExecutor() as pool:
        first, second = sorted(pool.map(land, ("a", "b")), key=lambda found: len(next(iter(found))))
    assert first == {"run": 1200}
    assert list(second.values()) == [1200]
    assert next(iter(second)).startswith("run-")


def copy_study(source: Database, target: Database, name: str, new_name: str):
    study = StudySource(source, name)
    return land_study(target, study.head, study.parts(), new_name)


def all_rows(database: Database, table: str):
    with database.engine.connect() as c:
        return [dict(row) for row in c.exec_driver_sql(f"SELECT * FROM {table}").mappings()]


def test_a_study_that_is_there_is_not_overwritten(here, storage_url):
    make_study(storage_url)
    before = seen(storage_url)
    here("export", "--storage", storage_url, "-o", "f")
    for words in (("import", "f", "--storage", storage_url), ("copy", storage_url, storage_url)):
        done = here(*words)
        assert (done.code, len(done.err.splitlines())) == (2, 1)
        assert "already; --as NEW gives" in done.err
    assert seen(storage_url) == before


def test_all_studies_are_copied_and_one_by_another_name(here, storage_url, tmp_path):
    for name in ("a", "b"):
        make_study(storage_url, name)
    target = sqlite(tmp_path / "all.db")
    assert "choose with --study-name: a, b" in here("copy", storage_url, target).err
    assert not (tmp_path / "all.db").exists()
    assert here("copy", storage_url, target, "--all").code == 0
    assert here("copy", storage_url, target, "--study-name", "b", "--as", "c").code == 0
    assert names_in(target) == ["a", "b", "c"]
    assert seen(target, "c") == seen(storage_url, "b")


def lines_of(here, url) -> list[str]:
    return here("export", "--storage", url, "-q").out.splitlines(keepends=True)


def refused(here, lines: list[str], url: str) -> str:
    """What is said of a file of these lines; that nothing is left of it is checked."""
    Path("bad").write_text("".join(lines))
    done = here("import", "bad", "--storage", url, "--as", "new")
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert names_in(url) == ["s"]
    return done.err


def test_a_file_that_is_not_whole_or_not_ours_is_refused_with_its_line(here, storage_url):
    make_study(storage_url, "s")
    good = lines_of(here, storage_url)

    def with_line(number: int, text: str) -> list[str]:
        return [*good[: number - 1], text + "\n", *good[number:]]

    def reported(step: int, value: float = 0.0) -> str:
        return json.dumps({"trial": 0, "state": "FAIL", "reported": [[step, value]]})

    a_run = json.dumps({"run": RUN}) + "\n"
    cases = {
        "cut off after line 5": good[:5],
        "Line 1 of file bad: this is no study": ['{"a": 1}\n'],
        "Line 1 of file bad: it is no JSON": [],
        "Line 3 of file bad: it is no JSON": with_line(3, "{"),
        "a newer nano-hpo is needed": with_line(1, good[0].replace('"version":1', '"version":2').strip()),
        f"Line {len(good)} of file bad: the file has 6 trials": with_line(
            len(good), '{"end":{"trials":7,"runs":0}}'
        ),
        "it comes after the end": [*good, "{}\n"],
        "the numbers must rise": [*good[:-1], *good[-2:]],
        "known are RUNNING": with_line(7, '{"trial":0,"state":"DONE"}'),
        "0 values for 2 objectives": with_line(7, '{"trial":0,"state":"COMPLETE"}'),
        "which no line before tells": with_line(7, '{"trial":0,"state":"FAIL","params":{"x":[1,99]}}'),
        "has category 5 of 5": with_line(7, '{"trial":0,"state":"FAIL","params":{"x":[5,4]}}'),
        "is no time in UTC": with_line(7, '{"trial":0,"state":"FAIL","start":"2026-01-01T00:00:00"}'),
        f"Line 7 of file bad: step {10**30} needs more than 64 bits": with_line(7, reported(10**30)),
        f"trial {2**63} needs more than 64 bits": with_line(7, f'{{"trial":{2**63},"state":"FAIL"}}'),
        f"'seed' {10**30} needs more": with_line(7, json.dumps({"run": RUN | {"seed": 10**30}})),
        "run 'run' is there a second time": [*good[:-1], a_run, a_run],
        "is larger than any float": with_line(7, reported(0, 10**400)),
        "inf is larger than any float": with_line(7, json.dumps({"run": RUN}).replace("2.0", "1e999")),
        "NaN is not allowed": with_line(7, '{"trial":0,"state":"FAIL","reported":[[0,NaN]]}'),
    }
    for said, lines in cases.items():
        assert said in refused(here, lines, storage_url), said


def test_a_damaged_compressed_file_is_refused(here, storage_url):
    make_study(storage_url, "s")
    packed = gzip.compress("".join(lines_of(here, storage_url)).encode())
    Path("bad.gz").write_bytes(packed[:-40])
    done = here("import", "bad.gz", "--storage", storage_url, "--as", "new")
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert "cut off or damaged" in done.err
    assert names_in(storage_url) == ["s"]


def test_what_the_database_refuses_is_one_line_and_leaves_nothing(here, mariadb, tmp_path):
    url, target = sqlite(tmp_path / "a.db"), mariadb.create_database()
    study = optuna.create_study(storage=rdb(url), study_name="s")
    study.add_trial(create_trial(value=0.0, user_attrs={"long": "x" * 70_000}))
    done = here("copy", url, target)
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert "refuses trials 0 to 0" in done.err
    assert names_in(target) == []


def test_numbers_that_sqlite_alone_can_hold_stay_there(here, mariadb, tmp_path):
    url, again, narrow = sqlite(tmp_path / "a.db"), sqlite(tmp_path / "b.db"), mariadb.create_database()
    study = optuna.create_study(storage=rdb(url), study_name="s")
    study.add_trial(create_trial(value=0.0, intermediate_values={2**40: 1.0}))
    Path("f").write_text("".join(lines_of(here, url)))
    assert here("import", "f", "--storage", again).code == 0
    assert seen(again, "s") == seen(url, "s")
    done = here("import", "f", "--storage", narrow)
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert "refuses trials 0 to 0: (1264, \"Out of range value for column 'step'" in done.err
    assert names_in(narrow) == []


def test_a_number_that_no_database_can_hold_is_one_line_and_leaves_nothing(storage_url):
    (part,) = bare_parts(1)
    with closing(open_database(storage_url)) as database:
        with pytest.raises(StorageError, match="refuses trials 0 to 0"):
            land_study(database, head(1), iter([replace(part, reported=((10**30, 1.0),))]), "s")
        assert all_rows(database, "studies") == all_rows(database, "trials") == []


def bare_parts(n: int, stops_at: int | None = None):
    for number in range(n):
        if number == stops_at:
            raise KeyboardInterrupt
        times = (START, START + timedelta(seconds=1))
        yield TrialPart(number, TrialState.COMPLETE, *times, (1.0,), (), ((0, 1.0),), {"k": "1"}, {}, ())


def head(n: int) -> StudyHead:
    return StudyHead("s", (StudyDirection.MINIMIZE,), {"a": "1"}, {}, n, START, None)


def test_an_interrupted_import_leaves_no_row(storage_url):
    with closing(open_database(storage_url)) as database:
        with pytest.raises(KeyboardInterrupt):
            land_study(database, head(3000), bare_parts(3000, stops_at=2500), "s")
        for table in schema.optuna_tables.sorted_tables:
            assert all_rows(database, table.name) == [], table.name


def test_the_study_has_another_name_until_it_is_whole(storage_url):
    with closing(open_database(storage_url)) as database:
        during: list[str] = []
        land_study(
            database,
            head(2500),
            bare_parts(2500),
            "s",
            written=lambda n: during.extend(names_in(storage_url)),
        )
        assert len(during) == 3
        assert all(name.startswith("unfinished import") for name in during)
        assert names_in(storage_url) == ["s"]


def test_writing_again_what_was_committed_writes_nothing_twice(storage_url, monkeypatch):
    once = Database.write

    def twice(self, work, *args, **kw):  # as after an answer that was lost
        once(self, work, *args, **kw)
        return once(self, work, *args, **kw)

    monkeypatch.setattr(Database, "write", twice)
    with closing(open_database(storage_url)) as database:
        landed = land_study(database, head(2500), bare_parts(2500), "s")
        assert landed.n_trials == 2500
        counts = {table: len(all_rows(database, table)) for table in ("studies", "trials", "trial_values")}
        assert counts == {"studies": 1, "trials": 2500, "trial_values": 2500}
    study = optuna.load_study(storage=rdb(storage_url), study_name="s")
    assert [trial.number for trial in study.get_trials(deepcopy=False)] == list(range(2500))


def test_trials_begun_while_a_study_is_read_are_left_out(storage_url, tmp_path):
    study = make_study(storage_url, "s")
    with closing(open_database(storage_url)) as database:
        source = StudySource(database, "s")
        study.ask()
        study.ask()
        assert write_study(str(tmp_path / "f"), source.head, source.parts()) == (6, 0)
    assert len(list(StudyFile(str(tmp_path / "f")).parts())) == 6


def test_a_study_that_is_deleted_while_it_is_read_makes_no_file(storage_url, tmp_path):
    make_study(storage_url, "s")
    with closing(open_database(storage_url)) as database:
        source = StudySource(database, "s")
        optuna.delete_study(storage=rdb(storage_url), study_name="s")
        with pytest.raises(StudyError, match="was deleted"):
            write_study(str(tmp_path / "f"), source.head, source.parts())
    assert list(tmp_path.glob("*f*")) == []


def test_a_full_disk_and_a_missing_folder_are_one_line(cli, tmp_path):
    source = sqlite(tmp_path / "a.db")
    make_study(source)
    for output, code in (("/dev/full", 1), ("no/such/folder/f", 2), (".", 2)):
        done = cli("export", "--storage", source, "-o", output)
        assert (done.code, len(done.err.splitlines())) == (code, 1), done.err
    done = cli("import", "missing", "--storage", source)
    assert (done.code, done.err) == (
        2,
        "nano-hpo: The file missing cannot be read: No such file or directory.\n",
    )


@pytest.fixture
def in_berlin(monkeypatch):
    """Local time is that of a zone whose clocks change."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("stored", "seconds"),
    [
        (("2026-10-25 00:30:00", "2026-10-25 01:30:00"), 3600.0),  # clocks go back in between, in Berlin
        (("2026-11-24 21:00:00", "2026-11-24 20:00:05"), None),  # begun by Optuna 4 in Berlin, ended by 5
    ],
)
def test_durations_are_those_of_the_stored_times(in_berlin, tmp_path, stored, seconds):
    url = sqlite(tmp_path / "old.db")
    optuna.create_study(storage=rdb(url), study_name="old").add_trial(create_trial(value=0.0))
    with closing(sqlite3.connect(tmp_path / "old.db")) as c, c:
        c.execute("UPDATE version_info SET library_version = '4.9.0'")
        c.execute("UPDATE trials SET datetime_start = ?, datetime_complete = ?", stored)
    with closing(open_database(url)) as database:
        (trial,) = optuna.load_study(storage=StudyStorage(database), study_name="old").get_trials(
            deepcopy=False
        )
        assert trial.duration == (None if seconds is None else timedelta(seconds=seconds))
