"""What was in the middle of things comes to rest: parts of a live study in; parts that nobody works on out.

No worker travels along, so a RUNNING trial would stay RUNNING for ever. It becomes WAITING, as when a run of
ours stops: with its number and its parameters, without its reports (Optuna ignores a step that is there
already), so the next run, or any Optuna worker, does it again. Or it is failed, if that is wished.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from optuna.trial import TrialState

from orchestrator.carry.content import Row, RunPart, TrialPart
from orchestrator.causes import Cause
from orchestrator.storage.attempts import CAUSE, RUNG
from orchestrator.storage.runs import STOPPED, UNENDED

Running = Literal["wait", "fail"]  # what becomes of trials that were at work
_CUT_OFF = "running when the study was read"
_OPEN = ("running", "returned")  # states of attempts that wait for an agent


def landed_trial(part: TrialPart, taken: datetime, running: Running) -> TrialPart:
    """The trial as it is written; ``taken`` is when its study was read."""
    if part.state is not TrialState.RUNNING:
        return replace(part, attempts=_closed(part.attempts, "ended", Cause.FINISHED_ELSEWHERE, taken))
    return _failed(part, taken) if running == "fail" else _waiting(part, taken)


def _failed(part: TrialPart, taken: datetime) -> TrialPart:
    return replace(
        part,
        state=TrialState.FAIL,
        complete=taken,
        values=(),
        system_attrs={**part.system_attrs, CAUSE: json.dumps(_CUT_OFF)},
        attempts=_closed(part.attempts, "ended", _CUT_OFF, taken),
    )


def _waiting(part: TrialPart, taken: datetime) -> TrialPart:
    rung = RUNG.removesuffix("%")
    return replace(
        part,
        state=TrialState.WAITING,
        start=None,
        values=(),
        reported=(),
        system_attrs={k: text for k, text in part.system_attrs.items() if not k.startswith(rung)},
        attempts=_closed(part.attempts, "waiting", Cause.RELEASED, taken),
    )


def _closed(rows: Iterable[Row], state: str, cause: str, taken: datetime) -> tuple[Row, ...]:
    """The attempts, those that were open brought to ``state``."""
    return tuple(
        {**row, "state": state, "end_s": row["end_s"] or _seconds(taken), "cause": row["cause"] or cause}
        if row["state"] in _OPEN
        else row
        for row in rows
    )


def landed_run(part: RunPart, taken: datetime) -> RunPart:
    """The run as it is written: stopped if it was at work, and its agents gone."""
    changed: dict[str, Any] = {}
    if part.run["state"] in UNENDED:
        changed = {"state": STOPPED, "reason": _CUT_OFF, "end_s": _seconds(taken)}
    gone = tuple({**row, "end_s": row["end_s"] or _seconds(taken)} for row in part.agents)
    return RunPart({**part.run, **changed}, gone)


def _seconds(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp()
