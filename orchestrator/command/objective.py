"""A command as an objective: words with names in them and a search space in, a callable of a trial out."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution

from launchers import describe_exit
from orchestrator.command.child import Child
from orchestrator.command.errors import CommandFailed
from orchestrator.command.facts import NAMES, Facts, check_variables, environment, facts_of
from orchestrator.command.lines import Lines, shown_line
from orchestrator.command.program import require_program, study_name_of, words_of
from orchestrator.command.reports import Reports
from orchestrator.command.result import message_of_file, values_of_output
from orchestrator.command.space import Space
from orchestrator.command.space_file import space_of
from orchestrator.command.template import check_template, filled, shown, text_of
from orchestrator.errors import SpecError

GRACE_S = 4.0  # less than a worker itself has when its agent ends it


class CommandObjective:
    """An objective that runs a command for each trial.

    ::

        search(CommandObjective(["./train.sh", "--lr", "{lr}"], "space.toml"), n_trials=100)

    **Words.** ``{lr}`` anywhere in a word stands for the parameter ``lr``; ``{trial}``, ``{trial_dir}``,
    ``{result}`` and ``{seed}`` for what the variables below hold, unless a parameter has that name; ``{{``
    and ``}}`` for braces. No shell reads the words.

    **Environment.** NANO_HPO_PARAM_lr and so on for each parameter; NANO_HPO_TRIAL (its number),
    NANO_HPO_TRIAL_DIR (its folder, see ``orchestrator.trial_dir``), NANO_HPO_RESULT (a file that is not there
    yet), NANO_HPO_SEED (from 0 to 2**32 - 1, the same at each attempt), NANO_HPO_STUDY, and
    NANO_HPO_CHECKPOINT where an attempt before has marked one. PYTHONUNBUFFERED is 1 unless it is set to
    something else.

    **Value.** The file NANO_HPO_RESULT, a number (several for several directions) or a JSON object with
    "value" or "values"; without it the last such object on a line of the output; else the last line of the
    output. A line with "step" and "value" reports an intermediate value: the command is ended when the pruner
    says so. "checkpoint" marks a step, "user_attrs" stores attributes. See ``orchestrator.command.message``.

    **End.** An exit status other than 0 fails the trial. When the command has exited, what it left in its
    process group is killed. Whatever interrupts the objective ends the group: SIGTERM, after ``grace_s``
    seconds SIGKILL.
    """

    def __init__(
        self,
        command: Sequence[str],
        space: Space | Mapping[str, BaseDistribution] | str | Path,
        *,
        grace_s: float = GRACE_S,
    ) -> None:
        """Check all that can be checked before a trial runs; ``UserError``.

        ``space`` is the path of a TOML file (``orchestrator.command.space_file``), or Optuna's distributions
        by name. ``grace_s`` is how long a command may take to end when it is told to.
        """
        if not 0 <= grace_s < math.inf:
            raise SpecError(f"grace_s is {grace_s}; it must be a number of seconds, 0 or more.")
        self.words, self.space, self.grace_s = words_of(command), space_of(space), grace_s
        check_variables(self.space.names)
        check_template(self.words, (*self.space.names, *NAMES))
        require_program(self.words[0])
        self.__qualname__ = f"{shown(self.words)} (space {self.space.digest()})"  # what the run is known by

    def __repr__(self) -> str:
        return f"<CommandObjective {self.__qualname__}>"

    @property
    def study_name(self) -> str:
        """What a study of it is called when nobody names it: the stem of the program's file."""
        return study_name_of(self.words)

    def __call__(self, trial: optuna.Trial) -> float | tuple[float, ...]:
        """The trial's value, or values. ``CommandFailed`` says why there is none; ``TrialPruned``."""
        params = {name: text_of(value) for name, value in self.space.suggest(trial).items()}
        facts = facts_of(trial)
        reports = Reports(trial)
        last_line = self._run(params, facts, reports)
        written = message_of_file(facts.result)
        if written is not None:
            reports.take(*written)
        values = values_of_output(written[0].values if written else reports.values, last_line)
        return values[0] if len(values) == 1 else values

    def _run(self, params: Mapping[str, str], facts: Facts, reports: Reports) -> bytes:
        """Run the command to its end; its last line on stdout."""
        texts = {**facts.texts(), **params}
        words = [filled(word, texts) for word in self.words]
        lines = {"stdout": Lines(), "stderr": Lines()}
        with Child(words, environment(os.environ, params, facts), self.grace_s) as child:
            for source, chunk in child.chunks():
                whole = lines[source].feed(chunk)
                if source == "stdout":
                    reports.hear(whole)
                if reports.is_hopeless and not child.has_exited():
                    raise optuna.TrialPruned
            reports.hear(lines["stdout"].finish())
        lines["stderr"].finish()
        _require_success(child.returncode, lines["stderr"].last)
        return lines["stdout"].last


def _require_success(returncode: int, last_words: bytes) -> None:
    if returncode == 0:
        return
    end = f"ended with {describe_exit(returncode)}" if returncode > 0 else f"was {describe_exit(returncode)}"
    said = f": {shown_line(last_words)}" if last_words else ""
    raise CommandFailed(f"the command {end}{said}")
