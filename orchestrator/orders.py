"""What an agent tells a worker: first what to load, then, when that worked, which run to work for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affinity import Binding
from orchestrator.objective import ObjectiveRef

if TYPE_CHECKING:
    from orchestrator.run_handle import RunHandle
    from orchestrator.spec import RunSpec


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """Import the objective and say whether that worked.

    ``tools`` pickles sampler, pruner and callbacks (``orchestrator.tools``), ``arrays`` holds their arrays.
    """

    objective: ObjectiveRef
    tools: Path | None
    arrays: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data for the wire."""
        return {
            "objective": self.objective.as_json(),
            "tools": _text(self.tools),
            "arrays": _text(self.arrays),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LoadOrder:
        """The inverse of :meth:`as_json`."""
        return cls(ObjectiveRef.from_json(data["objective"]), _path(data["tools"]), _path(data["arrays"]))


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """Join a run. It holds the storage URL with its password: it travels by pipe, never in argv or a file."""

    storage_url: str
    storage_patience_s: float
    study_name: str
    run_id: str
    agent_id: str
    seed: int
    sampler: str
    sampler_args: Mapping[str, Any]
    pruner: str
    pruner_args: Mapping[str, Any]
    slot: int
    cpu_model: str
    binding: Binding | None
    max_trials: int | None = None  # that this worker runs, before another takes its place
    asks: bool = False  # before each claim, whether there is time for another trial
    run_dir: Path | None = None  # where the run writes; None for a search in memory
    study_id: int | None = None  # by which the study is found, whatever it is called by then

    @classmethod
    def of(cls, spec: RunSpec, run: RunHandle, **of_worker: Any) -> WorkOrder:
        """The order of a run, with what one worker alone is told (``slot``, ``binding`` and so on)."""
        return cls(
            storage_patience_s=spec.storage_patience_s,
            study_name=spec.study_name,
            run_id=run.run_id,
            agent_id=run.agent_id,
            seed=run.seed,
            sampler=spec.sampler,
            sampler_args=spec.sampler_args,
            pruner=spec.pruner,
            pruner_args=spec.pruner_args,
            **of_worker,
        )

    def as_json(self) -> dict[str, Any]:
        """Plain data for the wire."""
        return {**asdict(self), "run_dir": _text(self.run_dir)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WorkOrder:
        """The inverse of :meth:`as_json`."""
        plain = {**data, "run_dir": _path(data["run_dir"])}
        bound = plain["binding"]
        if bound is not None:
            sets = {key: tuple(bound[key]) for key in ("pus", "memory_nodes")}
            plain["binding"] = Binding(**{**bound, **sets})
        return cls(**plain)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
