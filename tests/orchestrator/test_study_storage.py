"""Our storage beyond Optuna's suite: what it reads, when; beside plain Optuna; when an answer is lost."""

from __future__ import annotations

import copy
import os
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
import pytest
import sqlalchemy as sa
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from orchestrator import open_storage
from orchestrator.sql import schema
from orchestrator.storage.stored_trial import PARTS, StoredTrial
from orchestrator.storage.study_storage import StudyStorage


@pytest.fixture
def storage(storage_url: str) -> Iterator[StudyStorage]:
    opened = open_storage(storage_url)
    yield opened
    opened.database.close()


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 0, 1)
    trial.suggest_categorical("kind", ["a", "b"])
    trial.report(x, 0)
    trial.set_user_attr("note", [trial.number])
    return x


@contextmanager
def counted(storage: StudyStorage) -> Iterator[list[str]]:
    """The statements that the storage sends in this block."""
    sent: list[str] = []

    def note(_c, _cursor, statement, *_rest) -> None:
        sent.append(statement)

    sa.event.listen(storage.database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(storage.database.engine, "before_cursor_execute", note)


def selects(sent: list[str]) -> int:
    return sum(statement.lstrip().upper().startswith("SELECT") for statement in sent)


def test_a_history_is_read_in_one_statement_and_its_parts_when_asked_for(storage, storage_url):
    study = optuna.create_study(storage=storage_url, study_name="s")
    study.optimize(objective, n_trials=12)
    study_id = storage.get_study_id_from_name("s")
    with counted(storage) as sent:
        trials = storage.get_all_trials(study_id, deepcopy=False)
        assert [trial.value for trial in trials] == [trial.value for trial in study.trials]
    assert selects(sent) == 1
    assert not any(trial.knows(part) for trial in trials for part in PARTS)
    with counted(storage) as sent:
        assert [trial.params for trial in trials] == [trial.params for trial in study.trials]
    assert selects(sent) == 1  # neighbours learn together
    with counted(storage) as sent:
        assert storage.get_all_trials(study_id, deepcopy=False) == study.trials
    assert selects(sent) == 1 + 3  # what changed (nothing), and the other parts


def test_only_what_changed_is_read_again(storage):
    study = optuna.create_study(storage=storage, study_name="s")
    study.optimize(objective, n_trials=5)
    before = study.get_trials(deepcopy=False)
    study.optimize(objective, n_trials=1)
    after = study.get_trials(deepcopy=False)
    assert all(old is new for old, new in zip(before, after, strict=False))
    assert len(after) == 6


def test_plain_optuna_and_we_see_each_others_trials_at_once(storage, storage_url):
    ours = optuna.create_study(storage=storage, study_name="s")
    plain = optuna.load_study(storage=storage_url, study_name="s")
    begun = plain.ask()
    x = begun.suggest_float("x", 0, 1)
    (seen,) = ours.trials
    assert (seen.state, seen.params) == (TrialState.RUNNING, {"x": x})
    mine = ours.ask()
    mine.suggest_float("x", 0, 1)
    plain.tell(begun, 1.0)
    ours.tell(mine, 2.0)
    for study in (ours, plain):
        assert [trial.value for trial in study.trials] == [1.0, 2.0]
    with pytest.raises(ValueError, match="tell a COMPLETE trial"):
        ours.tell(begun.number, 3.0)
    assert ours.best_trial.number == plain.best_trial.number == 0


def test_a_trial_enqueued_by_plain_optuna_is_taken(storage, storage_url):
    ours = optuna.create_study(storage=storage, study_name="s")
    optuna.load_study(storage=storage_url, study_name="s").enqueue_trial({"x": 0.25})
    assert ours.ask().suggest_float("x", 0, 1) == 0.25


def test_copies_and_pickles_of_stored_trials_are_plain_and_complete(storage):
    study = optuna.create_study(storage=storage)
    study.optimize(objective, n_trials=1)
    (stored,) = study.get_trials(deepcopy=False)
    assert isinstance(stored, StoredTrial)
    for made in (copy.deepcopy(stored), pickle.loads(pickle.dumps(stored))):
        assert type(made) is FrozenTrial
        assert made == stored
        assert stored == made
        assert made.user_attrs == {"note": [0]}
        assert hash(stored) == hash(stored)
    made.user_attrs["note"].append(1)
    assert stored.user_attrs == {"note": [0]}


def test_a_distribution_that_does_not_go_with_earlier_ones_is_refused(storage):
    study = optuna.create_study(storage=storage)
    study.ask().suggest_categorical("kind", ["a", "b"])
    fresh = optuna.load_study(study_name=study.study_name, storage=pickle.loads(pickle.dumps(storage)))
    with pytest.raises(ValueError, match="CategoricalDistribution does not support dynamic value space"):
        fresh.ask().suggest_categorical("kind", ["a", "c"])


def test_deleting_a_study_takes_our_rows_with_it_and_leaves_the_others(make_ledger):
    ledger = make_ledger(2)
    ledger.claim()
    storage = StudyStorage(ledger.database)
    other = storage.create_new_study([StudyDirection.MINIMIZE], "other")
    storage.create_new_trial(other)
    storage.delete_study(ledger.study_id)
    left = {
        table.name: ledger.database.read(
            lambda c, t=table: c.execute(sa.select(sa.func.count()).select_from(t)).scalar()
        )
        for metadata in (schema.optuna_tables, schema.nano_tables)
        for table in metadata.sorted_tables
    }
    assert {name: n for name, n in left.items() if n} == {"studies": 1, "study_directions": 1, "trials": 1}


def lose_the_next_answer(storage: StudyStorage, monkeypatch) -> None:
    """The next commit is applied, and its answer never arrives."""
    real, lost = sa.Connection.commit, []

    def commit(self) -> None:
        real(self)
        if not lost:
            lost.append(True)
            raise sa.exc.OperationalError(
                "COMMIT", None, Exception(2013, "Lost connection"), connection_invalidated=True
            )

    monkeypatch.setattr(sa.Connection, "commit", commit)


def test_a_trial_whose_commit_had_no_answer_is_not_made_twice(storage, monkeypatch):
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    lose_the_next_answer(storage, monkeypatch)
    with pytest.raises(optuna.exceptions.StorageInternalError, match="the answer to a commit was lost"):
        storage.create_new_trial(study_id)
    assert len(storage.get_all_trials(study_id)) == 1


def test_all_other_writes_are_repeated_when_their_answer_was_lost(storage, monkeypatch):
    for write in (
        lambda trial_id: storage.set_trial_param(
            trial_id, "x", 0.5, optuna.distributions.FloatDistribution(0, 1)
        ),
        lambda trial_id: storage.set_trial_intermediate_value(trial_id, 0, 1.0),
        lambda trial_id: storage.set_trial_user_attr(trial_id, "a", 1),
        lambda trial_id: storage.set_trial_system_attr(trial_id, "b", 2),
        lambda trial_id: storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [3.0]),
    ):
        trial_id = storage.create_new_trial(storage.create_new_study([StudyDirection.MINIMIZE]))
        with monkeypatch.context() as patch:
            lose_the_next_answer(storage, patch)
            write(trial_id)
        trial = storage.get_trial(trial_id)
        contents = (
            trial.params,
            trial.intermediate_values,
            trial.user_attrs,
            trial.system_attrs,
            trial.values,
        )
        assert sum(map(bool, contents)) == 1


def test_a_study_whose_creation_had_no_answer_is_there_once(storage, monkeypatch):
    lose_the_next_answer(storage, monkeypatch)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "s")
    assert [study._study_id for study in storage.get_all_studies()] == [study_id]
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        storage.create_new_study([StudyDirection.MINIMIZE], "s")


def test_a_forked_process_uses_a_connection_of_its_own(storage):
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, should there be threads
        child = os.fork()
    if child == 0:
        try:
            storage.create_new_trial(study_id)
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    storage.create_new_trial(study_id)
    assert [trial.number for trial in storage.get_all_trials(study_id)] == [0, 1]


def test_threads_optimise_one_study_together(storage):
    study = optuna.create_study(
        storage=storage, study_name="threads", sampler=optuna.samplers.RandomSampler()
    )
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) + len(study.trials), n_trials=60, n_jobs=6)
    assert sorted(trial.number for trial in study.trials) == list(range(60))
    assert len({trial._trial_id for trial in study.trials}) == 60


def test_a_trial_knows_how_long_it_took_although_the_database_keeps_whole_seconds(storage):
    study = optuna.create_study(storage=storage, study_name="times")
    study.optimize(lambda trial: 1.0, n_trials=10)
    durations = [trial.duration.total_seconds() for trial in study.trials]
    assert all(0 < seconds < 60 for seconds in durations)
    assert any(seconds % 1 for seconds in durations)
