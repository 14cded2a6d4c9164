"""A worker has died: its slot and exit status in; its trial given back, released or failed out."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.agent.running_trial import RunningTrial
from orchestrator.agent.slot_worker import SlotWorker
from orchestrator.agent.tally import Tally
from orchestrator.causes import Cause, Verdict
from orchestrator.launching.launch import Launch
from orchestrator.post_mortem import OomWatch, cause_of_death
from orchestrator.progress import View
from orchestrator.run_handle import RunHandle
from orchestrator.storage.attempts import Loss, OpenAttempt


@dataclass(frozen=True, slots=True)
class Settlement:
    """Settles what dead workers of one agent have left open in its run."""

    launch: Launch
    run: RunHandle
    oom: OomWatch
    tally: Tally
    view: View

    def settle(self, worker: SlotWorker, returncode: int, is_ending: bool) -> None:
        """Empty the slot. An open attempt of it is given back, or released when the run ends."""
        told = worker.clear(returncode)
        left = self.run.attempts.open_attempt(self.run.agent_id, worker.slot.index)
        death = cause_of_death(returncode, self.oom, worker.usage.peak_rss_mib)
        if left is None:
            if worker.verdict is None and returncode != 0 and not is_ending:
                self.view.lost(worker.slot.index, None, worker.last_exit)
            return
        worker.n_lost += 1
        why = self._verdict(worker, left) or death
        loss = self._loss(worker, returncode, why, told if told and told.token == left.token else None)
        if is_ending and not loss.is_own_fault:
            self.run.attempts.release(left.token, left.trial_id, loss)
        else:
            self._give_back(worker, left, loss)

    def _verdict(self, worker: SlotWorker, left: OpenAttempt) -> Verdict | None:
        """Why we have ended the worker; another trial that it was at by then has nothing to do with that."""
        if worker.verdict is None or worker.judged in (None, left.token):
            return worker.verdict
        return Verdict(Cause.RELEASED, "its worker was ended for another trial")

    def _loss(self, worker: SlotWorker, returncode: int, why: Verdict, trial: RunningTrial | None) -> Loss:
        share_mib, peak_mib = self.launch.share.slot_memory_mib, worker.usage.peak_rss_mib
        return Loss(
            why.cause,
            why.detail,
            exit_status=returncode,
            peak_rss_mib=peak_mib,
            cpu_s=worker.usage.cpu_s,
            took_more_than_its_share=bool(share_mib and peak_mib and peak_mib > share_mib),
            params=trial.params if trial is not None else None,
            suggested=trial.suggested if trial is not None else {},
        )

    def _give_back(self, worker: SlotWorker, left: OpenAttempt, loss: Loss) -> None:
        max_retries = self.launch.spec.max_retries
        happened = self.run.attempts.give_back(left.token, left.trial_id, loss, max_retries)
        self.tally.lost(happened, str(loss), str(loss.cause))
        if happened == "failed":
            worker.deaths = 0  # the run goes on: that was the trial's fault, and not the slot's
            self.view.note(f"Trial {left.number} is failed for good: {loss}.")
        else:
            self.view.lost(worker.slot.index, left.number, str(loss))
