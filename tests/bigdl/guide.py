"""The user guide of BigDL-Nano's AutoML: its text in; its code blocks, run as a reader runs them, out."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

SHARED = Path(os.environ.get("NANO_HPO_SHARED", Path(__file__).parents[3] / "shared"))
GUIDE = SHARED / "seed-automl.rst"

# The block that is for all readers

SETUP_DB = """\
CREATE DATABASE IF NOT EXISTS example;
CREATE USER IF NOT EXISTS bigdlhpo ;
GRANT ALL PRIVILEGEs ON example.* TO bigdlhpo;
FLUSH PRIVILEGES;
"""

Names = dict[str, Any]


# The blocks of the guide


def blocks_for(users: str, guide: str) -> list[str]:
    """The blocks of Python and SQL for "Tensorflow" or "PyTorch" users: without part and tabs of the others.

    They come in the guide's order, without its indentation.
    """
    others = {"Tensorflow": "PyTorch", "PyTorch": "Tensorflow"}[users]
    part = rf"\nFor {others} Users\n=+\n.*?(?=\n[^\n]+\n=+\n)"
    tab = rf"\n    \.\. tab:: {others}\n.*?(?=\n    \.\. tab:: |\n\S|\Z)"
    for foreign in (part, tab):
        guide = re.sub(foreign, "", guide, flags=re.DOTALL)
    block = r"\n *\.\. code-block:: (?:python|sql)\n(?: +:linenos:\n)?\n+((?: +[^ \n].*\n|\n)+)"
    return [textwrap.dedent(found).strip("\n") + "\n" for found in re.findall(block, f"{guide}\n")]


def digest(blocks: Sequence[str]) -> str:
    """Tells the blocks word for word where the guide itself is not at hand."""
    return hashlib.sha256("\n".join(blocks).encode()).hexdigest()


# How a block is run


def run(block: str, names: Names, fills: Mapping[str, str] | None = None) -> Any:
    """Run a block as a notebook does; the value of its last line. ``fills`` says what stands for a gap."""
    tree = ast.parse(filled(block, fills or {}))
    if isinstance(tree.body[-1], ast.Expr):
        tree.body[-1] = ast.Assign([ast.Name("_", ast.Store())], tree.body[-1].value)
    exec(compile(ast.fix_missing_locations(tree), "<guide>", "exec"), names)
    return names.get("_")


def filled(block: str, fills: Mapping[str, str]) -> str:
    """The block with what stands for its gaps, each of which it has."""
    for gap, fill in fills.items():
        assert gap in block
        block = block.replace(gap, fill)
    return block


def run_script(blocks: Sequence[str], folder: Path, mariadb: Any) -> None:
    """Run blocks as a script beside the database that the guide sets up.

    A process of its own, as the guide's user has it: MySQL's library reads the socket's name when it is
    loaded.
    """
    for statement in SETUP_DB.split(";")[:-1]:
        mariadb.execute(statement)
    (folder / "search.py").write_text("\n".join(blocks))
    environ = {**os.environ, "MYSQL_UNIX_PORT": str(mariadb.socket)}
    command = [sys.executable, "search.py"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# What several tests ask of a study


def choice(name: str) -> str:
    """The name under which a Categorical is stored."""
    return f"{name}\u2581choice"


def finished(study: optuna.Study) -> int:
    """The number of trials, which are all complete."""
    assert {trial.state.name for trial in study.trials} == {"COMPLETE"}
    return len(study.trials)
