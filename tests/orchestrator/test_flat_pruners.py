"""Flat pruners: Optuna's decisions, from few and small statements."""

from __future__ import annotations

import math
import pickle
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import optuna
import pytest
import sqlalchemy as sa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from optuna import pruners
from optuna.trial import TrialState, create_trial

from orchestrator import open_storage
from orchestrator.launching.local import MEMORY
from orchestrator.sampling.flat_pruners import (
    FlatHyperbandPruner,
    FlatMedianPruner,
    FlatPercentilePruner,
    FlatSuccessiveHalvingPruner,
)
from orchestrator.sampling.named import make_pruner
from orchestrator.sql.opening import open_database
from orchestrator.storage import newly_finished, step_values
from orchestrator.storage.stored_trial import PARTS
from orchestrator.storage.study_storage import StudyStorage

N_STEPS = 9
DIRECTIONS = st.sampled_from(["minimize", "maximize"])
ODD = [math.nan, math.inf, -math.inf, 0.0, 1.0, 2.0]
VALUES = st.sampled_from(ODD) | st.floats(-10, 10)
THEN = ["go", "go", "go", "end", "fail"]
# Which of the trials at work goes on, by how many steps, with which value, and whether it ends by itself.
MOVES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 3), VALUES, st.sampled_from(THEN)),
    min_size=20,
    max_size=60,
)
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking a game would take minutes
INTERVALS = {
    "n_startup_trials": st.integers(0, 4),
    "n_warmup_steps": st.integers(0, 4),
    "interval_steps": st.integers(1, 4),
    "n_min_trials": st.integers(1, 4),
}
RUNGS = {"reduction_factor": st.integers(2, 4), "bootstrap_count": st.integers(0, 3)}


@pytest.fixture
def storage(storage_url: str) -> Iterator[StudyStorage]:
    opened = open_storage(storage_url)
    yield opened
    opened.database.close()


@pytest.fixture(scope="module")
def in_memory() -> Iterator[StudyStorage]:
    opened = StudyStorage(open_database(MEMORY))
    yield opened
    opened.database.close()


@pytest.fixture
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pruners look at every report."""
    monkeypatch.setattr(step_values, "LOOK_EVERY_S", 0.0)


@pytest.fixture
def no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time passes for the pruners."""
    monkeypatch.setattr(step_values, "LOOK_EVERY_S", math.inf)


class Game:
    """The same trials on our storage and in Optuna's memory; four are at work at any time."""

    def __init__(
        self,
        storage: StudyStorage,
        flat: pruners.BasePruner,
        plain: pruners.BasePruner,
        direction: str,
    ) -> None:
        ours = optuna.create_study(storage=storage, pruner=flat, direction=direction)
        name = ours.study_name  # Hyperband's brackets come from it
        self._studies = [ours, optuna.create_study(pruner=plain, direction=direction, study_name=name)]
        self._running = [self._ask() for _ in range(4)]

    def _ask(self) -> list[optuna.Trial]:
        return [study.ask() for study in self._studies]

    def move(self, which: int, steps: int, value: float, then: str) -> list[bool]:
        """Report on both sides; what each decides."""
        pair = self._running[which]
        step = max(pair[1]._cached_frozen_trial.intermediate_values, default=-1) + steps
        decided = []
        for trial in pair:
            trial.report(value, step)
            with warnings.catch_warnings():
                # Optuna's own warn of NaN and of infinities; ours shall not
                warnings.simplefilter("error" if trial is pair[0] else "ignore")
                decided.append(bool(trial.should_prune()))
        if decided[1]:
            self._end(which, TrialState.PRUNED)
        elif step >= N_STEPS or then == "end":
            self._end(which, TrialState.COMPLETE)
        elif then == "fail":
            self._end(which, TrialState.FAIL)
        return decided

    def _end(self, which: int, state: TrialState) -> None:
        for study, trial in zip(self._studies, self._running[which], strict=True):
            study.tell(trial, 0.0 if state is TrialState.COMPLETE else None, state)
        self._running[which] = self._ask()


def decisions_agree(
    storage: StudyStorage,
    make: Callable[[str], pruners.BasePruner],
    direction: str,
    moves: list[tuple[int, int, float, str]],
) -> None:
    game = Game(storage, make("flat"), make("plain"), direction)
    for number, move in enumerate(moves):
        ours, theirs = game.move(*move)
        assert ours == theirs, f"move {number}: {move}"


@pytest.mark.usefixtures("no_delay")
@settings(max_examples=25, deadline=None, phases=PHASES)
@given(
    percentile=st.floats(0, 100), direction=DIRECTIONS, moves=MOVES, named=st.fixed_dictionaries(INTERVALS)
)
def test_percentiles_decide_as_optunas(in_memory, percentile, direction, moves, named):
    kinds = {"flat": FlatPercentilePruner, "plain": pruners.PercentilePruner}
    decisions_agree(in_memory, lambda kind: kinds[kind](percentile, **named), direction, moves)


@pytest.mark.usefixtures("no_delay")
@settings(max_examples=15, deadline=None, phases=PHASES)
@given(direction=DIRECTIONS, moves=MOVES, named=st.fixed_dictionaries(INTERVALS))
def test_the_median_decides_as_optunas(in_memory, direction, moves, named):
    kinds = {"flat": FlatMedianPruner, "plain": pruners.MedianPruner}
    decisions_agree(in_memory, lambda kind: kinds[kind](**named), direction, moves)


@settings(max_examples=25, deadline=None, phases=PHASES)
@given(
    first=st.integers(1, 3), rate=st.integers(0, 2), direction=DIRECTIONS, moves=MOVES,
    named=st.fixed_dictionaries(RUNGS),
)  # fmt: skip
def test_halving_decides_as_optunas(in_memory, first, rate, direction, moves, named):
    kinds = {"flat": FlatSuccessiveHalvingPruner, "plain": pruners.SuccessiveHalvingPruner}
    decisions_agree(
        in_memory, lambda kind: kinds[kind](first, **named, min_early_stopping_rate=rate), direction, moves
    )


@settings(max_examples=15, deadline=None, phases=PHASES)
@given(direction=DIRECTIONS, moves=MOVES)
def test_halving_that_finds_its_first_rung_decides_as_optunas(in_memory, direction, moves):
    kinds = {"flat": FlatSuccessiveHalvingPruner, "plain": pruners.SuccessiveHalvingPruner}
    decisions_agree(in_memory, lambda kind: kinds[kind](reduction_factor=2), direction, moves)


@settings(max_examples=25, deadline=None, phases=PHASES)
@given(least=st.integers(1, 2), most=st.sampled_from([9, 4, "auto"]), direction=DIRECTIONS, moves=MOVES)
def test_hyperband_decides_as_optunas(in_memory, least, most, direction, moves):
    kinds = {"flat": FlatHyperbandPruner, "plain": pruners.HyperbandPruner}
    decisions_agree(in_memory, lambda kind: kinds[kind](least, most, 2), direction, moves)


@settings(deadline=None)
@given(st.lists(VALUES, max_size=12), st.floats(0, 100))
def test_a_percentile_of_reports_is_numpys_to_the_last_bit(values, percent):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = np.nanpercentile(np.array(values), percent) if values else math.nan
    ours = step_values.Reports(values).percentile(percent)
    assert ours == theirs or (math.isnan(ours) and math.isnan(theirs))


MOVES_OF_A_DAY = [
    (i * 7 % 4, 1 + i % 2, (math.nan if i % 11 == 5 else i * 37 % 17 / 3), "end" if i % 9 == 0 else "go")
    for i in range(60)
]


@pytest.mark.usefixtures("no_delay")
@pytest.mark.parametrize("name", ["median", "percentile", "halving", "hyperband", "patient"])
def test_every_database_decides_as_optuna(storage, name):
    arguments = {
        "percentile": {"percentile": 25.0},
        "hyperband": {"max_resource": 9},
        "patient": {"wrapped_pruner": "median", "patience": 1},
    }
    flat = make_pruner(name, arguments.get(name, {}))
    plain = {
        "median": pruners.MedianPruner(),
        "percentile": pruners.PercentilePruner(25.0),
        "halving": pruners.SuccessiveHalvingPruner(),
        "hyperband": pruners.HyperbandPruner(max_resource=9),
        "patient": make_pruner("patient", {"patience": 1}),
    }[name]
    if name == "patient":
        plain._wrapped_pruner = pruners.MedianPruner()
    moves = [
        move for move in MOVES_OF_A_DAY if name != "patient" or not math.isnan(move[2])
    ]  # NaN warns there
    decisions_agree(storage, {"flat": flat, "plain": plain}.__getitem__, "minimize", moves)


@pytest.mark.usefixtures("no_delay")
@pytest.mark.parametrize("name", ["median", "halving"])
def test_many_unfinished_trials_change_no_decision(in_memory, monkeypatch, name):
    """They are read as a range of ids, in which finished ones come again."""
    monkeypatch.setattr(newly_finished, "_MANY", 0)
    plain = {"median": pruners.MedianPruner(), "halving": pruners.SuccessiveHalvingPruner(1, 2)}[name]
    flat = make_pruner(name, {} if name == "median" else {"min_resource": 1, "reduction_factor": 2})
    decisions_agree(in_memory, {"flat": flat, "plain": plain}.__getitem__, "minimize", MOVES_OF_A_DAY)


@pytest.mark.usefixtures("no_delay")
def test_finished_trials_that_are_read_again_count_once(in_memory, monkeypatch):
    monkeypatch.setattr(newly_finished, "_MANY", 0)
    study = optuna.create_study(storage=in_memory, pruner=FlatMedianPruner())
    judged = study.ask()
    study.add_trials([reporting(1.0) for _ in range(3)])
    judged.report(9.0, 0)
    for _ in range(3):
        judged.should_prune()
    known = study.pruner._kept.of(study)
    assert (known.n_complete, len(known.at(0))) == (3, 3)


def reporting(
    value: float, n_steps: int = 3, state: TrialState = TrialState.COMPLETE
) -> optuna.trial.FrozenTrial:
    return create_trial(
        state=state,
        value=value if state is TrialState.COMPLETE else None,
        params={"x": 0.5},
        distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
        intermediate_values=dict.fromkeys(range(n_steps), value),
    )


def filled(storage: StudyStorage, pruner: pruners.BasePruner, n_trials: int = 10) -> optuna.Study:
    study = optuna.create_study(storage=storage, pruner=pruner, sampler=optuna.samplers.RandomSampler())
    study.add_trials([reporting(float(number)) for number in range(n_trials)])
    return study


class Sent:
    """The statements that a storage sends while this is open."""

    def __init__(self, storage: StudyStorage) -> None:
        self._engine = storage.database.engine
        self.texts: list[str] = []

    def _note(self, _c, _cursor, statement, *_rest) -> None:
        if statement != "BEGIN":
            self.texts.append(statement)

    def __enter__(self) -> Sent:
        sa.event.listen(self._engine, "before_cursor_execute", self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._engine, "before_cursor_execute", self._note)


@pytest.mark.usefixtures("no_second_look")
def test_a_trial_costs_one_look_and_every_new_step_one_statement(storage):
    study = filled(storage, FlatMedianPruner())
    trial = study.ask()
    trial.report(9.0, 0)
    with Sent(storage) as sent:
        assert trial.should_prune()
        assert trial.should_prune()
    assert len(sent.texts) == 2  # who is complete; their reports at step 0
    with Sent(storage) as sent:
        trial.report(-1.0, 1)
        reported = len(sent.texts)
        assert not trial.should_prune()
        assert len(sent.texts) == reported + 1  # the reports at step 1
    other = study.ask()
    other.report(9.0, 1)
    with Sent(storage) as sent:
        assert other.should_prune()
    assert len(sent.texts) == 1  # who completed since, with what they reported


def test_halving_reads_the_rungs_of_all_trials_in_one_statement(storage):
    study = filled(storage, FlatSuccessiveHalvingPruner(min_resource=1, reduction_factor=2))
    trial = study.ask()
    trial.report(9.0, 3)
    with Sent(storage) as sent:
        assert not trial.should_prune()  # two rungs, alone
    assert sum("JOIN trial_system_attributes" in text for text in sent.texts) == 1


@pytest.mark.parametrize("name", ["median", "halving", "hyperband"])
def test_pruners_read_no_parts_of_other_trials(storage, name):
    study = filled(storage, make_pruner(name, {}))
    trial = study.ask()
    for step in range(3):
        trial.report(9.0, step)
        trial.should_prune()
    others = study.get_trials(deepcopy=False)[:-1]
    assert not any(other.knows(part) for other in others for part in PARTS)


@pytest.mark.usefixtures("no_second_look")
def test_a_trial_sees_who_is_complete_when_it_asks_first(storage):
    study = filled(storage, FlatMedianPruner(n_startup_trials=12))
    first, second = study.ask(), study.ask()
    for trial in (first, second):
        trial.report(9.0, 0)
    assert not first.should_prune()  # 10 are complete
    study.add_trials([reporting(0.0), reporting(0.0)])
    assert not first.should_prune()  # it has looked already, and no time has passed
    assert second.should_prune()


@pytest.mark.usefixtures("no_delay")
def test_a_trial_that_ends_late_is_counted_once_and_with_all_its_steps(storage):
    study = filled(storage, FlatPercentilePruner(0.0, n_startup_trials=0), n_trials=1)
    late, judged = study.ask(), study.ask()
    judged.report(-1.0, 0)
    assert not judged.should_prune()  # better than the complete one's 0
    late.report(-2.0, 0)
    assert not judged.should_prune()  # it is not complete
    study.tell(late, -2.0)
    assert judged.should_prune()
    known = study.pruner._kept.of(study)
    assert (known.n_complete, len(known.at(0))) == (2, 2)


@pytest.mark.usefixtures("no_second_look")
def test_a_trial_that_ends_between_two_looks_is_counted_once_at_a_step_read_meanwhile(storage):
    study = filled(storage, FlatMedianPruner())
    late, judged, other = study.ask(), study.ask(), study.ask()
    judged.report(-1.0, 0)
    judged.should_prune()  # looks: late is at work
    late.report(0.0, 0)
    late.report(0.0, 1)
    study.tell(late, 0.0)
    judged.report(-1.0, 1)
    judged.should_prune()  # reads step 1
    other.report(-1.0, 1)
    other.should_prune()  # looks again
    known = study.pruner._kept.of(study)
    assert (known.n_complete, len(known.at(0)), len(known.at(1))) == (11, 11, 11)


def test_rivals_of_a_rung_are_seen_while_they_run(storage):
    study = filled(storage, FlatSuccessiveHalvingPruner(min_resource=1, reduction_factor=2), n_trials=0)
    better, worse = study.ask(), study.ask()
    better.report(0.0, 1)
    assert not better.should_prune()
    worse.report(1.0, 1)
    assert worse.should_prune()


@pytest.mark.parametrize("name", ["median", "percentile", "halving", "hyperband"])
def test_a_pruner_travels_with_its_settings_alone(storage, name):
    pruner = make_pruner(name, {"percentile": 30.0} if name == "percentile" else {})
    study = filled(storage, pruner)
    trial = study.ask()
    trial.report(9.0, 0)
    trial.should_prune()
    copy = pickle.loads(pickle.dumps(pruner))
    assert copy._kept._content is None
    settings_of = [
        {k: v for k, v in vars(p).items() if k not in ("_kept", "_pruners")} for p in (pruner, copy)
    ]
    assert settings_of[0] == settings_of[1]
    study.pruner = copy
    other = study.ask()
    other.report(9.0, 0)
    assert other.should_prune() == (name in ("median", "percentile"))


@pytest.mark.parametrize("name", ["median", "halving", "hyperband"])
def test_another_storage_has_optunas_pruner(name):
    study = optuna.create_study(pruner=make_pruner(name, {}))
    for value in range(8):
        trial = study.ask()
        trial.report(float(value), 1)
        pruned = trial.should_prune()
        study.tell(trial, None if pruned else float(value), TrialState.PRUNED if pruned else None)
    assert any(trial.state is TrialState.PRUNED for trial in study.trials)


def test_hyperband_without_brackets_prunes_nobody(storage):
    study = filled(storage, FlatHyperbandPruner(min_resource=2), n_trials=0)
    study.add_trial(reporting(0.0, n_steps=1))  # one step is the most resource there is
    trial = study.ask()
    trial.report(9.0, 5)
    assert not trial.should_prune()


def test_a_study_made_again_under_its_name_starts_from_nothing(storage):
    pruner = FlatMedianPruner()
    study = filled(storage, pruner)
    trial = study.ask()
    trial.report(9.0, 0)
    assert trial.should_prune()
    optuna.delete_study(study_name=study.study_name, storage=storage)
    again = optuna.create_study(storage=storage, study_name=study.study_name, pruner=pruner)
    trial = again.ask()
    trial.report(9.0, 0)
    assert not trial.should_prune()


def test_threads_share_a_pruner(storage):
    study = filled(storage, FlatMedianPruner())
    trials = [study.ask() for _ in range(16)]

    def decide(trial: optuna.Trial) -> bool:
        trial.report(float(trial.number % 2 * 9), 0)
        return trial.should_prune()

    with ThreadPoolExecutor(4) as threads:
        decided = list(threads.map(decide, trials))
    assert decided == [trial.number % 2 == 1 for trial in trials]
    known = study.pruner._kept.of(study)
    assert known.n_complete == len(known.at(0)) == 10
