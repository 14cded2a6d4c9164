"""The agent of one rank: slots and a run in, supervised workers and an ending out.

One loop over selectors: it hears the workers' messages and exits, keeps its heartbeat, gives trials of dead
workers back and starts new workers, until the run's tickets are spent or somebody says stop. Every child is
awaited; when the agent leaves, nothing of its own is RUNNING any more.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence

from sqlalchemy.exc import DBAPIError

from orchestrator.agent.account import Account
from orchestrator.agent.contact import Contact
from orchestrator.agent.crew import Crew, News
from orchestrator.agent.forecast import KEPT
from orchestrator.agent.limits import Limits
from orchestrator.agent.refill import Refill
from orchestrator.agent.settlement import Settlement
from orchestrator.agent.slot_worker import SlotWorker
from orchestrator.agent.stopping import Ending, Stopping
from orchestrator.agent.tally import Tally
from orchestrator.agent.walltime import Walltime
from orchestrator.agent.work_left import LOOK_S, WorkLeft
from orchestrator.causes import Cause, Verdict
from orchestrator.channel import Message
from orchestrator.errors import ObjectiveError
from orchestrator.host import this_process
from orchestrator.kept_folders import KeptFolders
from orchestrator.launching.launch import Launch
from orchestrator.launching.lending import is_lent
from orchestrator.orders import LoadOrder, WorkOrder
from orchestrator.post_mortem import OomWatch
from orchestrator.progress import View
from orchestrator.run_handle import RunHandle
from orchestrator.snapshot import Snapshot
from orchestrator.stop import StopRequests
from orchestrator.storage.runs import FAILED, FINISHED, STOPPED

_TICK_S = 0.25
_CATCH_S = 5.0  # between the signal that Python code can catch and the one that nothing can


class Agent:
    """Supervises the workers of this rank. Make one, call :meth:`run` once."""

    def __init__(
        self,
        launch: Launch,
        order: LoadOrder,
        view: View,
        stops: StopRequests,
        lends: Callable[[RunHandle], str],
    ) -> None:
        self._launch = launch
        self._spec = launch.spec
        self._host = this_process().host
        self._view = view
        self._stops = stops
        self._lends = lends
        self._workers_url = ""  # of the database, as the workers reach it: once there is a run
        self._crew = Crew(launch.share.slots, launch.spec.choices.binding, launch.log_of, order, stops)
        self._workers = self._crew.workers
        self._refill = Refill(self._crew, order.objective, self._note_once)
        self._run: RunHandle | None = None
        self._limits = Limits.of(launch.spec)
        self._walltime = Walltime(launch.spec, os.environ)
        self._stopping = Stopping(launch.spec, stops, self._walltime, self._workers, view)
        self._oom = OomWatch()
        self._account = Account(launch, self._host, self._workers)
        self._tally = Tally()
        self._settlement: Settlement | None = None  # once there is a run
        self._contact: Contact | None = None  # likewise
        self._work: WorkLeft | None = None  # likewise
        self._folders = _folders_of(launch, view)
        self._noted: set[str] = set()  # what workers said that people should know

    def run(self, begin: Callable[[], RunHandle]) -> Ending:
        """Load the objective in the first worker, ``begin`` the run, work it off.

        Raises ``ObjectiveError`` when the objective does not load; the run is then not begun.
        """
        try:
            self._oom.look()
            self._load_once()
            if self._stopping.ending is None:
                self._join(begin())
                self._supervise()
        except DBAPIError:
            if self._run is not None:  # it was waited for; what is left to say is not
                self._run.database.gives_up = lambda: True
            raise
        finally:
            self._leave()
        return self._stopping.outcome()

    @property
    def handle(self) -> RunHandle | None:
        """The run, once it was begun."""
        return self._run

    # Beginning

    def _load_once(self) -> None:
        """Start a worker in each slot; wait until one has loaded the objective."""
        for worker in self._workers:
            self._crew.start(worker)
        while self._stopping.ending is None and not any(worker.is_ready for worker in self._workers):
            self._wait(_TICK_S)
            self._view.refresh(self._snapshot())
            if not self._crew.is_running:
                self._refill.load_again()

    def _join(self, run: RunHandle) -> None:
        self._run = run
        self._workers_url = self._lends(run)
        self._work = WorkLeft(run)
        self._settlement = Settlement(self._launch, run, self._oom, self._tally, self._view)
        run.database.gives_up = lambda: self._stops.is_over(self._spec.grace_s) or self._walltime.is_over()
        self._walltime.saw(run.attempts.durations_s(run.run_id, KEPT))
        self._tally.begin(run.attempts.counts(run.run_id).get("ended", 0), run.best())
        self._stopping.begin()
        run.free_the_dead(self._spec.max_retries)
        run.free_strangers()
        self._contact = Contact(
            run,
            self._workers,
            self._account,
            self._tally,
            self._view,
            self._spec.max_retries,
            self._stopping,
            self._patience_s(),
        )

    def _patience_s(self) -> float:
        """How long running trials go on without a database: what rank 0 lends is lost with it."""
        is_borrowed = self._launch.rank.index > 0 and is_lent(self._spec, self._launch.rank)
        return self._spec.storage_patience_s if is_borrowed else math.inf

    # The loop

    def _supervise(self) -> None:
        assert self._contact is not None
        while not self._is_done():
            self._give_orders()
            self._wait(self._pause_s())
            self._end_those_out_of_time()
            self._enforce_limits()
            self._contact.beat()
            self._contact.keep_params()
            self._look_after_folders(self._contact)
            self._go_on_or_give_up()
            self._view.refresh(self._snapshot())

    def _look_after_folders(self, contact: Contact) -> None:
        if self._folders is not None and self._folders.is_due:
            contact.hastily(self._folders.look)

    def _pause_s(self) -> float:
        return _TICK_S if self._crew.is_running else LOOK_S

    def _is_done(self) -> bool:
        """No worker of ours is left, and there is nothing that one could still do."""
        if self._crew.is_running:
            return False
        if self._stopping.ending is not None:
            return True
        assert self._run is not None
        assert self._work is not None
        self._stopping.heed(self._run.asked_to_stop())
        if self._stopping.ending is not None:
            return True
        is_done = self._work.is_done()
        self._tally.finished = self._work.n_finished
        if is_done and (n := self._work.n_with_strangers()):
            again = "the same command counts them once they are finished"
            self._stopping.ending = Ending(
                STOPPED, f"{n} trials of the run are with another program; {again}"
            )
        return is_done

    def _give_orders(self) -> None:
        for worker in self._workers:
            if worker.is_ready and not worker.has_order:
                worker.give(self._work_order(worker))

    def _work_order(self, worker: SlotWorker) -> WorkOrder:
        run = self._run
        assert run is not None
        return WorkOrder.of(
            self._spec,
            run,
            storage_url=self._workers_url,
            slot=worker.slot.index,
            cpu_model=self._launch.share.topology.cpu_model,
            binding=worker.binding,
            max_trials=self._spec.trials_per_worker,
            asks=self._walltime.may_end,
            run_dir=self._launch.paths.root,
            study_id=run.study_id,
        )

    def _wait(self, timeout_s: float) -> None:
        """Until a worker speaks or exits, a signal comes, or the time is over; then take in what came."""
        self._take_in(self._crew.listen(timeout_s))
        self._stopping.look()

    def _take_in(self, news: Sequence[News]) -> None:
        for one in news:
            self._hear(one.worker, one.messages)
            if one.returncode is not None:
                self._settle(one.worker, one.returncode)

    def _hear(self, worker: SlotWorker, messages: Sequence[Message]) -> None:
        for message in messages:
            match message.kind:
                case "unloadable" if self._run is None:
                    raise ObjectiveError(message.data["message"])
                case "unloadable":
                    self._stopping.stop(Ending(FAILED, message.data["message"]))
                case "asks":
                    self._stopping.let_begin_or_stop(worker)
                case "told":
                    self._walltime.heard(message.data)
                    self._tally.told(message.data)
                    self._view.told(message.data, worker.slot.index)
                    self._stop_if_all_fail_alike()
                case "noted":
                    self._note_once(message.data["text"])
                case "done":
                    if self._work is not None and not message.data["is_renewed"]:
                        self._work.found_no_ticket()
                    if message.data["stop_run"]:
                        self._stopping.stop(Ending(FINISHED, "the study asked to stop"))

    def _note_once(self, text: str) -> None:
        """Several workers may have the same to say."""
        if text not in self._noted:
            self._noted.add(text)
            self._view.note(text)

    # Workers

    def _settle(self, worker: SlotWorker, returncode: int) -> None:
        """A worker has exited."""
        if self._settlement is None:
            worker.clear(returncode)
        else:
            self._settlement.settle(worker, returncode, is_ending=self._stopping.ending is not None)
            self._stop_if_all_fail_alike()

    def _go_on_or_give_up(self) -> None:
        assert self._work is not None
        reason = self._refill.go_on(self._work) if self._stopping.ending is None else None
        if reason is not None:
            self._stopping.stop(Ending(FAILED, reason))

    # Stopping

    def _enforce_limits(self) -> None:
        """Tell a worker to end whose trial has taken too long or too much.

        Too long only while the database answers: one that hangs holds the trials up.
        """
        broken = list(self._limits.broken_by(self._workers))
        if any(why.cause is Cause.TIMED_OUT for _, why in broken):
            if self._contact is None or not self._contact.look_around():
                return
            broken = list(self._limits.broken_by(self._workers))  # some may be excused now
        for worker, verdict in broken:
            worker.terminate(verdict, _CATCH_S)

    def _end_those_out_of_time(self) -> None:
        if self._stopping.is_grace_over():
            self._end_workers(0.0 if self._stops.count > 1 else _CATCH_S)

    def _end_workers(self, grace_s: float) -> None:
        """End what still runs; their trials are released."""
        why = self._stopping.hurried or Verdict(Cause.RELEASED, "")
        self._take_in(self._crew.end(why, grace_s))  # all have ended, whatever comes of the database

    def _stop_if_all_fail_alike(self) -> None:
        reason = self._tally.all_fail_alike() if self._stopping.ending is None else None
        if reason is not None:
            self._stopping.stop(Ending(FAILED, f"the first {reason}; see {self._launch.paths.logs}"))

    def _leave(self) -> None:
        """End every worker, give back what they held, say goodbye to the run."""
        try:
            if self._crew.is_running:
                self._stopping.ending = self._stopping.ending or Ending(FAILED, "the agent failed")
                self._end_workers(_CATCH_S)
            if self._run is not None:
                self._run.runs.end_agent(self._run.agent_id, self._account.last())
        finally:
            self._walltime.close()
            self._crew.close()
            self._view.close(self._snapshot() if self._run is not None else None)

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            study=self._spec.study_name,
            total=self._spec.n_trials,
            running=tuple(one for w in self._workers if (one := w.at_work(self._host)) is not None),
            starting=sum(w.is_running and w.trial is None for w in self._workers),
            n_slots=len(self._workers),
            time_left_s=self._stopping.time_left_s,
            several=self._launch.rank.size > 1,
            **self._tally.numbers(),
        )


def _folders_of(launch: Launch, view: View) -> KeptFolders | None:
    """The care of the trials' folders, where it is asked for: one rank is enough for those of all."""
    keep_top = launch.spec.keep_top
    if keep_top is None or launch.rank.index > 0:
        return None
    return KeptFolders(launch.paths.root, keep_top, view.note)
