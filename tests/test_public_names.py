"""What people rely on by name is listed, documented and there; what goes is deprecated before."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from bigdl.nano.automl import hpo_config
from orchestrator.cli import main as command_line
from orchestrator.cli.main import _EPILOG, parse
from orchestrator.cli.run_options import _RUN_EPILOG
from orchestrator.deprecation import NanoHPODeprecationWarning, warn_deprecated
from tests.public_names import LIST, MODULES, found, listed

ROOT = Path(__file__).resolve().parents[1]
ANEW = f"write the list anew by 'python -m tests.public_names' ({LIST.name}), and look at the diff"


def test_no_public_name_is_gone() -> None:
    gone = sorted(set(listed()) - set(found()))
    assert not gone, f"deprecate them first (orchestrator.deprecation): {gone}"


def test_every_public_name_is_listed() -> None:
    new = sorted(set(found()) - set(listed()))
    assert not new, f"{ANEW}: {new}"
    assert len(listed()) == len(set(listed()))


@pytest.fixture
def offered() -> Iterator[None]:
    """Keras's names are there once they are enabled."""
    hpo_config.enable_hpo_tf()
    yield
    hpo_config.disable_hpo_tf()


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_there_and_says_what_it_is(module: str, offered: None) -> None:
    home = import_module(module)
    assert home.__doc__
    assert len(home.__all__) == len(set(home.__all__))
    for name in home.__all__:
        thing = getattr(home, name)
        if inspect.isroutine(thing) or inspect.isclass(thing) or isinstance(thing, ModuleType):
            assert says_something(thing, name), f"{module}.{name} has no docstring"


def says_something(thing: object, name: str) -> bool:
    """Whether it has a docstring of its own; a dataclass without one gets its signature for it."""
    text = thing.__doc__ or ""
    return bool(text.strip()) and not text.startswith(f"{name.rpartition('.')[2]}(")


def test_a_class_without_a_docstring_would_be_caught() -> None:
    from dataclasses import dataclass

    @dataclass
    class Bare:
        x: int

    assert not says_something(Bare, "Bare")
    assert not says_something(lambda: None, "f")


# The command line


def examples() -> list[str]:
    lines = f"{_EPILOG}\n{_RUN_EPILOG}".splitlines()
    return sorted({line.strip() for line in lines if line.startswith("  nano-hpo ")})


@pytest.mark.parametrize("example", examples())
def test_every_example_of_the_help_is_understood(example: str) -> None:
    options = parse(shlex.split(example)[1:])
    assert callable(options.handler)


def test_there_are_examples() -> None:
    assert len(examples()) > 5


@pytest.mark.parametrize(
    "verb", [n for n in listed() if re.fullmatch(r"nano-hpo( [a-z-]+)*", n) and " -" not in n]
)
def test_every_verb_has_a_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line([*verb.split()[1:], "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: nano-hpo")


# What goes


def test_a_deprecated_name_says_what_stands_in_its_place_and_where_it_was_used() -> None:
    def renamed() -> None:
        warn_deprecated("search(old=…)", "search(new=…)", since="0.2")

    with pytest.warns(NanoHPODeprecationWarning) as caught:
        renamed()
    (warning,) = caught
    assert str(warning.message) == (
        "search(old=…) is deprecated since nano-hpo 0.2 and will be removed; use search(new=…)."
    )
    assert warning.filename == __file__
    assert inspect.getsource(renamed.__code__) not in ("", None)
    assert warning.lineno > inspect.getsourcelines(renamed)[1]


def test_people_see_it_without_asking() -> None:
    code = (
        "from orchestrator.deprecation import warn_deprecated\ndef f(): warn_deprecated('a', 'b', '0.2')\nf()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "NanoHPODeprecationWarning: a is deprecated" in done.stderr


def test_a_renamed_option_works_and_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default", NanoHPODeprecationWarning)
        options = parse(["import", "f", "--study-name", "new"])
    assert options.new_name == parse(["import", "f", "--as", "new"]).new_name == "new"
    assert parse(["import", "f"]).new_name is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "nano-hpo: Warning: 'nano-hpo import --study-name' is deprecated since nano-hpo 0.1 and will be "
        "removed; use --as NEW."
    )
    with pytest.raises(SystemExit):
        parse(["import", "--help"])
    assert "--study-name" not in capsys.readouterr().out
