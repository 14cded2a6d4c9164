"""A worker process, ``python -m orchestrator.worker READ_FD WRITE_FD``: orders in, trials and reports out.

It is started inside its slot by the bind shim, so masks and thread variables are set before anything here
is imported. Exit status: 0 when the work is done, 2 when the objective does not load, 75 when the storage
failed (the trial is given back and a new worker takes over), 143 when its agent has ended it by SIGTERM.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import optuna

from affinity import Binding, differences, format_list, limit_loaded_pools, observe
from orchestrator import interrupts
from orchestrator.channel import Channel, keep_private
from orchestrator.errors import ObjectiveError, StorageError
from orchestrator.full_disk import forgive_full_disks
from orchestrator.meter import cpu_seconds
from orchestrator.objective import Objective
from orchestrator.orders import LoadOrder, WorkOrder
from orchestrator.post_mortem import STORAGE_FAILED
from orchestrator.snapshot import in_words
from orchestrator.sql.failures import is_storage_failure
from orchestrator.storage.claims import Claim
from orchestrator.strays import Strays
from orchestrator.tools import Tools, load_tools
from orchestrator.trial_loop import TrialOutcome, run_trials

DONE, UNLOADABLE = 0, 2

log = logging.getLogger("nano_hpo")


def main(read_fd: int, write_fd: int) -> int:
    """Load, wait for the run, work; the exit status."""
    interrupts.obey()
    forgive_full_disks()
    faulthandler.enable()  # a crash leaves its traceback in the log
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    keep_private(read_fd, write_fd)
    wire = Channel(read_fd, write_fd)
    loading = wire.receive()
    if loading is None:
        return DONE
    try:
        order = LoadOrder.from_json(loading.data)
        objective = order.objective.load()
        tools = load_tools(order.tools, order.arrays)
        limit_loaded_pools()
    except ObjectiveError as error:
        traceback.print_exc()
        wire.send("unloadable", message=str(error))
        return UNLOADABLE
    wire.send("ready")
    working = wire.receive()
    if working is None or working.kind != "work":
        return DONE
    return _work(WorkOrder.from_json(working.data), objective, tools, wire)


def _work(order: WorkOrder, objective: Objective, tools: Tools, wire: Channel) -> int:
    from orchestrator.run_study import open_run_study

    try:
        telling = _Telling(wire, order.binding)
        goes_on, strays = _Permission(wire, order.asks), Strays()
        objective = _shielded(objective, strays, goes_on)
        study, storage = open_run_study(order, tools, telling)
        telling.observed()
        callbacks = tools.get("callbacks", ())
        study.was_interrupted = goes_on.is_interrupted
        is_renewed = run_trials(
            study,
            storage,
            objective,
            order.seed,
            telling,
            lambda: not strays.are_left and goes_on(),
            callbacks,
            order.max_trials,
        )
    except Exception as error:
        traceback.print_exc()
        is_storage = isinstance(error, StorageError) or is_storage_failure(error)
        status = STORAGE_FAILED if is_storage else 1
        wire.send("leaving", status=status)
        return status
    telling.observed()
    is_renewed |= goes_on.is_ended() or strays.are_left
    wire.send("done", stop_run=study.stop_requested, is_renewed=is_renewed)
    return DONE


def _shielded(objective: Objective, strays: Strays, goes_on: _Permission) -> Objective:
    """The objective, whose doings end with it.

    What it raises because this process is told to end is no fault of the trial: the agent says what it is.

    Nobody interrupts a worker from a keyboard: a KeyboardInterrupt here is the objective's own. A process
    that it has forked ends where the objective does: there is one worker.
    """
    worker = os.getpid()

    def shielded(trial: Any) -> Any:
        try:
            return objective(trial)
        except optuna.TrialPruned:
            raise
        except BaseException as error:
            if goes_on.is_ended() and not isinstance(error, interrupts.WorkerEnded):
                raise interrupts.WorkerEnded from error
            if isinstance(error, KeyboardInterrupt):
                raise RuntimeError("the objective raised KeyboardInterrupt") from error
            raise
        finally:
            if os.getpid() != worker:
                os._exit(0)
            if n_ended := strays.end():
                log.warning("Trial %d has left processes running; %d were ended.", trial.number, n_ended)

    return shielded


class _Permission:
    """Whether to go on: the agent lives, and has neither said stop nor told this process to end.

    Where time is limited (``asks``) the agent is asked: by then it has heard of the trial before, so that its
    forecast is not older than the question.
    """

    def __init__(self, wire: Channel, asks: bool) -> None:
        self._wire = wire
        self._asks = asks
        self._heard: set[str] = set()

    def __call__(self) -> bool:
        self._listen()
        if self._asks and self._is_on():
            self._ask()
        return self._is_on()

    def _ask(self) -> None:
        self._heard.discard("go")
        self._wire.send("asks")
        while "go" not in self._heard and self._is_on():
            message = self._wire.receive()
            self._heard |= {message.kind} if message is not None else set()

    def _is_on(self) -> bool:
        """By what was heard so far."""
        was_ended = "end" in self._heard or interrupts.was_told()
        return "stop" not in self._heard and not self._wire.closed and not was_ended

    def is_ended(self) -> bool:
        """Whether this process was told to end, whatever an objective has made of the signal."""
        self._listen()
        return "end" in self._heard or interrupts.was_told()

    def is_interrupted(self) -> bool:
        """Whether the trial at hand has a few seconds left."""
        self._listen()
        return "hurry" in self._heard

    def _listen(self) -> None:
        self._heard |= {message.kind for message in self._wire.pending()}


class _Telling:
    """The trial loop's events, told to the agent at once."""

    def __init__(self, wire: Channel, binding: Binding | None) -> None:
        self._wire = wire
        self._binding = binding
        self._has_told = False

    def claimed(self, claim: Claim) -> None:
        about = {"number": claim.number, "trial_id": claim.trial_id, "token": claim.token}
        self._wire.send("claimed", **about, cpu_before_s=cpu_seconds())

    def sampled(self, params: Mapping[str, Any]) -> None:
        self._wire.send("sampled", params=dict(params))

    def suggested(self, name: str, internal: float, distribution: str) -> None:
        self._wire.send("suggested", name=name, internal=internal, distribution=distribution)

    def stored(self, names: Sequence[str]) -> None:
        self._wire.send("stored", names=list(names))

    def dropped(self) -> None:
        self._wire.send("dropped")

    def reported(self, number: int, step: int, value: float) -> None:
        self._wire.send("reported", number=number, step=step, value=value)

    def told(self, number: int, outcome: TrialOutcome, objective_s: float, params: Mapping[str, Any]) -> None:
        self._wire.send(
            "told",
            number=number,
            state=outcome.state.name,
            values=outcome.values,
            error=outcome.error,
            objective_s=objective_s,
            params=in_words(params),
        )
        if not self._has_told:  # the objective has loaded its libraries by now
            self.observed()
        self._has_told = True

    def waiting(self, is_waiting: bool) -> None:
        self._wire.send("waiting", is_waiting=is_waiting)

    def noted(self, text: str) -> None:
        self._wire.send("noted", text=text)

    def observed(self) -> None:
        """What this process really got: the masks of all threads, the thread pools."""
        seen = observe()
        self._wire.send(
            "observed",
            cpus=format_list(seen.pus),
            pools=[asdict(pool) for pool in seen.pools],
            memory_mib={str(node): round(mib, 1) for node, mib in seen.memory_mib.items()},
            problems=list(differences(self._binding, seen)) if self._binding else [],
        )


if __name__ == "__main__":
    try:
        sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
    except interrupts.WorkerEnded:
        traceback.print_exc()  # where the trial was when its time was over
        sys.exit(interrupts.EXIT_STATUS)
