"""What holds for a run: typed flags and a study file in; options as if all were typed, with sources, out."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.flag_sources import ARGUMENTS, sources_of

if TYPE_CHECKING:
    from orchestrator.sources import Sources
    from orchestrator.study_file.reading import StudyFile


def effective(options: argparse.Namespace) -> argparse.Namespace:
    """Flags win over the study file, that over environment and defaults. ``SpecError`` names file and key.

    Besides, ``slurm`` holds what the file says to ``nano-hpo submit``, and ``sources`` where all comes from.
    """
    from orchestrator.study_file.reading import StudyFile, is_study_file, read_study_file

    if is_study_file(options.objective):
        study = read_study_file(Path(options.objective), options.settings)
        options = _merged(options, study)
    else:
        study = StudyFile()
    return _with(options, slurm=dict(study.slurm), sources=sources_of(options, study))


@contextmanager
def naming_the_file(sources: Sources) -> Iterator[None]:
    """A value that came from the study file is refused with the file's name before the rule."""
    from orchestrator.errors import ObjectiveError, UserError

    try:
        yield
    except UserError as error:
        setting = str(error).partition(" ")[0]
        of_setting = {sources.named.get(f"{setting}{unit}") for unit in ("", "_s", "_mib")}
        is_its_own = isinstance(error, ObjectiveError) or "file" in of_setting
        if sources.study_file is None or not is_its_own:
            raise
        file, here = sources.study_file, Path.cwd()
        shown = file.relative_to(here) if file.is_relative_to(here) else file
        raise type(error)(f"{shown}: {error}") from None


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
        if name in ARGUMENTS:
            if ARGUMENTS[name] not in options.given:
                taken[name] = [*value, *options.given.get(name, [])]
        elif name not in options.given and not (name == "isolate" and "trials_per_worker" in options.given):
            taken[name] = value
    return taken


def _with(options: argparse.Namespace, **values: Any) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(options), **values})
