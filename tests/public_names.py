"""All that people may rely on by name, as the code has it: Python names, verbs and options of the command.

``python -m tests.public_names`` writes the list ``tests/public_names.txt`` anew; what that changes is seen in
the diff. A name that goes is deprecated first (``orchestrator.deprecation``).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

LIST = Path(__file__).with_name("public_names.txt")
MODULES = (
    "affinity",
    "launchers",
    "orchestrator",
    "bigdl.nano",
    "bigdl.nano.automl",
    "bigdl.nano.automl.hpo",
    "bigdl.nano.automl.hpo.backend",
    "bigdl.nano.automl.hpo.space",
    "bigdl.nano.automl.hpo.visualization",
    "bigdl.nano.automl.hpo_config",
    "bigdl.nano.automl.pytorch",
    "bigdl.nano.automl.pytorch.acceleration",
    "bigdl.nano.automl.tf",
    "bigdl.nano.automl.tf.keras",
    "bigdl.nano.pytorch",
    "bigdl.nano.tf.keras",
)


def listed() -> list[str]:
    """The list as it was written last."""
    return LIST.read_text(encoding="utf-8").splitlines()


def found() -> list[str]:
    """The same, from the code."""
    return [*python_names(), *command_names()]


def python_names() -> list[str]:
    """``orchestrator.search`` and so on: what the public modules export."""
    return sorted(f"{module}.{name}" for module in MODULES for name in import_module(module).__all__)


def command_names() -> list[str]:
    """``nano-hpo run --seed``: verbs and actions with their options, those without a help text left out."""
    from orchestrator.cli.main import _parser

    return sorted(_names_below(_parser(), "nano-hpo"))


def _names_below(parser: argparse.ArgumentParser, verb: str) -> Iterator[str]:
    yield verb
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from _names_below(below, f"{verb} {name}")
        elif action.help is not argparse.SUPPRESS:
            yield from (f"{verb} {option}" for option in action.option_strings)


if __name__ == "__main__":
    LIST.write_text("".join(f"{name}\n" for name in found()), encoding="utf-8")
