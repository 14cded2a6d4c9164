"""Where the settings of a command line came from: effective options and a study file in, ``Sources`` out."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.sources import Source, Sources
    from orchestrator.study_file.reading import StudyFile

ARGUMENTS = {"sampler_arg": "sampler", "pruner_arg": "pruner"}  # and whose arguments they are
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


def sources_of(options: argparse.Namespace, study: StudyFile) -> Sources:
    """The source of every setting, by its name in ``RunSpec``. ``options`` are the effective ones."""
    from orchestrator.sources import Sources

    of_flags = {name: _source(name, options.given, study) for name in vars(options)}
    named: dict[str, Any] = {_SPEC_NAMES.get(name, name): source for name, source in of_flags.items()}
    named["trials_per_worker"] = of_flags["isolate" if options.isolate else "trials_per_worker"]
    for name, whose in ARGUMENTS.items():
        named[f"{whose}_args"] = _of_arguments(name, whose, options.given, study)
    named["objective"] = "file" if study.objective is not None else _of_command(options, study)
    named["choices"] = of_flags
    return Sources(named, study.path.absolute() if study.path is not None else None)


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
    is_of_file = study.command is not None and options.command is study.command
    return "file" if is_of_file and "space" not in options.given else "flag"
