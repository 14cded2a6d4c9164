"""What the verbs about studies do: parsed options in, work done, an exit code out."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from orchestrator.cli.places import made, named_url, opened, require_file, require_free, stored_study

if TYPE_CHECKING:
    from orchestrator.carry.writing import Landed
    from orchestrator.storage.overview import StudyOverview

_DECLINED = 1


def list_studies(options: argparse.Namespace) -> int:
    """``nano-hpo studies``: creates nothing, reads a handful of grouped statements."""
    from orchestrator.cli.study_table import as_json, on_one_line, table
    from orchestrator.results import dumps
    from orchestrator.storage_url import masked

    url = named_url(options.storage)
    found, at_work = _overview(url)
    if options.json:
        print(dumps({"storage": masked(url), "studies": as_json(found, at_work)}))
    elif options.quiet:
        for study in found:
            print(on_one_line(study.name))
    elif found:
        print(table(found, at_work))
    else:
        print(f"nano-hpo: {masked(url)} holds no study.", file=sys.stderr)
    return 0


def _overview(url: str) -> tuple[list[StudyOverview], set[str]]:
    """The studies, and the runs that are at work."""
    from orchestrator.at_work import agents_at_work
    from orchestrator.sql.opening import study_names
    from orchestrator.storage.overview import overview
    from orchestrator.storage.runs import UNENDED

    require_file(url)
    if not study_names(url):  # there may be no table to read
        return [], set()
    with opened(url) as database:
        keeps_runs = database.keeps_runs()
        found = database.read(lambda c: overview(c, keeps_runs))
        running = [run.run_id for study in found for run in study.runs if run.state in UNENDED]
        return found, {agent.run_id for agent in agents_at_work(database, running)}


def delete(options: argparse.Namespace) -> int:
    """``nano-hpo delete``: 0 when the study is gone, 1 when the answer was no."""
    from orchestrator.cli.bar import bar
    from orchestrator.errors import StudyError
    from orchestrator.storage.deletion import delete_in_batches

    url = named_url(options.storage)
    found, at_work = _overview(url)
    study = next((study for study in found if study.name == options.study), None)
    if study is None:
        names = ", ".join(study.name for study in found[:8]) or "none"
        raise StudyError(f"There is no study '{options.study}'; the storage holds {names}.")
    busy = [run.run_id for run in study.runs if run.run_id in at_work]
    if busy and not options.force:
        raise StudyError(f"Run {busy[0]} is at work on study '{study.name}'; stop it first, or use --force.")
    if not options.yes and not _agreed(study, url):
        print("nano-hpo: nothing was deleted.", file=sys.stderr)
        return _DECLINED
    with opened(url) as database, bar("Deleting", study.n_trials, not options.quiet) as told:
        delete_in_batches(database, study.study_id, told)
    _say(options, f"Study '{study.name}' is deleted, with {_trials(study.n_trials)}.")
    return 0


def _agreed(study: StudyOverview, url: str) -> bool:
    from optuna.trial import TrialState

    from orchestrator.errors import UserError
    from orchestrator.storage_url import masked

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError(f"Nobody can be asked whether study '{study.name}' may be deleted; add --yes.")
    running = study.counts[TrialState.RUNNING]
    what = _trials(study.n_trials) + (f" ({running:,} running)" if running else "")
    question = (
        f"Delete study '{study.name}' with {what} and {_runs(len(study.runs))} from {masked(url)}? [y/N] "
    )
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def export(options: argparse.Namespace) -> int:
    """``nano-hpo export``."""
    from orchestrator.carry.files import STANDARD, write_study
    from orchestrator.carry.reading import StudySource
    from orchestrator.cli.bar import bar, counted

    url, name = stored_study(named_url(options.storage), options.study_name)
    is_shown = not options.quiet and not (options.output == STANDARD and sys.stdout.isatty())
    with opened(url) as database:
        source = StudySource(database, name)
        with bar("Exporting", source.head.n_trials, is_shown) as told:
            n_trials, n_runs = write_study(options.output, source.head, counted(source.parts(), told))
    where = "on standard output" if options.output == STANDARD else f"in {options.output}"
    if not options.quiet:
        print(f"nano-hpo: study '{name}' is {where}: {_trials(n_trials)}, {_runs(n_runs)}.", file=sys.stderr)
    return 0


def import_(options: argparse.Namespace) -> int:
    """``nano-hpo import``."""
    from orchestrator.carry.files import StudyFile
    from orchestrator.carry.writing import land_study
    from orchestrator.cli.bar import bar

    url = named_url(options.storage)
    file = StudyFile(options.file)
    name = file.head.name if options.study_name is None else options.study_name
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
    from orchestrator.sql.opening import study_names
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
    return f"Study '{landed.study_name}': {_trials(landed.n_trials)}{note}; {_runs(landed.n_runs)}."


def _say(options: argparse.Namespace, text: str) -> None:
    if not options.quiet:
        print(text)


def _trials(n: int) -> str:
    return "1 trial" if n == 1 else f"{n:,} trials"


def _runs(n: int) -> str:
    return "1 run" if n == 1 else f"{n:,} runs"
