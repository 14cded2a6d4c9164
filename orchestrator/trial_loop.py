"""The trial loop: claim a trial, run the objective, tell; until budget, signal or agent says stop."""

from __future__ import annotations

import logging
import math
import reprlib
import sysconfig
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.trial import Trial, TrialState

from orchestrator.callbacks import Callbacks
from orchestrator.causes import Cause
from orchestrator.errors import BudgetSpent
from orchestrator.interrupts import WorkerEnded
from orchestrator.meter import cpu_seconds, peak_rss_mib
from orchestrator.objective import Objective
from orchestrator.run_study import RunStudy
from orchestrator.sampling.streams import seed_libraries, stream_seed
from orchestrator.sql.failures import is_storage_failure
from orchestrator.storage.attempts import StaleAttempt
from orchestrator.storage.claims import Claim
from orchestrator.storage.run_storage import RunStorage

log = logging.getLogger("nano_hpo")

_HERE = Path(__file__).parents[1]
_INSTALLED = (
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    *(f"{_HERE / room}/" for room in ("orchestrator", "bigdl")),
)
_PACKAGES = frozenset(("site-packages", "dist-packages"))
_RESERVED_ATTRIBUTE_BYTES = 60_000  # Optuna's attributes are TEXT, 65,535 bytes on MySQL


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """How the objective ended: the trial's state, its values, and why it failed (for people)."""

    state: TrialState
    values: tuple[float, ...] | None
    cause: Cause
    error: str = ""


class Events(Protocol):
    """Who follows the loop: the agent over a pipe, or the progress view of a search in this process."""

    def claimed(self, claim: Claim) -> None:
        """A trial was claimed."""

    def sampled(self, params: Mapping[str, Any]) -> None:
        """Parameters were sampled for it together, before the objective asks for them."""

    def reported(self, number: int, step: int, value: float) -> None:
        """The objective reported an intermediate value."""

    def dropped(self) -> None:
        """The trial is another worker's by now: what came out here is dropped."""

    def told(self, number: int, outcome: TrialOutcome, objective_s: float, params: Mapping[str, Any]) -> None:
        """The trial is finished and stored."""

    def noted(self, text: str) -> None:
        """People should know something."""


def run_trials(
    study: RunStudy,
    storage: RunStorage,
    objective: Objective,
    study_seed: int,
    events: Events,
    may_go_on: Callable[[], bool],
    callbacks: Sequence[Callable[..., Any]] = (),
    max_trials: int | None = None,
) -> bool:
    """Run trials in turn until ``may_go_on`` says no, the study is stopped or no ticket is left.

    Returns whether it was by ``max_trials`` that it ended: there may be more to do.

    After each trial that this process has finished the ``callbacks`` are called with study and trial.
    A failure of the storage, unlike one of the objective, is not the trial's fault: it is raised and the
    trial stays claimed, to be given back by the agent.
    """
    after, n_run = Callbacks(callbacks, events.noted), 0
    while may_go_on() and not study.stop_requested:
        if n_run == max_trials:
            return True
        try:
            trial = storage.ask(study)
        except BudgetSpent:
            break
        n_run += 1
        if run_one(study, storage, trial, objective, study_seed, events):
            after.call(study, trial._trial_id)
    return False


def run_one(
    study: RunStudy,
    storage: RunStorage,
    trial: Trial,
    objective: Objective,
    study_seed: int,
    events: Events,
) -> bool:
    """Run the objective on a claimed trial and store its outcome; whether it still was ours to finish."""
    own = storage.current
    assert own is not None
    before_s = cpu_seconds()
    events.claimed(own.claim)
    try:
        outcome, objective_s = _run(study, trial, objective, study_seed, events)
        told_itself = storage.current is not own
        if not told_itself:
            own.cause, own.error, own.objective_s = outcome.cause, _stored_error(outcome), objective_s
            own.peak_rss_mib, own.cpu_s = peak_rss_mib(), cpu_seconds() - before_s
            outcome = _tell(study, storage, trial, outcome)
        if told_itself or not storage.has_ended(trial._trial_id):
            outcome = _outcome_that_counts(storage, trial)
        events.told(trial.number, outcome, objective_s, own.trial.params)
        return True
    except StaleAttempt:
        log.warning("Trial %d was given to another worker meanwhile; this result is dropped.", trial.number)
        storage.leave()
        events.dropped()
        return False


def _run(
    study: RunStudy, trial: Trial, objective: Objective, study_seed: int, events: Events
) -> tuple[TrialOutcome, float]:
    """How the objective ended, and after how many seconds."""
    start_s = time.monotonic()
    outcome = _sample(trial, events)
    if outcome is None:
        seed_libraries(stream_seed(study_seed, trial.number))
        start_s = time.monotonic()
        outcome = evaluate(objective, trial, len(study.directions))
    return outcome, time.monotonic() - start_s


def _tell(study: RunStudy, storage: RunStorage, trial: Trial, outcome: TrialOutcome) -> TrialOutcome:
    """Store the outcome; a FAIL where the sampler or the database refuses what the objective has made."""
    try:
        study.tell(trial, outcome.values, outcome.state)
    except Exception as error:
        own = storage.current
        refused = _raised(trial, error)  # or it goes on: nobody is to blame for the trial
        if own is None:  # the sampler failed when all was stored
            return outcome
        own.drop_held()
        own.cause, own.error = refused.cause, _stored_error(refused)
        study.tell(trial, state=TrialState.FAIL)
        return refused
    return outcome


def _outcome_that_counts(storage: RunStorage, trial: Trial) -> TrialOutcome:
    """What is stored: the objective, or somebody else, has told the trial."""
    stored = storage.get_trial(trial._trial_id)
    values = tuple(stored.values) if stored.values is not None else None
    return TrialOutcome(stored.state, values, Cause.FINISHED_ELSEWHERE)


def evaluate(objective: Objective, trial: Trial, n_objectives: int) -> TrialOutcome:
    """Call the objective; exceptions become a FAIL with its traceback in the log."""
    try:
        returned = objective(trial)
    except optuna.TrialPruned:
        return TrialOutcome(TrialState.PRUNED, None, Cause.PRUNED)
    except (KeyboardInterrupt, WorkerEnded):
        raise
    except BaseException as error:  # SystemExit, asyncio.CancelledError: the trial's, and not the worker's
        return _raised(trial, error)
    return _checked(returned, n_objectives, trial.number)


def _sample(trial: Trial, events: Events) -> TrialOutcome | None:
    """Let the sampler draw what it draws together; an outcome when it cannot, as with a bad argument."""
    try:
        if trial.relative_params:
            events.sampled(trial.relative_params)
    except Exception as error:
        return _raised(trial, error)
    return None


def _raised(trial: Trial, error: BaseException) -> TrialOutcome:
    """A FAIL with its traceback in the log; a failure of the storage is not the trial's and goes on."""
    if is_storage_failure(error) or isinstance(error, StaleAttempt):
        raise error
    log.error("Trial %d raised:", trial.number, exc_info=error)
    said = f"{type(error).__name__}: {_text_of(error)}{_place_of(error)}"
    return TrialOutcome(TrialState.FAIL, None, Cause.RAISED, said)


def _text_of(error: BaseException) -> str:
    """What an exception says, in text that can be stored, even if it cannot say it."""
    try:
        text = str(error)
    except Exception:
        return "(its text cannot be made)"
    return text.encode("utf-8", "backslashreplace").decode()


def _place_of(error: BaseException) -> str:
    """Where it was raised: « (train.py, line 12)», the last line that is not of an installed package."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_installed(frame.filename)]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""


def _is_installed(file: str) -> bool:
    """Packages may lie outside this environment too: PYTHONPATH, a user's own, --system-site-packages."""
    is_package = not _PACKAGES.isdisjoint(Path(file).parts)
    return is_package or file.startswith((*_INSTALLED, "<"))


def _checked(returned: Any, n_objectives: int, number: int) -> TrialOutcome:
    """What the objective returned as one number per objective, or a FAIL that says what is wrong with it."""
    values: Sequence[Any]
    is_several = isinstance(returned, Sequence) and not isinstance(returned, str | bytes | bytearray)
    values = returned if is_several else (returned,)
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        return _refused(number, f"the objective returned {reprlib.repr(returned)}, not a number")
    if len(numbers) != n_objectives:
        values_said = "1 value" if len(numbers) == 1 else f"{len(numbers)} values"
        reason = f"the objective returned {values_said}, not {n_objectives}: one for each direction"
        return _refused(number, reason)
    if any(math.isnan(value) for value in numbers):
        return _refused(number, "the objective returned NaN")
    return TrialOutcome(TrialState.COMPLETE, numbers, Cause.RETURNED)


def _refused(number: int, reason: str) -> TrialOutcome:
    log.error("Trial %d: %s.", number, reason)
    return TrialOutcome(TrialState.FAIL, None, Cause.RAISED, reason)


def _stored_error(outcome: TrialOutcome) -> str:
    """What is stored with a trial that failed; a character may take four bytes."""
    return outcome.error[: _RESERVED_ATTRIBUTE_BYTES // 4]
