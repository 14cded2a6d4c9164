"""The search space of a command: TOML or Optuna's distributions in, checked; one line for what is wrong."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from orchestrator.command.space import Space
from orchestrator.command.space_file import space_of
from orchestrator.errors import SpecError

GOOD = [
    ("p = {low = 1e-4, high = 0.1, log = true}", FloatDistribution(1e-4, 0.1, log=True)),
    ("p = {low = 0, high = 1.0}", FloatDistribution(0, 1)),
    ("p = {low = 0, high = 1, step = 0.25}", FloatDistribution(0, 1, step=0.25)),
    ("p = {type = 'float', low = 0, high = 1}", FloatDistribution(0, 1)),
    ("p = {low = 16, high = 128, step = 16}", IntDistribution(16, 128, step=16)),
    ("[p]\ntype = 'int'\nlow = 1\nhigh = 8\nlog = true", IntDistribution(1, 8, log=True)),
    ("p = ['adam', 'sgd', 3, 0.5, true]", CategoricalDistribution(["adam", "sgd", 3, 0.5, True])),
    ("p = {choices = [1, 2]}", CategoricalDistribution([1, 2])),
    ("p = {type = 'categorical', choices = ['']}", CategoricalDistribution([""])),
]


@pytest.mark.parametrize(("text", "expected"), GOOD, ids=lambda value: str(value)[:40])
def test_a_parameter_of_the_file_is_optunas_distribution(tmp_path, text, expected):
    (tmp_path / "space.toml").write_text(text)
    space = space_of(tmp_path / "space.toml")
    assert dict(space.distributions) == {"p": expected}
    assert type(space.distributions["p"]) is type(expected)


BAD = [
    ("", "no parameters"),
    ("p = {low = 1, high =", "is not TOML"),
    ("p = 3", "'p' is 3; write {"),
    ("p = {low = 3, high = 1}", "low is 3 and high is 1"),
    ("p = {low = 0, high = 1, log = true}", "with log = true it must be more than 0"),
    ("p = {low = -1.0, high = 1, log = true}", "low is -1.0"),
    ("p = {low = 1, high = 2, log = 'yes'}", "log is 'yes'"),
    ("p = {low = 1, high = 9, log = true, step = 2}", "log and step"),
    ("p = {low = 1, high = 2, step = 0}", "step is 0"),
    ("p = {low = 0, high = 10, step = 3}", "write high = 9"),
    ("p = {low = 0, high = 1, step = 0.3}", "write high = 0.9"),
    ("p = {low = 1}", "high is missing"),
    ("p = {type = 'categorical'}", "choices is missing"),
    ("p = {}", "low is missing"),
    ("p = {low = 1, high = 2, hihg = 3}", "unknown key 'hihg'; of type int it has low, high, log, step"),
    ("p = {low = 1, high = 2, choices = [1]}", "unknown key 'low'"),
    ("optimizer.lr = {low = 1, high = 2}", 'write "optimizer.lr"'),
    ("p = {type = 'real', low = 1, high = 2}", "choose from float, int, categorical"),
    ("p = {type = ['int'], low = 1, high = 2}", "choose from float, int, categorical"),
    ("p = {type = 'int', low = 1.5, high = 2}", "low is 1.5; of type int"),
    ("p = {low = 1, high = 9007199254740993}", "of at most 2**53"),
    ("p = {low = true, high = 2}", "low is True"),
    ("p = {low = '1', high = 2}", "low is '1'"),
    ("p = {low = nan, high = 1.0}", "low is nan"),
    ("p = {low = 0.0, high = inf}", "high is inf"),
    ("p = []", "choices is []"),
    ("p = {choices = 'adam'}", "choices is 'adam'"),
    ("p = [[1], [2]]", "choice [1] is a list"),
    ("p = [1979-05-27]", "is a date"),
    ("p = [1, true]", "choice True is there twice"),
    ("p = ['a', 'a']", "choice 'a' is there twice"),
    ('p = ["a\\u0000b"]', "no text that a command can be given"),
    ('"" = [1]', "a name is text of 1 to 512"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_one_line_with_the_file(tmp_path, text, said):
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        space_of(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    with pytest.raises(SpecError, match=r"There is no file .*none\.toml"):
        space_of(str(tmp_path / "none.toml"))
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        space_of(tmp_path)
    (tmp_path / "latin").write_bytes(b"p = ['\xe9']")
    with pytest.raises(SpecError, match="is not TOML"):
        space_of(tmp_path / "latin")
    (tmp_path / "deep").write_text("p = " + "[" * 100_000)
    with pytest.raises(SpecError, match="is not TOML"):
        space_of(tmp_path / "deep")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "no parameters"),
        ({"p": (0, 1)}, "must be a FloatDistribution"),
        ({3: FloatDistribution(0, 1)}, "named 3"),
        ({"p" * 513: FloatDistribution(0, 1)}, "512"),
        ({"p": CategoricalDistribution(["bad \udc80"])}, "no text"),
        (["p"], "give the path of a TOML file"),
    ],
)
def test_a_mapping_is_checked_too(given, said):
    with pytest.raises(SpecError, match=said):
        space_of(given)


def test_a_trial_gets_a_value_of_each_parameter():
    given = {"x": FloatDistribution(0, 1, step=0.5), "n": IntDistribution(2, 8, step=3), "c": None}
    space = space_of({**given, "c": CategoricalDistribution([None, "a"])})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(30):
        study.tell(trial := study.ask(), 0 * len(space.suggest(trial)))
    seen = {name: {trial.params[name] for trial in study.trials} for name in space.names}
    assert seen == {"x": {0.0, 0.5, 1.0}, "n": {2, 5, 8}, "c": {None, "a"}}
    assert study.trials[0].distributions == dict(space.distributions)


def test_the_digest_changes_with_the_space_and_not_with_the_order():
    x, y = FloatDistribution(0, 1), FloatDistribution(0, 1, log=False, step=0.5)
    assert Space({"a": x, "b": y}).digest() == Space({"b": y, "a": x}).digest()
    different = [{"a": x}, {"b": x}, {"a": y}, {"a": x, "b": y}, {"a": CategoricalDistribution([1])}]
    assert len({Space(space).digest() for space in different}) == len(different)
    assert Space({"a": x}).digest() == "8bf03640"  # the same in every process and version
