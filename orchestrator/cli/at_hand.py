"""The studies of a database that a verb is to work on: a URL and names in; overviews out, or one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from orchestrator.cli.places import opened, require_file

if TYPE_CHECKING:
    from orchestrator.storage.overview import StudyOverview

_SOME = 8  # names that a message lists


@dataclass(frozen=True, slots=True)
class AtHand:
    """All studies of a database in the order in which they were made, and the runs at work on them."""

    studies: list[StudyOverview]
    at_work: set[str]

    def named(self, name: str) -> StudyOverview:
        """The study of that name; ``StudyError`` where there is none."""
        found = next((study for study in self.studies if study.name == name), None)
        if found is None:
            raise self._missing(f"There is no study '{name}'")
        return found

    def chosen(self, patterns: Sequence[str]) -> list[StudyOverview]:
        """The studies that are named or that a pattern (``digits-*``) matches, each once, in their order.

        A name that is there is that study's, whatever signs it holds.
        """
        names: set[str] = set()
        for pattern in patterns:
            names |= self._matched(pattern)
        return [study for study in self.studies if study.name in names]

    def _matched(self, pattern: str) -> set[str]:
        there = [study.name for study in self.studies]
        if pattern in there:
            return {pattern}
        matched = {name for name in there if fnmatchcase(name, pattern)}
        if not matched:
            is_plain = not set(pattern) & set("*?[")
            what = f"There is no study '{pattern}'" if is_plain else f"No study matches '{pattern}'"
            raise self._missing(what)
        return matched

    def _missing(self, what: str) -> Exception:
        from orchestrator.errors import StudyError

        some = ", ".join(study.name for study in self.studies[:_SOME]) or "none"
        return StudyError(f"{what}; the storage holds {some}{', …' * (len(self.studies) > _SOME)}.")

    def run_at_work(self, study: StudyOverview) -> str | None:
        """The id of a run that is at work on the study, if there is one."""
        return next((run.run_id for run in study.runs if run.run_id in self.at_work), None)

    def require_idle(self, study: StudyOverview) -> None:
        """Refuse a study that a run is at work on."""
        from orchestrator.errors import StudyError

        busy = self.run_at_work(study)
        if busy is not None:
            raise StudyError(f"Run {busy} is at work on study '{study.name}'; stop it first, or use --force.")


def studies_at_hand(url: str) -> AtHand:
    """Look at a database; nothing is created in it."""
    from orchestrator.at_work import agents_at_work
    from orchestrator.sql.asking import study_names
    from orchestrator.storage.overview import overview
    from orchestrator.storage.runs import RUNNING

    require_file(url)
    if not study_names(url):  # there may be no table to read
        return AtHand([], set())
    with opened(url) as database:
        keeps_runs = database.keeps_runs()
        found = database.read(lambda c: overview(c, keeps_runs))
        running = [run.run_id for study in found for run in study.runs if run.state == RUNNING]
        return AtHand(found, {agent.run_id for agent in agents_at_work(database, running)})
