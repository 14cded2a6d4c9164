"""How fast a trained model is: measured honestly, made faster where that keeps its metrics, and stored."""

from __future__ import annotations

import contextlib
import math
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

import bigdl.nano.automl.hpo as hpo
import bigdl.nano.automl.hpo.space as space
from bigdl.nano.automl.pytorch import acceleration
from bigdl.nano.automl.pytorch.acceleration import METHODS, ORIGINAL, Method, accelerated, choose, register
from bigdl.nano.automl.pytorch.inputs import inputs_for
from bigdl.nano.automl.pytorch.latency import measure, trimmed_mean
from tests.bigdl.lightning_models import Bare, Net, Small, digits, loader, net, searched, trainer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:pytorch_lightning")  # torch's, of a pytree


@pytest.fixture(autouse=True)
def _a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> dict[str, Method]:
    """A registry of its own, empty."""
    own: dict[str, Method] = {}
    monkeypatch.setattr(acceleration, "METHODS", own)
    return own


# Measuring


def test_a_call_takes_as_long_as_it_takes() -> None:
    latency = measure(lambda: time.sleep(0.004))
    assert 4.0 <= latency.mean_ms < 40.0
    assert latency.spread_ms >= 0.0
    assert latency.n_timed >= 20
    assert latency.threads == torch.get_num_threads()


def test_the_first_calls_do_not_count() -> None:
    calls: list[float] = []

    def slow_at_first() -> None:
        calls.append(time.perf_counter())
        if len(calls) == 1:
            time.sleep(0.3)

    latency = measure(slow_at_first)
    assert latency.mean_ms < 1.0
    assert len(calls) >= latency.n_timed + 3


def test_a_slow_call_is_timed_a_few_times() -> None:
    latency = measure(lambda: time.sleep(0.6))
    assert 2 <= latency.n_timed <= 10
    assert latency.mean_ms >= 600


def test_the_mean_is_without_the_extremes() -> None:
    assert trimmed_mean([0.0, 2.0, 3.0, 4.0, 1000.0]) == 3.0
    assert trimmed_mean([1.0, 3.0]) == 2.0


def test_gradients_are_off_and_the_model_is_left_as_it_was() -> None:
    modes: list[bool] = []
    measure(lambda: modes.append(torch.is_inference_mode_enabled()))
    assert set(modes) == {True}


def test_others_are_those_outside_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    from bigdl.nano.automl.pytorch import latency

    looks = iter(
        [
            {0: (0.0, 10.0), 1: (0.0, 10.0), 2: (5.0, 10.0)},
            {0: (9.0, 20.0), 1: (1.0, 20.0), 2: (8.0, 20.0)},
        ]
    )
    monkeypatch.setattr(latency, "_cpu_seconds", lambda: next(looks))
    monkeypatch.setattr(latency.os, "sched_getaffinity", lambda _: {0})
    assert measure(lambda: None).others_busy == pytest.approx((1.0 + 3.0) / 20.0)


def test_without_others_there_is_no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    from bigdl.nano.automl.pytorch import latency

    monkeypatch.setattr(latency, "_cpu_seconds", dict)
    assert measure(lambda: None).others_busy is None


# What a model is called with


def test_inputs_are_what_was_given_or_the_models_own_or_one_sample() -> None:
    model = Net(4)
    by = trainer(max_epochs=1)
    by.fit(model)
    (sample,) = inputs_for(model, None, by)
    assert torch.equal(sample, digits()[0][256:257])
    model.example_input_array = digits()[0][:3]
    assert inputs_for(model, None, by)[0] is model.example_input_array
    given = digits()[0][:2]
    assert inputs_for(model, given, by)[0] is given
    assert inputs_for(model, (given, given), by) == (given, given)


def test_without_data_and_input_nothing_can_be_measured() -> None:
    class Loaders:
        val_dataloaders = None
        train_dataloader = None

    with pytest.raises(ValueError, match="there are no data to call the model with; give input_sample"):
        inputs_for(Net(4), None, Loaders())


# As an objective


def test_latency_is_an_objective_and_its_measurement_is_stored() -> None:
    study = searched(n_trials=2, target_metric=["val_loss", "latency"])
    assert [way.name for way in study.directions] == ["MINIMIZE", "MINIMIZE"]
    assert study.metric_names == ["val_loss", "latency"]
    for trial in study.trials:
        stored = trial.user_attrs["latency"]
        assert stored.keys() == {"mean_ms", "spread_ms", "n_timed", "threads", "others_busy"}
        assert trial.values[1] == pytest.approx(stored["mean_ms"], rel=1e-3)
        assert 0 < trial.values[1] < 100
        assert trial.values[0] == pytest.approx(min(trial.user_attrs["history"]["val_loss"]))
        assert "optimization" not in trial.user_attrs


def test_a_wider_model_is_slower() -> None:
    by = trainer(limit_train_batches=1, limit_val_batches=1)
    model = net(width=space.Categorical(4, 40_000), learning_rate=0.01)
    grid = {"sampler": "grid", "sampler_kwargs": {"search_space": {"width": [4, 40_000]}}}
    best = by.search(
        model, n_trials=2, target_metric="latency", max_epochs=1, show_progress_bar=False, **grid
    )
    values = {trial.params["width\u2581choice"]: trial.value for trial in by.search_summary().trials}
    assert values[4] < values[40_000]
    assert best.hparams.width == 4


def test_latency_goes_with_an_input_that_is_given() -> None:
    @hpo.plmodel()
    class Two(Small):
        def forward(self, images: torch.Tensor, factor: torch.Tensor | None = None) -> torch.Tensor:
            SEEN.append(images.shape[0] if factor is not None else None)
            return super().forward(images)

    SEEN.clear()
    sample = (torch.zeros(7, 64), torch.ones(1))
    searched(Two(width=space.Int(4, 8)), 1, target_metric="latency", input_sample=sample)
    assert 7 in SEEN


SEEN: list[int | None] = []


# Acceleration


def test_what_is_installed_is_tried_and_the_fastest_kept() -> None:
    study = searched(n_trials=1, target_metric=["val_loss", "latency"], acceleration=True)
    (trial,) = study.trials
    tried = trial.user_attrs["optimizations"]
    assert tried.keys() == {ORIGINAL, *METHODS}
    assert isinstance(tried["jit"], float)
    is_possible = shutil.which("g++") is not None and " " not in sys.prefix  # torch hands it over unquoted
    assert isinstance(tried["compile"], float) or not is_possible, tried["compile"]
    times = {name: ms for name, ms in tried.items() if isinstance(ms, float)}
    assert trial.user_attrs["optimization"] == min(times, key=lambda name: times[name])
    assert trial.values[1] == pytest.approx(min(times.values()), rel=1e-3)


def test_acceleration_needs_no_objective_of_latency(methods: dict[str, Method]) -> None:
    (trial,) = searched(n_trials=1, acceleration=True).trials
    assert trial.user_attrs["optimization"] == ORIGINAL
    assert trial.user_attrs["latency"]["mean_ms"] > 0
    assert len(trial.values) == 1


class Slow(Small):
    """Its ``forward`` takes 2 ms more, which a way of acceleration can spare."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        time.sleep(0.002)
        return self.layers(images)


def way(name: str, change: Any = None, sleep_s: float = 0.0, problem: str | None = None) -> Method:
    """A way of acceleration: the layers alone, their outputs changed, after some time."""

    def accelerate(module: Any, inputs: Any, is_bf16: bool) -> Any:
        def forward(images: torch.Tensor) -> torch.Tensor:
            time.sleep(sleep_s)
            scores = module.layers(images)
            return scores if change is None else change(scores)

        return forward

    return Method(name, lambda: problem, accelerate)


def broken(name: str) -> Method:
    def accelerate(module: Any, inputs: Any, is_bf16: bool) -> Any:
        raise RuntimeError("no such\n instruction")

    return Method(name, lambda: None, accelerate)


@hpo.plmodel()
class SlowNet(Slow):
    """Searched."""


def accelerated_trial(**kwargs: Any) -> Any:
    kwargs = {"target_metric": ["val_loss", "latency"], "max_epochs": 1, **kwargs}
    return searched(SlowNet(width=space.Int(4, 8)), 1, acceleration=True, **kwargs).trials[0]


def test_the_fastest_that_keeps_the_metrics_is_taken(methods: dict[str, Method]) -> None:
    for method in (
        way("wrong", lambda scores: -scores),
        way("right", sleep_s=0.0005),
        way("slower", sleep_s=0.004),
        way("gone", problem="it is not installed"),
        broken("broken"),
    ):
        methods[method.name] = method
    trial = accelerated_trial()
    tried = trial.user_attrs["optimizations"]
    assert trial.user_attrs["optimization"] == "right"
    assert trial.values[1] == pytest.approx(tried["right"], rel=1e-3)
    assert tried["right"] < tried[ORIGINAL] < tried["slower"]
    assert tried["wrong"].startswith("rejected: val_loss ")
    assert tried["gone"] == "skipped: it is not installed"
    assert tried["broken"] == "failed: RuntimeError: no such instruction"


@pytest.mark.parametrize(("factor", "is_taken"), [(1.001, True), (1.5, False)])
def test_metrics_may_be_one_per_cent_worse(methods: dict[str, Method], factor: float, is_taken: bool) -> None:
    """An untrained net: its loss, about log 10, changes with the scores."""
    methods["way"] = way("way", lambda scores: scores * factor + (factor - 1) * torch.arange(10.0))
    trial = accelerated_trial()
    assert (trial.user_attrs["optimization"] == "way") is is_taken


def test_a_metric_that_is_better_is_no_objection(methods: dict[str, Method]) -> None:
    labels = digits()[1]

    def knows(scores: torch.Tensor) -> torch.Tensor:
        if len(scores) == 1:
            return scores
        knows.at += len(scores)  # type: ignore[attr-defined]
        part = labels[knows.at - len(scores) : knows.at]  # type: ignore[attr-defined]
        return torch.nn.functional.one_hot(part, 10).float() * 9

    knows.at = 256  # type: ignore[attr-defined]
    methods["oracle"] = way("oracle", knows)
    assert accelerated_trial().user_attrs["optimization"] == "oracle"


def test_where_metrics_do_not_tell_outputs_are_compared(methods: dict[str, Method]) -> None:
    class Around(Slow):
        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", self.layers(batch[0]).mean())

    model = hpo.plmodel()(Around)(width=space.Int(4, 8))
    methods["double"] = way("double", lambda scores: scores * 2)
    (trial,) = searched(model, 1, acceleration=True, max_epochs=1).trials
    assert trial.user_attrs["optimizations"]["double"].startswith("rejected: outputs differ by 100.00%")
    methods["double"] = way("double", lambda scores: scores * 1.001)
    (trial,) = searched(model, 1, acceleration=True, max_epochs=1).trials
    assert trial.user_attrs["optimization"] == "double"


def test_without_validation_outputs_are_compared(methods: dict[str, Method]) -> None:
    @hpo.plmodel()
    class Unvalidated(Bare):
        def train_dataloader(self) -> DataLoader:
            return loader(0, 64)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            time.sleep(0.002)
            return self.layers(images)

    methods["wrong"], methods["right"] = way("wrong", lambda scores: scores + 1), way("right", sleep_s=0.0005)
    (trial,) = searched(
        Unvalidated(width=space.Int(4, 8)), 1, target_metric=["train_loss", "latency"], acceleration=True
    ).trials
    assert trial.user_attrs["optimization"] == "right"
    assert trial.user_attrs["optimizations"]["wrong"].startswith("rejected: outputs differ")


def test_nan_is_worse_than_a_number(methods: dict[str, Method]) -> None:
    methods["nan"] = way("nan", lambda scores: scores * math.nan)
    trial = accelerated_trial()
    assert trial.user_attrs["optimization"] == ORIGINAL


def test_the_model_is_as_before_and_a_way_can_be_used_after_the_search() -> None:
    model = Net(8)
    image = (digits()[0][:1],)

    @contextlib.contextmanager
    def context() -> Iterator[None]:
        yield

    choice = choose(model, image, lambda: {}, {}, context, False)
    assert "forward" not in vars(model)
    with torch.inference_mode():
        outputs = [accelerated(model, image, name)(*image) for name in (ORIGINAL, choice.name, "jit")]
    for other in outputs[1:]:
        torch.testing.assert_close(outputs[0], other)
    with pytest.raises(KeyError):
        accelerated(model, image, "magic")


@pytest.mark.parametrize("name", [ORIGINAL, "jit"])
def test_a_way_is_used_in_bfloat16_as_it_was_measured(name: str) -> None:
    image = (digits()[0][:1],)
    forward = accelerated(Net(8), image, name, is_bf16=True)
    assert forward(*image).dtype == torch.bfloat16


def test_a_way_of_ones_own_is_registered(methods: dict[str, Method]) -> None:
    assert register(way("mine")) is methods["mine"]


def test_weights_that_are_kept_are_those_of_training_also_when_accelerated() -> None:
    by = trainer()
    best = by.search(
        net(), n_trials=1, max_epochs=1, acceleration=True, keep_best=True, show_progress_bar=False
    )
    assert by.validate(best, verbose=False)[0]["val_loss"] == pytest.approx(by.search_summary().best_value)


def test_a_method_is_told_of_bfloat16(methods: dict[str, Method]) -> None:
    told: list[bool] = []

    def accelerate(module: Any, inputs: Any, is_bf16: bool) -> Any:
        told.append(is_bf16)
        return module.forward

    methods["ask"] = Method("ask", lambda: None, accelerate)
    searched(n_trials=1, by=trainer(precision="bf16"), acceleration=True, max_epochs=1)
    assert told == [True]
    assert isinstance(trainer(precision="bf16").precision_plugin, pl.plugins.MixedPrecision)
