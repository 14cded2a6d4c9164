"""A plan tried out: bindings in; what a process in each of them got, and its speed alone and among all, out.

The processes are ``affinity.probe``'s, started by the shim as a worker is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from affinity.binding import Binding, bind_command
from affinity.errors import BindError
from affinity.observe import Observation, Pool, differences

_END_S = 10.0


@dataclass(frozen=True, slots=True)
class Speed:
    """Memory bandwidth in GiB/s (STREAM's triad, one thread) and matrix products in GFLOP/s (all threads)."""

    triad_gib_s: float
    gflop_s: float


class Probes:
    """A process in each binding, all at once, from the block's beginning to its end.

    Raises BindError when one cannot be started or ends before its time.
    """

    def __init__(self, bindings: Sequence[Binding]) -> None:
        self._bindings = bindings
        self._processes: list[subprocess.Popen[str]] = []
        self.seen: list[Observation] = []

    def __enter__(self) -> Self:
        try:
            for binding in self._bindings:
                self._processes.append(_started(binding))
            self.seen = [_observation(self._heard(index)) for index in range(len(self._processes))]
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._end()

    def problems(self) -> list[tuple[str, ...]]:
        """Where plan and reality differ, for each binding."""
        return [differences(*both) for both in zip(self._bindings, self.seen, strict=True)]

    def alone(self, seconds: float) -> list[Speed]:
        """Each measured for so many seconds while the others are idle."""
        return [self._measured([index], seconds)[0] for index in range(len(self._processes))]

    def together(self, seconds: float) -> list[Speed]:
        """All measured at once."""
        return self._measured(range(len(self._processes)), seconds)

    def _measured(self, indices: Sequence[int], seconds: float) -> list[Speed]:
        for index in indices:
            pipe = self._processes[index].stdin
            assert pipe is not None
            try:
                pipe.write(f"bench {seconds}\n")
                pipe.flush()
            except BrokenPipeError:
                raise self._ended(index) from None
        return [Speed(**self._heard(index)) for index in indices]

    def _heard(self, index: int) -> dict[str, Any]:
        pipe = self._processes[index].stdout
        assert pipe is not None
        line = pipe.readline()
        if not line:
            raise self._ended(index)
        said: dict[str, Any] = json.loads(line)
        return said

    def _ended(self, index: int) -> BindError:
        _, said = self._processes[index].communicate()
        last = (said.strip().splitlines() or [f"exit status {self._processes[index].returncode}"])[-1]
        return BindError(f"The process in slot {index} ended before its time: {last}")

    def _end(self) -> None:
        for process in self._processes:
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None and not pipe.closed:
                    try:
                        pipe.close()
                    except BrokenPipeError:
                        continue
        for process in self._processes:
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _started(binding: Binding) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "affinity.probe"]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        bind_command(binding, command), stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=dict(os.environ)
    )


def _observation(said: dict[str, Any]) -> Observation:
    return Observation(
        pus=tuple(said["pus"]),
        threads_outside=said["threads_outside"],
        memory_nodes=tuple(said["memory_nodes"]),
        memory_policy=said["memory_policy"],
        pools=tuple(Pool(**pool) for pool in said["pools"]),
        threads=said["threads"],
        memory_mib={int(node): mib for node, mib in said["memory_mib"].items()},
    )
