"""What searches of several metrics find, and what makes trials long: plots and reports of real searches."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import optuna
import plotly.graph_objects as go
import plotly.io
import pytest
import pytorch_lightning as pl
import torch
from optuna.trial import TrialState
from torch.utils.data import DataLoader

import bigdl.nano.automl.hpo as hpo
import bigdl.nano.automl.hpo.space as space
from bigdl.nano.automl.hpo.visualization import plot_param_importances, plot_pareto_front
from tests.bigdl.lightning_models import Bare, loader, net, searched, trainer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:pytorch_lightning")  # torch's, of a pytree


class Process(pl.Callback):
    """Writes down which process trained a trial."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        trainer.trial.set_user_attr("pid", os.getpid())


def plots_of(report: Path) -> dict[str, go.Figure]:
    """The plots that a report has drawn, by name."""
    pattern = r'<script type="application/json" data-plot="([^"]+)">(.*?)</script>'
    found = re.findall(pattern, report.read_text(), re.DOTALL)
    return {name: plotly.io.from_json(text) for name, text in found}


def titles(figure: go.Figure) -> list[str]:
    return [axis.title.text for axis in (figure.layout.xaxis, figure.layout.yaxis)]


# Two metrics


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[optuna.Study, Path]:
    """A search of loss and latency by two processes, and the folder of its run."""
    folder = tmp_path_factory.mktemp("both") / "run"
    metrics = ["val_loss", "latency"]
    model = net(width=space.Categorical(4, 64, 1024))
    given = {"n_parallels": 2, "target_metric": metrics, "seed": 3, "run_dir": folder, "draw": "html"}
    return searched(model, 14, trainer(callbacks=Process()), **given), folder


def front_of(figure: go.Figure) -> set[tuple[float, float]]:
    (front,) = (trace for trace in figure.data if trace.name == "on the front")
    return set(zip(front.x, front.y, strict=True))


def test_the_front_of_loss_and_latency_is_plotted_with_the_names_of_the_metrics(both: Any) -> None:
    study, _ = both
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 14
    assert len({trial.user_attrs["pid"] for trial in study.trials} - {os.getpid()}) == 2
    figure = plot_pareto_front(study)
    assert titles(figure) == ["val_loss", "latency"]
    assert front_of(figure) == {tuple(trial.values) for trial in study.best_trials}
    assert sum(len(trace.x) for trace in figure.data) == 14
    assert "Better: lower val_loss, lower latency." in figure.layout.title.text


def test_the_report_has_the_front_and_names_the_evaluator_of_importances(both: Any) -> None:
    study, folder = both
    plots = plots_of(folder / "report.html")
    assert titles(plots["pareto_front"]) == ["val_loss", "latency"]
    assert front_of(plots["pareto_front"]) == {tuple(trial.values) for trial in study.best_trials}
    heads = {
        "param_importances_0": "Importance for val_loss (PED-ANOVA)",
        "param_importances_1": "Importance for latency (PED-ANOVA)",
        "param_importances_duration": "Importance for the duration (PED-ANOVA)",
    }
    for name, head in heads.items():
        assert head in plots[name].layout.title.text
        assert {*plots[name].data[0].y} == {"width", "learning_rate"}
        assert sum(plots[name].data[0].x) == pytest.approx(1.0)


# Durations


class Deep(Bare):
    """Two hidden layers: the seconds of a training go with the square of the width."""

    def __init__(self, width: int, rate: float) -> None:
        super().__init__(width, rate, learning_rate=0.001)
        self.layers.insert(2, torch.nn.Linear(width, width))

    def train_dataloader(self) -> DataLoader:
        return loader(0, 512, batch_size=64)

    def val_dataloader(self) -> DataLoader:
        return loader(512, 640, batch_size=128)


deep = hpo.plmodel()(Deep)


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> tuple[optuna.Study, Path]:
    """A search in which the width decides how long a trial takes, and the folder of its run.

    A tenth of the trials are two or three. Of this seed's models the four narrowest are far narrower than
    most, and have both rates of dropout, so that it does not matter which of them the machine delays.
    """
    folder = tmp_path_factory.mktemp("timed") / "run"
    model = deep(width=space.Int(8, 2048), rate=space.Categorical(0.1, 0.4))
    given = {"n_parallels": 2, "sampler": "random", "seed": 22, "run_dir": folder, "draw": "html"}
    return searched(model, 24, max_epochs=1, **given), folder


def importances(figure: go.Figure) -> dict[str, float]:
    (bars,) = figure.data
    return dict(zip(bars.y, bars.x, strict=True))


def test_the_width_decides_about_the_duration_and_the_rate_of_dropout_does_not(timed: Any) -> None:
    study, _ = timed
    figure = plot_param_importances(
        study, target=lambda t: t.duration.total_seconds(), target_name="duration"
    )
    assert "Importance for duration (PED-ANOVA)" in figure.layout.title.text
    found = importances(figure)
    assert found["width"] > found["rate"], found


def test_the_report_says_so_from_the_seconds_inside_the_objective(timed: Any) -> None:
    _, folder = timed
    figure = plots_of(folder / "report.html")["param_importances_duration"]
    assert "Seconds inside the objective" in figure.layout.title.text
    found = importances(figure)
    assert found["width"] > found["rate"], found
