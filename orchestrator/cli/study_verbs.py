"""What the verbs about studies do: parsed options in, work done, an exit code out."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from orchestrator.cli.at_hand import studies_at_hand
from orchestrator.cli.places import made, named_url, opened, require_file, require_free, stored_study
from orchestrator.words import how_many

if TYPE_CHECKING:
    from orchestrator.carry.writing import Landed


def list_studies(options: argparse.Namespace) -> int:
    """``nano-hpo studies``: creates nothing, reads a handful of grouped statements."""
    from orchestrator.cli.study_table import as_json, on_one_line, table
    from orchestrator.results import dumps
    from orchestrator.storage_url import masked

    url = named_url(options.storage)
    hand = studies_at_hand(url)
    found = hand.studies
    if options.json:
        print(dumps({"storage": masked(url), "studies": as_json(found, hand.at_work)}))
    elif options.quiet:
        for study in found:
            print(on_one_line(study.name))
    elif found:
        print(table(found, hand.at_work))
    else:
        print(f"nano-hpo: {masked(url)} holds no study.", file=sys.stderr)
    return 0


def export(options: argparse.Namespace) -> int:
    """``nano-hpo export``."""
    from orchestrator.carry.files import STANDARD
    from orchestrator.carry.reading import StudySource
    from orchestrator.cli.bar import bar
    from orchestrator.export.formats import format_for

    chosen = format_for(options.output, options.format)
    url, name = stored_study(named_url(options.storage), options.study_name)
    is_shown = not options.quiet and not (options.output == STANDARD and sys.stdout.isatty())
    with opened(url) as database:
        source = StudySource(database, name)
        with bar("Exporting", source.head.n_trials, is_shown) as told:
            content = chosen.writer()(database, source, options.output, told)
    where = "on standard output" if options.output == STANDARD else f"in {options.output}"
    if not options.quiet:
        print(f"nano-hpo: study '{name}' is {where}: {content}.", file=sys.stderr)
    return 0


def import_(options: argparse.Namespace) -> int:
    """``nano-hpo import``."""
    from orchestrator.carry.files import StudyFile
    from orchestrator.carry.writing import land_study
    from orchestrator.cli.bar import bar

    url = named_url(options.storage)
    file = StudyFile(options.file)
    name = file.head.name if options.new_name is None else options.new_name
    require_free(url, [name])
    with made(url) as database, bar("Importing", file.head.n_trials, not options.quiet) as told:
        landed = land_study(database, file.head, file.parts(), name, options.running, told)
    _say(options, _said(landed, options.running))
    return 0


def copy(options: argparse.Namespace) -> int:
    """``nano-hpo copy``."""
    from orchestrator.carry.reading import StudySource
    from orchestrator.carry.writing import land_study
    from orchestrator.cli.bar import bar
    from orchestrator.storage_url import checked

    source_url, target_url = checked(options.source), checked(options.target)
    names = _names_to_copy(source_url, options)
    require_free(target_url, list(names.values()))
    with opened(source_url) as source_database, made(target_url) as target_database:
        for name, new_name in names.items():
            source = StudySource(source_database, name)
            with bar("Copying", source.head.n_trials, not options.quiet) as told:
                landed = land_study(
                    target_database, source.head, source.parts(), new_name, options.running, told
                )
            _say(options, _said(landed, options.running))
    return 0


def _names_to_copy(source_url: str, options: argparse.Namespace) -> dict[str, str]:
    """New names by names."""
    from orchestrator.errors import SpecError, StudyError
    from orchestrator.sql.asking import study_names
    from orchestrator.storage_url import masked

    if not options.all:
        _, name = stored_study(source_url, options.study_name)
        return {name: name if options.new_name is None else options.new_name}
    if options.study_name is not None or options.new_name is not None:
        raise SpecError("--all copies every study under its name; leave --study-name and --as out.")
    require_file(source_url)
    names = study_names(source_url)
    if not names:
        raise StudyError(f"{masked(source_url)} holds no study.")
    return {name: name for name in names}


def _said(landed: Landed, running: str) -> str:
    became = "wait to be done again" if running == "wait" else "are failed"
    note = f"; {landed.n_were_running:,} of them were running and {became}" if landed.n_were_running else ""
    n_trials, n_runs = how_many(landed.n_trials, "trial"), how_many(landed.n_runs, "run")
    return f"Study '{landed.study_name}': {n_trials}{note}; {n_runs}."


def _say(options: argparse.Namespace, text: str) -> None:
    if not options.quiet:
        print(text)
