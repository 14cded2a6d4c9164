"""Optuna's storage on our own SQL: Optuna's schema unchanged, read by columns and written in few statements.

``open_storage(url)`` gives one to any Optuna script.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Container, Sequence
from typing import Any

import sqlalchemy as sa
from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
)
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from orchestrator.sql.database import Database, knowing_itself
from orchestrator.sql.opening import open_database
from orchestrator.sql.schema import (
    study_system_attributes,
    study_user_attributes,
    trial_intermediate_values,
    trial_params,
    trial_system_attributes,
    trial_user_attributes,
)
from orchestrator.sql.turns import Turn
from orchestrator.sql.upsert import upsert
from orchestrator.storage import study_rows, trial_lookup
from orchestrator.storage.known_distributions import KnownDistributions
from orchestrator.storage.rows import (
    PARAM_KEY,
    attribute_row,
    best_trials,
    create_trial,
    intermediate_row,
    now,
    param_row,
    set_trial,
    write_values,
)
from orchestrator.storage.stored_trial import Times, utc
from orchestrator.storage.study_history import StudyHistory
from orchestrator.storage_url import checked

_UNNAMED = "no-name-"  # Optuna's prefix


def open_storage(url: str) -> StudyStorage:
    """A storage for plain Optuna: ``optuna.create_study(storage=open_storage(url), …)``.

    Takes the URLs that ``nano-hpo run --storage`` takes. Raises ``StorageError`` in one line, with the
    password masked, when the database cannot be opened.
    """
    return StudyStorage(open_database(checked(url)))


class StudyStorage(BaseStorage):
    """All studies of one database.

    **Durability.** Every call that changes something has committed when it returns: studies, trials,
    parameters, intermediate values, attributes and states. (A worker of a run holds a trial's parameters
    back a little; ``RunStorage`` says how long.)

    **Thread and process safety.** One instance may be shared by threads; they take turns on its one
    connection. After a fork the child opens its own connection. A pickle carries the URL and opens anew.

    **Reading.** A study's history is read once, afterwards only what changed. Finished trials come as
    ``StoredTrial``: identity, state, times and values at once, the rest when asked for. Unfinished trials are
    snapshots of the moment.

    **Repetition.** Statements are repeated after a lost connection, a deadlock or a restart of the server
    (``Database``); each is written so that doing it twice is doing it once.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._histories: dict[int, StudyHistory] = {}
        self._directions: dict[int, list[StudyDirection]] = {}
        self._names: dict[int, str] = {}
        self._distributions = KnownDistributions()
        self._study_of: dict[int, int] = {}  # trial id: study id
        self._lock = Turn()  # of the dictionaries; who holds it never waits for the database

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.database.url}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(open_database(state["url"]))  # type: ignore[misc]

    def remove_session(self) -> None:
        """Close the connection; the next call opens one."""
        self.database.close()

    # Studies

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """A new study; one transaction, which knows itself again when the answer was lost."""
        name = study_name if study_name is not None else f"{_UNNAMED}{uuid.uuid4()}"

        def work(c: sa.Connection, again: bool) -> int:
            known = study_rows.study_id_of(c, name)
            if known is not None and not again:
                raise DuplicatedStudyError(f"Another study with name '{name}' already exists.")
            return study_rows.insert_study(c, name, directions) if known is None else known

        try:
            return self.database.write(knowing_itself(work))
        except sa.exc.IntegrityError:  # somebody was quicker
            raise DuplicatedStudyError(f"Another study with name '{name}' already exists.") from None

    def delete_study(self, study_id: int) -> None:
        """Delete a study with all its rows, ours included."""
        self._forget(study_id)

        def work(c: sa.Connection, again: bool) -> None:
            if not again:  # else it may be gone by the first try, whose answer was lost
                study_rows.require_study(c, study_id)
            study_rows.delete_study(c, study_id)

        self.database.write(knowing_itself(work))

    def _forget(self, study_id: int) -> None:
        with self._lock:
            for known in (self._histories, self._directions, self._names):
                known.pop(study_id, None)
            self._study_of = {t: s for t, s in self._study_of.items() if s != study_id}
            self._distributions.forget(study_id)

    def get_study_id_from_name(self, study_name: str) -> int:
        """As Optuna's."""
        found = self.database.read(lambda c: study_rows.study_id_of(c, study_name))
        if found is None:
            raise KeyError(f"There is no study named {study_name!r}.")
        return found

    def get_study_name_from_id(self, study_id: int) -> str:
        """As Optuna's; read once."""
        if study_id not in self._names:
            self._names[study_id] = self.database.read(lambda c: study_rows.name_of_study(c, study_id))
        return self._names[study_id]

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """As Optuna's; read once."""
        if study_id not in self._directions:
            self._directions[study_id] = self.database.read(lambda c: study_rows.directions_of(c, study_id))
        return list(self._directions[study_id])

    def get_all_studies(self) -> list[FrozenStudy]:
        """As Optuna's."""
        return self.database.read(study_rows.all_studies)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """As Optuna's."""
        table = study_user_attributes
        self.database.write(lambda c: study_rows.set_study_attribute(c, table, study_id, key, value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """As Optuna's."""
        table = study_system_attributes
        self.database.write(lambda c: study_rows.set_study_attribute(c, table, study_id, key, value))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """As Optuna's."""
        return self.database.read(lambda c: study_rows.study_attributes(c, study_user_attributes, study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """As Optuna's."""
        return self.database.read(lambda c: study_rows.study_attributes(c, study_system_attributes, study_id))

    # Trials

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """A new trial, RUNNING or as the template is; one transaction.

        It is not repeated when the answer to its commit was lost: that might make a second trial. (A run's
        claim carries a token and is.)
        """
        times: Times = (now(), None)
        if template_trial is not None:
            times = utc(template_trial.datetime_start), utc(template_trial.datetime_complete)

        def work(c: sa.Connection) -> int:
            trial_id = create_trial(c, study_id, template_trial, times)
            self.history(study_id).know_times(trial_id, *times)
            return trial_id

        trial_id = self.database.write(work, is_repeatable=False)
        self._study_of[trial_id] = study_id
        return trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """As Optuna's; a parameter that is there already stays as it is."""
        row = param_row(trial_id, param_name, param_value_internal, distribution_to_json(distribution))

        def work(c: sa.Connection) -> None:
            study_id = trial_lookup.open_trial(c, trial_id).study_id
            known = self._distributions.learned(c, study_id, param_name, distribution)
            check_distribution_compatibility(known, distribution)
            upsert(c, trial_params, [row], PARAM_KEY, keep=True)

        self.database.write(work)

    def check_distribution(self, study_id: int, name: str, distribution: BaseDistribution) -> None:
        """Refuse a distribution that does not go together with that of an earlier trial (``ValueError``)."""
        known = self._distributions.known(study_id, name)
        if known is None:
            learned = self._distributions.learned
            known = self.database.read(lambda c: learned(c, study_id, name, distribution))
        check_distribution_compatibility(known, distribution)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As Optuna's; state and values change together or not at all.

        Who takes a waiting trial must know that it was he: that is not repeated after a lost answer.
        """

        def work(c: sa.Connection, again: bool) -> bool:
            if again and trial_lookup.state_of(c, trial_id) is state:
                return True
            return self._set_state(c, trial_id, state, values)

        return self.database.write(knowing_itself(work), is_repeatable=state is not TrialState.RUNNING)

    def _set_state(
        self, c: sa.Connection, trial_id: int, state: TrialState, values: Sequence[float] | None
    ) -> bool:
        trial = trial_lookup.open_trial(c, trial_id, locks=True)
        if state is TrialState.RUNNING and trial.state is not TrialState.WAITING:
            return False
        changed: dict[str, Any] = {"state": state}
        if state is TrialState.RUNNING:
            changed["datetime_start"] = now()
        if state.is_finished():
            changed["datetime_complete"] = now()
            self.history(trial.study_id).know_end(trial_id, changed["datetime_complete"])
        set_trial(c, trial_id, **changed)
        if values is not None:
            write_values(c, trial_id, values)
        return True

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """As Optuna's."""
        row = intermediate_row(trial_id, step, intermediate_value)
        self._write_to_trial(trial_id, trial_intermediate_values, row, "step")

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """As Optuna's."""
        row = attribute_row(trial_id, key, value)
        self._write_to_trial(trial_id, trial_user_attributes, row, "key")

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """As Optuna's."""
        row = attribute_row(trial_id, key, value)
        self._write_to_trial(trial_id, trial_system_attributes, row, "key")

    def _write_to_trial(self, trial_id: int, table: sa.Table, row: dict[str, Any], key: str) -> None:
        def work(c: sa.Connection) -> None:
            trial_lookup.open_trial(c, trial_id)
            upsert(c, table, [row], ("trial_id", key))

        self.database.write(work)

    # Reading trials

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """As Optuna's; the study's history is not read for it."""
        return self.history(self._study_of_trial(trial_id)).one(trial_id)

    def _study_of_trial(self, trial_id: int) -> int:
        if trial_id not in self._study_of:
            self._study_of[trial_id] = self.database.read(lambda c: trial_lookup.study_of(c, trial_id))
        return self._study_of[trial_id]

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """As Optuna's."""
        return self.database.read(lambda c: trial_lookup.trial_of_number(c, study_id, trial_number))

    def history(self, study_id: int) -> StudyHistory:
        """The view of a study that this storage keeps."""
        with self._lock:
            if study_id not in self._histories:
                self._histories[study_id] = StudyHistory(self.database, study_id)
            return self._histories[study_id]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """As Optuna's: one statement for what changed."""
        history = self.history(study_id)
        history.refresh()
        if not len(history):
            self.database.read(lambda c: study_rows.require_study(c, study_id))
        found = history.trials(states)
        return [copy.deepcopy(trial) for trial in found] if deepcopy else found

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """As Optuna's; of equally good trials the earliest."""
        directions = self.get_study_directions(study_id)
        if len(directions) > 1:
            raise RuntimeError("Best trial can be obtained only for single-objective optimization.")
        best = self.database.read(lambda c: c.execute(best_trials(study_id, directions[0])).scalar())
        if best is None:
            raise ValueError("No trials are completed yet.")
        return self.get_trial(int(best))
