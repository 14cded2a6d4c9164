"""Parameters of one name: which definition counts, what is said of it, and that all who share it get it."""

import copy
import pickle
import re
import sys
import warnings
from typing import Any

import cloudpickle
import optuna
import pytest

import bigdl.nano.automl.hpo as hpo
from bigdl.nano.automl.hpo import space
from bigdl.nano.automl.hpo.lazy import Build
from bigdl.nano.automl.hpo.objects import Arguments
from bigdl.nano.automl.hpo.sharing import SharedParameterWarning, last_definitions, warn_of_shared_names
from bigdl.nano.automl.hpo.space import SPLITTER
from bigdl.nano.automl.hpo.values import DefaultValues, StoredValues, TrialValues


class Layer:
    def __init__(self, units: Any = None, rate: Any = None, layer: Any = None) -> None:
        self.units, self.rate, self.layer = units, rate, layer


Lazy = hpo.obj()(Layer)
CHOICE = SPLITTER + "choice"


def row(*objects: Any) -> Arguments:
    """Objects beside each other, each of which names its own arguments, as the layers of a model do."""
    return Arguments({"row": list(objects)})


def told(*recipes: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_shared_names(*recipes)
    assert all(one.category is SharedParameterWarning for one in caught)
    return [str(one.message) for one in caught]


def built(recipe: Any, **params: Any) -> Any:
    values = StoredValues(params) if params else DefaultValues()
    return Build(values, last_definitions(recipe)).resolve(recipe)["row"]


def tried(recipe: Any, n_trials: int = 20) -> list[tuple[dict[str, Any], Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    found = []
    for _ in range(n_trials):
        trial = study.ask()
        made = Build(TrialValues(trial), last_definitions(recipe)).resolve(recipe)
        found.append((trial.params, made["row"]))
    return found


def here() -> int:
    return sys._getframe(1).f_lineno


# The last definition counts


def test_the_last_definition_counts_for_all() -> None:
    recipe = row(Lazy(units=space.Int(1, 3)), Lazy(units=space.Int(5, 9)))
    for params, (first, second) in tried(recipe):
        assert first.units == second.units == params["units"]
        assert 5 <= first.units <= 9


def test_it_is_the_order_of_writing_that_counts_and_not_that_of_use() -> None:
    wide = space.Int(5, 9)
    narrow = space.Int(1, 3)
    recipe = row(Lazy(units=narrow), Lazy(units=wide))
    assert all(1 <= params["units"] <= 3 for params, _ in tried(recipe))


def test_the_last_default_counts_as_well() -> None:
    recipe = row(Lazy(units=space.Int(1, 3, default=2)), Lazy(units=space.Int(1, 9, default=8)))
    assert [one.units for one in built(recipe)] == [8, 8]
    choices = row(
        Lazy(units=space.Categorical("a", "b", default="b")),
        Lazy(units=space.Categorical("a", "b", default="a")),
    )
    assert [one.units for one in built(choices)] == ["a", "a"]


def test_a_winner_of_another_kind_counts_too() -> None:
    recipe = row(Lazy(units=space.Int(1, 3)), Lazy(units=space.Real(0.2, 0.4)), Lazy(units=space.Bool(True)))
    assert [one.units for one in built(recipe)] == [True, True, True]
    assert {type(params["units"]) for params, _ in tried(recipe)} == {bool}


def test_plain_choices_of_other_types_are_the_winners() -> None:
    recipe = row(
        Lazy(units=space.Categorical(0, 1)), Lazy(units=space.Categorical(False, True, default=True))
    )
    assert [one.units for one in built(recipe)] == [True, True]
    assert type(built(recipe)[0].units) is bool


def test_a_space_that_stands_for_two_arguments_counts_in_both() -> None:
    early = space.Int(50, 60)
    both = space.Int(1, 3)
    recipe = row(Lazy(rate=both), Lazy(units=early), Lazy(units=both))
    assert all(made[1].units <= 3 for _, made in tried(recipe))
    assert len(told(recipe)) == 1


def test_a_prefix_parts_them() -> None:
    recipe = row(Lazy(units=space.Int(1, 3)), Lazy(units=space.Int(5, 9, prefix="dense_2")))
    assert told(recipe) == []
    assert all(set(params) == {"units", "dense_2:units"} for params, _ in tried(recipe))


def test_recipe_and_arguments_are_looked_at_together() -> None:
    layers, compiling = Lazy(rate=space.Real(0, 1)), Arguments({"optimizer": Lazy(rate=space.Real(2, 3))})
    assert len(told(layers, compiling)) == 1
    assert last_definitions(layers, compiling)["rate"].accepts(2.5)


# What is said


def test_the_warning_names_both_places_both_ranges_and_the_prefix() -> None:
    first, line = Lazy(units=space.Int(1, 3)), here()
    second = Lazy(units=space.Categorical(4, 5))
    third = Lazy(units=space.Int(5, 9))
    (text,) = told(row(first, second, third))
    assert text == (
        f"'units' is defined by Int(1, 3) (test_sharing.py:{line}) and by Int(5, 9) "
        f"(test_sharing.py:{line + 2}): they share one parameter and the last one, Int(5, 9), counts for "
        "both. A prefix parts them: Int(5, 9, prefix='layer_2')."
    )


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (space.Bool, "Bool(prefix='layer_2')"),
        (lambda: space.Real(1, 2, log=True), "Real(1, 2, log=True, prefix='layer_2')"),
        (lambda: space.Int(1, 9, step=2), "Int(1, 9, step=2, prefix='layer_2')"),
        (lambda: space.Categorical("a", 1), "Categorical('a', 1, prefix='layer_2')"),
    ],
)
def test_the_prefix_is_shown_as_one_would_write_it(make: Any, text: str) -> None:
    (said,) = told(row(Lazy(units=make()), Lazy(units=make())))
    assert said.endswith(f"A prefix parts them: {text}.")


def test_one_warning_for_each_name() -> None:
    recipe = row(*(Lazy(units=space.Int(1, 3), rate=space.Bool()) for _ in range(5)))
    assert sorted(re.findall(r"^'(\w+)'", text)[0] for text in told(recipe)) == ["rate", "units"]


def test_the_same_space_or_object_used_twice_is_no_matter() -> None:
    units = space.Int(1, 3)
    layer = Lazy(units=units)
    assert told(row(Lazy(units=units), Lazy(units=units), layer, layer)) == []
    assert told(layer, Arguments({"units": units}), row(layer)) == []


def test_other_names_are_no_matter() -> None:
    assert told(row(Lazy(units=space.Int(1, 3)), Lazy(rate=space.Int(1, 3)))) == []
    assert told(space.List(space.Int(1, 3), space.Int(1, 3))) == []


def test_an_objective_of_arguments_says_it_too() -> None:
    with pytest.warns(SharedParameterWarning, match=r"^'units' is defined by .*test_sharing\.py:\d+"):
        hpo.args(a=Lazy(units=space.Int(1, 3)), b=Lazy(units=space.Int(5, 9)))


# Choices of objects under one name


def two_choices(upper: int) -> list[Any]:
    return [
        space.Categorical(Lazy(units=space.Int(1, 3)), Lazy(rate=space.Real(0, 1))),
        space.Categorical(Lazy(units=space.Int(1, upper)), Lazy(rate=space.Real(0, 1))),
    ]


def as_layers(choices: list[Any]) -> Any:
    return [Arguments({"layer": one}) for one in choices]


def made_of(recipe: Any, **params: Any) -> list[Any]:
    build = Build(StoredValues(params), last_definitions(*recipe))
    return [build.resolve(one)["layer"] for one in recipe]


@pytest.mark.parametrize("upper", [3, 9])
def test_each_of_two_choices_makes_an_object_of_its_own(upper: int) -> None:
    recipe = as_layers(two_choices(upper))
    first, second = made_of(recipe, **{"layer" + CHOICE: _label(upper), "layer▁0▁units": 3})
    assert first is not second
    assert (first.units, second.units) == (3, 3)


def _label(upper: int) -> str:
    return f"Layer(units=Int(1, {upper}))"


def test_the_branches_of_the_last_choice_count() -> None:
    recipe = as_layers(two_choices(9))
    made = made_of(recipe, **{"layer" + CHOICE: _label(9), "layer▁0▁units": 8})
    assert [one.units for one in made] == [8, 8]
    with pytest.raises(ValueError, match="has no such value"):
        made_of(recipe, **{"layer" + CHOICE: _label(3), "layer▁0▁units": 3})


def test_one_choice_used_twice_makes_one_object() -> None:
    choice = space.Categorical(Lazy(units=space.Int(1, 3)), Lazy(rate=space.Real(0, 1)))
    other = space.Categorical(Lazy(units=space.Int(1, 9)), Lazy(rate=space.Real(0, 1)))
    recipe = as_layers([choice, choice, other])
    first, second, third = made_of(recipe, **{"layer" + CHOICE: _label(9), "layer▁0▁units": 3})
    assert first is second
    assert third is not first


def test_trials_of_shared_choices_hold_one_branch() -> None:
    recipe = as_layers(two_choices(9))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    seen = set()
    for _ in range(20):
        trial = study.ask()
        build = Build(TrialValues(trial), last_definitions(*recipe))
        first, second = (build.resolve(one)["layer"] for one in recipe)
        assert (first.units, first.rate) == (second.units, second.rate)
        seen.add(frozenset(trial.params))
    choice = "layer" + CHOICE
    assert seen == {frozenset({choice, "layer▁0▁units"}), frozenset({choice, "layer▁1▁rate"})}


def test_a_choice_and_a_number_of_one_name_are_refused_in_one_line() -> None:
    recipe = Lazy(units=[space.Categorical("a", "b", prefix="p"), Lazy()])
    number = Arguments({"units": {"0": {"choice": space.Int(1, 3, prefix="p")}}})
    build = Build(DefaultValues(), last_definitions(recipe, number))
    with pytest.raises(ValueError, match=r"is the choice of Categorical\('a', 'b'\) and also Int\(1, 3\)"):
        build.resolve(recipe)


# In another process


def test_after_pickling_and_copying_the_same_definition_wins() -> None:
    wide, narrow = space.Int(5, 9), space.Int(1, 3)
    recipe = row(Lazy(units=narrow), Lazy(units=wide), Lazy(units=narrow))
    for twin in (
        pickle.loads(cloudpickle.dumps(recipe)),
        copy.deepcopy(recipe),
        pickle.loads(cloudpickle.dumps(copy.deepcopy(recipe))),
    ):
        assert repr(last_definitions(twin)["units"]) == "Int(1, 3)"
        assert told(twin) == told(recipe)
        assert len(told(twin)) == 1
