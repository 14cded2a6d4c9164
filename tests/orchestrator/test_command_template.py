"""A command's words, its environment and its name, without running it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orchestrator.command.facts import Facts, check_variables, environment
from orchestrator.command.program import require_program, study_name_of, words_of
from orchestrator.command.template import check_template, filled, has_names, shown, text_of
from orchestrator.errors import ObjectiveError, SpecError

FACTS = Facts(7, Path("/t"), Path("/t/result-1"), 42, "s", None)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("{lr}", "0.1"),
        ("--lr={lr},{lr}", "--lr=0.1,0.1"),
        ("{{lr}}", "{lr}"),
        ("{{{lr}}}", "{0.1}"),
        ('{{"lr": {lr}}}', '{"lr": 0.1}'),
        ("{odd}", "{lr} {{ }"),  # braces of a value are the value's
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_names_become_values_and_doubled_braces_braces(word, expected):
    check_template([word], ["lr", "odd"])
    assert filled(word, {"lr": "0.1", "odd": "{lr} {{ }"}) == expected


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("{lx}", r"asks for \{lx\}; there are lr, units"),
        ("{}", r"asks for \{\}"),
        ("{lr:.3f}", r"asks for \{lr:\.3f\}"),
        ("{lr", "single '{'"),
        ("lr}", "single '}'"),
        ("{{lr}", "single '}'"),
        ("{ {lr} }", "single '{'"),
    ],
)
def test_a_bad_template_is_said_in_one_line(word, said):
    with pytest.raises(SpecError, match=said) as caught:
        check_template(["ok", word], ["lr", "units"])
    assert "{{ and }}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-300, "1e-300"),
        (5.0, "5.0"),
        (float("inf"), "inf"),
        (np.float64(0.1), "0.1"),
        (-3, "-3"),
        (True, "true"),
        (None, "null"),
        ("a 'b' \"c\"; $(d)\n", "a 'b' \"c\"; $(d)\n"),
        ("", ""),
    ],
)
def test_values_are_written_so_that_they_come_back(value, text):
    assert text_of(value) == text


def test_the_environment_holds_parameters_and_facts_and_nothing_of_a_search_around_it():
    outer = {"HOME": "/h", "NANO_HPO_PARAM_old": "1", "NANO_HPO_CHECKPOINT": "3", "NANO_HPO_TRIAL": "0"}
    env = environment(outer, {"optimizer.lr": "0.1", "größe": "2"}, FACTS)
    assert env == {
        "PYTHONUNBUFFERED": "1",
        "HOME": "/h",
        "NANO_HPO_PARAM_optimizer_lr": "0.1",
        "NANO_HPO_PARAM_gr__e": "2",
        "NANO_HPO_TRIAL": "7",
        "NANO_HPO_TRIAL_DIR": "/t",
        "NANO_HPO_RESULT": "/t/result-1",
        "NANO_HPO_SEED": "42",
        "NANO_HPO_STUDY": "s",
    }
    assert environment({"PYTHONUNBUFFERED": ""}, {}, FACTS)["PYTHONUNBUFFERED"] == ""


def test_parameters_that_share_a_variable_are_refused():
    check_variables(["a.b", "a.c", "A.b"])
    with pytest.raises(SpecError, match=r"'a\.b' and 'a-b' would both be NANO_HPO_PARAM_a_b"):
        check_variables(["a.b", "x", "a-b"])


@pytest.mark.parametrize("command", ["./train.sh", [], None, ["a", 3], ["a\0b"], [b"a"]])
def test_a_command_is_a_list_of_words(command):
    with pytest.raises(SpecError, match="The command"):
        words_of(command)


def test_a_program_that_cannot_run_is_said_before_anything_begins(tmp_path):
    (tmp_path / "plain.sh").write_text("echo 1")
    for word, said in {
        f"{tmp_path}/none": "There is no file",
        f"{tmp_path}": "There is no file",
        f"{tmp_path}/plain.sh": "not executable; chmod",
        "no-such-program": "on PATH",
        "": "empty",
    }.items():
        with pytest.raises(ObjectiveError, match=said):
            require_program(word)
    require_program("sh")
    require_program(f"{tmp_path}/{{variant}}.sh")  # known only with the trial


def test_the_study_is_named_by_what_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tune me.py").touch()
    assert study_name_of(["./train.sh", "--lr", "{lr}"]) == "train"
    assert study_name_of(["/opt/train"]) == "train"
    assert study_name_of(["python3.11", "-u", "tune me.py", "{lr}"]) == "tune me"
    assert study_name_of(["/usr/bin/python3", "-c", "print(1)" * 2000]) == "python3"
    assert study_name_of(["./train.sh", "tune me.py"]) == "train"


def test_commands_that_differ_are_shown_differently():
    assert shown(["./train.sh", "--lr", "{lr}"]) == "./train.sh --lr {lr}"
    commands = [["a b"], ["a", "b"], ["a", "", "b"], ["a", "'b'"], ["a\nb"], ["a\\nb"], ["a\udc80b"]]
    assert len({shown(command) for command in commands}) == len(commands)
    assert all(shown(command).isprintable() for command in commands)
    assert [has_names(word) for word in ("{lr}", "{{lr}}", "x")] == [True, False, False]
