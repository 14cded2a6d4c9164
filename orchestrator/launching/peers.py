"""What rank 0 has decided about a launch, told to its other ranks by MPI, where they have one.

Ranks without an MPI (tasks of srun, mpirun without mpi4py) find the run in its directory or by its job.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from launchers import LauncherError, World
from orchestrator.errors import RunDirError, StudyError, UserError
from orchestrator.launching.launch import Launch
from orchestrator.paths import RunPaths
from orchestrator.scratch.study_file import home_of
from orchestrator.spec import RunSpec
from orchestrator.storage_url import sqlite_path

_PATIENCE_S = 900.0  # rank 0 may wait for another launch that is beginning in its directory


@dataclass(frozen=True, slots=True)
class Decision:
    """Which run a launch works on: its id, its directory, its SQLite file if it has one, its settings."""

    run_id: str
    root: str
    sqlite: str | None
    settings: Mapping[str, Any]

    @property
    def paths(self) -> RunPaths:
        """The run's directory, as rank 0 names it."""
        return RunPaths(Path(self.root))


class Peers:
    """The ranks of one launch. Without a world nothing is told and nothing is heard."""

    def __init__(self, world: World | None = None) -> None:
        self._world = world if world is not None and world.can_talk and world.rank.size > 1 else None
        self._has_told = False

    def tell(self, launch: Launch) -> None:
        """Say what rank 0 has decided, to all others."""
        file = sqlite_path(home_of(launch.storage_url))
        root = str(launch.paths.root.absolute())
        settings = launch.spec.as_json()
        self._send(asdict(Decision(launch.run_id, root, str(file.absolute()) if file else None, settings)))

    @contextmanager
    def told_of_failure(self) -> Iterator[None]:
        """Say if rank 0 fails in this block before it has decided, so that nobody waits for it."""
        try:
            yield
        except BaseException as error:
            if not self._has_told:
                self._send({"error": " ".join(str(error).split()) or type(error).__name__})
            raise

    def _send(self, data: Mapping[str, Any]) -> None:
        self._has_told = True
        if self._world is not None:
            self._world.broadcast(json.dumps(data, default=repr).encode(), _PATIENCE_S)
            self._world.close()  # from here on all is said through the storage

    def hear(self, spec: RunSpec) -> Decision | None:
        """What rank 0 has decided; None where ranks cannot talk.

        Raises ``UserError`` when rank 0 has failed, or has other settings than this rank.
        """
        if self._world is None:
            return None
        index = self._world.rank.index
        try:
            said = json.loads(self._world.broadcast(None, _PATIENCE_S))
        except LauncherError as error:
            raise RunDirError(f"Rank {index} heard nothing of rank 0 ({error}); see its output.") from None
        self._world.close()
        if "error" in said:
            raise UserError(f"Rank 0 could not begin: {said['error']}")
        decision = Decision(**said)
        different = ", ".join(spec.differences(decision.settings)).replace(" there", " at rank 0")
        if different:
            raise StudyError(
                f"Rank {index} was started with other settings than rank 0 ({different}); give all ranks the "
                "same command."
            )
        return decision
