"""The plots of the modelling API, called as its user guide calls them."""

from __future__ import annotations

import optuna
import plotly.graph_objects as go
import pytest

from bigdl.nano.automl.hpo.visualization import (
    plot_contour,
    plot_intermediate_values,
    plot_optimization_history,
    plot_parallel_coordinate,
    plot_param_importances,
)

ALL = [
    plot_optimization_history,
    plot_intermediate_values,
    plot_parallel_coordinate,
    plot_contour,
    plot_param_importances,
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
