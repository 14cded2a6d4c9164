"""A worker's own trial: few statements to write it, none to read it, durable when its docstring says so."""

from __future__ import annotations

import os
import pickle
import signal

import optuna
import pytest
import sqlalchemy as sa
from optuna.distributions import FloatDistribution, distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from orchestrator import open_storage
from orchestrator.causes import Cause
from orchestrator.errors import BudgetSpent
from orchestrator.storage.attempts import CAUSE, Loss, StaleAttempt
from orchestrator.storage.run_storage import RunStorage
from orchestrator.storage.study_storage import StudyStorage
from tests.orchestrator.waiting import wait_until


class Heard:
    """A listener that notes what it hears."""

    def __init__(self) -> None:
        self.words: list[object] = []

    def suggested(self, name: str, internal: float, distribution: str) -> None:
        self.words.append(name)

    def stored(self, names) -> None:
        self.words.append("stored")

    def waiting(self, is_waiting: bool) -> None:
        pass

    def reported(self, number: int, step: int, value: float) -> None:
        self.words.append((step, value))


class Worker:
    """One worker of a run on a ledger."""

    def __init__(self, ledger) -> None:
        self.ledger = ledger
        self.heard = Heard()
        self.storage = RunStorage(ledger.database, ledger.study_id, ledger.seat(), self.heard)
        self.study = optuna.Study("ledger", self.storage, RandomSampler(seed=1), optuna.pruners.NopPruner())

    def ask(self) -> optuna.Trial:
        return self.storage.ask(self.study)

    def as_others_see_it(self, number: int = 0) -> optuna.trial.FrozenTrial:
        return StudyStorage(self.ledger.database).get_all_trials(self.ledger.study_id)[number]

    def loses_it(self, **told) -> None:
        claim = self.storage.current.claim
        self.ledger.attempts.give_back(claim.token, claim.trial_id, Loss(Cause.SIGNAL, **told), 3)


@pytest.fixture
def make_worker(make_ledger):
    """A worker of a fresh run with so many tickets."""
    return lambda n_trials: Worker(make_ledger(n_trials))


def suggest_six(trial: optuna.Trial) -> None:
    for name in "abcde":
        trial.suggest_float(name, 0, 1)
    trial.suggest_categorical("kind", ["x", "y"])


def count_sql(worker: Worker):
    """Statements and commits from now on."""
    seen = {"statements": [], "commits": 0}

    def execute(_c, _cursor, statement, *_):
        if not statement.startswith("BEGIN"):
            seen["statements"].append(statement)

    def commit(_c):
        seen["commits"] += 1

    sa.event.listen(worker.ledger.database.engine, "before_cursor_execute", execute)
    sa.event.listen(worker.ledger.database.engine, "commit", commit)
    return seen


def test_a_trial_with_six_parameters_and_five_reports_takes_14_statements_and_7_commits(make_worker):
    worker = make_worker(2)
    suggest_six(worker.ask())  # learns the distributions
    worker.study.tell(0, 1.0)
    seen = count_sql(worker)
    trial = worker.ask()
    suggest_six(trial)
    for step in range(5):
        trial.report(step / 10, step)
        trial.should_prune()
    assert worker.study.tell(trial, 1.0).values == [1.0]
    assert (len(seen["statements"]), seen["commits"]) == (14, 7), seen["statements"]
    stored = worker.as_others_see_it(1)
    assert (len(stored.params), len(stored.intermediate_values), stored.value) == (6, 5, 1.0)


def test_reading_the_own_trial_asks_no_database_and_shows_all_that_was_done_to_it(make_worker):
    worker = make_worker(1)
    trial = worker.ask()
    trial.suggest_float("x", 0, 1)
    trial.report(0.5, 3)
    trial.set_user_attr("note", ("a", 1))
    trial.set_constraint("c", 2.0)
    seen = count_sql(worker)
    mine = worker.storage.get_trial(trial._trial_id)
    assert mine.params == trial.params
    assert mine.intermediate_values == {3: 0.5}
    assert (mine.user_attrs, mine.constraints) == ({"note": ["a", 1]}, {"c": 2.0})
    assert mine.datetime_start is not None
    assert not seen["statements"]
    mine.params["x"] = 9
    assert trial.params["x"] != 9
    assert worker.as_others_see_it().params == trial.params


def test_the_own_trial_is_in_the_history_with_parameters_that_are_not_stored_yet(make_worker):
    worker = make_worker(2)
    worker.study.tell(worker.ask(), 0.0)
    trial = worker.ask()
    x = trial.suggest_float("x", 0, 1)
    assert [one.params for one in worker.study.trials] == [{}, {"x": x}]
    assert worker.as_others_see_it(1).params == {}
    worker.study.tell(trial, 1.0)
    finished = worker.study.trials[1]
    assert (finished.params, finished.value, finished.state) == ({"x": x}, 1.0, TrialState.COMPLETE)
    assert finished == worker.as_others_see_it(1)  # to the microsecond


@pytest.mark.parametrize(
    "write",
    [
        lambda trial: trial.report(1.0, 0),
        lambda trial: trial.set_user_attr("k", 1),
        lambda trial: trial.set_constraint("c", 1.0),
        lambda trial: trial.study.tell(trial, 1.0),
        lambda trial: trial.storage.flush(),
        lambda trial: pickle.dumps(trial.storage),
    ],
    ids=["report", "user attribute", "system attribute", "end", "flush", "copy"],
)
def test_parameters_are_stored_with_whatever_is_written_next(make_worker, write):
    worker = make_worker(1)
    trial = worker.ask()
    suggest_six(trial)
    assert worker.heard.words == ["a", "b", "c", "d", "e", "kind"]
    write(trial)
    assert worker.as_others_see_it().params == trial.params
    assert ("stored" in worker.heard.words) == (worker.storage.current is not None)


def test_a_trial_pruned_without_a_report_keeps_its_parameters(make_worker):
    worker = make_worker(1)
    trial = worker.ask()
    suggest_six(trial)
    worker.study.tell(trial, state=TrialState.PRUNED)
    assert worker.as_others_see_it().params == trial.params


def test_what_the_agent_knows_of_a_lost_trial_is_stored_when_it_is_given_back(make_worker):
    worker = make_worker(1)
    trial = worker.ask()
    x = trial.suggest_float("x", 0, 1)
    held = worker.storage.current.held().params[0]
    worker.loses_it(suggested={"x": (held["param_value"], held["distribution_json"])}, params={"y": 0.25})
    again = Worker(worker.ledger).ask()
    assert again._trial_id == trial._trial_id
    assert again.suggest_float("x", 0, 1) == x
    assert again.suggest_float("y", 0, 1) == 0.25


def test_the_agent_stores_parameters_while_the_attempt_lasts_and_never_later(make_worker):
    worker = make_worker(1)
    trial = worker.ask()
    x = trial.suggest_float("x", 0, 1)
    claim, held = worker.storage.current.claim, worker.storage.current.held().params[0]
    suggested = {"x": (held["param_value"], held["distribution_json"])}
    for _ in range(2):  # an answer may be lost
        worker.ledger.attempts.keep_suggested(claim.token, claim.trial_id, suggested)
    assert worker.as_others_see_it().params == {"x": x}
    trial.report(1.0, 0)
    assert worker.as_others_see_it().params == {"x": x}
    worker.loses_it()
    worker.ledger.attempts.keep_suggested(claim.token, claim.trial_id, {"late": suggested["x"]})
    assert worker.as_others_see_it().params == {"x": x}


@pytest.mark.parametrize(
    "write",
    [
        lambda trial: trial.report(1.0, 0),
        lambda trial: trial.set_user_attr("k", 1),
        lambda trial: trial.storage.flush(),
        lambda trial: trial.study.tell(trial, 1.0),
    ],
    ids=["report", "attribute", "flush", "end"],
)
def test_a_worker_whose_trial_was_given_to_another_writes_no_more(make_worker, write):
    worker = make_worker(1)
    trial = worker.ask()
    trial.suggest_float("x", 0, 1)
    worker.loses_it()
    other = Worker(worker.ledger)
    other.ask().report(7.0, 5)
    with pytest.raises(StaleAttempt):
        write(trial)
    seen = worker.as_others_see_it()
    assert (seen.params, seen.user_attrs, seen.intermediate_values) == ({}, {}, {5: 7.0})
    assert seen.state is TrialState.RUNNING


def test_a_trial_that_somebody_else_has_finished_is_not_written_to(make_worker, storage_url):
    worker = make_worker(1)
    trial = worker.ask()
    optuna.load_study(study_name="ledger", storage=storage_url).tell(0, 3.0)
    with pytest.raises(UpdateFinishedTrialError):
        trial.report(1.0, 0)
    worker.study.tell(trial, 1.0)
    seen = worker.as_others_see_it()
    assert (seen.value, seen.intermediate_values) == (3.0, {})
    assert worker.study.trials[0].value == 3.0
    assert worker.ledger.attempts.counts("run") == {"ended": 1}


def test_the_end_of_an_attempt_that_was_failed_for_good_is_not_mistaken_for_its_own(make_worker):
    worker = make_worker(1)
    trial = worker.ask()
    claim = worker.storage.current.claim
    worker.ledger.attempts.give_back(claim.token, claim.trial_id, Loss(Cause.SIGNAL), max_retries=0)
    with pytest.raises(StaleAttempt):
        worker.study.tell(trial, 1.0)
    assert worker.as_others_see_it().state is TrialState.FAIL


def test_an_end_whose_answer_was_lost_is_said_again_and_counts_once(make_worker, monkeypatch):
    worker = make_worker(1)
    trial = worker.ask()
    lost = []

    def commit(connection):
        real(connection)
        if not lost:
            lost.append(True)
            raise sa.exc.OperationalError("COMMIT", None, Exception("database is locked"))

    real = sa.Connection.commit
    monkeypatch.setattr(sa.Connection, "commit", commit)
    worker.study.tell(trial, 2.0)
    assert lost
    assert worker.as_others_see_it().value == 2.0
    assert worker.ledger.attempts.counts("run") == {"ended": 1}


def test_why_a_trial_failed_is_stored_with_its_end(make_worker):
    worker = make_worker(1)
    trial = worker.ask()
    worker.storage.current.cause, worker.storage.current.error = Cause.RAISED, "ValueError: no"
    worker.study.tell(trial, state=TrialState.FAIL)
    assert worker.as_others_see_it().system_attrs == {CAUSE: "raised ValueError: no"}


def test_what_the_sampler_tells_others_is_stored_unless_all_of_it_was_asked_for(make_worker):
    worker = make_worker(2)
    for names, is_stored in (("ab", False), ("a", True)):
        trial = worker.ask()
        worker.storage.set_trial_system_attr(trial._trial_id, "tpe:relative_params:0", '{"a": 0.5, "b": 1}')
        assert "tpe:relative_params:0" in worker.storage.get_trial(trial._trial_id).system_attrs
        for name in names:
            trial.suggest_float(name, 0, 1)
        trial.report(0.0, 0)
        stored = worker.as_others_see_it(trial.number).system_attrs
        assert ("tpe:relative_params:0" in stored) == is_stored
        worker.study.tell(trial, 0.0)


def test_a_budget_that_is_spent_gives_no_trial(make_worker):
    worker = make_worker(1)
    worker.study.tell(worker.ask(), 0.0)
    with pytest.raises(BudgetSpent):
        worker.ask()


def test_a_distribution_that_does_not_fit_the_study_is_refused(make_worker):
    worker = make_worker(2)
    trial = worker.ask()
    trial.suggest_float("x", 0, 1)
    worker.study.tell(trial, 0.0)
    with pytest.raises(ValueError, match="distribution"):
        Worker(worker.ledger).ask().suggest_categorical("x", ["a", "b"])


STORED = ("--storage", "sqlite:///s.db", "--study-name", "s")
HOLDING = """
import os, time
from pathlib import Path

def holds(trial):
    trial.suggest_float("x", 0, 1)
    trial.suggest_int("k", 1, 9)
    Path(f"at-{trial.number}-{os.getpid()}").touch()
    while not Path("go").exists():
        time.sleep(0.02)
    return 1.0
"""


def test_parameters_of_a_trial_that_reports_nothing_are_seen_by_others_while_it_runs(cli):
    (cli.cwd / "holding.py").write_text(HOLDING)
    running = cli.start("run", "holding.py:holds", "-n", 1, "--draw", "none", *STORED)
    wait_until(lambda: list(cli.cwd.glob("at-0-*")), running)
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{cli.cwd / 's.db'}")
    wait_until(lambda: set(study.trials[0].params) == {"x", "k"}, running)
    assert study.trials[0].state is TrialState.RUNNING
    (cli.cwd / "go").touch()
    assert running.wait(120) == 0


def test_parameters_of_a_worker_that_is_killed_at_once_are_those_of_the_next_attempt(cli):
    (cli.cwd / "holding.py").write_text(
        HOLDING.replace("while", 'Path(f"x-{os.getpid()}").write_text(repr(trial.params))\n    while')
    )
    running = cli.start("run", "holding.py:holds", "-n", 1, "--draw", "none", "--sampler", "random")
    wait_until(lambda: list(cli.cwd.glob("x-*")), running)
    (first,) = cli.cwd.glob("x-*")
    os.kill(int(first.name.partition("-")[2]), signal.SIGKILL)
    wait_until(lambda: len(list(cli.cwd.glob("x-*"))) == 2, running)
    (cli.cwd / "go").touch()
    assert running.wait(120) == 0
    assert len({path.read_text() for path in cli.cwd.glob("x-*")}) == 1


def test_of_threads_that_share_a_trial_none_loses_a_parameter(make_worker):
    worker = make_worker(1)
    trial = worker.ask()
    trial.suggest_float("a", 0, 1)
    writer = worker.storage._writer
    real = writer.write

    def write(claim, batches):
        real(claim, batches)
        trial.suggest_float("b", 0, 1)  # as another thread may while this one waits for the database

    writer.write = write
    trial.report(1.0, 0)
    writer.write = real
    trial.report(1.0, 1)
    assert set(worker.as_others_see_it().params) == {"a", "b"}


def test_a_trial_finished_elsewhere_keeps_the_parameters_that_were_held_back(make_worker, storage_url):
    worker = make_worker(1)
    trial = worker.ask()
    suggest_six(trial)
    optuna.load_study(study_name="ledger", storage=storage_url).tell(0, 3.0)
    worker.study.tell(trial, 1.0)
    seen = worker.as_others_see_it()
    assert (seen.value, seen.params) == (3.0, trial.params)


def test_a_trial_finished_elsewhere_keeps_what_the_agent_knows_when_its_worker_dies(make_worker, storage_url):
    worker = make_worker(1)
    trial = worker.ask()
    x = trial.suggest_float("x", 0, 1)
    held = worker.storage.current.held().params[0]
    optuna.load_study(study_name="ledger", storage=storage_url).tell(0, 3.0)
    worker.loses_it(suggested={"x": (held["param_value"], held["distribution_json"])})
    assert worker.as_others_see_it().params == {"x": x}


@pytest.mark.parametrize("name", ["ü" * 20, "n" * 513, "\U0001f600"], ids=["not ASCII", "long", "emoji"])
def test_a_parameter_that_a_database_may_refuse_is_written_at_once(make_worker, name):
    worker = make_worker(1)
    trial = worker.ask()
    try:
        trial.suggest_float(name, 0, 1)
    except sa.exc.DataError:  # where the objective hears of it
        assert worker.storage.get_trial(trial._trial_id).params == {}
        trial.report(1.0, 0)
    assert worker.as_others_see_it().params == trial.params
    assert name not in [word for word in worker.heard.words if word != "stored"]  # nothing was held back


def test_a_refused_parameter_of_a_dead_worker_costs_nothing_but_itself(make_worker):
    worker = make_worker(1)
    trial = worker.ask()
    claim = worker.storage.current.claim
    space = distribution_to_json(FloatDistribution(0, 1))
    refused = {"n" * 600: (0.5, space)}  # by MariaDB
    worker.ledger.attempts.keep_suggested(claim.token, claim.trial_id, refused)
    worker.loses_it(suggested=refused)
    assert Worker(worker.ledger).ask()._trial_id == trial._trial_id


class Events:
    """The trial loop's events by name."""

    def __init__(self) -> None:
        self.seen: list[tuple] = []

    def __getattr__(self, name: str):
        return lambda *arguments: self.seen.append((name, *arguments))


def run_once(worker: Worker, objective) -> list[tuple]:
    from orchestrator.trial_loop import run_one

    events = Events()
    run_one(worker.study, worker.storage, worker.ask(), objective, 1, events)
    assert worker.storage.current is None
    return events.seen


def test_a_report_of_a_stale_attempt_ends_its_objective_and_the_worker_goes_on(make_worker):
    worker = make_worker(2)

    def objective(trial):
        worker.loses_it()
        trial.report(1.0, 0)
        raise AssertionError("the report was taken")

    assert [event[0] for event in run_once(worker, objective)][-1] == "dropped"
    assert worker.ledger.attempts.counts("run") == {"returned": 1}
    assert [event[0] for event in run_once(worker, lambda trial: 1.0)][-1] == "told"


def test_a_trial_that_its_objective_told_counts_as_it_was_told(make_worker):
    worker = make_worker(1)

    def objective(trial):
        trial.study.tell(trial, 5.0)
        return 1.0

    _, number, outcome, *_ = run_once(worker, objective)[-1]
    assert (number, outcome.state, outcome.values) == (0, TrialState.COMPLETE, (5.0,))
    assert worker.as_others_see_it().value == 5.0


def test_the_result_that_counts_is_told_when_somebody_else_finished_the_trial(make_worker, storage_url):
    worker = make_worker(1)

    def objective(trial):
        optuna.load_study(study_name="ledger", storage=storage_url).tell(trial.number, 3.0)
        return 1.0

    _, _, outcome, *_ = run_once(worker, objective)[-1]
    assert outcome.values == (3.0,)


def test_a_sampler_that_fails_after_a_trial_costs_no_worker(make_worker):
    worker = make_worker(1)

    def after_trial(*_):
        raise RuntimeError("no room for my state")

    worker.study.sampler.after_trial = after_trial
    _, _, outcome, *_ = run_once(worker, lambda trial: 1.0)[-1]
    assert outcome.state is TrialState.COMPLETE
    assert worker.as_others_see_it().value == 1.0


def test_a_worker_keeps_nothing_about_the_trials_that_it_has_ended(make_worker):
    worker = make_worker(30)
    for _ in range(30):
        run_once(worker, lambda trial: trial.suggest_float("x", 0, 1))
    history = worker.storage.history(worker.ledger.study_id)
    assert not worker.storage._study_of
    assert not history._reader.exact
    worker.study.get_trials()
    assert not history._reader.exact


def test_more_enqueued_trials_than_a_claim_looks_at_are_taken_in_their_order(make_worker):
    worker = make_worker(12)
    for number in range(10):
        worker.study.enqueue_trial({"x": number / 10})
    drawn = []
    for _ in range(12):
        drawn.append(worker.ask())
        worker.storage.leave()
    assert [trial.number for trial in drawn] == list(range(12))
    fixed = [worker.as_others_see_it(number).system_attrs.get("fixed_params") for number in range(12)]
    assert fixed == [{"x": number / 10} for number in range(10)] + [None, None]


def test_a_trial_may_have_more_parameters_than_a_statement_has_parts(make_worker):
    worker = make_worker(1)
    trial = worker.ask()
    for number in range(1_100):
        trial.suggest_float(f"p{number}", 0, 1)
    trial.report(1.0, 0)
    assert worker.as_others_see_it().params == trial.params


def test_study_and_trial_can_be_pickled_and_their_copies_work(tmp_path):
    from orchestrator.sampling.streams import TrialSeededSampler

    storage = open_storage(f"sqlite:///{tmp_path / 's.db'}")
    study = optuna.create_study(storage=storage, sampler=TrialSeededSampler("tpe", {}, study_seed=1))
    trial = pickle.loads(pickle.dumps(study.ask()))
    trial.suggest_float("x", 0, 1)
    assert study.trials[0].params == trial.params


def test_an_interrupted_trial_is_still_at_hand_to_be_released(make_worker):
    from orchestrator.trial_loop import run_one

    worker = make_worker(1)

    def objective(trial):
        trial.suggest_float("x", 0, 1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_one(worker.study, worker.storage, worker.ask(), objective, 1, Events())
    assert worker.storage.current is not None
    worker.storage.flush()
    assert set(worker.as_others_see_it().params) == {"x"}
