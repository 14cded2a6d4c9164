"""The words of the command line: what was meant is suggested, and every verb shows how it is used."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from orchestrator.cli.main import _parser, parse
from orchestrator.cli.parser import Parser


def parsers(parser: Parser) -> Iterator[Parser]:
    """A parser and those of all its verbs, and of their verbs."""
    yield parser
    for verb in parser.verbs.values():
        yield from parsers(verb)


ALL = {parser.prog: parser for parser in parsers(_parser())}


def examples(parser: Parser) -> list[str]:
    """The lines of the last paragraph of a help text, where that shows examples."""
    last = parser.format_help().rstrip().split("\n\n")[-1]
    head, *lines = last.splitlines()
    return [line.strip() for line in lines] if head in ("example:", "examples:") else []


def test_all_verbs_are_walked():
    assert {"nano-hpo", "nano-hpo run", "nano-hpo db grant", "nano-hpo init slurm"} <= set(ALL)


@pytest.mark.parametrize("prog", ALL)
def test_every_help_ends_with_examples_that_the_verb_takes(prog):
    found = examples(ALL[prog])
    assert any(prog in line for line in found)
    for line in found:
        words = shlex.split(re.sub(r" [>|] .*", "", line), comments=True)
        assert words[0] == "nano-hpo"
        assert len(words) == 1 or callable(parse(words[1:]).handler)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("stuides",), "there is no verb 'stuides'; did you mean studies? See 'nano-hpo --help'."),
        (("db", "stauts", "x"), "there is no verb 'stauts'; did you mean status? See 'nano-hpo db --help'."),
        (("run", "job.py", "--n-trails", 5), "did you mean --n-trials? See 'nano-hpo run --help'."),
        (("run", "--n_trials=5", "--", "true"), "did you mean --n-trials? See 'nano-hpo run --help'."),
        (("submit", "--dryrun", "--", "run", "a.py"), "did you mean --dry-run?"),
        (("topology", "--policy", "lokal"), "none of auto, balanced, local; did you mean local?"),
        (("run", "job.py:empty", "-n", 1, "--sampler", "tep"), "did you mean tpe?"),
        (("jump",), "there is no verb 'jump': run, report,"),
        (("topology", "-x"), "unrecognized arguments: -x; see 'nano-hpo topology --help'."),
        (("topology", "two\nlines"), "unrecognized arguments: two lines; see"),
    ],
)
def test_a_wrong_word_is_one_line_that_names_the_nearest_right_one(cli, words, meant):
    done = cli(*words)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith("nano-hpo: ")
    assert meant in line


@pytest.mark.parametrize("words", [(), ("db",), ("init",)])
def test_without_a_verb_the_help_is_printed(cli, words):
    done = cli(*words)
    assert (done.code, done.err) == (0, "")
    assert done.out == cli(*words, "--help").out


def test_what_stands_behind_the_dashes_is_the_commands_own():
    assert (
        parse(["run", "--space", "s.toml", "--", "./a", "--n-trails", "stuides"]).command[1] == "--n-trails"
    )


def test_descriptions_are_filled_and_examples_keep_their_lines(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    parser = Parser(
        prog="x", description="word " * 20, epilog="one long " * 9 + "\n\nexample:\n  x -a " + "b" * 60
    )
    text = parser.format_help()
    assert "  x -a " + "b" * 60 in text.splitlines()
    assert max(len(line) for line in text.splitlines() if "bbb" not in line) <= 50
