"""The word that was meant: one function finds it for every message that says so."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.nearest import nearest

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("minimize", "maximize", "median")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("minimise", "minimize"), ("maxmize", "maximize"), ("median", "median"), ("medain", "median")],
)
def test_the_word_that_is_most_like_it_was_meant(word, meant):
    assert nearest(word, WORDS) == meant


@pytest.mark.parametrize("word", ["", "x", "seed", "\udcff", "MEDIAN"])
def test_none_is_near_a_word_that_is_like_none(word):
    assert nearest(word, WORDS) is None
    assert nearest(word, ()) is None


def test_the_known_words_may_be_any_iterable():
    for known in (iter(WORDS), dict.fromkeys(WORDS), (word for word in WORDS)):
        assert nearest("medain", known) == "median"


def test_how_like_it_must_be_can_be_asked_for():
    assert nearest("train_los", ["train_loss"], 0.85) == "train_loss"
    assert nearest("val_loss", ["train_loss"], 0.85) is None
    assert nearest("val_loss", ["train_loss"]) == "train_loss"


def test_no_other_file_looks_for_near_words_by_itself():
    found = [
        str(file.relative_to(ROOT))
        for room in ("affinity", "launchers", "orchestrator", "bigdl")
        for file in (ROOT / room).rglob("*.py")
        if "difflib" in imported(file)
    ]
    assert found == ["orchestrator/nearest.py"]


def imported(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_the_command_line_loads_difflib_for_a_mistyped_word_alone():
    code = "import sys; from orchestrator.cli.main import parse; parse(['status']); print(set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "difflib" not in ast.literal_eval(done.stdout)
