"""Search spaces: what they take, what they are called, what they give, with real studies and ConfigSpace."""

import copy
import pickle
import random
import subprocess
import sys
from collections import Counter
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bigdl.nano.automl.hpo as hpo
from bigdl.nano.automl.hpo import space
from bigdl.nano.automl.hpo.lazy import ROOT, Build
from bigdl.nano.automl.hpo.objects import Arguments
from bigdl.nano.automl.hpo.sharing import parameters_in
from bigdl.nano.automl.hpo.space import SPLITTER, Space
from bigdl.nano.automl.hpo.values import RandomValues, StoredValues, TrialValues

ROOM = Path(__file__).resolve().parents[2]
SEARCHES = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


class Thing:
    """An object with searchable arguments, as a layer is."""

    def __init__(self, units: Any = None, rate: Any = None, inner: Any = None) -> None:
        self.units, self.rate, self.inner = units, rate, inner


Lazy = hpo.obj()(Thing)


def name(*path: str) -> str:
    return SPLITTER.join(path)


def names_in(thing: Any) -> list[str]:
    return [one for one, _, _ in parameters_in(thing)]


def studied(thing: Any, n_trials: int = 12) -> list[tuple[dict[str, Any], Any]]:
    """What a real study with its sampler makes of it: the parameters of each trial and the value."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    found = []
    for _ in range(n_trials):
        trial = study.ask()
        value = Build(TrialValues(trial)).resolve(thing)
        study.tell(trial, 0.0)
        found.append((study.trials[-1].params, value))
    return found


# Every space in every other


def numbers() -> st.SearchStrategy[Space]:
    whole = st.tuples(st.integers(-50, 50), st.integers(0, 60), st.integers(1, 9)).map(
        lambda one: space.Int(one[0], one[0] + one[1], step=one[2])
    )
    log_whole = st.tuples(st.integers(1, 50), st.integers(0, 60)).map(
        lambda one: space.Int(one[0], one[0] + one[1], log=True)
    )
    real = st.tuples(st.integers(-50, 50), st.integers(0, 60)).map(
        lambda one: space.Real(one[0] / 7, (one[0] + one[1]) / 7)
    )
    log_real = st.tuples(st.integers(1, 50), st.integers(0, 60)).map(
        lambda one: space.Real(one[0] / 7, (one[0] + one[1]) / 7, log=True)
    )
    return whole | log_whole | real | log_real | st.booleans().map(space.Bool)


def plain() -> st.SearchStrategy[Any]:
    return st.none() | st.integers(-3, 3) | st.sampled_from(["relu", "tanh", ""]) | st.floats(0, 1)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Space]:
    many = st.lists(inner, min_size=1, max_size=3)
    keyed = st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, min_size=1)
    choices = many.filter(lambda data: len({(type(one), one) for one in data if _is_plain(one)}) == len(data))
    return (
        many.map(lambda data: space.List(*data))
        | keyed.map(lambda data: space.Dict(**data))
        | st.lists(numbers(), min_size=1, max_size=3).map(lambda data: space.Categorical(*data, "else"))
        | choices.filter(_differ).map(lambda data: space.Categorical(*data))
        | keyed.map(lambda data: Lazy(units=data.get("a"), rate=data.get("b"), inner=data.get("c")))
    )


def _is_plain(thing: Any) -> bool:
    return not isinstance(thing, Space)


def _differ(data: list[Any]) -> bool:
    return not all(map(_is_plain, data)) or all(one not in data[:i] for i, one in enumerate(data))


SPACES = st.recursive(numbers() | plain(), nested, max_leaves=8).filter(lambda one: isinstance(one, Space))


def flat(thing: Any) -> Any:
    """A value without objects, to be compared; the type of each part counts."""
    if isinstance(thing, Thing):
        return "Thing", flat(vars(thing))
    if isinstance(thing, dict):
        return {key: flat(item) for key, item in thing.items()}
    if isinstance(thing, list):
        return [flat(item) for item in thing]
    assert not isinstance(thing, Space), "a space was handed over in place of its value"
    return type(thing).__name__, thing


@given(SPACES)
@SEARCHES
def test_a_default_and_a_random_value_hold_no_space_at_any_depth(one: Space) -> None:
    flat(one.default)
    flat(one.rand)


@given(SPACES)
@SEARCHES
def test_the_parameters_of_a_trial_give_the_same_value_again(one: Space) -> None:
    for params, value in studied(one, n_trials=3):
        again = Build(StoredValues(params)).resolve(one)
        assert flat(again) == flat(value)


@given(SPACES)
@SEARCHES
def test_a_trial_holds_no_parameter_that_the_space_does_not_name(one: Space) -> None:
    known = set(names_in(one))
    for params, _ in studied(one, n_trials=3):
        assert set(params) <= known


@given(SPACES)
@SEARCHES
def test_a_configuration_of_configspace_gives_a_value(one: Space) -> None:
    if isinstance(one, space.SimpleSpace):
        assert one.get_hp("units").name == "units"
        return
    configurations = one.cs
    configurations.seed(5)
    for _ in range(3):
        config = dict(configurations.sample_configuration())
        assert isinstance(one, space.NestedSpace)
        flat(one.sample(**config))


@given(SPACES)
@SEARCHES
def test_pickles_and_copies_give_the_same_values_for_the_same_chance(one: Space) -> None:
    for twin in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert repr(twin) == repr(one)
        assert names_in(twin) == names_in(one)
        values = [flat(Build(RandomValues(4)).resolve(thing)) for thing in (one, twin)]
        assert values[0] == values[1]


# Numbers


def test_an_integer_reaches_its_last_step_and_not_more() -> None:
    one = space.Int(2, 9, step=3)
    assert one.last == 8
    drawn = {value["n"] for _, value in studied(Arguments({"n": one}), 60)}
    assert drawn == {2, 5, 8} == {one.rand for _ in range(200)}


def test_logarithmic_draws_favour_small_values() -> None:
    rng = random.Random(1)
    whole, real = space.Int(1, 1000, log=True), space.Real(1e-4, 1.0, log=True)
    assert sum(whole.draw(rng) <= 31 for _ in range(400)) > 150
    assert sum(real.draw(rng) <= 1e-2 for _ in range(400)) > 150
    assert all(whole.accepts(whole.draw(rng)) and real.accepts(real.draw(rng)) for _ in range(400))


def test_a_range_of_one_number_is_that_number() -> None:
    both = space.List(space.Int(3, 3), space.Real(0.5, 0.5), space.Int(4, 5, step=7))
    assert both.default == both.rand == [3, 0.5, 4]
    assert both.sample(**dict(both.cs.get_default_configuration())) == [3, 0.5, 4]


def test_defaults_are_the_lower_bound_or_what_was_given() -> None:
    assert (space.Int(2, 8).default, space.Int(2, 8, default=5).default) == (2, 5)
    assert (space.Real(2, 8).default, space.Real(2, 8, default=2.5).default) == (2.0, 2.5)
    assert (space.Bool().default, space.Bool(default=True).default) == (False, True)
    assert (space.Categorical("a", "b").default, space.Categorical("a", "b", default="b").default) == (
        "a",
        "b",
    )


def test_positional_arguments_stand_as_in_the_old_system() -> None:
    real = space.Real(0.1, 1, 0.2, True, "p")
    whole = space.Int(1, 9, 3, True, "p")
    assert (real.default, real.log, real.prefix) == (0.2, True, "p")
    assert (whole.default, whole.log, whole.prefix) == (3, True, "p")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: space.Int(9, 1), "lower is 9, upper is 1; lower must not be larger."),
        (lambda: space.Real(0.5, 0.1), "lower is 0.5, upper is 0.1; lower must not be larger."),
        (lambda: space.Int(0, 9, log=True), "lower is 0; with log=True it must be more than 0."),
        (lambda: space.Real(0, 9, log=True), "lower is 0; with log=True it must be more than 0."),
        (lambda: space.Int(1, 9, step=0), "step is 0; it must be 1 or more, and 1 with log=True."),
        (lambda: space.Int(1, 9, log=True, step=2), "step is 2; it must be 1 or more, and 1 with log=True."),
        (lambda: space.Int(1, 2.5), "upper is 2.5; it must be a whole number."),
        (lambda: space.Int(1, float("inf")), "upper is inf; it must be a whole number."),
        (lambda: space.Int(True, 4), "lower is True; it must be a whole number."),
        (lambda: space.Int("1", 4), "lower is '1'; it must be a whole number."),
        (lambda: space.Int(None, 4), "lower is None; it must be a whole number."),
        (lambda: space.Real(0, float("inf")), "upper is inf; it must be a finite number."),
        (lambda: space.Real(float("nan"), 1), "lower is nan; it must be a finite number."),
        (lambda: space.Real([0], 1), "lower is [0]; it must be a finite number."),
        (lambda: space.Int(1, 4, default=5), "The default 5 is not in Int(1, 4)."),
        (lambda: space.Int(1, 9, default=3, step=4), "The default 3 is not in Int(1, 9, step=4)."),
        (lambda: space.Real(1, 4, default=5), "The default 5 is not in Real(1, 4)."),
        (lambda: space.Bool(default=1), "The default 1 is not in Bool()."),
        (
            lambda: space.Categorical("a", "b", default="c"),
            "The default 'c' is not in Categorical('a', 'b').",
        ),
        (lambda: space.Categorical(), "A Categorical needs at least one choice."),
        (
            lambda: space.Categorical(1, True),
            "Choice True of a Categorical equals an earlier one; choices must differ.",
        ),
        (lambda: space.Int(1, 2, prefix=""), "prefix is ''; it must be a text that is not empty."),
        (lambda: space.Bool(prefix=3), "prefix is 3; it must be a text that is not empty."),
    ],
)
def test_what_makes_no_space_is_refused_in_one_line(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r"\.$") as raised:
        make()
    assert str(raised.value) == text


# Names


def test_names_are_those_of_the_old_system() -> None:
    arguments = Arguments(
        {
            "learning_rate": space.Real(0, 1),
            "units": space.Categorical(8, 16, prefix="dense_1"),
            "layer": space.Categorical(Lazy(units=space.Int(1, 3)), Lazy(rate=space.Real(0, 1))),
        }
    )
    assert sorted(names_in(arguments)) == sorted(
        [
            "learning_rate",
            "dense_1:units\u2581choice",
            "layer\u2581choice",
            "layer\u25810\u2581units",
            "layer\u25811\u2581rate",
        ]
    )


def test_an_object_among_arguments_names_its_own() -> None:
    assert names_in(Arguments({"optimizer": Lazy(rate=space.Real(0, 1))})) == ["rate"]
    assert names_in(Arguments({"losses": [Lazy(rate=space.Real(0, 1))]})) == ["rate"]
    assert names_in(Lazy(inner=Lazy(rate=space.Real(0, 1)))) == [name("inner", "rate")]


def test_a_prefix_holds_for_all_below_that_have_none_of_their_own() -> None:
    one = space.Dict(
        prefix="outer",
        a=space.Int(1, 2),
        b=space.Categorical(space.Int(1, 2), space.Int(1, 2, prefix="own"), "x", prefix="mid"),
        c=space.List(space.Bool()),
    )
    assert names_in(Lazy(inner=one)) == [
        "outer:" + name("inner", "a"),
        "mid:" + name("inner", "b", "choice"),
        "mid:" + name("inner", "b", "0"),
        "own:" + name("inner", "b", "1"),
        "outer:" + name("inner", "c", "0"),
    ]


def test_one_space_for_two_arguments_is_two_parameters() -> None:
    both = space.Int(1, 100)
    one = Lazy(units=both, rate=both)
    assert sorted(names_in(one)) == ["rate", "units"]
    assert any(value.units != value.rate for _, value in studied(one))


# Choices


class Colour(str, Enum):  # noqa: UP042 - its str() is Colour.RED
    RED = "red"


class Size(IntEnum):
    BIG = 64


def test_plain_choices_are_stored_as_themselves() -> None:
    one = Lazy(units=space.Categorical(8, 2.5, "relu", None, True))
    for params, value in studied(one, 30):
        stored = params[name("units", "choice")]
        assert stored == value.units
        assert type(stored) is type(value.units)


def test_enumerations_and_numbers_of_numpy_are_stored_as_plain_values() -> None:
    choices = [Colour.RED, Size.BIG, np.int64(7), np.float64(0.5), np.float32(0.25)]
    one = Lazy(units=space.Categorical(*choices))
    stored = {}
    for params, value in studied(one, 40):
        label = params[name("units", "choice")]
        stored[label] = value.units
        assert type(label) in (str, int, float)
    assert stored == {"red": Colour.RED, 64: Size.BIG, 7: np.int64(7), 0.5: 0.5, 0.25: 0.25}
    assert type(stored[7]) is int


def test_the_chosen_space_hands_over_its_value() -> None:
    one = Lazy(units=space.Categorical(space.Int(1, 3), space.Categorical("a", space.Int(10, 12)), None))
    for params, value in studied(one, 40):
        assert value.units in (1, 2, 3, "a", 10, 11, 12, None)
        assert len(params) <= 3


def test_trials_hold_only_the_parameters_of_the_branch_taken() -> None:
    layer = space.Categorical(
        Lazy(units=space.Int(1, 3)), Lazy(rate=space.Real(0, 1), inner=Lazy(units=space.Int(4, 6)))
    )
    seen: Counter[frozenset[str]] = Counter()
    for params, _ in studied(Arguments({"layer": layer}), 30):
        seen[frozenset(params)] += 1
    choice = name("layer", "choice")
    assert set(seen) == {
        frozenset({choice, name("layer", "0", "units")}),
        frozenset({choice, name("layer", "1", "rate"), name("layer", "1", "inner", "units")}),
    }


def test_choices_that_read_alike_get_their_index() -> None:
    twice = space.Categorical(space.Int(1, 2), space.Int(1, 2), "Int(1, 2) [1]")
    assert len(set(twice.labels)) == 3
    assert space.Categorical((3, 3), [3, 3], {"a": 1}, {"a": 2}).labels == [
        "(3, 3)",
        "[3, 3]",
        "dict [2]",
        "dict [3]",
    ]


def test_what_is_not_a_number_can_be_chosen() -> None:
    one = Lazy(units=space.Categorical(float("nan"), 1.0))
    for params, _ in studied(one, 10):
        again = Build(StoredValues({key: float(value) for key, value in params.items()})).resolve(one)
        assert (again.units != again.units) == (params[name("units", "choice")] != 1.0)


def test_a_default_is_found_among_arrays_and_tuples() -> None:
    zeros, ones = np.zeros(2), np.ones(2)
    assert space.Categorical(zeros, ones, default=ones).default is ones
    assert space.Categorical((3, 3), (5, 5), default=(5, 5)).default == (5, 5)
    with pytest.raises(ValueError, match="is not in Categorical"):
        space.Categorical(zeros, ones, default=np.ones(3))


LABELS = """
import functools, numpy as np
import bigdl.nano.automl.hpo as hpo
from bigdl.nano.automl.hpo import space
def local():
    def inner(): pass
    class Layer:
        def __init__(self, units, how=None): pass
    return inner, Layer
inner, Layer = local()
one = space.Categorical(
    inner, lambda: 0, Layer, object(), np.zeros(2), functools.partial(inner),
    hpo.obj()(Layer)(units=space.Int(1, 3)),
    hpo.obj()(Layer)(units=inner, how=[object(), inner]), hpo.func()(inner),
    space.Dict(a=object()), space.List(object()), (object(), 1),
)
print(one.labels)
"""


def test_the_labels_of_other_choices_are_the_same_in_every_process() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", f"padding = [object() for _ in range({n})]\n{LABELS}"],
            cwd=ROOM,
            env={"PYTHONHASHSEED": str(n), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for n in (1, 9999)
    ]
    assert runs[0] == runs[1]
    assert "0x" not in runs[0]
    assert "Layer(units=Int(1, 3))" in runs[0]


def test_stored_parameters_of_another_recipe_are_refused_in_one_line() -> None:
    one = Lazy(units=space.Int(1, 3))
    with pytest.raises(ValueError, match=r"^Trial 4: there is no 'units'; the model was changed since\.$"):
        Build(StoredValues({}, "Trial 4")).resolve(one)
    with pytest.raises(ValueError, match=r"^Trial 4: 'units' is 9, and Int\(1, 3\) has no such value"):
        Build(StoredValues({"units": 9}, "Trial 4")).resolve(one)


# Collections


def test_lists_and_dictionaries_can_be_read() -> None:
    many, named, one = space.List(1, space.Int(2, 3)), space.Dict(a=1, b=2), space.Categorical("x", "y")
    assert (len(many), many[0], next(iter(many))) == (2, 1, 1)
    assert (len(named), named["b"], [*named]) == (2, 2, ["a", "b"])
    assert (len(one), one[1], [*one]) == (2, "y", ["x", "y"])


def test_spaces_in_ordinary_lists_and_named_tuples_are_found() -> None:
    from typing import NamedTuple

    class Pair(NamedTuple):
        a: Any
        b: Any

    one = Lazy(units=[space.Int(1, 3), (space.Bool(), "x")], rate=Pair(space.Real(0, 1), 2), inner=Pair)
    assert names_in(one) == [
        name("units", "0"),
        name("units", "1", "0"),
        name("rate", "0"),
    ]
    value = one.default
    assert value.units == [1, (False, "x")]
    assert value.rate == Pair(0.0, 2)
    assert value.inner is Pair


# ConfigSpace


def test_configspace_gets_ranges_defaults_and_prefixes() -> None:
    real = space.Real(0.1, 1, default=0.3, log=True, prefix="p").get_hp("lr")
    assert (real.name, real.lower, real.upper, real.default_value, real.log) == ("lr", 0.1, 1, 0.3, True)
    assert real.meta == {"prefix": "p"}
    stepped = space.Int(2, 9, step=3, default=5).get_hp("n")
    assert (list(stepped.sequence), stepped.default_value) == ([2, 5, 8], 5)
    assert space.Bool(default=True).get_hp("b").default_value is True


def test_configspace_knows_which_branch_a_parameter_belongs_to() -> None:
    one = space.Categorical(
        Lazy(units=space.Int(1, 3)), space.Categorical("x", space.Real(0, 1)), prefix="p", default=None
    )
    configurations = one.cs
    configurations.seed(1)
    conditions = {condition.child.name: condition.parent.name for condition in configurations.conditions}
    assert conditions == {
        name("0", "units"): "choice",
        name("1", "choice"): "choice",
        name("1", "1"): name("1", "choice"),
    }
    for config in configurations.sample_configuration(30):
        active = dict(config)
        assert (name("0", "units") in active) == (active["choice"] == "Thing(units=Int(1, 3))")
        assert (name("1", "1") in active) == (active.get(name("1", "choice")) == "Real(0, 1)")


def test_the_configspace_of_an_object_makes_the_object() -> None:
    one = Lazy(units=space.Int(1, 3), rate=space.Bool())
    made = one.sample(**dict(one.cs.get_default_configuration()))
    assert isinstance(made, Thing)
    assert (made.units, made.rate) == (1, False)
    assert type(made.units) is int
    assert type(made.rate) is bool


def test_without_configspace_one_line_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['ConfigSpace'] = None\n"
        "from bigdl.nano.automl.hpo import space\n"
        "space.Int(1, 3).get_hp('n')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOM, capture_output=True, text=True, check=False)
    assert (
        done.stderr.splitlines()[-1] == "ImportError: ConfigSpace is not installed: pip install ConfigSpace."
    )


def test_the_root_place_names_nothing() -> None:
    assert space.Int(1, 3).parameter_at(ROOT) == ""
    assert space.Categorical(1, 2, prefix="p").parameter_at(ROOT) == "p:choice"
