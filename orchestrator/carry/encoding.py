"""Parts of a study in; lines of an exported file out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from orchestrator.carry.content import Row, RunPart, StudyHead, TrialPart
from orchestrator.carry.format import FORMAT, VERSION

_strict = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


class LineWriter:
    """Turns the parts of one study into lines; it remembers which distributions were written."""

    def __init__(self) -> None:
        self._distributions: dict[str, int] = {}

    def head(self, head: StudyHead) -> str:
        """The first line."""
        data = {
            "format": FORMAT,
            "version": VERSION,
            "study_name": head.name,
            "directions": [direction.name.lower() for direction in head.directions],
            "n_trials": head.n_trials,
            "taken": _time_text(head.taken),
            "optuna": head.optuna,
        }
        return _with_attributes(data, head)

    def lines(self, part: TrialPart | RunPart) -> Iterator[str]:
        """The part's line, after those of distributions that are new with it."""
        if isinstance(part, RunPart):
            yield _strict({"run": _row_data(part.run), "agents": [_row_data(row) for row in part.agents]})
            return
        for param in part.params:
            if param.distribution not in self._distributions:
                index = self._distributions[param.distribution] = len(self._distributions)
                yield _strict({"distribution": index, "text": param.distribution})
        yield _with_attributes(self._trial(part), part)

    def _trial(self, part: TrialPart) -> dict[str, Any]:
        places = self._distributions
        data: dict[str, Any] = {"trial": part.number, "state": part.state.name}
        data |= {"start": _time_text(part.start), "complete": _time_text(part.complete)}
        content = {
            "values": [_number_data(value) for value in part.values],
            "params": {p.name: [_number_data(p.internal), places[p.distribution]] for p in part.params},
            "reported": [[step, _number_data(value)] for step, value in part.reported],
            "attempts": [_row_data(row) for row in part.attempts],
        }
        return data | {name: value for name, value in content.items() if value}

    def end(self, n_trials: int, n_runs: int) -> str:
        """The last line."""
        return _strict({"end": {"trials": n_trials, "runs": n_runs}})


def _with_attributes(data: dict[str, Any], part: StudyHead | TrialPart) -> str:
    """The line with the part's attributes: as JSON where that can say them, else as texts."""
    named = {"user_attrs": part.user_attrs, "system_attrs": part.system_attrs}
    try:
        said = {n: {k: json.loads(text) for k, text in attrs.items()} for n, attrs in named.items() if attrs}
        return _strict(data | said)
    except ValueError:
        pass
    for name, attrs in named.items():
        plain = {key: text for key, text in attrs.items() if _is_strict(text)}
        data[name] = {key: json.loads(text) for key, text in plain.items()}
        data[f"{name}_as_text"] = {key: text for key, text in attrs.items() if key not in plain}
    return _strict(data)


def _is_strict(text: str) -> bool:
    try:
        _strict(json.loads(text))
    except ValueError:
        return False
    return True


def _time_text(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.isoformat(timespec='microseconds')}Z"


def _number_data(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _row_data(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}
