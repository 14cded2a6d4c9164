"""``nano-hpo studies rm``, ``rename`` and ``archive``: options in, studies put in order out."""

from __future__ import annotations

import argparse
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.agreement import agreed
from orchestrator.cli.at_hand import AtHand, studies_at_hand
from orchestrator.cli.deeds import Deed, deed, say, tell, telling
from orchestrator.cli.places import named_url, opened
from orchestrator.words import how_many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.sql.database import Database
    from orchestrator.storage.overview import StudyOverview

_DECLINED = 1
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_SOME = 5  # names in a question


def remove(options: argparse.Namespace) -> int:
    """``nano-hpo studies rm`` and ``nano-hpo delete``: 0 when they are gone, 1 when the answer was no."""
    from orchestrator.cli.bar import bar
    from orchestrator.storage.deletion import delete_in_batches

    url = named_url(options.storage)
    hand = studies_at_hand(url)
    chosen = hand.chosen(options.studies)
    if not options.force:
        for study in chosen:
            hand.require_idle(study)
    question = f"Delete {_described(chosen)} from {_masked(url)}?"
    if not (options.yes or agreed(question, _may(chosen), options.json)):
        print("nano-hpo: nothing was deleted.", file=sys.stderr)
        return _DECLINED
    deeds = [_planned(study) for study in chosen]
    with telling(options, {"storage": _masked(url)}, deeds), opened(url) as database:
        for study, row in zip(chosen, deeds, strict=True):
            with bar(f"Deleting {study.name}", study.n_trials, not options.quiet) as told:
                delete_in_batches(database, study.study_id, told)
            row["done"] = True
            say(options, f"Study '{study.name}' is deleted, with {how_many(study.n_trials, 'trial')}.")
    return 0


def _planned(study: StudyOverview, **more: Any) -> Deed:
    return deed(study.name, study.n_trials, len(study.runs), more, done=False)


def rename(options: argparse.Namespace) -> int:
    """``nano-hpo studies rename``."""
    from orchestrator.errors import StudyError
    from orchestrator.storage.renaming import name_taken, require_name
    from orchestrator.storage.renaming import rename as rename_stored
    from orchestrator.storage.runs import FINISHED

    url = named_url(options.storage)
    hand = studies_at_hand(url)
    study = hand.named(options.old)
    require_name(options.new)
    if options.new == study.name:
        raise StudyError(f"Study '{study.name}' has that name already; nothing was renamed.")
    if any(one.name == options.new for one in hand.studies):
        raise name_taken(options.new)
    if not options.force:
        hand.require_idle(study)
    with opened(url) as database:
        rename_stored(database, study.study_id, study.name, options.new)
    say(options, f"Study '{study.name}' is '{options.new}' now.")
    done = deed(options.new, study.n_trials, len(study.runs), {"old_name": study.name})
    tell(options, {"storage": _masked(url), **done})
    if any(run.state != FINISHED for run in study.runs):
        print(
            "nano-hpo: a run of it is not finished; its command would look for the old name: go on with "
            f"--study-name '{options.new}' --resume.",
            file=sys.stderr,
        )
    return 0


def archive(options: argparse.Namespace) -> int:
    """``nano-hpo studies archive``: 0 when they are in their files (and gone), 1 when the answer was no."""
    url, folder = named_url(options.storage), Path(options.to).expanduser().resolve()
    age = parsed_age(options.older_than)
    hand = studies_at_hand(url)
    old = [study for study in hand.studies if _is_older(study, age)]
    idle = _idle(hand, old)
    deeds = [_archivable(study, hand, folder) for study in old]
    head = {"storage": _masked(url), "folder": str(folder)}
    if options.dry_run or not idle:
        _show_plan(options, idle, folder, {**head, "studies": deeds})
        return 0
    question = f"Archive {_described(idle)} of {head['storage']} in {folder}, and delete them?"
    if not (options.yes or options.keep or agreed(question, _may(idle), options.json)):
        print("nano-hpo: nothing was archived.", file=sys.stderr)
        return _DECLINED
    _create(folder)
    with telling(options, head, deeds):
        _archive(options, url, idle, folder, {row["study"]: row for row in deeds})
    return 0


def _show_plan(
    options: argparse.Namespace, idle: Sequence[StudyOverview], folder: Path, data: Mapping[str, Any]
) -> None:
    if options.json:
        tell(options, data)
    elif idle:
        print(_plan(idle, folder))
    else:
        print(f"nano-hpo: {data['storage']} holds no study to archive.", file=sys.stderr)


def _archivable(study: StudyOverview, hand: AtHand, folder: Path) -> Deed:
    """A study that is old enough; one that a run is at work on stays, and has no file."""
    from orchestrator.carry.archive import first_place
    from orchestrator.cli.study_table import utc_text

    busy = hand.run_at_work(study)
    file = str(first_place(folder, study.name)) if busy is None else None
    return _planned(study, last_activity=utc_text(study.last), file=file, run_at_work=busy)


def _archive(
    options: argparse.Namespace,
    url: str,
    studies: Sequence[StudyOverview],
    folder: Path,
    deeds: Mapping[str, Deed],
) -> None:
    with opened(url) as database:
        for study in studies:
            file = _archive_one(options, database, study, folder)
            deeds[study.name].update(file=str(file), done=True)


def _archive_one(options: argparse.Namespace, database: Database, study: StudyOverview, folder: Path) -> Path:
    from orchestrator.carry.archive import delete_idle, put_aside
    from orchestrator.cli.bar import bar

    file = put_aside(database, study.name, folder)
    if not options.keep:
        with bar(f"Deleting {study.name}", study.n_trials, not options.quiet) as told:
            delete_idle(database, study.study_id, study.name, told)
    became = "is in" if options.keep else "went into"
    say(options, f"Study '{study.name}' {became} {file}, with {how_many(study.n_trials, 'trial')}.")
    return file


def parsed_age(text: str) -> timedelta:
    """``90d``, ``12h``, ``2w``."""
    from orchestrator.errors import SpecError

    found = re.fullmatch(r"(\d{1,5}(?:\.\d+)?)([hdw])", text.strip())
    if found is None:
        raise SpecError(f"--older-than is {text!r}; it must be a number with h, d or w, such as 90d.")
    return timedelta(hours=float(found[1]) * _HOURS[found[2]])


def _is_older(study: StudyOverview, age: timedelta) -> bool:
    """Whether its last activity is; one in which no trial was ever begun has none, and is not."""
    return study.last is not None and datetime.now(UTC).replace(tzinfo=None) - study.last > age


def _idle(hand: AtHand, studies: Sequence[StudyOverview]) -> list[StudyOverview]:
    """Those that no run is at work on; the others are named."""
    for study in studies:
        if busy := hand.run_at_work(study):
            print(f"nano-hpo: study '{study.name}' stays: run {busy} is at work on it.", file=sys.stderr)
    return [study for study in studies if hand.run_at_work(study) is None]


def _plan(studies: Sequence[StudyOverview], folder: Path) -> str:
    from orchestrator.carry.archive import first_place
    from orchestrator.cli.columns import columns
    from orchestrator.cli.study_table import minute

    rows = [("study", "trials", "last", "file")]
    rows += [(s.name, f"{s.n_trials:,}", minute(s.last), str(first_place(folder, s.name))) for s in studies]
    return columns(rows)


def _create(folder: Path) -> None:
    from orchestrator.errors import StudyFileError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyFileError(
            f"Folder {folder} cannot be made ({error.strerror}); name another with --to."
        ) from None


def _described(studies: Sequence[StudyOverview]) -> str:
    """«study 'a' with 6 trials (1 running) and 0 runs», «3 studies ('a', 'b', 'c') with …»."""
    from optuna.trial import TrialState

    running = sum(study.counts[TrialState.RUNNING] for study in studies)
    n_trials = how_many(sum(study.n_trials for study in studies), "trial")
    n_runs = how_many(sum(len(study.runs) for study in studies), "run")
    names = ", ".join(f"'{study.name}'" for study in studies[:_SOME]) + ", …" * (len(studies) > _SOME)
    what = f"study {names}" if len(studies) == 1 else f"{how_many(len(studies), 'study')} ({names})"
    return f"{what} with {n_trials}{f' ({running:,} running)' if running else ''} and {n_runs}"


def _may(studies: Sequence[StudyOverview]) -> str:
    what = f"study '{studies[0].name}'" if len(studies) == 1 else how_many(len(studies), "study")
    return f"{what} may be deleted"


def _masked(url: str) -> str:
    from orchestrator.storage_url import masked

    return masked(url)
