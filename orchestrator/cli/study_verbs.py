"""What the verbs about studies do: parsed options in, work done, an exit code out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.at_hand import studies_at_hand
from orchestrator.cli.deeds import Deed, deed, say, tell, telling
from orchestrator.cli.places import made, named_url, opened, require_file, require_free, stored_study
from orchestrator.names import on_one_line
from orchestrator.words import how_many

if TYPE_CHECKING:
    from orchestrator.carry.writing import Landed


def list_studies(options: argparse.Namespace) -> int:
    """``nano-hpo studies``: creates nothing, reads a handful of grouped statements."""
    from orchestrator.cli.study_table import as_json, table
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
    from orchestrator.storage_url import masked

    _require_file_beside_json(options)
    chosen = format_for(options.output, options.format)
    url, name = stored_study(named_url(options.storage), options.study_name)
    is_shown = not options.quiet and not (options.output == STANDARD and sys.stdout.isatty())
    with opened(url) as database:
        source = StudySource(database, name)
        with bar("Exporting", source.head.n_trials, is_shown) as told:
            content = chosen.writer()(database, source, options.output, told)
    where = "on standard output" if options.output == STANDARD else f"in {options.output}"
    if not (options.quiet or options.json):
        print(f"nano-hpo: study '{name}' is {where}: {content.said}.", file=sys.stderr)
    if options.json:
        facts = _facts(Path(options.output).expanduser(), chosen.name)
        tell(options, {"storage": masked(url), **deed(name, content.n_trials, content.n_runs, facts)})
    return 0


def _facts(file: Path, form: str) -> dict[str, Any]:
    return {"file": str(file.resolve()), "format": form, "bytes": file.stat().st_size}


def _require_file_beside_json(options: argparse.Namespace) -> None:
    from orchestrator.carry.files import STANDARD
    from orchestrator.errors import SpecError

    if options.json and options.output == STANDARD:
        raise SpecError("--json and the study would both go to standard output; name a file: -o FILE.")


def import_(options: argparse.Namespace) -> int:
    """``nano-hpo import``."""
    from orchestrator.carry.files import STANDARD, StudyFile
    from orchestrator.carry.writing import land_study
    from orchestrator.cli.bar import bar
    from orchestrator.storage_url import masked

    url = named_url(options.storage)
    file = StudyFile(options.file)
    name = file.head.name if options.new_name is None else options.new_name
    require_free(url, [name])
    with made(url) as database, bar("Importing", file.head.n_trials, not options.quiet) as told:
        landed = land_study(database, file.head, file.parts(), name, options.running, told)
    say(options, _said(landed, options.running))
    source = None if options.file == STANDARD else str(Path(options.file).expanduser().resolve())
    tell(options, {"storage": masked(url), "file": source, **_landed(landed, file.head.name)})
    return 0


def copy(options: argparse.Namespace) -> int:
    """``nano-hpo copy``."""
    from orchestrator.carry.reading import StudySource
    from orchestrator.carry.writing import land_study
    from orchestrator.cli.bar import bar
    from orchestrator.storage_url import checked, masked

    source_url, target_url = checked(options.source), checked(options.target)
    names = _names_to_copy(source_url, options)
    require_free(target_url, list(names.values()))
    deeds = [_not_landed(new_name, name) for name, new_name in names.items()]
    head = {"source": masked(source_url), "storage": masked(target_url)}
    with telling(options, head, deeds), opened(source_url) as there, made(target_url) as here:
        for row in deeds:
            source = StudySource(there, row["old_name"])
            with bar("Copying", source.head.n_trials, not options.quiet) as told:
                landed = land_study(here, source.head, source.parts(), row["study"], options.running, told)
            row.update(_landed(landed, row["old_name"]))
            say(options, _said(landed, options.running))
    return 0


def _landed(landed: Landed, old_name: str) -> Deed:
    """A study that is in its database; ``old_name`` is its name where it came from."""
    more = {"n_were_running": landed.n_were_running, "old_name": old_name}
    return deed(landed.study_name, landed.n_trials, landed.n_runs, more)


def _not_landed(name: str, old_name: str) -> Deed:
    """The same keys; what it holds is not known yet."""
    return deed(name, None, None, {"n_were_running": None, "old_name": old_name}, done=False)


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
