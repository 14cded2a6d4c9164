"""What ``nano-hpo run`` does: parsed options in, a search and an exit code out. Heavy imports are inside."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affinity import Choices
    from orchestrator.command.objective import CommandObjective
    from orchestrator.launching.run import Outcome
    from orchestrator.spec import RunSpec, Walltime


def run(options: argparse.Namespace) -> int:
    """``nano-hpo run``: search; 0 when the budget is spent, 1 when the run failed, else why it was stopped.

    130: somebody did so, here or by ``nano-hpo stop``. 75 (EX_TEMPFAIL of sysexits.h): its time is over, and
    the same command goes on. A run whose trials all failed has failed too.
    """
    from orchestrator.cli.effective import effective, naming_the_file
    from orchestrator.cli.text import print_outcome
    from orchestrator.launching.launch_run import launch_run
    from orchestrator.live.choice import view_for_people
    from orchestrator.progress import Silent

    options = effective(options)
    with naming_the_file(options.sources):
        spec, objective = asked_for(options)
    view = Silent() if options.quiet else view_for_people()
    outcome = launch_run(
        spec,
        objective,
        {},
        view,
        options.run_dir,
        options.run_id,
        draw=options.draw,
        owns=True,
        sources=options.sources,
    )
    print_outcome(outcome, as_json=options.json)
    return _exit_code(outcome)


def _exit_code(outcome: Outcome) -> int:
    from orchestrator.storage.runs import FAILED, FINISHED

    if outcome.ending.state == FINISHED:
        return 1 if outcome.summary is not None and outcome.summary.only_failures else 0
    if outcome.ending.is_out_of_time:
        return 75
    if outcome.signals or outcome.ending.is_asked_for:
        return 130
    return 1 if outcome.ending.state == FAILED else 0


def asked_for(options: argparse.Namespace) -> tuple[RunSpec, str | CommandObjective]:
    """What the (effective) options of ``nano-hpo run`` come to: settings and objective, checked."""
    objective = _objective(options)
    return _spec(options, objective), objective


def _objective(options: argparse.Namespace) -> str | CommandObjective:
    """``FILE.py:FUNCTION``, or the command and its space."""
    from orchestrator.command.objective import CommandObjective
    from orchestrator.errors import SpecError

    if options.space is None and options.command is None and options.objective is not None:
        return str(options.objective)
    if options.objective is not None:
        what = "--space" if options.command is None else "a command"
        raise SpecError(f"There are {options.objective} and {what}; give FILE.py:FUNCTION, {_COMMAND}.")
    if options.space is None and options.command is not None:
        raise SpecError("A command needs its search space: --space FILE, a TOML file.")
    if options.space is None:
        raise SpecError(f"Name what to optimise: FILE.py:FUNCTION, {_COMMAND}.")
    if not options.command:
        raise SpecError("--space needs a command: write it at the end, after '--'.")
    return CommandObjective(options.command, options.space)


_COMMAND = "STUDY.toml, or --space FILE and a command at the end, after '--'"


def _named(objective: str | CommandObjective) -> tuple[str, str]:
    """What the run is known by, and the study's name where nobody names it."""
    from orchestrator.objective import file_objective, name_of
    from orchestrator.spec import default_study_name

    if isinstance(objective, str):
        name = str(file_objective(objective))
        return name, default_study_name(name)
    return name_of(objective), objective.study_name


def _spec(options: argparse.Namespace, objective: str | CommandObjective) -> RunSpec:
    from affinity import choices_of
    from orchestrator.host import age_s
    from orchestrator.server.choice import server_for
    from orchestrator.spec import RunSpec
    from orchestrator.storage_url import chosen_url

    name, study_name = _named(objective)
    storage_url = chosen_url(options.storage, may_be_automatic=True)
    choices = choices_of(options)
    return RunSpec(
        objective=name,
        study_name=options.study_name if options.study_name is not None else study_name,
        n_trials=options.n_trials,
        timeout_s=options.timeout,
        walltime_s=_walltime(options.walltime),
        n_parallels=_width(options, choices),
        storage_url=storage_url,
        server=server_for(storage_url, options.server),
        directions=tuple(options.direction or ("minimize",)),
        sampler=options.sampler,
        sampler_args=named_values(options.sampler_arg, "--sampler-arg"),
        pruner=options.pruner,
        pruner_args=named_values(options.pruner_arg, "--pruner-arg"),
        seed=options.seed,
        resume=options.resume,
        choices=choices,
        explain=options.explain,
        keep_binding=options.keep_binding,
        storage_proxy=options.storage_proxy,
        scratch=options.scratch,
        asked_s=time.monotonic() - age_s(),
        max_retries=options.max_retries,
        grace_s=options.grace,
        storage_patience_s=options.storage_patience,
        trial_timeout_s=options.trial_timeout,
        trial_memory_mib=_size_mib(options.trial_memory),
        trials_per_worker=1 if options.isolate else options.trials_per_worker,
        keep_top=options.keep_top,
    )


def _walltime(text: str) -> Walltime:
    """As Slurm's ``--time`` takes it; ``auto``; or none, for which Slurm has a 0."""
    from launchers import parse_time
    from orchestrator.errors import SpecError

    if text == "auto":
        return "auto"
    try:
        seconds = math.inf if text == "none" else parse_time(text)
    except ValueError as error:
        raise SpecError(f"--walltime: {error}.") from None
    return seconds if 0 < seconds < math.inf else "none"


_MIB = {"": 1.0, "K": 2.0**-10, "M": 1.0, "G": 2.0**10, "T": 2.0**20}


def _size_mib(text: str | None) -> float | None:
    """``800M``, ``4G``, ``4GiB``, ``512`` (MiB)."""
    from orchestrator.errors import SpecError

    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise SpecError(f"--trial-memory is {text!r}; it must be a size such as 800M or 4G.")
    return float(found[1]) * _MIB[found[2].upper()]


def _width(options: argparse.Namespace, choices: Choices) -> int:
    from affinity.options import width
    from orchestrator.machine import most_parallels

    return width(options.n_parallels, lambda: most_parallels(choices, os.environ, options.keep_binding))


_WORDS = {"True": True, "False": False, "None": None}  # as people type them who write Python


def named_values(pairs: list[str], option: str) -> dict[str, Any]:
    """``KEY=VALUE`` words; a value that is neither JSON nor True, False or None is a string."""
    from orchestrator.errors import SpecError

    arguments = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise SpecError(f"{option} '{pair}' is not KEY=VALUE.")
        try:
            arguments[key] = _WORDS[value] if value in _WORDS else json.loads(value)
        except ValueError:
            arguments[key] = value
    return arguments
