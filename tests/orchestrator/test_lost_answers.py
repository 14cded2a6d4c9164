"""A commit is applied and its answer never arrives: what is written again knows itself."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from optuna.study import StudyDirection
from sqlalchemy import exc

from orchestrator.host import this_process
from orchestrator.spec import RunSpec
from orchestrator.sql import schema as tables
from orchestrator.storage.runs import FINISHED, STOPPED, RunTable
from orchestrator.storage.study_storage import StudyStorage


@pytest.fixture
def next_commit(monkeypatch):
    """Makes the next commit fail, ``applied`` or not."""

    def fail(number: int, text: str, applied: bool) -> None:
        real, failed = sa.Connection.commit, []

        def commit(self) -> None:
            if failed or applied:
                real(self)
            if not failed:
                failed.append(True)
                cause = Exception(number, text)
                raise exc.OperationalError("COMMIT", None, cause, connection_invalidated=applied)

        monkeypatch.setattr(sa.Connection, "commit", commit)

    return fail


@pytest.fixture
def lose_answer(next_commit):
    return lambda: next_commit(2013, "Lost connection", applied=True)


def test_a_study_is_deleted(make_ledger, lose_answer):
    ledger = make_ledger(1)
    storage = StudyStorage(ledger.database)
    lose_answer()
    storage.delete_study(ledger.study_id)
    assert storage.get_all_studies() == []
    with pytest.raises(KeyError):
        storage.delete_study(ledger.study_id)


def test_a_run_is_created_once(make_ledger, lose_answer):
    ledger = make_ledger(1)
    runs, spec = RunTable(ledger.database), RunSpec("f", "ledger", n_trials=1)
    lose_answer()
    assert runs.create("another", ledger.study_id, spec, seed=1) is True
    assert runs.find("another") is not None
    assert runs.create("another", ledger.study_id, spec, seed=1) is False


def test_a_run_of_somebody_who_was_quicker_is_not_taken_for_ones_own(make_ledger, monkeypatch):
    ledger = make_ledger(1)
    runs, write = RunTable(ledger.database), ledger.database.write

    def fail_and_repeat(work):
        """The first try was not applied; before the second, somebody else writes a run of that id."""

        def both(c: sa.Connection) -> bool:
            work(c)
            earlier = sa.update(tables.runs).where(tables.runs.c.run_id == "another")
            c.execute(earlier.values(mark="somebody's"))
            return work(c)

        return write(both)

    monkeypatch.setattr(ledger.database, "write", fail_and_repeat)
    assert runs.create("another", ledger.study_id, RunSpec("f", "ledger", n_trials=1), seed=1) is False


def test_an_agent_is_registered_once(make_ledger, lose_answer):
    runs = RunTable(make_ledger(1).database)
    lose_answer()
    runs.register_agent("another", "run", 1, this_process())
    assert [agent.agent_id for agent in runs.agents_of("run")] == ["agent", "another"]


def test_who_ended_a_run_knows_it(make_ledger, lose_answer):
    runs = RunTable(make_ledger(1).database)
    lose_answer()
    assert runs.end("run", FINISHED, None) is True
    assert runs.end("run", FINISHED, None) is False


def test_who_did_not_end_a_run_does_not_think_so(make_ledger, next_commit):
    runs = RunTable(make_ledger(1).database)
    assert runs.end("run", FINISHED, None) is True
    for state in (FINISHED, STOPPED):
        next_commit(2013, "Lost connection", applied=True)
        assert runs.end("run", state, None) is False


@pytest.mark.parametrize("refusal", [(1213, "Deadlock found"), (1, "database is locked")])
def test_a_commit_that_was_refused_is_tried_again_although_it_may_not_be_done_twice(
    make_ledger, next_commit, refusal
):
    ledger = make_ledger(1)
    storage = StudyStorage(ledger.database)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    next_commit(*refusal, applied=False)
    storage.create_new_trial(study_id)
    assert [trial.number for trial in storage.get_all_trials(study_id)] == [0]
