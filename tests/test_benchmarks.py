"""Benchmarks are no tests and take minutes; but what they use of ours is still there."""

from __future__ import annotations

import importlib
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))
ROOMS = "affinity|launchers|orchestrator|bigdl"
# Read as text: a benchmark holds programs, as strings, that it starts in other processes.
FROM = re.compile(rf"^\s*from ((?:{ROOMS})[\w.]*) import (\([^)]+\)|[^\n\\]+)", re.MULTILINE)
OFFERED = "bigdl.nano.tf."  # its modules have Keras's names once a program has asked for them
MODULE = re.compile(rf"^\s*import ((?:{ROOMS})[\w.]*)|python -m ((?:{ROOMS})[\w.]*)", re.MULTILINE)


def imported(text: str) -> list[tuple[str, str]]:
    """Modules of ours, and the names that are taken from them."""
    found = []
    for module, names in FROM.findall(text):
        for name in re.sub(r"#[^\n]*", "", names.split(";")[0].strip("()")).split(","):
            if name.strip():
                found.append((module, name.split(" as ")[0].strip()))
    return found


@pytest.mark.parametrize("file", BENCHMARKS, ids=lambda file: file.stem)
def test_what_a_benchmark_imports_of_ours_is_there(file: Path) -> None:
    text = file.read_text()
    compile(text, str(file), "exec")
    missing = [
        f"{module}.{name}"
        for module, name in imported(text)
        if not module.startswith(OFFERED)
        and not hasattr(importlib.import_module(module), name)
        and find_spec(f"{module}.{name}") is None
    ]
    missing += [name for pair in MODULE.findall(text) for name in pair if name and find_spec(name) is None]
    assert missing == []


def test_names_are_found_in_programs_too() -> None:
    text = 'CODE = """\nfrom orchestrator import (\n    search,  # ours\n    open_storage as o,\n)\n"""\n'
    assert imported(text) == [("orchestrator", "search"), ("orchestrator", "open_storage")]
