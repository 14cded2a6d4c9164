"""What a search optimises is checked before anything runs."""

import pytest

from bigdl.nano.automl.search.targets import (
    Targets,
    choose_directions,
    choose_targets,
    require_reported,
)


def test_the_default_metric_is_the_first_of_compile():
    assert choose_targets(None, "last", ["mae", "accuracy"], False)[0] == ("mae",)
    assert choose_targets(None, "last", None, False)[0] == ("loss",)
    assert choose_targets(None, "last", {"out": "accuracy"}, False)[0] == ("loss",)


def test_with_validation_data_the_metric_on_them_is_meant():
    assert choose_targets("accuracy", "last", None, True)[0] == ("val_accuracy",)
    assert choose_targets("val_accuracy", "last", None, True)[0] == ("val_accuracy",)
    assert choose_targets(["accuracy", "loss"], "last", None, True)[0] == ("val_accuracy", "val_loss")


@pytest.mark.parametrize(
    ("metric", "mode", "says"),
    [
        ("accuracy", "mean", "target_metric_mode is 'mean'; choose from last, max, min, auto"),
        ([], "last", "give the name of a metric"),
        ([3], "last", "give the name of a metric"),
        (["loss", "loss"], "last", "each metric may stand once"),
    ],
)
def test_metrics_and_modes_that_are_none_are_refused(metric, mode, says):
    with pytest.raises(ValueError, match=says):
        choose_targets(metric, mode, None, False)


def test_a_metric_that_the_model_does_not_report_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"'acuracy'.*reports loss, accuracy\..*'accuracy'\?"):
        require_reported(["acuracy"], ["loss", "accuracy"], False)
    with pytest.raises(ValueError, match="val_loss needs validation data: give validation_data"):
        require_reported(["val_loss"], ["loss"], False)
    require_reported(["val_loss"], ["loss"], True)


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("loss", "minimize"),
        ("val_loss", "minimize"),
        ("out_mean_squared_error", "minimize"),
        ("val_accuracy", "maximize"),
        ("digits_accuracy", "maximize"),
        ("auc", "maximize"),
    ],
)
def test_the_direction_follows_from_the_name_of_the_metric(name, direction):
    assert choose_directions([name], None, None, {}) == (direction,)


def test_what_keras_knows_of_a_metric_comes_before_its_name():
    assert choose_directions(["val_score"], None, None, {"score": "maximize"}) == ("maximize",)


def test_accuracy_cannot_be_minimised():
    with pytest.raises(ValueError, match="accuracy cannot be minimised: direction='maximize'"):
        choose_directions(["accuracy"], "minimize", None, {})


def test_a_metric_of_ones_own_needs_a_direction():
    with pytest.raises(ValueError, match="Is a larger my_score better"):
        choose_directions(["my_score"], None, None, {})
    assert choose_directions(["my_score"], "minimize", None, {}) == ("minimize",)


@pytest.mark.parametrize(
    ("direction", "directions", "says"),
    [
        ("minimize", ["minimize"], "direction or directions, not both"),
        (None, "minimize", "must be a list"),
        (None, ["minimize"], "1 directions for 2 metrics"),
        ("minimize", None, "1 directions for 2 metrics"),
        (None, ["minimize", "up"], "direction is 'up'"),
    ],
)
def test_directions_that_do_not_fit_are_refused(direction, directions, says):
    with pytest.raises(ValueError, match=says):
        choose_directions(["loss", "accuracy"], direction, directions, {})


@pytest.mark.parametrize(("mode", "score"), [("last", 0.7), ("max", 0.9), ("min", 0.2), ("auto", 0.9)])
def test_the_mode_says_which_epoch_counts(mode, score):
    targets = Targets(("accuracy",), ("maximize",), mode)
    assert targets.scores([{"accuracy": one} for one in (0.2, 0.9, 0.7)]) == (score,)


def test_auto_is_the_best_epoch_of_each_metric_in_its_direction():
    targets = Targets(("accuracy", "loss"), ("maximize", "minimize"), "auto")
    assert targets.scores([{"accuracy": 0.2, "loss": 0.1}, {"accuracy": 0.9, "loss": 0.3}]) == (0.9, 0.1)


def test_an_epoch_without_a_number_is_not_the_best():
    nan = float("nan")
    assert Targets(("loss",), ("minimize",), "min").scores([{"loss": one} for one in (nan, 2.0, 3.0)]) == (
        2.0,
    )


def test_a_training_without_the_metric_is_an_error_that_names_it():
    with pytest.raises(ValueError, match="no metric 'f1'; this model reports loss"):
        Targets(("f1",), ("maximize",)).scores([{"loss": 1.0}])


@pytest.mark.parametrize(("mode", "better"), [("last", True), ("max", False), ("min", True), ("auto", False)])
def test_the_weights_that_count_are_those_of_the_epoch_that_counts(mode, better):
    targets = Targets(("accuracy",), ("maximize",), mode)
    assert targets.is_better(0.5, None)
    assert targets.is_better(0.4, 0.5) is better
    nan = float("nan")
    assert targets.is_better(nan, 0.5) is (mode == "last")
    assert targets.is_better(0.5, nan)


def test_the_best_epoch_is_one_for_all_metrics():
    epochs = [{"f1": 0.2, "loss": 0.1}, {"f1": 0.9}, {"f1": float("nan"), "loss": 0.3}]
    both = Targets(("f1", "loss"), ("maximize", "minimize"), "best")
    assert both.scores(epochs) == (0.9, 0.1)
    assert both.scores(epochs[1:]) == (0.9, 0.3)
    assert Targets((), (), "best").scores(epochs) == ()
