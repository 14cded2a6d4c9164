"""Lines of an exported file in; the parts of its study out, or what is wrong with a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, json_to_distribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from orchestrator.carry.checks import (
    BadLine,
    as_choice,
    as_number,
    as_object,
    as_pair,
    as_row,
    as_step,
    as_time,
    as_whole,
    attributes_field,
    dict_field,
    field,
    list_field,
    short,
)
from orchestrator.carry.content import (
    AGENT_COLUMNS,
    ATTEMPT_COLUMNS,
    RUN_COLUMNS,
    Param,
    RunPart,
    StudyHead,
    TrialPart,
)
from orchestrator.carry.format import FORMAT, VERSION

_STATES = {state.name: state for state in TrialState}
_DIRECTIONS = {direction.name.lower(): direction for direction in StudyDirection}


@dataclass(frozen=True, slots=True)
class End:
    """The last line: how many trials and runs were before it."""

    n_trials: int
    n_runs: int


class LineReader:
    """Turns the lines of one file back into parts, and refuses what no database should hold (``BadLine``)."""

    def __init__(self) -> None:
        self._n_objectives = 0
        self._distributions: list[tuple[str, BaseDistribution]] = []
        self._last_number = -1
        self._run_ids: set[str] = set()

    def head(self, line: str) -> StudyHead:
        """The first line."""
        data = as_object(line)
        _require_known_format(data)
        names = field(data, "directions", list)
        self._n_objectives = len(names)
        if not names:
            raise BadLine("the study has no direction")
        taken = as_time(data.get("taken"))
        if taken is None:
            raise BadLine("'taken' is missing")
        return StudyHead(
            name=field(data, "study_name", str),
            directions=tuple(as_choice(_DIRECTIONS, name, "direction") for name in names),
            user_attrs=attributes_field(data, "user_attrs"),
            system_attrs=attributes_field(data, "system_attrs"),
            n_trials=field(data, "n_trials", int),
            taken=taken,
            optuna=None if data.get("optuna") is None else field(data, "optuna", str),
        )

    def part(self, line: str) -> TrialPart | RunPart | End | None:
        """A trial, a run or the end; None for a distribution, which later lines refer to."""
        data = as_object(line)
        if "trial" in data:
            return self._trial(data)
        if "distribution" in data:
            self._learn_distribution(data)
            return None
        if "run" in data:
            return self._run(data)
        if "end" in data:
            end = field(data, "end", dict)
            return End(field(end, "trials", int), field(end, "runs", int))
        raise BadLine(f"it is of no known kind: {short(line.strip())}")

    def _learn_distribution(self, data: Mapping[str, Any]) -> None:
        text = field(data, "text", str)
        if data["distribution"] != len(self._distributions):
            raise BadLine(f"distribution {short(data['distribution'])} is not the next one")
        try:
            self._distributions.append((text, json_to_distribution(text)))
        except Exception as error:  # whatever Optuna makes of it
            raise BadLine(f"Optuna knows no distribution {short(text)} ({error})") from None

    def _trial(self, data: Mapping[str, Any]) -> TrialPart:
        state = as_choice(_STATES, data.get("state"), "state")
        values = tuple(as_number(value) for value in list_field(data, "values"))
        if len(values) != self._n_objectives and (values or state is TrialState.COMPLETE):
            raise BadLine(f"the trial has {len(values)} values for {self._n_objectives} objectives")
        return TrialPart(
            number=self._next_number(data),
            state=state,
            start=as_time(data.get("start")),
            complete=as_time(data.get("complete")),
            values=values,
            params=tuple(self._param(*item) for item in dict_field(data, "params").items()),
            reported=tuple(as_step(pair) for pair in list_field(data, "reported")),
            user_attrs=attributes_field(data, "user_attrs"),
            system_attrs=attributes_field(data, "system_attrs"),
            attempts=tuple(as_row(row, ATTEMPT_COLUMNS) for row in list_field(data, "attempts")),
        )

    def _next_number(self, data: Mapping[str, Any]) -> int:
        number = as_whole(data["trial"], "trial")
        if number <= self._last_number:
            raise BadLine(f"trial {number} comes after trial {self._last_number}; the numbers must rise")
        self._last_number = number
        return number

    def _run(self, data: Mapping[str, Any]) -> RunPart:
        run = as_row(data["run"], RUN_COLUMNS)
        if run["run_id"] in self._run_ids:
            raise BadLine(f"run {short(run['run_id'])} is there a second time")
        self._run_ids.add(run["run_id"])
        return RunPart(run, tuple(as_row(row, AGENT_COLUMNS) for row in list_field(data, "agents")))

    def _param(self, name: str, pair: Any) -> Param:
        value, index = as_pair(pair, f"parameter {name}")
        if type(index) is not int or not 0 <= index < len(self._distributions):
            raise BadLine(f"parameter {name} has distribution {short(index)}, which no line before tells")
        text, distribution = self._distributions[index]
        internal = as_number(value)
        if isinstance(distribution, CategoricalDistribution) and not _is_place(
            internal, distribution.choices
        ):
            raise BadLine(f"parameter {name} has category {internal:g} of {len(distribution.choices)}")
        return Param(name, internal, text)


def _require_known_format(data: Mapping[str, Any]) -> None:
    version = data.get("version")
    if data.get("format") != FORMAT:
        raise BadLine("this is no study that 'nano-hpo export' has written")
    if version != VERSION:
        is_newer = type(version) is int and version > VERSION
        next_step = "; a newer nano-hpo is needed" if is_newer else ""
        raise BadLine(f"the file's format has version {short(version)}, known is {VERSION}{next_step}")


def _is_place(internal: float, choices: Sequence[Any]) -> bool:
    return 0 <= internal < len(choices) and internal == int(internal)
