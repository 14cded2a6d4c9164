"""What an agent tells a worker: first what to load, then, when that worked, which run to work for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from affinity import Binding
from orchestrator.objective import ObjectiveRef


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """Import the objective and say whether that worked; ``tools`` pickles sampler and pruner objects."""

    objective: ObjectiveRef
    tools: Path | None

    def as_json(self) -> dict[str, Any]:
        """Plain data for the wire."""
        return {"objective": self.objective.as_json(), "tools": str(self.tools) if self.tools else None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LoadOrder:
        """The inverse of :meth:`as_json`."""
        tools = Path(data["tools"]) if data["tools"] else None
        return cls(ObjectiveRef.from_json(data["objective"]), tools)


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

    def as_json(self) -> dict[str, Any]:
        """Plain data for the wire."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WorkOrder:
        """The inverse of :meth:`as_json`."""
        plain = dict(data)
        bound = plain["binding"]
        if bound is not None:
            sets = {key: tuple(bound[key]) for key in ("pus", "memory_nodes")}
            plain["binding"] = Binding(**{**bound, **sets})
        return cls(**plain)
