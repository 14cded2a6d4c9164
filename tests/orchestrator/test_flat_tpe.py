"""TPE on a thinned history: plain TPE up to 1,000 trials; beyond, at one price, the best and a sample."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.distributions import FloatDistribution, distribution_to_json
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from orchestrator import FlatTPESampler, open_storage
from orchestrator.sampling.best_trials import best_trials
from orchestrator.sampling.flat_tpe import SHOWN
from orchestrator.sampling.named import make_sampler
from orchestrator.sampling.streams import TrialSeededSampler
from orchestrator.sql import schema

X = FloatDistribution(-5.0, 5.0)
N_MANY = 4_000
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


Kept = Callable[..., Path]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Gives a new file with a study "s" of ``n`` finished trials; equal ones are written once and copied."""
    folder = tmp_path_factory.mktemp("studies")
    made: dict[Any, Path] = {}

    def make(n: int = N_MANY, trial: Callable[[int], dict[str, Any]] = _scattered) -> Path:
        if (n, trial) not in made:
            made[n, trial] = folder / f"{uuid.uuid4()}.db"
            _fill(made[n, trial], n, trial)
        return Path(shutil.copy(made[n, trial], folder / f"{uuid.uuid4()}.db"))

    return make


def _scattered(number: int) -> dict[str, Any]:
    """A complete trial; the values of successive ones lie all over the place."""
    x, y = -5 + 10 * (number * 0.6180339 % 1), -5 + 10 * (number * 0.7548777 % 1)
    return {"params": {"x": x, "y": y}, "distributions": {"x": X, "y": X}, "values": [x * x + y * y]}


def _fill(path: Path, n: int, trial: Callable[[int], dict[str, Any]]) -> None:
    directions = ["minimize"] * len(trial(0)["values"])
    study = optuna.create_study(
        storage=open_storage(f"sqlite:///{path}"), study_name="s", directions=directions
    )

    rows: dict[sa.Table, list[dict[str, Any]]] = {}
    for number in range(n):
        for table, row in _rows(study._study_id, number, create_trial(**trial(number))):
            rows.setdefault(table, []).append(row)
    database = study._storage.database
    database.write(lambda c: [c.execute(sa.insert(table), some) for table, some in rows.items()])
    database.close()


def _rows(
    study_id: int, number: int, trial: optuna.trial.FrozenTrial
) -> Iterator[tuple[sa.Table, dict[str, Any]]]:
    key = {"trial_id": number + 1}
    times = {"datetime_start": datetime(2026, 1, 1), "datetime_complete": datetime(2026, 1, 2)}
    yield schema.trials, {**key, "number": number, "study_id": study_id, "state": trial.state, **times}
    for objective, value in enumerate(trial.values or ()):
        row = {"objective": objective, "value": value, "value_type": "FINITE"}
        yield schema.trial_values, {**key, **row}
    for name, kind in trial.distributions.items():
        value = kind.to_internal_repr(trial.params[name])
        text = {"distribution_json": distribution_to_json(kind)}
        yield schema.trial_params, {**key, "param_name": name, "param_value": value, **text}
    for step, value in trial.intermediate_values.items():
        row = {"step": step, "intermediate_value": value, "intermediate_value_type": "FINITE"}
        yield schema.trial_intermediate_values, {**key, **row}
    for name, value in trial.system_attrs.items():
        yield schema.trial_system_attributes, {**key, "key": name, "value_json": json.dumps(value)}


def load(path: Path, sampler: Any = None) -> optuna.Study:
    """The study as another process sees it."""
    return optuna.load_study(
        study_name="s", storage=open_storage(f"sqlite:///{path}"), sampler=sampler or FlatTPESampler(seed=1)
    )


def shown(study: optuna.Study, trial: optuna.Trial) -> list[optuna.trial.FrozenTrial]:
    """What a trial of the study is shown."""
    frozen = study._storage.get_trial(trial._trial_id)
    return study.sampler._view(study, frozen).get_trials(deepcopy=False)


def finished(trials: list[optuna.trial.FrozenTrial]) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in trials if trial.state.is_finished()]


# The same as plain TPE while all is shown


def quadratic(trial: optuna.Trial) -> float:
    x, kind = trial.suggest_float("x", -5, 5), trial.suggest_categorical("kind", ["a", "b", "c"])
    return x * x + "abc".index(kind) + trial.suggest_int("k", 1, 100, log=True) / 50


def conditional(trial: optuna.Trial) -> float:
    if trial.suggest_categorical("kind", ["a", "b"]) == "a":
        return trial.suggest_float("x", -5, 5) ** 2
    return 1 + trial.suggest_float("y", 0, 1)


def pruned_mostly(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -5, 5)
    for step in range(3):
        trial.report(float("nan") if trial.number % 7 == 3 else abs(x) - step, step)
        if abs(x) > 1 + step or trial.number % 5 == 0:
            raise optuna.TrialPruned
    return x


def two(trial: optuna.Trial) -> tuple[float, float]:
    x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
    return x + y, 1 - x + y * y


def rough(trial: optuna.Trial) -> float:
    """Many are equally good."""
    return float(round(trial.suggest_float("x", -5, 5)) ** 2)


def failing(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -5, 5)
    return float("nan") if trial.number % 3 == 0 else x * x


def constrained(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -5, 5)
    trial.set_constraint("at least 2", 2 - x)
    return x


def run(objective: Any, sampler: Any, storage: Any = None, n_trials: int = 40) -> list[dict[str, Any]]:
    directions = ["minimize", "maximize"] if objective is two else ["minimize"]
    study = optuna.create_study(
        storage=storage, sampler=sampler, directions=directions, pruner=optuna.pruners.NopPruner()
    )
    study.optimize(objective, n_trials=n_trials)
    return [trial.params for trial in study.get_trials(deepcopy=False)]


@pytest.mark.parametrize(
    "objective",
    [quadratic, conditional, pruned_mostly, two, rough, failing, constrained],
    ids=lambda f: f.__name__,
)
def test_it_draws_what_plain_tpe_draws_while_all_trials_are_shown(objective: Any, tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}")
    assert run(objective, FlatTPESampler(seed=3), storage) == run(objective, TPESampler(seed=3))


@pytest.mark.parametrize("options", [{"group": True}, {"multivariate": False}, {"constant_liar": False}])
def test_the_options_of_tpe_mean_what_they_mean_there(options: dict[str, Any], tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}")
    ours = run(conditional, FlatTPESampler(seed=3, **options), storage, n_trials=25)
    assert ours == run(conditional, TPESampler(seed=3, **options), n_trials=25)


def test_at_1000_trials_it_is_still_plain_tpe(kept: Kept) -> None:
    flat, plain = load(kept(SHOWN), FlatTPESampler(seed=5)), load(kept(SHOWN), TPESampler(seed=5))
    assert len(finished(shown(flat, flat.ask()))) == SHOWN
    plain.ask()
    space = {"x": X, "y": X}
    assert flat.ask(space).params == plain.ask(space).params


# Beyond


def test_a_long_history_shows_its_best_25_and_1000_in_all(kept: Kept) -> None:
    study = load(kept())
    trials = sorted(study.get_trials(deepcopy=False), key=lambda trial: trial.value)
    seen = finished(shown(study, study.ask()))
    assert len(seen) == SHOWN
    assert {trial.number for trial in trials[:25]} <= {trial.number for trial in seen}


def test_the_others_are_an_even_sample_that_changes_from_trial_to_trial(kept: Kept) -> None:
    study = load(kept())
    numbers = [{trial.number for trial in finished(shown(study, study.ask()))} for _ in range(8)]
    assert len(set.union(*numbers)) > 2 * SHOWN
    old = sum(number < N_MANY / 2 for seen in numbers for number in seen) / (8 * SHOWN)
    assert 0.4 < old < 0.6


def test_trials_that_are_asked_for_together_see_each_their_own_sample(kept: Kept) -> None:
    study = load(kept())
    one, other = study.ask(), study.ask()
    of_one, of_other = ({trial.number for trial in shown(study, trial)} for trial in (one, other))
    assert of_one != of_other


def test_a_new_best_trial_is_shown_to_the_next_that_draws(kept: Kept) -> None:
    path = kept()
    study = load(path)
    study.ask({"x": X})
    trial = study.ask()
    load(path).add_trial(create_trial(params={"x": 0.0}, distributions={"x": X}, value=-1.0))
    assert min(trial.value for trial in finished(shown(study, trial))) == -1.0


def test_workers_that_know_the_same_history_draw_the_same_for_the_same_trial(kept: Kept) -> None:
    """One has followed the history from its beginning and out of order, the other reads it now."""
    path = kept(390)
    old, other = load(path, TrialSeededSampler("tpe", {}, study_seed=11)), load(path)
    for _ in range(12):
        asked = [other.ask({"x": X, "y": X}) for _ in range(5)]
        drawn(old, asked[0])
        for trial in reversed(asked):
            old.tell(trial, sum(x * x for x in trial.params.values()))
    new = load(path, TrialSeededSampler("tpe", {}, study_seed=11))
    trial = load(path).ask()
    assert drawn(old, trial) == drawn(new, trial) != {}
    old.sampler, new.sampler = FlatTPESampler(), FlatTPESampler()
    numbers = [[seen.number for seen in shown(study, trial)] for study in (old, new)]
    assert numbers[0] == numbers[1]


def drawn(study: optuna.Study, trial: optuna.Trial) -> dict[str, Any]:
    """What the study's sampler draws for a trial that somebody has begun."""
    frozen = study._storage.get_trial(trial._trial_id)
    study.sampler.before_trial(study, frozen)
    space = study.sampler.infer_relative_search_space(study, frozen)
    return study.sampler.sample_relative(study, frozen, space)


def test_all_running_trials_are_shown(kept: Kept) -> None:
    path = kept()
    others = [load(path).ask({"x": X}) for _ in range(3)]
    study = load(path)
    running = {t.number: t.params for t in shown(study, study.ask()) if t.state is TrialState.RUNNING}
    assert all(running[other.number] == other.params for other in others)


def test_what_runs_already_counts_against_a_draw(kept: Kept) -> None:
    """The constant liar. The two studies differ in the state of one trial alone."""
    free, taken = load(kept()), load(kept())
    for study in (free, taken):
        study.ask({"x": X, "y": X})
    free.tell(N_MANY, state=TrialState.FAIL)
    assert free.ask({"x": X, "y": X}).params != taken.ask({"x": X, "y": X}).params


def test_the_best_of_all_trials_leads_the_search(kept: Kept) -> None:
    study = load(kept(), FlatTPESampler(seed=2))
    drawn = [study.ask({"x": X, "y": X}).params for _ in range(20)]
    assert sum(abs(params["x"]) < 1 and abs(params["y"]) < 1 for params in drawn) > 15


def _sometimes_feasible(number: int) -> dict[str, Any]:
    made = _scattered(number)
    violation = made["params"]["x"] - 1 if number % 40 else -1.0
    return {**made, "values": [-made["values"][0]], "system_attrs": {"constraints": [violation]}}


def test_infeasible_trials_are_not_among_the_best(kept: Kept) -> None:
    study = load(kept(1_500, _sometimes_feasible))
    below = tpe_takes_for_good(study)
    assert len(below) == 25
    assert all(sum(max(0.0, v) for v in trial.constraints.values()) == 0 for trial in below)
    assert below == plain_takes_for_good(study)


def _pruned(number: int) -> dict[str, Any]:
    made = _scattered(number)
    if number % 150 == 0:
        return made
    reports = {step: made["values"][0] - step for step in range(number % 9)}
    return {**made, "values": None, "state": TrialState.PRUNED, "intermediate_values": reports}


def test_pruned_trials_are_ranked_as_tpe_ranks_them_while_few_are_complete(kept: Kept) -> None:
    study = load(kept(1_500, _pruned))
    below = tpe_takes_for_good(study)
    assert {trial.state for trial in below} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert below == plain_takes_for_good(study)


def tpe_takes_for_good(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The good ones of what a new trial is shown."""
    from optuna.samplers._tpe.sampler import _split_trials, default_gamma

    trials = [t for t in shown(study, study.ask()) if t.state is not TrialState.RUNNING]
    return _full(study, _split_trials(study, trials, default_gamma(len(trials)))[0])


def plain_takes_for_good(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    from optuna.samplers._tpe.sampler import _split_trials, default_gamma

    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return _full(study, _split_trials(study, trials, default_gamma(len(trials)))[0])


def _full(study: optuna.Study, some: list[optuna.trial.FrozenTrial]) -> list[optuna.trial.FrozenTrial]:
    """The trials of the study itself: a view's pruned ones lack what TPE does not need."""
    all_trials = study.get_trials(deepcopy=False)
    return [all_trials[trial.number] for trial in some]


def test_reports_of_pruned_trials_are_not_read_when_complete_ones_are_best(tmp_path: Path) -> None:
    def trial(number: int) -> dict[str, Any]:
        return _scattered(number) if number % 2 else _pruned(number)

    _fill(tmp_path / "half.db", 450, trial)
    study = load(tmp_path / "half.db")
    with statements(study) as sent:
        study.ask({"x": X, "y": X})
    tables = [text for text in sent if "FROM trial_intermediate_values" in text and "max(" not in text]
    assert all(text.count("?") < 10 for text in tables)  # those of the running trial alone


def _several(number: int) -> dict[str, Any]:
    made = _scattered(number)
    x, y = made["params"].values()
    return {**made, "values": [x * x + y * y, (x - 2) ** 2 + y * y]}


def test_of_several_objectives_the_first_ranks_are_shown(kept: Kept) -> None:
    study = load(kept(2_500, _several))
    seen = finished(shown(study, study.ask()))
    front = {trial.number for trial in study.best_trials}
    assert len(seen) == SHOWN
    assert len(front) < 100
    assert front <= {trial.number for trial in seen}
    assert study.ask({"x": X, "y": X}).params


@pytest.mark.parametrize(("direction", "best"), [("MINIMIZE", range(25)), ("MAXIMIZE", range(75, 100))])
def test_the_studys_direction_says_what_is_best(direction: str, best: range) -> None:
    keeper = best_trials([StudyDirection[direction]], SHOWN)
    for number in range(100):
        trial = create_trial(value=float(number * 7 % 100))
        trial.number = number
        keeper.offer(trial)
    assert {trial.value for trial in keeper.best()} == set(best)


def test_a_front_that_is_too_long_is_thinned_from_its_middle() -> None:
    best = best_trials([StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE], SHOWN)
    for number in range(2_000):
        part = (number * 0.6180339) % 1
        trial = create_trial(values=[part, part])
        trial.number = number
        best.offer(trial)
        best.offer(create_trial(values=[part + 1, part - 1]))
    kept_values = sorted(trial.values[0] for trial in best.best())
    assert len(kept_values) == 100
    assert kept_values[-1] < 1.0  # nothing dominated
    assert kept_values[0] < 0.01
    assert kept_values[-1] > 0.99
    assert max(b - a for a, b in pairwise(kept_values)) < 0.15


def test_parameters_that_some_trials_lack_are_still_drawn(kept: Kept) -> None:
    def trial(number: int) -> dict[str, Any]:
        made = _scattered(number)
        lacked = "xy"[number % 2]
        rest = {name: value for name, value in made["params"].items() if name != lacked}
        return {**made, "params": rest, "distributions": dict.fromkeys(rest, X)}

    study = load(kept(1_500, trial))
    new = study.ask()
    assert new.relative_params == {}
    assert -5 <= new.suggest_float("x", -5, 5) <= 5
    assert -5 <= new.suggest_float("z", -5, 5) <= 5


# The price


@contextmanager
def statements(study: optuna.Study) -> Iterator[list[str]]:
    """The statements that the study's storage sends in this block."""
    sent: list[str] = []

    def note(c: Any, cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    engine = study._storage.database.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def sampled(path: Path) -> list[list[str]]:
    """The statements that draw one trial, for five trials, once the history is known."""
    study, sent_each = load(path), []
    for _ in range(30):  # until the parameters of all that may be shown are known
        study.tell(study.ask({"x": X, "y": X}), 100.0)
    for _ in range(5):
        trial = study.ask()
        with statements(study) as sent:
            assert trial.relative_params.keys() == {"x", "y"}
        sent_each.append(sent)
        study.tell(trial, state=TrialState.FAIL)
    return sent_each


def test_drawing_sends_no_more_to_a_longer_history(kept: Kept) -> None:
    """One statement more, that for parameters, where a trial is shown for the first time."""
    short, long = sampled(kept(1_100)), sampled(kept(6_000))
    assert min(map(len, short)) == min(map(len, long)) < 15
    assert max(map(len, short + long)) <= min(map(len, long)) + 2  # BEGIN, SELECT
    assert max(text.count("?") for sent in short + long for text in sent) < 20


def test_with_several_objectives_the_history_is_read_once_a_trial(kept: Kept) -> None:
    study = load(kept(1_500, _several))
    trial = study.ask()
    trial.suggest_float("x", -5, 5)
    with statements(study) as sent:
        trial.suggest_float("y", -5, 5)
    assert not [text for text in sent if "trial_values" in text]


def test_the_parameters_of_few_trials_are_read(kept: Kept) -> None:
    study = load(kept())
    study.ask({"x": X, "y": X})
    known = [trial for trial in study.get_trials(deepcopy=False)[:N_MANY] if trial.knows("params")]
    assert SHOWN <= len(known) <= 2.5 * SHOWN + 25  # the pool and the best


def test_an_interrupt_while_trials_are_taken_in_loses_none(kept: Kept) -> None:
    """Constraints are read when a trial is first met."""
    study = load(kept(1_500, _sometimes_feasible))
    trial = study.ask()
    with interrupted(study), pytest.raises(KeyboardInterrupt):
        shown(study, trial)
    assert len(finished(shown(study, trial))) == SHOWN
    assert tpe_takes_for_good(study) == plain_takes_for_good(study)


@contextmanager
def interrupted(study: optuna.Study) -> Iterator[None]:
    """Ctrl-C at the first reading of system attributes of many trials."""

    def strike(c: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT trial_system_attributes") and "IN (SELECT" in statement:
            raise KeyboardInterrupt

    engine = study._storage.database.engine
    sa.event.listen(engine, "before_cursor_execute", strike)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", strike)


# What it is not for


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("options", [{"gamma": lambda n: 60}, {"weights": lambda n: [1.0] * n}])
def test_a_gamma_or_weights_of_ones_own_get_all_trials(options: dict[str, Any], kept: Kept) -> None:
    study = load(kept(), FlatTPESampler(seed=1, **options))
    assert len(finished(shown(study, study.ask()))) > SHOWN
    assert study.ask({"x": X, "y": X}).params


def test_a_long_random_start_ends(kept: Kept) -> None:
    study = load(kept(), FlatTPESampler(seed=1, n_startup_trials=1_600))
    assert len(finished(shown(study, study.ask()))) == 1_600
    assert study.ask().relative_params.keys() == {"x", "y"}  # which a random start leaves empty


def test_under_hyperband_each_trial_sees_its_own_bracket(kept: Kept) -> None:
    study = load(kept())
    study.pruner = optuna.pruners.HyperbandPruner(max_resource=27)
    study.ask({"x": X, "y": X}).report(1.0, 0)
    assert study.ask({"x": X, "y": X}).params


def test_a_storage_of_optunas_own_works() -> None:
    assert run(quadratic, FlatTPESampler(seed=3)) == run(quadratic, TPESampler(seed=3))


def test_it_is_the_tpe_of_a_run_and_of_partialfixed() -> None:
    assert isinstance(make_sampler("tpe", {"n_startup_trials": 5}, 1), FlatTPESampler)
    fixed = make_sampler("partialfixed", {"fixed_params": {"x": 1.0}}, 1)
    assert isinstance(fixed._base_sampler, FlatTPESampler)


def test_it_can_be_copied_and_pickled_at_work(kept: Kept) -> None:
    study = load(kept())
    study.ask({"x": X, "y": X})
    assert len(pickle.dumps(study.sampler)) < 30_000  # without what a trial was shown
    for other in (copy.deepcopy(study.sampler), pickle.loads(pickle.dumps(study.sampler))):
        assert load(kept(), other).ask({"x": X, "y": X}).params.keys() == {"x", "y"}


def test_threads_share_it(kept: Kept) -> None:
    study = load(kept(450))
    trials = [study.ask() for _ in range(12)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda trial: trial.suggest_float("x", -5, 5), trials))
    assert all(trial.params == {"x": trial.relative_params["x"]} for trial in trials)
    assert len({trial.params["x"] for trial in trials}) == 12
