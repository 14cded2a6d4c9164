"""The plots of the modelling API, called as its user guide calls them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import optuna
import plotly.graph_objects as go
import pytest

import orchestrator
from bigdl.nano.automl.hpo.visualization import (
    plot_contour,
    plot_intermediate_values,
    plot_optimization_history,
    plot_parallel_coordinate,
    plot_param_importances,
    plot_pareto_front,
    plot_timeline,
)

ALL = [
    plot_optimization_history,
    plot_intermediate_values,
    plot_parallel_coordinate,
    plot_contour,
    plot_param_importances,
    plot_timeline,
]


def searched(n: int, directions: tuple[str, ...] = ("maximize",)) -> optuna.Study:
    def objective(trial: optuna.Trial) -> list[float]:
        kind = trial.suggest_categorical("act\u2581choice", ["relu", "tanh"])
        rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        if len(directions) == 1:
            trial.report(rate, 0)
        return [rate + (kind == "relu") * 0.001] * len(directions)

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    study = optuna.create_study(directions=directions, sampler=optuna.samplers.RandomSampler(seed=3))
    study.optimize(objective, n_trials=n)
    optuna.logging.set_verbosity(level)
    return study


@pytest.mark.parametrize("plot", ALL)
def test_every_plot_of_the_guide_is_a_figure_with_data_and_without_the_suffix(plot) -> None:
    figure = plot(searched(20))
    assert isinstance(figure, go.Figure)
    assert len(figure.data) > 0
    assert "choice" not in figure.to_json()


@pytest.mark.parametrize("plot", ALL)
def test_a_study_without_trials_gives_an_empty_figure_that_says_why(plot) -> None:
    figure = plot(searched(0))
    assert len(figure.data) == 0
    assert "trial" in figure.layout.title.text.lower()


def test_importance_by_duration_as_in_the_guide_names_duration_and_evaluator() -> None:
    study = searched(20)
    figure = plot_param_importances(
        study, target=lambda t: t.duration.total_seconds(), target_name="duration"
    )
    assert "Importance for duration (PED-ANOVA)" in figure.layout.title.text
    assert sum(figure.data[0].x) == pytest.approx(1.0)


def test_another_evaluator_is_named_in_the_title() -> None:
    evaluator = optuna.importance.MeanDecreaseImpurityImportanceEvaluator(seed=1)
    figure = plot_param_importances(searched(20), evaluator)
    assert "(mean decrease in impurity)" in figure.layout.title.text
    assert "best 10 %" not in figure.layout.title.text


def test_a_target_sees_the_stored_names_of_parameters() -> None:
    figure = plot_optimization_history(
        searched(5), target=lambda t: len(t.params["act\u2581choice"]), target_name="letters"
    )
    assert list(figure.data[0].y) == [4.0] * 5
    assert "best so far" not in [trace.name for trace in figure.data]


def test_importance_of_a_target_needs_no_other_objective() -> None:
    study = searched(30, ("maximize", "minimize"))
    figure = plot_param_importances(study, target=lambda t: -t.values[0], target_name="loss")
    assert max(zip(figure.data[0].x, figure.data[0].y, strict=True))[1] == "rate"


@pytest.mark.parametrize("name", ["act", "act\u2581choice"])
def test_parameters_are_chosen_by_their_stored_or_their_shown_name(name: str) -> None:
    figure = plot_contour(searched(20), params=[name, "rate"])
    assert {figure.layout.xaxis.title.text, figure.layout.yaxis.title.text} == {"act", "rate"}
    chosen = plot_parallel_coordinate(searched(20), params=[name]).layout.xaxis.ticktext
    assert chosen[1:] == ("act",)


def test_a_parameter_that_is_not_in_the_study_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"'depth' does not exist.*rate"):
        plot_contour(searched(3), params=["depth", "rate"])


def test_several_objectives_need_a_target_where_the_plot_shows_one() -> None:
    study = searched(8, ("maximize", "minimize"))
    with pytest.raises(ValueError, match="target"):
        plot_optimization_history(study)
    assert len(plot_param_importances(study).data) == 2


def test_several_studies_are_compared_and_averaged() -> None:
    studies = [searched(6), searched(6)]
    assert len(plot_optimization_history(studies).data) >= 4
    assert plot_optimization_history(studies, error_bar=True).data[0].error_y.array is not None


def with_values(*values: Any, names: list[str] | None = None, **kwargs: Any) -> optuna.Study:
    """A study of complete trials that have these values, and a rate."""
    study = optuna.create_study(directions=["minimize"] * len(values[0]), **kwargs)
    if names is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(names)
    for found in values:
        study.add_trial(trial(values=found, params={"rate": 0.5}, distributions={"rate": RATE}))
    return study


RATE = optuna.distributions.FloatDistribution(0, 1)
SIX = [
    (1.0, 5.0),
    (2.0, 3.0),
    (4.0, 1.0),
    (4.0, 6.0),
    (3.0, 3.5),
    (9.0, 9.0),
]  # the first three are the front


def trial(state: str = "COMPLETE", **kwargs: Any) -> optuna.trial.FrozenTrial:
    return optuna.trial.create_trial(state=optuna.trial.TrialState[state], **kwargs)


def points(figure: go.Figure) -> dict[str, set[tuple[float, ...]]]:
    """Where the points of each trace are."""
    axes = [
        (trace, [trace.x, trace.y, *([trace.z] if trace.type == "scatter3d" else [])])
        for trace in figure.data
    ]
    return {trace.name: set(zip(*columns, strict=True)) for trace, columns in axes}


def titles(figure: go.Figure) -> list[str]:
    """The names of the axes."""
    if figure.data[0].type == "scatter3d":
        axes = [figure.layout.scene.xaxis, figure.layout.scene.yaxis, figure.layout.scene.zaxis]
    else:
        axes = [figure.layout.xaxis, figure.layout.yaxis]
    return [axis.title.text for axis in axes]


def hovers(figure: go.Figure) -> dict[int, str]:
    """What the label of each trial says, by its number."""
    texts = [text for trace in figure.data for text in trace.text]
    return {int(text.removeprefix("<b>trial ").split(":")[0]): text for text in texts}


@pytest.mark.parametrize("ours", [*ALL, plot_pareto_front])
def test_the_signatures_are_those_of_optuna(ours: Callable[..., go.Figure]) -> None:
    theirs = inspect.signature(getattr(optuna.visualization, ours.__name__)).parameters
    own = dict(inspect.signature(ours).parameters)
    if ours is plot_pareto_front:
        assert own.pop("axis_order").kind is inspect.Parameter.KEYWORD_ONLY  # Optuna 5 has it no longer
    plain = {name: (parameter.kind, parameter.default) for name, parameter in theirs.items()}
    assert {name: (parameter.kind, parameter.default) for name, parameter in own.items()} == plain
    assert list(own) == list(theirs)


# The Pareto front


def test_the_pareto_front_tells_the_best_trials_from_those_that_they_dominate() -> None:
    figure = plot_pareto_front(with_values(*SIX))
    assert points(figure) == {"on the front": set(SIX[:3]), "dominated": set(SIX[3:])}
    assert titles(figure) == ["objective 0", "objective 1"]
    assert figure.data[-1].name == "on the front", "it lies above the others"


def test_the_front_is_that_of_the_directions() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    study.add_trials([trial(values=values) for values in SIX])
    assert points(plot_pareto_front(study))["on the front"] == {(1.0, 5.0), (4.0, 6.0), (9.0, 9.0)}


def test_axes_and_hovers_have_the_names_of_the_metrics() -> None:
    figure = plot_pareto_front(with_values(*SIX, names=["val_loss", "<b>latency"]))
    assert titles(figure) == ["val_loss", "&lt;b&gt;latency"]
    assert (
        hovers(figure)[1] == "<b>trial 1: on the front</b><br>val_loss 2<br>&lt;b&gt;latency 3<br>rate = 0.5"
    )
    assert "lower val_loss" in figure.layout.title.text


def test_names_of_the_call_stand_before_those_of_the_study() -> None:
    study = with_values(*SIX, names=["val_loss", "latency"])
    assert titles(plot_pareto_front(study, target_names=["loss", "ms"])) == ["loss", "ms"]


def test_the_axes_are_in_the_order_that_was_asked_for() -> None:
    study = with_values(*SIX, names=["val_loss", "latency"])
    figure = plot_pareto_front(study, axis_order=[1, 0], target_names=["loss", "ms"])
    assert titles(figure) == ["ms", "loss"]
    assert points(figure)["on the front"] == {(5.0, 1.0), (3.0, 2.0), (1.0, 4.0)}
    three = with_values((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    figure = plot_pareto_front(three, axis_order=[2, 0, 1])
    assert titles(figure) == ["objective 2", "objective 0", "objective 1"]
    assert points(figure) == {"on the front": {(3.0, 1.0, 2.0)}, "dominated": {(6.0, 4.0, 5.0)}}


def test_dominated_trials_are_left_out_and_counted() -> None:
    figure = plot_pareto_front(with_values(*SIX), include_dominated_trials=False)
    assert points(figure) == {"on the front": set(SIX[:3])}
    assert "3 dominated trials are left out." in figure.layout.meta["notes"]


def test_targets_say_what_is_drawn_and_the_objectives_who_is_on_the_front() -> None:
    study = with_values(*SIX, names=["val_loss", "latency"])
    figure = plot_pareto_front(study, targets=lambda t: [-t.values[0], t.params["rate"], t.number])
    front = {(-values[0], 0.5, number) for number, values in enumerate(SIX[:3])}
    assert points(figure)["on the front"] == front
    assert titles(figure) == ["target 0", "target 1", "target 2"]
    named = plot_pareto_front(study, targets=lambda t: t.values, target_names=["a", "b"])
    assert titles(named) == ["a", "b"]


@pytest.mark.parametrize("count", [1, 4])
def test_targets_draw_a_study_of_any_number_of_objectives(count: int) -> None:
    study = with_values(*([float(n)] * count for n in (3, 1, 2)))
    figure = plot_pareto_front(study, targets=lambda t: (t.values[0], t.number))
    assert points(figure) == {"on the front": {(1.0, 1)}, "dominated": {(3.0, 0), (2.0, 2)}}


def test_a_trial_that_breaks_a_constraint_is_infeasible_and_dominates_nothing() -> None:
    study = with_values(*SIX)
    study.add_trial(trial(values=(0.0, 0.0), constraints={"memory": 0.1}))
    expected = {"infeasible": {(0.0, 0.0)}, "on the front": set(SIX[:3]), "dominated": set(SIX[3:])}
    assert points(plot_pareto_front(study)) == expected
    by_call = plot_pareto_front(study, constraints_func=lambda t: [1.5 - t.values[0]])
    assert points(by_call)["infeasible"] == {(0.0, 0.0), (1.0, 5.0)}
    none = plot_pareto_front(study, constraints_func=lambda t: [1.0])
    assert points(none) == {"infeasible": {*SIX, (0.0, 0.0)}}
    assert "No trial keeps its constraints" in none.layout.title.text


def test_trials_without_finite_values_are_counted_and_not_drawn() -> None:
    study = with_values(*SIX, (float("inf"), 0.0))
    study.add_trials([trial("FAIL"), trial("RUNNING")])
    figure = plot_pareto_front(study)
    assert sum(map(len, points(figure).values())) == 6
    assert "1 running, 1 failed and 1 infinite are not shown" in figure.layout.title.text


def test_of_many_trials_the_whole_front_and_a_sample_of_the_others_are_drawn() -> None:
    front = [(float(n), -float(n)) for n in range(400)]
    study = with_values(*front, *((float(n), 1000.0 + n) for n in range(2000)))
    found = points(plot_pareto_front(study))
    assert found["on the front"] == set(front)
    assert len(found["dominated"]) == 750


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({"target_names": ["a"]}, "target_names has 1 names for 2"),
        ({"axis_order": [0]}, "axis_order is \\[0\\]; it must have 0 and 1"),
        ({"axis_order": [0, 0]}, "axis_order"),
        ({"axis_order": [1, 2]}, "axis_order"),
        ({"axis_order": [0, 1], "targets": lambda t: t.values}, "not both"),
        ({"targets": lambda t: t.values[0]}, "sequence"),
        ({"targets": lambda t: t.values[:1]}, "two or three axes"),
        (
            {"targets": lambda t: [1.0, 2.0] + [3.0] * (t.number == 0)},
            "2 values of one trial and 3 of another",
        ),
        ({"targets": lambda t: t.values, "target_names": ["a", "b", "c"]}, "target_names"),
    ],
)
def test_a_mistake_in_the_call_of_the_pareto_front_raises(call: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plot_pareto_front(with_values(*SIX), **call)


@pytest.mark.parametrize("count", [1, 4])
def test_a_front_of_one_or_four_objectives_needs_targets(count: int) -> None:
    with pytest.raises(ValueError, match=rf"two or three axes.*is {count}\..*targets="):
        plot_pareto_front(with_values([1.0] * count))


@pytest.mark.parametrize("call", [{}, {"targets": lambda t: t.values}, {"target_names": ["a", "b"]}])
def test_without_complete_trials_the_front_is_an_empty_figure_that_says_why(call: dict[str, Any]) -> None:
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.add_trial(trial("RUNNING"))
    figure = plot_pareto_front(study, **call)
    assert len(figure.data) == 0
    assert "No trial is complete" in figure.layout.title.text


# The timeline

START = datetime(2026, 1, 31, 12)


def ran(state: str, start_s: float, seconds: float | None, **kwargs: Any) -> optuna.trial.FrozenTrial:
    """A trial that began so many seconds after ``START``."""
    made = trial(state, **kwargs)
    made.datetime_start = START + timedelta(seconds=start_s)
    made.datetime_complete = None if seconds is None else made.datetime_start + timedelta(seconds=seconds)
    return made


def timed() -> optuna.Study:
    study = optuna.create_study()
    study.add_trials(
        [
            ran("COMPLETE", 0, 2.5, value=0.25, params={"rate": 0.5}, distributions={"rate": RATE}),
            ran("PRUNED", 1, 0.5),
            ran("FAIL", 2, 1),
            ran("COMPLETE", 3, 4, value=1.0),
            ran("RUNNING", 5, None),
            ran("COMPLETE", 6, 0, value=1.0, constraints={"memory": 1.0}),
        ]
    )
    study.enqueue_trial({"rate": 0.1})
    return study


def bars(figure: go.Figure) -> dict[int, tuple[str, float, float]]:
    """By trial: what became of it, and the seconds from ``START`` to its start and from there to its end."""
    return {
        y: (trace.name, (datetime.fromisoformat(base) - START).total_seconds(), x / 1000)
        for trace in figure.data
        for y, base, x in zip(trace.y, trace.base, trace.x, strict=True)
    }


def test_the_timeline_has_a_bar_for_each_trial_and_a_colour_for_what_became_of_it() -> None:
    figure = plot_timeline(timed())
    assert bars(figure) == {
        0: ("complete", 0, 2.5),
        1: ("pruned", 1, 0.5),
        2: ("failed", 2, 1),
        3: ("complete", 3, 4),
        4: ("running", 5, 2),  # to the last moment that is known
        5: ("infeasible", 6, 0),
    }
    assert len({trace.marker.color for trace in figure.data}) == len(figure.data) == 5
    widths = {trace.width for trace in figure.data}
    assert len(widths - {None}) == len(widths) == 1, "else plotly draws a rare outcome over its neighbours"
    assert "1 waiting trial is not shown." in figure.layout.title.text
    assert hovers(figure)[0] == "<b>trial 0: complete</b><br>2.5 s<br>value 0.25<br>rate = 0.5"


def test_the_latest_trials_of_the_timeline_are_chosen_by_their_number() -> None:
    figure = plot_timeline(timed(), n_recent_trials=2)
    assert sorted(bars(figure)) == [4, 5]
    assert "The latest 2 of 6 trials." in figure.layout.title.text
    assert sorted(bars(plot_timeline(timed(), 100))) == list(range(6))


@pytest.mark.parametrize("count", [0, -1])
def test_a_timeline_of_no_trials_is_a_mistake_in_the_call(count: int) -> None:
    with pytest.raises(ValueError, match=f"n_recent_trials is {count}"):
        plot_timeline(timed(), n_recent_trials=count)


def test_the_clock_of_the_timeline_is_utc_where_our_storage_kept_the_times() -> None:
    summary = orchestrator.search(lambda trial: trial.number, n_trials=2, progress=False)
    assert plot_timeline(summary.study).layout.xaxis.title.text == "time (UTC)"
    assert plot_timeline(timed()).layout.xaxis.title.text == "time"
