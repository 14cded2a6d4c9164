"""What a command says while it runs, told to its trial: lines in; reports, attributes and checkpoints out."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import optuna

from orchestrator.command.lines import shown_line
from orchestrator.command.message import Message, message_in
from orchestrator.trial_folder import mark_checkpoint

log = logging.getLogger("nano_hpo")


class Reports:
    """Listens to a command on behalf of a trial."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.is_hopeless = False  # the pruner has said so
        self.values: tuple[float, ...] | None = None  # of the last message that is the trial's own value
        self._trial = trial
        self._has_one_direction = len(trial.study.directions) == 1
        self._has_warned = False

    def hear(self, lines: Iterable[bytes]) -> None:
        """Tell the trial what these lines say. Whatever the storage raises is raised."""
        for line in (line for line in lines if b"{" in line):  # not many of millions
            message = message_in(line)
            if message is not None:
                self.take(message, line)

    def take(self, message: Message, said: bytes) -> None:
        """Tell the trial of a message; ``said`` is its text."""
        if message.problem:
            self._warn(message.problem, said)
        for key, value in message.user_attrs.items():
            self._trial.set_user_attr(key, value)
        if not message.is_report:
            self.values = message.values if message.values is not None else self.values
        elif message.step is not None and message.values is not None:
            self._report(message.step, message.values, said)
        if message.checkpoint is not None:
            mark_checkpoint(self._trial, message.checkpoint)

    def _report(self, step: int, values: tuple[float, ...], said: bytes) -> None:
        """Optuna knows intermediate values for one direction only."""
        if not self._has_one_direction or len(values) != 1:
            self._warn("intermediate values are single numbers, in a study of one direction", said)
            return
        self._trial.report(values[0], step)
        self.is_hopeless = self.is_hopeless or self._trial.should_prune()

    def _warn(self, problem: str, said: bytes) -> None:
        """Once: a command may say the same a million times."""
        if not self._has_warned:
            log.warning("Trial %d: not understood, %s: %s", self._trial.number, problem, shown_line(said))
        self._has_warned = True
