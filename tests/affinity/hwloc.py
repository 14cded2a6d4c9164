"""hwloc's own view of a machine, by its command line tools: a machine in, sets of PUs out."""

from __future__ import annotations

import os
import subprocess
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from affinity import Topology, synthetic_topology

Pus = frozenset[int]


@dataclass(frozen=True)
class Machine:
    """One that both read: a root of files, or a text."""

    topology: Topology
    root: Path | None
    text: str = ""

    @classmethod
    def synthetic(cls, text: str) -> Machine:
        return cls(synthetic_topology(text), None, text)

    def run(self, tool: str, *words: str) -> str:
        """What a tool of hwloc says of the machine."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("HWLOC_")}
        env |= {"HWLOC_THISSYSTEM": "0", "HWLOC_HIDE_ERRORS": "2"}
        if self.root is not None:
            env |= {"HWLOC_FSROOT": str(self.root), "HWLOC_COMPONENTS": "linux,stop"}
            place = []
        else:
            place = ["--input", self.text]
        done = subprocess.run([tool, *place, *words], env=env, capture_output=True, text=True, check=True)
        return done.stdout

    def sets(self) -> dict[str, set[Pus]]:
        """The PUs of each object of a type."""
        found = defaultdict(set)
        for one in ElementTree.fromstring(
            self.run("lstopo-no-graphics", "--of", "xml", "--disallowed", "--no-io")
        ).iter("object"):
            pus = self._parsed(one.get("cpuset") or "")
            if pus:
                found[str(one.get("type"))].add(pus)
        return found

    def distributed(self, n: int) -> list[Pus]:
        """hwloc-distrib's division."""
        return [self._parsed(line) for line in self.run("hwloc-distrib", str(n)).split()]

    def _parsed(self, mask: str) -> Pus:
        number = 0
        for word in mask.split(","):
            number = number << 32 | (int(word, 16) if word else 0)
        return frozenset(self._ours(pu) for pu in range(number.bit_length()) if number >> pu & 1)

    def _ours(self, pu: int) -> int:
        """In an invented machine hwloc numbers siblings one after the other, and we as Linux does."""
        if self.root is not None:
            return pu
        smt, cores = self.topology.smt, len(self.topology.cores)
        return pu // smt + pu % smt * cores
