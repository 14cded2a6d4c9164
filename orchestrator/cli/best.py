"""``nano-hpo best``: a study in; its best trials, or the parameters alone for another program, out."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared import add_study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from orchestrator.sql.database import Database

_PLAIN = (int, float, bool, type(None))
_EPILOG = """\
Of several objectives they are the trials of the Pareto front, in order of the first objective.

--json prints a list of trials, each with "number", "state", "values", "params", "duration_s",
"user_attrs" and "intermediate_values"; --format json the parameters of the best alone, one object.

examples:
  nano-hpo best                                # of the last run of this folder
  nano-hpo best --top 5 --storage mysql://user@host/db --study-name s
  nano-hpo best --format args                  # --lr=0.01 --units=64, for a command line
  nano-hpo best --format json > best.json"""


def add_best(subparsers: Any) -> None:
    """The verb and its options."""
    parser = subparsers.add_parser(
        "best",
        help="print the best trial and its parameters",
        description="Print the best trial of a study and its parameters, or the best of several.",
        epilog=_EPILOG,
    )
    add_study(parser)
    parser.add_argument(
        "--top", type=int, metavar="K", help="the K best (default: the best; of several objectives all)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument(
        "--format",
        choices=("text", "json", "toml", "args"),
        default="text",
        help="json, toml, args: the parameters of the best alone, to be read by a program",
    )
    parser.set_defaults(handler=best)


def best(options: argparse.Namespace) -> int:
    """0; 1 when no trial is complete."""
    from orchestrator.errors import SpecError
    from orchestrator.results import dumps
    from orchestrator.stored import open_stored
    from orchestrator.summary import trial_json

    if options.top is not None and options.top < 1:
        raise SpecError(f"--top is {options.top}; it must be 1 or more.")
    database, _, name = open_stored(options.storage, options.study_name)
    try:
        found, exact_s = _best(database, name, options.top)
        if not found:
            print(f"nano-hpo: no trial of study '{name}' is complete.", file=sys.stderr)
            return 1
        if options.json:
            print(dumps([trial_json(trial, exact_s.get(trial.number)) for trial in found]))
        elif options.format == "text":
            print("\n".join(_text(trial, exact_s.get(trial.number)) for trial in found))
        else:
            print(_written(found[0].params, options.format))
    finally:
        database.close()
    return 0


def _best(database: Database, name: str, top: int | None) -> tuple[list[FrozenTrial], dict[int, float]]:
    """The best trials, and the seconds inside the objective of those that were measured."""
    from orchestrator import chosen_trials
    from orchestrator.storage.study_storage import StudyStorage

    storage = StudyStorage(database)
    study_id = storage.get_study_id_from_name(name)
    direction, *more = storage.get_study_directions(study_id)
    if more:
        found = _front(storage, name)[:top]
    else:
        found = chosen_trials.best(database, study_id, direction, top or 1)
    return found, chosen_trials.measured_s(database, [trial._trial_id for trial in found])


def _front(storage: Any, name: str) -> list[FrozenTrial]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name=name, storage=storage)
    is_max = study.directions[0] is optuna.study.StudyDirection.MAXIMIZE
    front: list[FrozenTrial] = study.best_trials
    return sorted(front, key=lambda t: (-t.values[0] if is_max else t.values[0], t.number))


def _text(trial: FrozenTrial, objective_s: float | None) -> str:
    """``0.0245 (trial 7, 3.2 s)`` and a line for each parameter."""
    from orchestrator.names import shown_names
    from orchestrator.report import duration
    from orchestrator.snapshot import in_words

    values = ", ".join(f"{value:.6g}" for value in trial.values)
    names = shown_names(trial.params)
    lines = [f"{values} (trial {trial.number}, {duration(trial, objective_s)})"]
    return "\n".join(
        [*lines, *(f"  {names[name]} = {text}" for name, text in in_words(trial.params).items())]
    )


def _written(params: dict[str, Any], form: str) -> str:
    """Parameters whole, not rounded; a choice that is no plain value as its text."""
    import json
    import shlex

    from orchestrator.study_file.text import key_text, toml_text

    plain = {
        name: one if isinstance(one, int | float | bool | None) else str(one) for name, one in params.items()
    }
    if form == "json":
        return json.dumps(plain, indent=2, ensure_ascii=False)
    if form == "args":
        return " ".join(shlex.quote(f"--{name}={one}") for name, one in plain.items())
    return "\n".join(
        f"{key_text(name)} = {toml_text('None' if one is None else one)}"  # TOML has no null
        for name, one in plain.items()
    )
