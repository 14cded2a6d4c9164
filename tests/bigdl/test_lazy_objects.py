"""Objects with searchable arguments and the decorators that make them: classes, functions, objectives."""

import functools
import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import optuna
import pytest

import bigdl.nano.automl.hpo as hpo
import orchestrator
from bigdl.nano.automl.hpo import space
from bigdl.nano.automl.hpo.lazy import Build
from bigdl.nano.automl.hpo.objects import LazyObject, Searchable
from bigdl.nano.automl.hpo.sharing import parameters_in
from bigdl.nano.automl.hpo.values import DefaultValues

ROOM = Path(__file__).resolve().parents[2]


class Plain:
    """A class as people write them."""

    kind = "plain"

    def __init__(self, units: int, rate: float = 0.5, *, how: Any = None) -> None:
        self.units, self.rate, self.how = units, rate, how

    @classmethod
    def of(cls, units: int) -> "Plain":
        return cls(units)


Layer: Any = hpo.obj()(Plain)


@hpo.obj()
class Decorated:
    def __init__(self, units: int) -> None:
        self.units = units


@hpo.func()
def double(x: Any, times: int = 2) -> Any:
    """Twice."""
    return x * times


def made(thing: Any) -> Any:
    return Build(DefaultValues()).resolve(thing)


def elsewhere(thing: Any, expression: str) -> str:
    """What an expression of ``thing`` gives in another process that cannot import this module."""
    code = f"import sys, pickle; thing = pickle.load(sys.stdin.buffer); print({expression})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=cloudpickle.dumps(thing),
        cwd=ROOM,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


# A searchable class stands for the class


def test_it_makes_an_object_to_be() -> None:
    one = Layer(units=space.Int(3, 9), how=[space.Bool()])
    assert isinstance(one, LazyObject)
    assert [name for name, _, _ in parameters_in(one)] == ["units", "how▁0"]
    real = made(one)
    assert type(real) is Plain
    assert (real.units, real.rate, real.how) == (3, 0.5, [False])


def test_spaces_given_by_place_are_named_by_the_signature() -> None:
    one = Layer(space.Int(3, 9), space.Real(0, 1))
    assert [name for name, _, _ in parameters_in(one)] == ["units", "rate"]
    assert made(one).units == 3


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Layer(), "Plain: missing a required argument: 'units'."),
        (lambda: Layer(3, unit=space.Int(1, 3)), "Plain: got an unexpected keyword argument 'unit'."),
        (lambda: Layer(3, 0.1, "x"), "Plain: too many positional arguments."),
        (lambda: Layer(3, units=4), "Plain: multiple values for argument 'units'."),
    ],
)
def test_wrong_arguments_are_refused_where_they_are_written(make: Any, text: str) -> None:
    with pytest.raises(TypeError) as raised:
        make()
    assert str(raised.value) == text


class Many:
    def __init__(self, *parts: Any, size: int = 1) -> None:
        self.parts, self.size = parts, size


def test_a_space_among_arguments_without_names_is_refused() -> None:
    many: Any = hpo.obj()(Many)
    assert made(many(1, 2, size=space.Int(4, 5))).parts == (1, 2)
    assert made(many(1, Layer(units=space.Int(1, 2)))).parts[1].units == 1
    with pytest.raises(
        TypeError, match=r"^Many: give Int\(1, 2\) by keyword, so that its parameter has a name"
    ):
        many(space.Int(1, 2))


def test_it_has_the_attributes_of_the_class() -> None:
    assert Layer.kind == "plain"
    assert type(Layer.of(3)) is Plain
    assert Layer.__name__ == "Plain"
    assert Layer.__doc__ == "A class as people write them."
    assert repr(Layer) == f"<searchable {__name__}.Plain>"
    with pytest.raises(AttributeError, match="nothing_of_it"):
        _ = Layer.nothing_of_it


def test_isinstance_and_issubclass_ask_the_class() -> None:
    assert isinstance(Plain(3), Layer)
    assert not isinstance(3, Layer)
    assert issubclass(Plain, Layer)
    assert not isinstance(Layer(units=3), Layer)


def test_a_subclass_of_it_is_a_subclass_of_the_class() -> None:
    class Mine(Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(units=7)

    assert Mine.__mro__[:2] == (Mine, Plain)
    assert Mine().units == 7
    assert isinstance(Mine(), Layer)


def test_calling_its_init_from_a_subclass_is_refused_and_spoils_nothing() -> None:
    class Mine(Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            Layer.__init__(self)

    with pytest.raises(TypeError, match=r"^Call super\(\).__init__\(\.\.\.\) in place of Plain.__init__"):
        Mine()
    assert Layer.__wrapped__ is Plain


def test_an_object_to_be_is_true_and_says_what_it_is() -> None:
    one = Layer(units=space.Int(1, 3), how=(Plain, "x"))
    assert one
    assert repr(one) == "Plain(units=Int(1, 3), how=(Plain, 'x'))"


def test_one_build_makes_it_once_and_two_builds_make_two() -> None:
    one = Layer(units=3)
    recipe = [one, {"again": one}]
    first, second = made(recipe), made(recipe)
    assert first[0] is first[1]["again"]
    assert first[0] is not second[0]


def test_what_holds_nothing_lazy_is_handed_over_itself() -> None:
    data = [1, {"a": (2, 3)}]
    assert made(data) is data
    assert made(Layer(units=3, how=data)).how is data


def test_the_user_s_containers_are_not_changed() -> None:
    data = [space.Int(1, 3)]
    one = Layer(units=3, how=data)
    made(one)
    assert isinstance(data[0], space.Int)


# Functions


def test_a_function_without_spaces_is_the_function() -> None:
    assert double(4) == 8
    assert double.__doc__ == "Twice."
    assert repr(double) == f"<searchable {__name__}.double>"


def test_a_function_with_a_space_is_called_in_each_build() -> None:
    one = double(space.Int(3, 9), times=space.Int(2, 5))
    assert [name for name, _, _ in parameters_in(one)] == ["x", "times"]
    assert made(one) == 6
    with pytest.raises(TypeError, match=r"^double: got an unexpected keyword argument 'time'\."):
        double(space.Int(1, 3), time=3)


def test_a_function_as_a_value_stands_for_the_function() -> None:
    assert made(Layer(units=3, how=double)).how is double.__wrapped__
    assert made(Layer(units=3, how=space.Categorical(double, None))).how is double.__wrapped__


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self, x: int) -> int:
        return x + 1


@pytest.mark.parametrize("function", [functools.partial(int, base=2), Unhashable(), len, "a-b".split])
def test_whatever_can_be_called_can_be_decorated(function: Any) -> None:
    decorated = hpo.func()(function)
    assert made(Layer(units=3, how=decorated)).how is function
    assert repr(decorated).startswith("<searchable ")


def test_a_callable_that_cannot_be_hashed_takes_spaces() -> None:
    assert made(hpo.func()(Unhashable())(x=space.Int(3, 4))) == 4


@pytest.mark.parametrize(
    ("decorate", "text"),
    [
        (lambda: hpo.obj()(double), "@hpo.obj() decorates a class, not double."),
        (lambda: hpo.obj()(3), "@hpo.obj() decorates a class, not int."),
        (lambda: hpo.func()(3), "@hpo.func() decorates a function, not int."),
        (lambda: hpo.args()(3), "@hpo.args() decorates a function, not int."),
        (lambda: hpo.tfmodel()(3), "@hpo.tfmodel() decorates a subclass of tf.keras.Model, not int."),
    ],
)
def test_what_cannot_be_decorated_is_refused_in_one_line(decorate: Any, text: str) -> None:
    with pytest.raises(TypeError) as raised:
        decorate()
    assert str(raised.value) == text


# In other processes


def test_classes_and_functions_of_a_module_reach_another_process() -> None:
    assert elsewhere(Decorated(units=space.Int(3, 9)), "thing.default.units") == "3"
    assert elsewhere(double(x=space.Int(3, 9)), "thing.default") == "6"
    assert elsewhere(double, "thing(5)") == "10"
    assert elsewhere(Decorated, "thing.__name__, thing(units=4).default.units") == "Decorated 4"


def test_classes_and_functions_of_a_local_scope_reach_another_process() -> None:
    factor = 5

    @hpo.obj()
    class Local(Plain):
        def __init__(self, units: int) -> None:
            super().__init__(units * factor)

    @hpo.func()
    def local(x: int) -> int:
        return x + factor

    assert (
        elsewhere(Local(units=space.Int(2, 9)), "thing.default.units, thing") == "10 Local(units=Int(2, 9))"
    )
    assert elsewhere(local(x=space.Int(2, 9)), "thing.default") == "7"


def test_an_importable_class_is_pickled_by_its_name() -> None:
    fraction: Any = hpo.obj()(optuna.samplers.RandomSampler)
    twin = pickle.loads(pickle.dumps(fraction(seed=space.Int(1, 3))))
    assert twin.target is optuna.samplers.RandomSampler
    assert isinstance(pickle.loads(pickle.dumps(fraction)), Searchable)


# Objectives of arguments


@hpo.args(
    lr=space.Real(0.1, 1, log=True),
    layer=Layer(units=space.Int(1, 9), rate=0.1),
    kind=space.Categorical(space.Categorical("a", "b"), space.Int(3, 4)),
    epochs=2,
)
def train(args: Any) -> float:
    """Trains."""
    assert type(args.layer).__name__ == "Plain"
    assert args.epochs == 2
    assert args.kind in ("a", "b", 3, 4)
    return float(args.lr + args.layer.units)


def test_an_objective_asks_a_trial_for_its_arguments() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(train, n_trials=8)
    for trial in study.trials:
        assert trial.value == trial.params["lr"] + trial.params["units"]
        assert {"lr", "units", "kind▁choice"} < set(trial.params)
        assert len(trial.params) == 4


def test_an_objective_keeps_name_and_text_and_takes_a_trial() -> None:
    assert (train.__name__, train.__doc__) == ("train", "Trains.")
    assert list(inspect.signature(train).parameters) == ["trial"]


def test_orchestrator_searches_with_an_objective_of_arguments() -> None:
    summary = orchestrator.search(train, n_trials=5, directions=["minimize"], study_name="of-arguments")
    values = [trial.value for trial in summary.study.trials]
    assert len(values) == 5
    assert summary.study.best_value == min(value for value in values if value is not None)


def test_a_local_objective_is_searched_by_other_processes(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    offset = 3

    @hpo.args(x=space.Int(1, 5), layer=Layer(units=space.Int(1, 9)))
    def local(args: Any) -> float:
        return float(args.x + args.layer.units + offset + (os.getpid() == parent))

    parent = os.getpid()
    summary = orchestrator.search(
        local, n_trials=4, directions=["minimize"], storage=f"sqlite:///{tmp_path}/s.db", study_name="local"
    )
    for trial in summary.study.trials:
        assert trial.value == trial.params["x"] + trial.params["units"] + 3
