"""The plots of real studies: what is drawn, what is said, and what is skipped with which reason."""

from __future__ import annotations

import copy
import struct
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path

import optuna
import plotly.graph_objects as go
import pytest

from orchestrator.browser import find_browser
from orchestrator.plots import Skipped, figures, thin, write_pngs
from orchestrator.plots.axes import scale_of, ticks
from orchestrator.plots.history import history_figure
from orchestrator.plots.importance import durations
from orchestrator.plots.labels import choice_labels, name_labels
from orchestrator.plots.style import UndrawableError
from orchestrator.plots.thin import MAX_LINES, MAX_PARALLEL, MAX_POINTS, evenly
from orchestrator.plots.utilisation import utilisation_figure
from orchestrator.plots.view import StudyView
from orchestrator.records import AttemptRecord, SlotRecord
from orchestrator.summary import Summary

START = datetime(2026, 11, 24, 10, 0, 0)
SINGLE = [
    "optimization_history",
    "intermediate_values",
    "parallel_coordinate",
    "contour",
    "param_importances",
    "param_importances_duration",
    "value_by_duration",
    "timeline",
]
NASTY = "<script>alert(1)</script>"

needs_browser = pytest.mark.skipif(find_browser() is None, reason="no Chromium or Chrome on PATH")


@pytest.fixture(autouse=True)
def _calm_optuna():
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(level)


def attempt(number: int, **changes: object) -> AttemptRecord:
    values = {
        "token": f"t{number}",
        "trial_number": number,
        "run_id": "r1",
        "rank": 0,
        "host": "node01",
        "slot": number % 2,
        "cpus": "0-3",
        "cpu_model": "EPYC",
        "slot_width": 4,
        "pid": 100,
        "start": START + timedelta(seconds=number),
        "end": START + timedelta(seconds=number + 1),
        "objective_s": 1.0 + number / 100,
        "cause": "returned",
        "exit_status": None,
        "peak_rss_mib": 10.0,
    }
    return AttemptRecord(**{**values, **changes})  # type: ignore[arg-type]


def summarized(study: optuna.Study, attempts: tuple[AttemptRecord, ...] = ()) -> Summary:
    trials = tuple(study.get_trials(deepcopy=False))
    complete = any(trial.state == optuna.trial.TrialState.COMPLETE for trial in trials)
    counts = Counter(trial.state.name for trial in trials)
    return Summary(
        study=study,
        storage_url="sqlite:///study.db",
        trials=trials,
        best_trials=tuple(study.best_trials) if complete else (),
        counts={state.name: counts[state.name] for state in optuna.trial.TrialState},
        runs=(),
        attempts=attempts,
        slots=(),
        wall_s=1.0,
        trial_s=2.0,
    )


def study_of(objective: Callable[[optuna.Trial], object], n: int, **settings: object) -> optuna.Study:
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(sampler=sampler, **settings)  # type: ignore[arg-type]
    study.optimize(objective, n_trials=n, catch=(RuntimeError,))  # type: ignore[arg-type]
    return study


def mixed(trial: optuna.Trial) -> float:
    """Five parameters of all kinds, one conditional; every fourth trial pruned, one failed."""
    rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    layers = trial.suggest_int("layers", 1, 5)
    kind = trial.suggest_categorical("kind\u2581choice", ["adam", "sgd", "x" * 60])
    drop = trial.suggest_float("drop", 0, 0.5)
    momentum = trial.suggest_float("momentum", 0, 1) if kind == "sgd" else 0.0
    if trial.number == 5:
        raise RuntimeError("boom")
    for step in range(3):
        trial.report(rate * step, step)
        if trial.number % 4 == 3:
            raise optuna.TrialPruned
    return layers + rate - drop + momentum


def parabola(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", -1, 1), trial.suggest_float("y", -1, 1)
    return x * x + 0.01 * y


def test_a_mixed_study_draws_every_plot_in_the_order_of_the_report() -> None:
    plots = figures(summarized(study_of(mixed, 40), tuple(attempt(i) for i in range(40))))
    assert list(plots) == SINGLE
    assert not [plot for plot in plots.values() if isinstance(plot, Skipped)]


def test_a_study_of_plain_optuna_without_attempts_draws_every_plot_too() -> None:
    plots = figures(summarized(study_of(mixed, 40)))
    assert not [plot for plot in plots.values() if isinstance(plot, Skipped)]
    assert "by trial" in plots["timeline"].layout.title.text


def test_the_suffix_of_choices_is_on_no_plot() -> None:
    for plot in figures(summarized(study_of(mixed, 40), tuple(map(attempt, range(40))))).values():
        text = plot.to_json()
        assert "choice" not in text
        assert "\\u2581" not in text


def test_importances_name_their_evaluator_and_say_what_they_mean() -> None:
    plots = figures(summarized(study_of(parabola, 60)))
    by_value, by_duration = plots["param_importances"], plots["param_importances_duration"]
    assert "Importance for the value (PED-ANOVA)" in by_value.layout.title.text
    assert "best 10 %" in by_value.layout.title.text
    assert "Importance for the duration (PED-ANOVA)" in by_duration.layout.title.text
    assert "fastest 10 %" in by_duration.layout.title.text


def test_importance_by_value_finds_the_parameter_that_matters() -> None:
    bars = figures(summarized(study_of(parabola, 60)))["param_importances"].data[0]
    assert dict(zip(bars.y, bars.x, strict=True))["x"] > 0.7


def test_importance_of_a_maximized_objective_looks_at_its_high_end() -> None:
    def both(trial: optuna.Trial) -> tuple[float, float]:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        return (x if x > 0.85 else 0.1 + y / 1000), y

    study = study_of(both, 120, directions=["maximize", "minimize"])
    bars = figures(summarized(study))["param_importances_0"].data[0]
    assert dict(zip(bars.y, bars.x, strict=True))["x"] > 0.7


def test_several_objectives_have_a_history_and_importances_each_and_a_front() -> None:
    study = study_of(lambda t: (parabola(t), t.params["y"]), 30, directions=["minimize", "maximize"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.set_metric_names(["loss", "<b>speed</b>"])
    plots = figures(summarized(study))
    assert list(plots)[:3] == ["optimization_history_0", "optimization_history_1", "pareto_front"]
    assert {"param_importances_0", "param_importances_1", "contour_0", "contour_1"} <= set(plots)
    assert [name for name, plot in plots.items() if isinstance(plot, Skipped)] == ["intermediate_values"]
    assert plots["optimization_history_1"].layout.yaxis.title.text == "&lt;b&gt;speed&lt;/b&gt;"
    best = next(trace for trace in plots["optimization_history_1"].data if trace.mode == "lines")
    assert list(best.y) == sorted(best.y)  # the second objective is maximized


@pytest.mark.parametrize("count", [3, 4])
def test_three_objectives_have_a_front_in_space_and_four_a_reason(count: int) -> None:
    study = study_of(lambda t: [parabola(t) * i for i in range(count)], 12, directions=["minimize"] * count)
    assert isinstance(figures(summarized(study))["pareto_front"], Skipped) == (count == 4)


@pytest.mark.parametrize(
    ("objective", "n", "words"),
    [
        (parabola, 0, "complete"),
        (parabola, 1, "two complete trials"),
        (lambda t: t.suggest_float("x", 0, 1) * 0 + t.suggest_float("y", 0, 1) * 0, 12, "same value"),
        (lambda t: t.suggest_float("x", 0, 1), 12, "fewer than two"),
        (lambda t: float("inf") + parabola(t), 12, "two complete trials"),
    ],
)
def test_importance_that_is_undefined_is_skipped_with_a_sentence(
    objective: Callable[[optuna.Trial], float], n: int, words: str
) -> None:
    plot = figures(summarized(study_of(objective, n)))["param_importances"]
    assert isinstance(plot, Skipped)
    assert words in plot.reason
    assert plot.reason.endswith(".")


def test_failures_alone_leave_the_timeline_and_reasons() -> None:
    def fail(trial: optuna.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        raise RuntimeError("boom")

    plots = figures(summarized(study_of(fail, 6)))
    drawn = [name for name, plot in plots.items() if not isinstance(plot, Skipped)]
    assert drawn == ["timeline"]
    assert not [p for p in plots.values() if isinstance(p, Skipped) and "could not be drawn" in p.reason]


def test_an_empty_study_skips_everything_with_foreseen_reasons() -> None:
    plots = figures(summarized(optuna.create_study()))
    assert all(isinstance(plot, Skipped) and "could not" not in plot.reason for plot in plots.values())


def test_infinite_values_leave_the_other_trials_drawn() -> None:
    study = study_of(lambda t: parabola(t) if t.number % 3 else float("inf"), 20)
    assert not isinstance(figures(summarized(study))["contour"], Skipped)


def test_an_unforeseen_error_becomes_a_reason_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> go.Figure:
        raise KeyError("surprise")

    monkeypatch.setattr(optuna.visualization, "plot_contour", broken)
    plot = figures(summarized(study_of(parabola, 12)))["contour"]
    assert isinstance(plot, Skipped)
    assert "KeyError" in plot.reason


def test_what_people_named_is_shown_as_text_and_not_understood_as_markup() -> None:
    study = study_of(
        lambda t: t.suggest_float(NASTY, 0, 1) + len(t.suggest_categorical("b", [NASTY, "x"])),
        12,
        study_name=NASTY,
    )
    for plot in figures(summarized(study, (attempt(0, host=NASTY, cause="<b>odd</b>"),))).values():
        if not isinstance(plot, Skipped):
            assert "<script" not in str(plot.to_dict())
            assert "<b>odd" not in str(plot.to_dict())


def test_drawing_leaves_the_study_and_optunas_log_level_as_they_were() -> None:
    study = study_of(mixed, 12)
    before = [dict(trial.params) for trial in study.trials]
    optuna.logging.set_verbosity(optuna.logging.INFO)
    figures(summarized(study))
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert [dict(trial.params) for trial in study.trials] == before


def test_the_timeline_has_a_lane_for_each_slot_and_a_colour_for_each_outcome() -> None:
    study = study_of(mixed, 8)
    tries = [attempt(i, cause="pruned" if i % 4 == 3 else "returned") for i in range(8)]
    lost = attempt(2, host="node02", cause="lost", exit_status=-9, objective_s=None)
    figure = figures(summarized(study, (*tries, lost)))["timeline"]
    assert [trace.name for trace in figure.data] == ["complete", "pruned", "failed", "lost"]
    assert len({trace.marker.color for trace in figure.data}) == 4
    assert len(figure.layout.yaxis.categoryarray) == 3
    assert "exit status -9" in figure.data[3].text[0]
    assert list(figure.data[3].x) == [1000.0]


def test_an_attempt_without_an_end_is_drawn_as_running() -> None:
    running = attempt(0, end=None, cause=None, objective_s=None)
    figure = figures(summarized(study_of(parabola, 2), (running, attempt(1))))["timeline"]
    assert {trace.name for trace in figure.data} == {"complete", "running"}


def test_a_running_attempt_is_drawn_to_the_last_sign_of_its_agent() -> None:
    running = attempt(0, end=None, cause=None, objective_s=None, heard=START + timedelta(seconds=20))
    figure = figures(summarized(study_of(parabola, 2), (running, attempt(1))))["timeline"]
    (bar,) = next(trace for trace in figure.data if trace.name == "running").x
    assert bar == 20_000


def test_durations_sum_attempts_and_keep_the_commonest_machine_alone() -> None:
    trials = study_of(parabola, 5).trials
    tries = [attempt(0), attempt(0, objective_s=2.0), attempt(1), attempt(2, slot_width=8)]
    mixed_up = [attempt(3), attempt(3, cpu_model="Xeon")]
    found = durations(trials, [*tries, *mixed_up])
    assert found.seconds == {0: 3.0, 1: 1.01}
    assert "4 × EPYC" in found.notes[0]
    assert (
        "5 complete trials: 2 that ran on other CPUs or slot widths and 1 that ran outside" in found.notes[1]
    )


def test_durations_without_a_single_comparable_trial_say_so() -> None:
    trials = study_of(parabola, 1).trials
    with pytest.raises(UndrawableError, match="do not compare"):
        durations(trials, [attempt(0), attempt(0, slot_width=9)])


def test_durations_without_attempts_are_optunas() -> None:
    trials = study_of(parabola, 3).trials
    assert durations(trials, []).seconds[2] == trials[2].duration.total_seconds()


def test_a_large_study_is_thinned_and_says_so() -> None:
    count = MAX_POINTS + 1000
    plots = figures(summarized(large_study(count)))
    history = plots["optimization_history"]
    assert MAX_POINTS <= len(history.data[0].x) <= MAX_POINTS + 2
    assert min(history.data[0].y) == 0.0
    assert f"of {count:,} trials" in history.layout.title.text
    assert len(plots["intermediate_values"].data) <= MAX_LINES + 1
    assert len(plots["parallel_coordinate"].data) <= MAX_PARALLEL + 1
    assert "4 of 6 parameters" in plots["contour"].layout.title.text
    assert sum(len(plot.to_json()) for plot in plots.values() if not isinstance(plot, Skipped)) < 4_000_000


def test_the_line_of_the_best_value_of_a_large_study_uses_every_trial() -> None:
    study = large_study(MAX_POINTS + 1000, "maximize")  # the first trial is the worst
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
    line = next(trace for trace in history_of(study).data if trace.mode == "lines")
    values = [trial.value for trial in study.trials if trial.value is not None]
    best = list(accumulate(values, max))
    changes = [0, *(i for i in range(1, len(best)) if best[i] > best[i - 1])]
    assert list(zip(line.x, line.y, strict=True)) == [
        *((number, best[number]) for number in changes),
        (len(values), best[-1]),
    ]


def test_the_dots_of_a_large_study_are_at_their_trials() -> None:
    study = large_study(MAX_POINTS + 1000)
    dots = next(trace for trace in history_of(study).data if trace.mode == "markers")
    values = {trial.number: trial.value for trial in study.get_trials(deepcopy=False)}
    assert all(values[number] == value for number, value in zip(dots.x, dots.y, strict=True))
    assert {0, MAX_POINTS + 999} <= set(dots.x)


def history_of(study: optuna.Study) -> go.Figure:
    return history_figure(StudyView(study, study.get_trials(deepcopy=False)), "objective value")


def test_importances_of_many_trials_come_from_a_sample_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thin, "MAX_RANKED", 100)
    plots = figures(summarized(study_of(parabola, 150)))
    for name in ("param_importances", "param_importances_duration"):
        assert "From 100 of 150 complete trials, an even sample." in plots[name].layout.meta["notes"]
        assert plots[name].layout.title.text.count("an even sample") == 1
    assert plots["param_importances"].data[0].y[-1] == "x"  # it is the one that matters


def test_plots_ask_only_the_trials_that_they_draw_for_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of(mixed, 40)
    view = StudyView(study, study.trials)
    asked: list[int] = []
    real = StudyView._labelled
    monkeypatch.setattr(StudyView, "_labelled", lambda v, trial: asked.append(trial.number) or real(v, trial))
    view = StudyView(study, study.trials)
    assert not asked
    assert view.only({3, 5}).get_trials()[0].params["rate"] == study.trials[3].params["rate"]
    assert asked == [3]


def test_the_trials_of_a_view_are_those_stored_with_other_labels() -> None:
    study = study_of(mixed, 12)
    for shown, stored in zip(StudyView(study, study.trials).get_trials(), study.trials, strict=True):
        same = ("number", "state", "values", "datetime_start", "datetime_complete", "intermediate_values")
        assert all(getattr(shown, name) == getattr(stored, name) for name in same)
        assert shown.last_step == stored.last_step
        assert list(shown.params) == [name.removesuffix("\u2581choice") for name in stored.params]
        assert copy.deepcopy(shown) is shown


def large_study(count: int, direction: str = "minimize") -> optuna.Study:
    """Trials like those of a database: made whole, not one by one."""
    study = optuna.create_study(direction=direction)
    distribution = optuna.distributions.FloatDistribution(0, 1)
    now = datetime.now(UTC).replace(tzinfo=None)
    study.add_trials(
        optuna.trial.FrozenTrial(
            number=i,
            trial_id=i,
            state=optuna.trial.TrialState.COMPLETE,
            value=None,
            values=[(i * 37 % count) / count],
            datetime_start=now,
            datetime_complete=now + timedelta(seconds=1),
            params={name: (i * (91 + k) % 1000) / 1000 for k, name in enumerate("abcdef")},
            distributions=dict.fromkeys("abcdef", distribution),
            user_attrs={},
            system_attrs={},
            intermediate_values={0: 1.0},
        )
        for i in range(count)
    )
    return study


def searched_axes(trial: optuna.Trial) -> float:
    """A rate over decades, whole numbers over less than one, few layers, and a parameter of some trials."""
    rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    units = trial.suggest_int("units", 16, 128, log=True)
    layers = trial.suggest_int("layers", 1, 2)
    width = trial.suggest_int("width", 1000, 3000) if layers == 2 else 0
    return rate + units + layers + width / 100


def contour_ticks(study: optuna.Study) -> dict[str, tuple[str, ...]]:
    """The texts of the lowest row's ticks by parameter."""
    layout = figures(summarized(study))["contour"].layout
    axes = [layout[name] for name in layout if name.startswith("xaxis") and layout[name].title.text]
    return {axis.title.text: axis.ticktext for axis in axes}


def test_a_contour_has_decades_on_log_axes_and_whole_numbers_for_integers_and_few_of_them() -> None:
    found = contour_ticks(study_of(searched_axes, 40))
    assert found["layers"] == ("1", "2")
    assert found["units"] == ("20", "50", "100")
    assert set(found["rate"]) <= {"1e-5", "1e-4", "1e-3", "1e-2", "1e-1"}
    assert found["width"] == ("1000", "1500", "2000", "2500")
    assert all(2 <= len(texts) <= 4 for texts in found.values())


def test_a_contour_of_two_parameters_has_the_ticks_of_each_on_its_own_axis() -> None:
    study = study_of(lambda t: t.suggest_int("n", 1, 2) + t.suggest_float("r", 1e-4, 1, log=True), 30)
    layout = figures(summarized(study))["contour"].layout
    assert layout.xaxis.ticktext == ("1", "2")
    assert "1e-2" in layout.yaxis.ticktext


def parallel_marks(figure: go.Figure, place: int) -> dict[str, float]:
    return {mark.text: mark.y for mark in figure.layout.annotations if mark.x == place}


def test_parallel_coordinates_have_plain_ticks_and_say_not_used() -> None:
    figure = figures(summarized(study_of(searched_axes, 40)))["parallel_coordinate"]
    assert figure.layout.xaxis.ticktext == ("objective value", "layers", "rate", "units", "width")
    layers, rate, units, width = (parallel_marks(figure, place) for place in range(1, 5))
    assert layers == {"1": 0.0, "2": 1.0}
    assert set(rate) <= {"1e-5", "1e-4", "1e-3", "1e-2", "1e-1"}
    assert set(units) == {"20", "50", "100"}
    assert width["not used"] == 0.0
    assert 0.1 < width["1500"] < width["2000"] < width["2500"] < 1


def test_the_hover_texts_of_parallel_coordinates_are_what_the_trials_have() -> None:
    study = study_of(searched_axes, 40)
    figure = figures(summarized(study))["parallel_coordinate"]
    drawn = [dict(trace.customdata) for trace in figure.data if trace.customdata is not None]
    for trial, said in zip(study.trials, drawn, strict=True):
        assert said["units"] == str(trial.params["units"])
        assert said["width"] == str(trial.params.get("width", "not used"))
        assert said["rate"] == f"{trial.params['rate']:.6g}"


def test_the_choice_none_is_told_from_a_parameter_that_is_not_used() -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        if trial.number % 2:
            trial.suggest_categorical("decay", [None, "cosine"])
        return x

    figure = figures(summarized(study_of(objective, 20)))["parallel_coordinate"]
    assert set(parallel_marks(figure, 1)) == {"not used", "None", "cosine"}
    said = {dict(trace.customdata)["decay"] for trace in figure.data if trace.customdata is not None}
    assert said == {"not used", "None", "cosine"}


def test_objectives_without_names_are_called_alike_in_every_plot() -> None:
    study = study_of(lambda t: (parabola(t), t.params["y"]), 12, directions=["minimize", "maximize"])
    plots = figures(summarized(study))
    assert plots["parallel_coordinate"].layout.xaxis.ticktext[:2] == ("objective 0", "objective 1")
    assert plots["pareto_front"].layout.xaxis.title.text == "objective 0"
    assert not [name for name, plot in plots.items() if "Objective 0" in str(plot)]


def test_plots_of_values_say_how_many_trials_have_none() -> None:
    plots = figures(summarized(study_of(mixed, 40)))
    for name in ("optimization_history", "parallel_coordinate", "contour"):
        said = "Of 40 trials, 10 pruned and 1 failed are not shown: no finite final value."
        assert said in plots[name].layout.meta["notes"]
    assert not figures(summarized(study_of(parabola, 12)))["optimization_history"].layout.meta["notes"]


def test_an_infinite_value_is_counted_among_the_trials_that_are_not_shown() -> None:
    study = study_of(lambda t: float("inf") if t.number == 3 else parabola(t), 12)
    notes = figures(summarized(study))["optimization_history"].layout.meta["notes"]
    assert notes == ["Of 12 trials, 1 infinite is not shown: no finite final value."]


def test_few_trials_have_no_ticks_between_their_numbers() -> None:
    assert figures(summarized(study_of(parabola, 3)))["optimization_history"].layout.xaxis.dtick == 1
    assert figures(summarized(study_of(parabola, 30)))["optimization_history"].layout.xaxis.dtick is None


space = optuna.distributions


@pytest.mark.parametrize(
    ("distribution", "low", "high", "texts"),
    [
        (space.FloatDistribution(1e-5, 1e-1, log=True), 1e-5, 1e-1, "1e-5 1e-3 1e-1"),
        (space.FloatDistribution(1e-3, 1.0, log=True), 1e-3, 1.0, "0.001 0.01 0.1 1"),
        (space.FloatDistribution(1e-3, 1.0, log=True), 0.011, 0.95, "0.03 0.1 0.3"),
        (space.FloatDistribution(1e-3, 1.0, log=True), 0.0066, 0.0132, "0.008 0.01 0.012"),
        (space.FloatDistribution(-1, 1), -1.1, 1.1, "-1 0 1"),
        (space.FloatDistribution(0, 1), 0.5, 0.5, "0.5"),
        (space.FloatDistribution(0, 1e9), 0, 1e9, "0 5e8 1e9"),
        (space.IntDistribution(1, 2), 0.95, 2.05, "1 2"),
        (space.IntDistribution(1, 9, step=4), 0.6, 9.4, "1 5 9"),
        (space.IntDistribution(1, 10**9), 1, 6, "2 4 6"),
        (space.IntDistribution(1, 10**9, log=True), 1, 10**9, "1 1000 1000000 1000000000"),
        (space.CategoricalDistribution([64, 16, 32]), 10, 70, "16 32 64"),
    ],
)
def test_ticks_are_few_round_and_values_that_a_parameter_can_have(
    distribution: space.BaseDistribution, low: float, high: float, texts: str
) -> None:
    scale = scale_of(distribution)
    assert scale is not None
    assert ticks(scale, low, high).texts == tuple(texts.split())


def test_choices_that_are_no_numbers_have_no_scale() -> None:
    assert scale_of(space.CategoricalDistribution(["a", 1])) is None
    assert scale_of(space.CategoricalDistribution([True, False])) is None


def test_any_range_gets_two_ticks_or_more_and_never_too_many() -> None:
    for log in (False, True):
        scale = scale_of(space.FloatDistribution(1e-9, 1e9, log=log))
        assert scale is not None
        for low in (1e-7, 0.9, 1.0, 3.7, 12345.6):
            for factor in (1.001, 1.3, 2.0, 9.99, 10.0, 99.0, 1e5):
                found = ticks(scale, low, low * factor)
                assert 2 <= len(found.values) <= 4, (low, factor, found)
                assert len(set(found.texts)) == len(found.texts)


def test_the_timeline_tells_the_exact_seconds_inside_the_objective() -> None:
    exact, lost = attempt(0, objective_s=0.0213), attempt(1, objective_s=None, cause="lost")
    figure = figures(summarized(study_of(parabola, 2), (exact, lost)))["timeline"]
    assert "0.0213 s in the objective" in figure.data[0].text[0]
    assert "<br>1 s<br>" in figure.data[1].text[0]


def test_durations_by_dates_in_whole_seconds_are_said_to_be_so() -> None:
    trials = study_of(parabola, 2).trials
    assert "whole seconds" not in durations(trials, []).notes[0]
    for trial in trials:
        trial.datetime_start, trial.datetime_complete = START, START + timedelta(seconds=1)
    assert "known in whole seconds only" in durations(trials, []).notes[0]


def test_an_even_sample_keeps_both_ends_and_the_order() -> None:
    assert evenly(range(101), 5) == [0, 25, 50, 75, 100]
    assert evenly([1, 2], 5) == [1, 2]


def test_labels_stay_short_and_distinct() -> None:
    labels = name_labels(["a\u2581choice", "a", "b" * 80, "c\u2581choice"])
    assert len(set(labels.values())) == 4
    assert labels["c\u2581choice"] == "c"
    assert len(labels["b" * 80]) == 28
    assert len(set(choice_labels(["y" * 12 + str(i) + "z" * 30 for i in range(5)]).values())) == 5


def slot(index: int, **changes: object) -> SlotRecord:
    plain = SlotRecord(
        rank=0,
        host="node01",
        slot=index,
        cpus=str(index),
        numa_nodes=(0,),
        threads=1,
        got_cpus=str(index),
        got_pools=(),
        problems=(),
        n_trials=4,
        n_lost=1,
        busy_s=60.0,
        alive_s=100.0,
        starting_s=20.0,
        waited_s=5.0,
        lost_s=5.0,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_the_use_of_time_has_a_bar_for_each_host_and_slot_which_is_full() -> None:
    figure = utilisation_figure([slot(0), slot(1, busy_s=20.0), slot(0, host="z<b>", rank=1)], ())
    assert [bar.name for bar in figure.data] == [
        "busy",
        "lost",
        "starting",
        "waiting for the database",
        "idle",
    ]
    rows = [
        "<b>node01</b>",
        "node01 · rank 0 · slot 0",
        "node01 · rank 0 · slot 1",
        "z&lt;b&gt; · rank 1 · slot 0",
    ]
    assert list(figure.data[0].y) == rows
    assert list(figure.data[0].x) == pytest.approx([0.4, 0.6, 0.2, 0.6])
    assert [sum(parts) for parts in zip(*(bar.x for bar in figure.data), strict=True)] == pytest.approx(
        [1] * 4
    )


def test_the_use_of_time_of_many_slots_is_drawn_by_host_and_says_so() -> None:
    figure = utilisation_figure([slot(index, host=f"h{index % 3}") for index in range(99)], ())
    assert list(figure.data[0].y) == ["h0", "h1", "h2"]
    assert "Machines alone, as there are 99 slots." in figure.layout.meta["notes"]


def test_slots_whose_time_was_not_measured_are_busy_or_idle_and_said_to_be_so() -> None:
    unknown = slot(0, starting_s=None, waited_s=None, lost_s=None)
    figure = utilisation_figure([unknown], ())
    assert {bar.name: bar.x[0] for bar in figure.data} == {"busy": 0.6, "idle": 0.4}
    assert "only the time of trials is known" in figure.layout.meta["notes"][0]


def test_value_against_duration_draws_a_line_through_what_no_other_trial_beats_in_both() -> None:
    study = study_of(lambda t: [9.0, 5.0, 5.0, 7.0, 1.0][t.number] + 0 * t.suggest_float("x", 0, 1), 5)
    seconds = [1.0, 2.0, 3.0, 2.5, 50.0]
    attempts = tuple(attempt(n, objective_s=s) for n, s in enumerate(seconds))
    figure = figures(summarized(study, attempts))["value_by_duration"]
    others, best = figure.data
    assert list(zip(best.x, best.y, strict=True)) == [(1.0, 9.0), (2.0, 5.0), (50.0, 1.0)]
    assert list(zip(others.x, others.y, strict=True)) == [(2.5, 7.0), (3.0, 5.0)]
    assert figure.layout.xaxis.type == "log"


def test_value_against_duration_of_a_maximized_objective_has_its_front_at_the_top() -> None:
    study = study_of(
        lambda t: [1.0, 3.0, 2.0][t.number] + 0 * t.suggest_float("x", 0, 1), 3, direction="maximize"
    )
    attempts = tuple(attempt(n, objective_s=s) for n, s in enumerate([1.0, 2.0, 3.0]))
    figure = figures(summarized(study, attempts))["value_by_duration"]
    assert list(figure.data[1].y) == [1.0, 3.0]
    assert figure.layout.xaxis.type == "linear"


@needs_browser
def test_every_plot_becomes_a_png_with_one_browser(tmp_path: Path) -> None:
    summary = summarized(study_of(parabola, 12), (attempt(0),))
    plots = figures(replace(summary, slots=(slot(0),)))
    assert {"utilisation", "value_by_duration"} <= plots.keys()
    written = write_pngs(plots, tmp_path / "plots")
    drawn = [name for name, plot in plots.items() if not isinstance(plot, Skipped)]
    assert isinstance(written, list), written
    assert [path.stem for path in written] == drawn
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == sorted(f"{n}.png" for n in drawn)
    for path in written:
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">I", path.read_bytes()[16:20])[0] == 1800  # 900 px, doubly sharp


def small_plots() -> dict[str, go.Figure | Skipped]:
    return {"one": go.Figure(go.Scatter(y=[1, 2]), layout={"height": 300}), "two": Skipped("No.")}


def test_without_a_browser_there_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    reason = write_pngs(small_plots(), tmp_path / "plots")
    assert isinstance(reason, str)
    assert "chromium" in reason
    assert "\n" not in reason


def test_a_browser_that_fails_is_a_reason_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER_PATH", _program(tmp_path, "exit 3"))
    reason = write_pngs(small_plots(), tmp_path / "plots", timeout_s=30)
    assert isinstance(reason, str)
    assert "\n" not in reason
    assert not (tmp_path / "plots").exists()


def test_a_browser_that_hangs_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = tmp_path / "pid"
    monkeypatch.setenv("BROWSER_PATH", _program(tmp_path, f"echo $$ > {pid_file}; exec sleep 600"))
    reason = write_pngs(small_plots(), tmp_path / "plots", timeout_s=6)
    assert isinstance(reason, str)
    assert "6 s" in reason
    assert not Path(f"/proc/{pid_file.read_text().strip()}/cmdline").is_file()


def _program(folder: Path, body: str) -> str:
    program = folder / "browser"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return str(program)


def test_the_report_module_loads_neither_optuna_nor_plotly() -> None:
    code = "import sys, orchestrator.report; sys.exit('plotly' in sys.modules or 'optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
