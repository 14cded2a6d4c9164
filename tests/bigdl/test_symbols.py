"""Recorded computations, worked off in a build: here with plain numbers, so that no Keras is needed."""

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bigdl.nano.automl.hpo as hpo
from bigdl.nano.automl.hpo import space
from bigdl.nano.automl.hpo.lazy import Build
from bigdl.nano.automl.hpo.sharing import parameters_in
from bigdl.nano.automl.hpo.symbols import Call, Symbol
from bigdl.nano.automl.hpo.values import DefaultValues, StoredValues

N_CALLS = 2000  # twice as deep as Python recurses


class Given:
    """What a graph begins with: a number of this build."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self) -> Any:
        return self.value


def symbol(value: Any) -> Symbol:
    return Symbol(Call(Given(value), (), {}))


def worked_off(thing: Any, **params: Any) -> Any:
    return Build(StoredValues(params) if params else DefaultValues()).resolve(thing)


BINARY: list[Callable[[Any, Any], Any]] = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.and_,
    operator.or_,
    operator.xor,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]


@pytest.mark.parametrize("function", BINARY)
def test_operators_give_what_python_gives(function: Any) -> None:
    for left, right in ((7, 3), (3, 7), (5, 5)):
        for one in (
            function(symbol(left), right),
            function(left, symbol(right)),
            function(symbol(left), symbol(right)),
        ):
            assert isinstance(one, Symbol)
            assert worked_off(one) == function(left, right)


@pytest.mark.parametrize("function", [operator.neg, operator.abs, operator.invert])
def test_operators_of_one_operand_give_what_python_gives(function: Any) -> None:
    assert worked_off(function(symbol(-7))) == function(-7)


def test_matrices_are_multiplied_from_both_sides() -> None:
    a, b = np.arange(4.0).reshape(2, 2), np.eye(2) * 2
    assert np.array_equal(worked_off(symbol(a) @ symbol(b)), a @ b)
    assert np.array_equal(worked_off(symbol(a) @ [[1], [2]]), a @ [[1], [2]])
    assert worked_off([[1, 2]] @ symbol(a)).tolist() == [[4, 7]]


def test_slices_and_items_are_recorded() -> None:
    data = np.arange(24).reshape(2, 3, 4)
    one = symbol(data)
    for key in (0, -1, slice(1, None), (slice(None), 1), (..., None), (0, slice(None, None, 2))):
        assert np.array_equal(worked_off(one[key]), data[key])
    assert np.array_equal(worked_off(one[symbol(1)]), data[1])


@given(st.recursive(st.integers(-9, 9), lambda below: st.tuples(st.sampled_from("+-*"), below, below)))
def test_expressions_give_what_python_gives(tree: Any) -> None:
    def value(node: Any, leaf: Callable[[int], Any]) -> Any:
        if isinstance(node, int):
            return leaf(node)
        function = {"+": operator.add, "-": operator.sub, "*": operator.mul}[node[0]]
        return function(value(node[1], leaf), value(node[2], leaf))

    assert worked_off(value(tree, symbol)) == value(tree, int)


def test_every_call_is_made_once_in_a_build() -> None:
    calls = []

    @hpo.func()
    def seen(x: Any) -> Any:
        calls.append(x)
        return x + 1

    once = seen(symbol(1))
    assert worked_off([once + once, once * 3]) == [4, 6]
    assert calls == [1]
    worked_off(once)
    assert calls == [1, 1]


def test_functions_name_their_spaces_by_their_arguments() -> None:
    @hpo.func()
    def scaled(x: Any, factor: int = 1, *, shift: int = 0) -> Any:
        return x * factor + shift

    one = scaled(symbol(2), space.Int(3, 9), shift=space.Categorical(10, 20))
    assert [name for name, _, _ in parameters_in(one)] == ["factor", "shift▁choice"]
    assert worked_off(one) == 16
    assert worked_off(one, **{"factor": 4, "shift▁choice": 20}) == 28
    with pytest.raises(TypeError, match=r"^scaled: got an unexpected keyword argument 'fakt'\."):
        scaled(symbol(2), fakt=3)


def test_a_space_by_place_where_there_are_no_names_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^Give Int\(1, 3\) by keyword, so that its parameter has a name\."):
        symbol(2) + space.Int(1, 3)


def test_a_choice_of_two_values_asks_for_its_branch_alone() -> None:
    @hpo.func()
    def scaled(x: Any, factor: int) -> Any:
        return x * factor

    @hpo.func()
    def same(x: Any) -> Any:
        return x

    a = scaled(symbol(1), factor=space.Int(1, 3, prefix="a"))
    b = scaled(symbol(10), factor=space.Int(1, 3, prefix="b"))
    one = same(x=space.Categorical(a, b))
    assert worked_off(one, **{"x▁choice": "Symbol [0]", "a:factor": 3}) == 3
    assert worked_off(one, **{"x▁choice": "Symbol [1]", "b:factor": 2}) == 20
    assert sorted(name for name, _, _ in parameters_in(one)) == ["a:factor", "b:factor", "x▁choice"]


def test_objects_take_what_was_computed_as_arguments() -> None:
    class Box:
        def __init__(self, size: int) -> None:
            self.size = size

        def __call__(self, x: int) -> int:
            return x * self.size

    width = symbol(3)
    box = hpo.obj()(Box)(size=width + 1)
    assert worked_off(box(width)) == 12
    assert worked_off([box, box(width)])[0].size == 4


def test_a_result_that_is_a_list_is_unpacked() -> None:
    @hpo.func()
    def parted(x: Any) -> Any:
        return [x, x + 1, (x + 2,)]

    a, b, (c,) = parted(symbol(1))
    assert worked_off([a, b, c]) == [1, 2, 3]
    first, *rest = parted(symbol(5))
    assert worked_off([first, *rest[:1]]) == [5, 6]


def test_one_value_cannot_be_unpacked_or_iterated() -> None:
    with pytest.raises(TypeError, match=r"is one value: it cannot be unpacked or iterated\.$"):
        _, _ = symbol(3)
    with pytest.raises(TypeError, match="is one value"):
        list(symbol(3))


def test_a_value_of_a_trial_is_no_condition() -> None:
    with pytest.raises(TypeError, match=r"cannot be the condition of an if or a while; .*@hpo\.func\(\)\.$"):
        _ = "large" if symbol(3) > 2 else "small"
    with pytest.raises(TypeError, match="cannot be the condition"):
        assert not symbol(3)


def test_what_a_function_raises_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        worked_off(1 / symbol(0))


def test_a_build_goes_on_after_an_error() -> None:
    build = Build(DefaultValues())
    good, bad = symbol(4), symbol(1) / 0
    with pytest.raises(ZeroDivisionError):
        build.resolve([good, bad])
    assert build.resolve(good + 1) == 5


def chain(n_calls: int) -> Symbol:
    one = symbol(0)
    for _ in range(n_calls):
        one = one + 1
    return one


def test_a_chain_may_be_deeper_than_python_recurses() -> None:
    assert worked_off(chain(N_CALLS)) == N_CALLS
    assert len(list(parameters_in(chain(N_CALLS)))) == 0


def test_what_is_used_twice_is_walked_once() -> None:
    @hpo.func()
    def scaled(x: Any, by: int) -> Any:
        return x * by

    one = scaled(symbol(1), by=space.Int(1, 3))
    for _ in range(200):  # 2 to the power of 200 ways lead to the beginning
        one = one + one
    assert [name for name, _, _ in parameters_in(one)] == ["by"]
    assert worked_off(one) == 2**200


def test_calls_that_were_recorded_reach_another_process() -> None:
    one = chain(5)
    for twin in (pickle.loads(cloudpickle.dumps(one)), copy.deepcopy(one)):
        assert worked_off(twin) == 5


def test_choices_of_tensors_under_one_name_choose_alike_from_their_own() -> None:
    @hpo.func()
    def same(x: Any) -> Any:
        return x

    first = same(x=space.Categorical(symbol(1), symbol(2)))
    second = same(x=space.Categorical(first * 10, first * 100))
    from bigdl.nano.automl.hpo.sharing import last_definitions

    build = Build(StoredValues({"x▁choice": "Symbol [1]"}), last_definitions(second))
    assert build.resolve([first, second]) == [2, 200]


def test_a_circle_is_refused_and_not_followed_for_ever() -> None:
    @hpo.func()
    def same(x: Any) -> Any:
        return x

    from bigdl.nano.automl.hpo.sharing import last_definitions

    first = same(x=space.Categorical(symbol(1), symbol(2)))
    second = same(x=space.Categorical(first * 10, first * 100, first))
    build = Build(DefaultValues(), last_definitions(second))
    with pytest.raises(ValueError, match=r"^A tensor is computed from itself: .* Give each a prefix\.$"):
        build.resolve(second)
