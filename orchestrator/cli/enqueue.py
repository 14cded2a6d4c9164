"""``nano-hpo enqueue``: parameters to try in; trials that wait for the next free worker out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared import add_study

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_EPILOG = """\
guesses.json: a list of objects, [{"lr": 0.01, "units": 64}, {"lr": 0.1}]. What a set does not name is
sampled. The trials count as tickets of the run that takes them, before new ones.

examples:
  nano-hpo enqueue lr=0.01 units=64            # to the study of the last run of this folder
  nano-hpo enqueue --file guesses.json --storage mysql://user@host/db --study-name s"""


def add_enqueue(subparsers: Any) -> None:
    """The verb and its options."""
    parser = subparsers.add_parser(
        "enqueue",
        help="have a study try these parameters next",
        description="Enqueue trials with given parameters: the next free workers of a run take them.",
        epilog=_EPILOG,
    )
    parser.add_argument("params", nargs="*", metavar="NAME=VALUE", help="one set of parameters")
    add_study(parser)
    parser.add_argument("--file", type=Path, metavar="FILE", help="sets of parameters, a JSON list")
    parser.add_argument(
        "--force", action="store_true", help="also parameters and values that no trial of the study knows"
    )
    parser.add_argument("--json", action="store_true", help="print the numbers of the trials as a list")
    parser.set_defaults(handler=enqueue)


def enqueue(options: argparse.Namespace) -> int:
    """All sets or, where one is wrong, none."""
    import optuna

    from orchestrator.storage.study_storage import StudyStorage
    from orchestrator.stored import open_stored

    sets = _sets(options)
    database, _, name = open_stored(options.storage, options.study_name)
    try:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.load_study(study_name=name, storage=StudyStorage(database))
        if not options.force:
            _require_known(sets, _known(study))
        numbers = [_enqueue(study, params) for params in sets]
    finally:
        database.close()
    print(json.dumps(numbers) if options.json else _said(numbers, name))
    return 0


def _enqueue(study: Any, params: Mapping[str, Any]) -> int:
    """The trial's number. As ``Study.enqueue_trial`` does, which does not say it."""
    import optuna

    attributes = {"fixed_params": dict(params)}
    trial = optuna.create_trial(state=optuna.trial.TrialState.WAITING, system_attrs=attributes)
    trial_id = study._storage.create_new_trial(study._study_id, template_trial=trial)
    return int(study._storage.get_trial_number_from_id(trial_id))


def _said(numbers: list[int], name: str) -> str:
    if len(numbers) == 1:
        return f"Trial {numbers[0]} waits in study '{name}'."
    return f"Trials {numbers[0]} to {numbers[-1]} wait in study '{name}'."


def _sets(options: argparse.Namespace) -> list[dict[str, Any]]:
    from orchestrator.cli.run import named_values
    from orchestrator.errors import SpecError

    if bool(options.params) == (options.file is not None):
        raise SpecError("Give parameters as NAME=VALUE …, or --file FILE with sets of them.")
    if options.file is None:
        return [named_values(options.params, "parameter")]
    return _read(options.file)


def _read(file: Path) -> list[dict[str, Any]]:
    from orchestrator.errors import SpecError

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        sets = json.loads(text)
    except (OSError, ValueError) as error:
        raise SpecError(f"{file} cannot be read as JSON ({error}).") from None
    sets = [sets] if isinstance(sets, dict) else sets
    if not isinstance(sets, list) or not sets or not all(isinstance(one, dict) and one for one in sets):
        raise SpecError(
            f'{file} must hold a list of objects, as [{{"lr": 0.01}}, {{"lr": 0.1, "units": 64}}].'
        )
    return sets


def _known(study: Any) -> dict[str, BaseDistribution]:
    """The newest distribution of each parameter, as far as the last trials tell."""
    known: dict[str, BaseDistribution] = {}
    for trial in study.get_trials(deepcopy=False)[-200:]:
        known.update(trial.distributions)
    return known


def _require_known(sets: list[dict[str, Any]], known: Mapping[str, BaseDistribution]) -> None:
    """Refuse what cannot be meant; a study without trials knows nothing yet."""
    from orchestrator.errors import SpecError
    from orchestrator.nearest import nearest
    from orchestrator.report import describe

    for name, value in ((name, value) for one in sets for name, value in one.items() if known):
        if name not in known:
            close = nearest(name, known)
            hint = f"did you mean '{close}'?" if close else f"it has {', '.join(sorted(known)[:8])}."
            raise SpecError(f"No trial of the study has a parameter '{name}'; {hint} --force enqueues it.")
        if not _fits(known[name], value):
            raise SpecError(
                f"{name} = {value!r} is not in its range ({describe(known[name])}); --force enqueues it."
            )


def _fits(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False
