"""What holds for a run: typed flags and a study file in; options as if all were typed, with sources, out."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.sources import Source, Sources
    from orchestrator.study_file.reading import StudyFile

_SPEC_NAMES = {  # of flags that RunSpec calls otherwise
    "timeout": "timeout_s",
    "walltime": "walltime_s",
    "grace": "grace_s",
    "storage": "storage_url",
    "storage_patience": "storage_patience_s",
    "direction": "directions",
    "trial_timeout": "trial_timeout_s",
    "trial_memory": "trial_memory_mib",
    "isolate": "trials_per_worker",
}
_ARGUMENTS = {"sampler_arg": "sampler", "pruner_arg": "pruner"}  # and whose arguments they are


def effective(options: argparse.Namespace) -> argparse.Namespace:
    """Flags win over the study file, that over environment and defaults. ``SpecError`` names file and key.

    Besides, ``slurm`` holds what the file says to ``nano-hpo submit``, and ``sources`` where all comes from.
    """
    from orchestrator.study_file.reading import StudyFile, is_study_file, read_study_file

    if is_study_file(options.objective):
        study = read_study_file(Path(options.objective), options.settings)
        options = _merged(options, study)
    else:
        study = StudyFile(Path())
    return _with(options, slurm=dict(study.slurm), sources=_sources(options, study))


def _merged(options: argparse.Namespace, study: StudyFile) -> argparse.Namespace:
    from orchestrator.errors import SpecError

    command = options.command if options.command is not None else study.command
    if study.objective is None and command is None:
        raise SpecError(
            f"{study.path} does not say what to run: write objective = 'FILE.py:FUNCTION', or command = […] "
            "and a table [space]."
        )
    space = options.space if options.space is not None else _space(study)
    merged = _with(options, objective=study.objective, command=command, space=space)
    return _with(merged, **_taken(options, study))


def _space(study: StudyFile) -> Any:
    from orchestrator.command.space_file import space_of_tables

    if not isinstance(study.space, Mapping):
        return study.space
    return space_of_tables(study.space, f"{study.path}, [space]")


def _taken(options: argparse.Namespace, study: StudyFile) -> dict[str, Any]:
    """What of the file holds beside the flags that were typed.

    Arguments of a sampler or pruner are taken one by one, and belong to the file's: another one that is typed
    has its own. ``--trials-per-worker`` undoes the file's ``isolate``, which means 1.
    """
    taken = {}
    for name, value in study.options.items():
        if name in _ARGUMENTS:
            if _ARGUMENTS[name] not in options.given:
                taken[name] = [*value, *options.given.get(name, [])]
        elif name not in options.given and not (name == "isolate" and "trials_per_worker" in options.given):
            taken[name] = value
    return taken


def _with(options: argparse.Namespace, **values: Any) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(options), **values})


def _sources(options: argparse.Namespace, study: StudyFile) -> Sources:
    from orchestrator.sources import Sources

    of_flags = {name: _source(name, options.given, study) for name in vars(options)}
    named: dict[str, Any] = {_SPEC_NAMES.get(name, name): source for name, source in of_flags.items()}
    named["trials_per_worker"] = of_flags["isolate" if options.isolate else "trials_per_worker"]
    for name, whose in _ARGUMENTS.items():
        named[f"{whose}_args"] = _of_arguments(name, whose, options.given, study)
    named["objective"] = "file" if study.objective is not None else _of_command(options, study)
    named["choices"] = of_flags
    return Sources(named, study.path.absolute() if study.path != Path() else None)


def _source(name: str, given: Mapping[str, Any], study: StudyFile) -> Source:
    if name in given:
        return "flag"
    if name in study.options:
        return "file"
    return "environment" if os.environ.get(_variable(name), "").strip() else "default"


def _variable(name: str) -> str:
    """The environment variable that stands in for a flag; empty where there is none."""
    from affinity.threads import DATALOADER_WORKERS
    from orchestrator.server.choice import ENVIRONMENT as SERVER
    from orchestrator.storage_url import ENVIRONMENT as STORAGE

    return {"storage": STORAGE, "server": SERVER, "dataloader_workers": DATALOADER_WORKERS}.get(name, "")


def _of_arguments(name: str, whose: str, given: Mapping[str, Any], study: StudyFile) -> dict[str, Source]:
    """The source of each argument, by its key."""
    found: dict[str, Source] = {}
    if whose not in given:
        found |= {pair.partition("=")[0]: "file" for pair in study.options.get(name, ())}
    return found | {pair.partition("=")[0]: "flag" for pair in given.get(name, ())}


def _of_command(options: argparse.Namespace, study: StudyFile) -> Source:
    """A command is one setting with its space: typed where any of both was."""
    is_of_file = study.command is not None and options.command == study.command
    return "file" if is_of_file and "space" not in options.given else "flag"
