"""The trials of one study as this process has read them, brought up to date by what changed alone."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Container, Hashable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa
from optuna.trial import FrozenTrial, TrialState

from orchestrator.sql.database import Database
from orchestrator.sql.schema import trials
from orchestrator.storage.stored_trial import StoredTrial, utc
from orchestrator.storage.trial_reader import TrialReader

_PAGE = 2_000  # neighbours that learn a part together
_MANY = 500  # unfinished trials named one by one; more are read from the first of them on


class StudyHistory:
    """A sorted view of a study's trials.

    :meth:`refresh` is one statement that reads the trials created since and those that were unfinished.
    Trials of a study are created one after the other, in the order of their ids and numbers (their creators
    lock the study's row), so what is newer than the newest known is all that is new. Threads take turns at
    reading, which the database sees to.
    """

    def __init__(self, database: Database, study_id: int) -> None:
        self._database = database
        self._reader = TrialReader(study_id, self)
        self._trials: list[FrozenTrial] = []  # by number
        self._unfinished: dict[int, int] = {}  # trial id: its place in the list
        self._places: dict[int, int] = {}  # trial id: its place
        self._finished: list[int] = []  # places, in the order in which their ends were learnt
        self._followers: dict[Hashable, Any] = {}
        self._last_id = -1
        self.own: Callable[[], FrozenTrial | None] = lambda: None  # the trial that this process alone changes

    def __len__(self) -> int:
        return len(self._trials)

    def one(self, trial_id: int) -> FrozenTrial:
        """One trial as it is now; ``KeyError`` when the study has none of that id."""
        place = self._places.get(trial_id)
        if place is not None and self._trials[place].state.is_finished():
            return self._trials[place]
        found = self._database.read(lambda c: self._reader.read(c, trials.c.trial_id == trial_id))
        if not found:
            raise KeyError(f"There is no trial {trial_id}.")
        return found[0]

    def some(self, condition: sa.ColumnElement[bool]) -> list[FrozenTrial]:
        """The trials that meet a condition, in order of their ids, as they are now; they are not kept."""
        return self._database.read(lambda c: self._reader.read(c, condition))

    def know_times(self, trial_id: int, start: datetime | None, complete: datetime | None) -> None:
        """Remember when a trial of this process began and ended (UTC): the database may keep seconds only."""
        self._reader.exact[trial_id] = (start, complete)

    def know_end(self, trial_id: int, complete: datetime) -> None:
        """Remember when a trial was ended here (UTC), beside its start if that is known."""
        start, _ = self._reader.exact.get(trial_id, (None, None))
        self.know_times(trial_id, start, complete)

    def refresh(self) -> list[FrozenTrial]:
        """Read what changed; returns the trials that are new, finished since, or still unfinished."""
        return self._database.read(self.refresh_in)

    def refresh_in(self, c: sa.Connection) -> list[FrozenTrial]:
        """The same on a connection at hand."""
        own = self.own()
        condition = self._may_have_changed()
        if own is not None:
            condition = sa.and_(condition, trials.c.trial_id != own._trial_id)
        changed = self._reader.read(c, condition)
        if own is not None:
            insort(changed, own, key=lambda trial: trial._trial_id)
        for trial in changed:
            self._take_in(trial)
        return changed

    def _may_have_changed(self) -> sa.ColumnElement[bool]:
        newer: sa.ColumnElement[bool] = trials.c.trial_id > self._last_id
        if not self._unfinished:
            return newer
        if len(self._unfinished) > _MANY:
            return trials.c.trial_id >= min(self._unfinished)
        return sa.or_(newer, trials.c.trial_id.in_(list(self._unfinished)))

    def _take_in(self, trial: FrozenTrial) -> None:
        trial_id = trial._trial_id
        place = self._places.get(trial_id)
        if place is None:
            place = self._places[trial_id] = len(self._trials)
            self._trials.append(trial)
            self._last_id = max(self._last_id, trial_id)
        elif self._trials[place].state.is_finished():
            return
        else:
            self._trials[place] = trial
        if trial.state.is_finished():
            self._reader.exact.pop(trial_id, None)  # it has its times now
            self._unfinished.pop(trial_id, None)
            self._finished.append(place)
        else:
            self._unfinished[trial_id] = place

    def end_own(self, trial: FrozenTrial) -> None:
        """Our own trial has ended: take it in, where its place is known, without reading it again."""
        if trial._trial_id not in self._places:
            return
        times = utc(trial.datetime_start), utc(trial.datetime_complete)
        pruned_at = trial.last_step if trial.state is TrialState.PRUNED else None
        is_constrained = any(key.partition(":")[0] == "constraints" for key in trial.system_attrs)
        stored = StoredTrial(
            trial._trial_id,
            trial.number,
            trial.state,
            times,
            trial.values,
            is_constrained,
            pruned_at,
            self,
        )
        stored.learn("params", (trial.params, self._reader.distributions.interned(trial.distributions)))
        self._take_in(stored)

    def trials(self, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """The trials in order of their numbers, in a list of the caller's own."""
        if states is None:
            return list(self._trials)
        return [trial for trial in self._trials if trial.state in states]

    def at(self, places: Iterable[int]) -> list[FrozenTrial]:
        """The trials at these places."""
        return [self._trials[place] for place in places]

    def finished_from(self, start: int) -> list[FrozenTrial]:
        """Finished trials from the ``start``-th on, in the order in which this process learnt of their ends.

        The order only grows, so who follows it keeps the number of those that he has seen.
        """
        return self.at(self._finished[start:])

    def follower(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What someone keeps up to date with :meth:`finished_from`: made once, it lives as long as this."""
        if key not in self._followers:
            self._followers.setdefault(key, make())
        return self._followers[key]

    def running(self) -> list[FrozenTrial]:
        """The trials that are at work, as they were at the last refresh."""
        some = (self._trials[place] for place in self._unfinished.values())
        return [trial for trial in some if trial.state is TrialState.RUNNING]

    def fetch(self, trial: StoredTrial, part: str) -> None:
        """Read a part of a trial and of its neighbours that do not know it yet."""
        place = self._places.get(trial._trial_id)
        if place is None or self._trials[place] is not trial:  # read alone
            self.learn(part, [trial])
            return
        start = place - place % _PAGE
        self.learn(part, list(islice(self._trials, start, start + _PAGE)))

    def learn(self, part: str, some: Sequence[FrozenTrial]) -> None:
        """Read a part of those of ``some`` trials that do not know it yet, together."""
        ignorant = {t._trial_id: t for t in some if isinstance(t, StoredTrial) and not t.knows(part)}
        if not ignorant:
            return
        found = self._database.read(lambda c: self._reader.parts(c, part, sorted(ignorant)))
        for trial_id, trial in ignorant.items():
            trial.learn(part, found.get(trial_id))
