"""Which trials of a study have ended since one looked last: a condition on rows in, what is new out."""

from __future__ import annotations

import sqlalchemy as sa
from optuna.trial import TrialState

from orchestrator.sql.schema import trials

_MANY = 500  # unfinished trials named one by one; more are read from the first of them on


class NewlyFinished:
    """The ends of a study's trials, each told once.

    A finished trial changes no more, and trials are created in the order of their ids (their creators lock
    the study's row). So the rows of newer trials and of those that were unfinished are all that can be new.
    """

    def __init__(self, study_id: int) -> None:
        self._study_id = study_id
        self.newest = -1
        self.unfinished: set[int] = set()

    def may_be_new(self) -> sa.ColumnElement[bool]:
        """The rows of ``trials`` that can hold something new; a few more than that may come with them."""
        of_study = trials.c.study_id == self._study_id
        if len(self.unfinished) > _MANY:
            return sa.and_(of_study, trials.c.trial_id >= min(self.unfinished))
        open_ones = trials.c.trial_id.in_(sorted(self.unfinished))
        return sa.and_(of_study, sa.or_(trials.c.trial_id > self.newest, open_ones))

    def is_old(self, trial_id: int) -> bool:
        """Whether the trial's end was told before."""
        return trial_id <= self.newest and trial_id not in self.unfinished

    def note(self, found: dict[int, TrialState]) -> None:
        """Remember the states that a look has found, by trial id."""
        for trial_id, state in found.items():
            if state.is_finished():
                self.unfinished.discard(trial_id)
            else:
                self.unfinished.add(trial_id)
        self.newest = max(self.newest, max(found, default=-1))
