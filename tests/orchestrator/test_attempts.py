"""The exact budget, on every storage: claims, retries, releases, foreign hands."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import optuna
import pytest
import sqlalchemy as sa
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from orchestrator.causes import Cause
from orchestrator.sql.opening import open_database
from orchestrator.storage.attempts import CAUSE, CHECKPOINT, Loss, Result, StaleAttempt
from orchestrator.storage.history import attempts_of
from orchestrator.storage.study_storage import StudyStorage

DONE = Result(TrialState.COMPLETE, (1.5,), Cause.RETURNED, objective_s=0.25, peak_rss_mib=10.0)


def test_no_more_trials_are_claimed_than_there_are_tickets(make_ledger):
    ledger = make_ledger(3)
    claimed = [ledger.claim()[1] for _ in range(5)]
    assert None not in claimed[:3]
    assert claimed[3:] == [None, None]
    assert [trial.number for trial in ledger.trials()] == [0, 1, 2]


def test_a_claim_repeated_with_its_token_gives_the_same_trial(make_ledger):
    ledger = make_ledger(3)
    token, trial_id = ledger.claim()
    again = ledger.claims.claim(ledger.seat(), token)
    assert (again.trial_id, again.number) == (trial_id, 0)
    assert len(ledger.trials()) == 1


def test_eight_threads_with_connections_of_their_own_claim_exactly_the_budget(make_ledger, storage_url):
    ledger = make_ledger(40)
    claimed: list[int] = []

    def work() -> None:
        mine = open_database(storage_url)
        own = type(ledger)(mine, ledger.study_id, ledger.run_id)
        while (trial_id := own.claim()[1]) is not None:
            claimed.append(trial_id)
        mine.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 40
    assert sorted(trial.number for trial in ledger.trials()) == list(range(40))


def test_an_end_stores_state_values_and_attempt_together(make_ledger):
    ledger = make_ledger(1)
    token, trial_id = ledger.claim()
    ledger.finish(token, trial_id, DONE)
    (trial,) = ledger.trials()
    assert (trial.state, trial.values) == (TrialState.COMPLETE, [1.5])
    assert trial.datetime_complete is not None
    assert ledger.attempts.counts("run") == {"ended": 1}


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_infinite_values_are_stored_as_optuna_stores_them(make_ledger, value):
    ledger = make_ledger(1)
    token, trial_id = ledger.claim()
    ledger.finish(token, trial_id, Result(TrialState.COMPLETE, (value,), Cause.RETURNED))
    assert ledger.trials()[0].value == value


def test_a_trial_given_back_keeps_number_and_parameters_and_loses_its_reports(make_ledger):
    ledger = make_ledger(2)
    token, trial_id = ledger.claim()
    storage = StudyStorage(ledger.database)
    storage.set_trial_param(trial_id, "x", 0.5, FloatDistribution(0, 1))
    storage.set_trial_intermediate_value(trial_id, 0, 0.1)
    storage.set_trial_system_attr(trial_id, "completed_rung_0", 0.1)
    storage.set_trial_system_attr(trial_id, "fixed_params", {"z": 9})
    loss = Loss(Cause.SIGNAL, "SIGKILL", -9, params={"y": 3, "z": 1})
    assert ledger.attempts.give_back(token, trial_id, loss, max_retries=3) == "returned"
    assert ledger.claim()[1] == trial_id
    (trial,) = ledger.trials()
    assert (trial.number, trial.state, trial.params) == (0, TrialState.RUNNING, {"x": 0.5})
    assert trial.intermediate_values == {}
    lost = {"nano:lost": ["killed by a signal: SIGKILL"]}
    assert trial.system_attrs == {"fixed_params": {"y": 3, "z": 9}} | lost


def test_a_trial_given_back_is_taken_by_one_worker_only(make_ledger):
    ledger = make_ledger(1)
    token, trial_id = ledger.claim()
    ledger.attempts.give_back(token, trial_id, Loss(Cause.SIGNAL), 3)
    assert [ledger.claim()[1], ledger.claim()[1]] == [trial_id, None]


def test_the_late_result_of_a_dead_owner_is_refused(make_ledger):
    ledger = make_ledger(1)
    token, trial_id = ledger.claim()
    ledger.attempts.give_back(token, trial_id, Loss(Cause.SIGNAL), 3)
    with pytest.raises(StaleAttempt):
        ledger.finish(token, trial_id, DONE)
    second, _ = ledger.claim()
    with pytest.raises(StaleAttempt):
        ledger.finish(token, trial_id, DONE)
    ledger.finish(second, trial_id, DONE)
    assert ledger.attempts.counts("run") == {"lost": 1, "ended": 1}


def test_giving_back_twice_gives_back_once(make_ledger):
    ledger = make_ledger(1)
    token, trial_id = ledger.claim()
    assert ledger.attempts.give_back(token, trial_id, Loss(Cause.SIGNAL), 3) == "returned"
    assert ledger.attempts.give_back(token, trial_id, Loss(Cause.SIGNAL), 3) == "gone"


def test_a_trial_that_loses_worker_after_worker_is_failed_for_good_with_its_reason(make_ledger):
    ledger = make_ledger(1)
    happened = []
    for _ in range(3):
        token, trial_id = ledger.claim()
        happened.append(
            ledger.attempts.give_back(
                token, trial_id, Loss(Cause.NODE_LOST, "node7 is silent"), max_retries=2
            )
        )
    (trial,) = ledger.trials()
    assert happened == ["returned", "returned", "failed"]
    assert trial.state is TrialState.FAIL
    assert trial.system_attrs[CAUSE] == "lost 3 times, the last: node lost: node7 is silent"
    assert ledger.claim()[1] is None
    assert ledger.attempts.counts("run")["ended"] == 1


@pytest.mark.parametrize("cause", [Cause.SIGNAL, Cause.EXITED, Cause.KILLED_FOR_MEMORY])
def test_a_trial_over_which_three_workers_died_is_failed_for_good(make_ledger, cause):
    ledger = make_ledger(1)
    happened = []
    for _ in range(3):
        token, trial_id = ledger.claim()
        happened.append(ledger.attempts.give_back(token, trial_id, Loss(cause, "so"), max_retries=100))
    assert happened == ["returned", "returned", "failed"]
    assert ledger.trials()[0].system_attrs[CAUSE] == f"3 workers died over it, the last: {cause}: so"


@pytest.mark.parametrize(
    "loss",
    [
        Loss(Cause.TIMED_OUT, "it ran for more than 5 s"),
        Loss(Cause.OVER_MEMORY, "it took 2 MiB of 1 MiB"),
        Loss(Cause.KILLED_FOR_MEMORY, took_more_than_its_share=True),
    ],
    ids=lambda loss: loss.cause,
)
def test_a_trial_that_breaks_a_limit_is_failed_at_once(make_ledger, loss):
    ledger = make_ledger(1)
    token, trial_id = ledger.claim()
    assert ledger.attempts.give_back(token, trial_id, loss, max_retries=3) == "failed"
    (trial,) = ledger.trials()
    assert trial.state is TrialState.FAIL
    assert trial.system_attrs[CAUSE] == str(loss)
    assert ledger.claim()[1] is None


@pytest.mark.parametrize("cause", [Cause.DATABASE_LOST, Cause.PREEMPTED, Cause.INTERRUPTED, Cause.RELEASED])
def test_losses_that_say_nothing_of_the_trial_are_not_limited(make_ledger, cause):
    ledger = make_ledger(1)
    for _ in range(6):
        token, trial_id = ledger.claim()
        assert ledger.attempts.give_back(token, trial_id, Loss(cause), max_retries=0) == "returned"
    assert ledger.trials()[0].system_attrs["nano:lost"] == [str(cause)] * 6


def test_what_was_reported_up_to_the_checkpoint_stays(make_ledger):
    ledger = make_ledger(1)
    token, trial_id = ledger.claim()
    storage = StudyStorage(ledger.database)
    for step in range(5):
        storage.set_trial_intermediate_value(trial_id, step, step / 10)
    storage.set_trial_system_attr(trial_id, CHECKPOINT, 2)
    ledger.attempts.give_back(token, trial_id, Loss(Cause.SIGNAL), 3)
    assert ledger.trials()[0].intermediate_values == {0: 0.0, 1: 0.1, 2: 0.2}


def test_attempts_are_numbered_and_dated_by_the_clock_of_the_database(make_ledger, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)  # a clock that is off
    ledger = make_ledger(1)
    for _ in range(2):
        token, trial_id = ledger.claim()
        ledger.attempts.give_back(token, trial_id, Loss(Cause.SIGNAL, "SIGSEGV", -11, 50.0, 1.5), 3)
    ledger.finish(ledger.claim()[0], trial_id, DONE)
    first, second, third = attempts_of(ledger.database, ledger.study_id)
    assert [one.attempt for one in (first, second, third)] == [1, 2, 3]
    assert (first.cause, first.detail, first.exit_status) == (Cause.SIGNAL, "SIGSEGV", -11)
    assert (first.peak_rss_mib, first.cpu_s, third.cause) == (50.0, 1.5, Cause.RETURNED)
    now = datetime.now(UTC).replace(tzinfo=None)
    assert all(timedelta(0) <= now - one.start < timedelta(minutes=2) for one in (first, second, third))
    assert first.start <= first.end <= second.start


def test_a_released_trial_waits_and_is_taken_again_first(make_ledger):
    ledger = make_ledger(3)
    token, trial_id = ledger.claim()
    ledger.attempts.release(token, trial_id, Loss(Cause.INTERRUPTED))
    assert ledger.trials()[0].state is TrialState.WAITING
    assert ledger.attempts.has_given_back("run")
    assert ledger.claim()[1] == trial_id
    assert ledger.trials()[0].state is TrialState.RUNNING
    assert not ledger.attempts.has_given_back("run")


def test_trials_given_back_are_released_when_the_run_stops(make_ledger):
    ledger = make_ledger(1)
    token, trial_id = ledger.claim()
    ledger.attempts.give_back(token, trial_id, Loss(Cause.SIGNAL), 3)
    ledger.attempts.release_returned("run")
    assert ledger.trials()[0].state is TrialState.WAITING
    assert ledger.claim()[1] == trial_id


def test_a_released_trial_that_plain_optuna_finished_counts(make_ledger, storage_url):
    ledger = make_ledger(2)
    token, trial_id = ledger.claim()
    ledger.attempts.release(token, trial_id, Loss(Cause.INTERRUPTED))
    study = optuna.load_study(study_name="ledger", storage=storage_url)
    assert study.ask()._trial_id == trial_id
    study.tell(0, 7.0)
    fresh = ledger.claim()[1]
    assert fresh not in (None, trial_id)
    assert ledger.claim()[1] is None
    assert ledger.attempts.counts("run") == {"ended": 1, "running": 1}


def test_enqueued_trials_are_claimed_with_a_ticket(make_ledger, storage_url):
    ledger = make_ledger(2)
    study = optuna.load_study(study_name="ledger", storage=storage_url)
    study.enqueue_trial({"x": 0.125})
    first, second = ledger.claim()[1], ledger.claim()[1]
    trials = {trial._trial_id: trial for trial in ledger.trials()}
    assert trials[first].system_attrs["fixed_params"] == {"x": 0.125}
    assert trials[second].number == 1
    assert ledger.claim()[1] is None


def test_plain_optuna_and_claims_never_share_a_number(make_ledger, storage_url):
    ledger = make_ledger(20)
    study = optuna.load_study(study_name="ledger", storage=storage_url)

    def strange() -> None:
        for _ in range(20):
            study.ask()

    thread = threading.Thread(target=strange)
    thread.start()
    while ledger.claim()[1] is not None:
        pass
    thread.join()
    assert sorted(trial.number for trial in ledger.trials()) == list(range(40))


def test_a_trial_enqueued_between_claims_is_taken_before_a_new_one(make_ledger):
    ledger = make_ledger(4)
    claims, storage = ledger.claims, StudyStorage(ledger.database)

    def claim() -> int:
        claimed = claims.claim(ledger.seat())
        assert claimed is not None
        return claimed.number

    assert [claim(), claim()] == [0, 1]
    waiting = optuna.trial.create_trial(state=TrialState.WAITING)
    storage.create_new_trial(ledger.study_id, waiting)
    assert [claim(), claim()] == [2, 3]
    assert [trial.state for trial in ledger.trials()] == [TrialState.RUNNING] * 4


def test_a_trial_enqueued_while_a_claim_was_undone_is_not_overlooked(make_ledger, storage_url, monkeypatch):
    ledger = make_ledger(3)
    claims = ledger.claims
    claims.claim(ledger.seat())
    other, undone = open_database(storage_url), []

    def commit(connection) -> None:
        if connection.engine is ledger.database.engine and not undone:
            undone.append(True)
            connection.rollback()  # an SQLite file gives the id that was undone to the next trial
            waiting = optuna.trial.create_trial(state=TrialState.WAITING)
            StudyStorage(other).create_new_trial(ledger.study_id, waiting)
            raise sa.exc.OperationalError("COMMIT", None, Exception("database is locked"))
        real(connection)

    real = sa.Connection.commit
    monkeypatch.setattr(sa.Connection, "commit", commit)
    claimed = [claims.claim(ledger.seat()) for _ in range(2)]
    other.close()
    assert [claim.number for claim in claimed] == [1, 2]
    assert [trial.state for trial in ledger.trials()] == [TrialState.RUNNING] * 3
