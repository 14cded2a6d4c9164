"""What does watching a run cost: CPU time and bytes of the live table, and the time of a verb?

The bars: the live table under 2 % of a core and under one screen's worth of bytes a second; of a study of
100,000 trials ``status``, ``best`` and ``trials --top 10`` under a second each, interpreter and imports
included. The rivals: tqdm's bar as ``study.optimize(show_progress_bar=True)`` shows it, and Optuna's own
``optuna best-trial`` on the same file, in turns with ours.

Expected: 3 ms and 2 KiB a redraw, as 20 rows of a table are formatted; 0.6 s for a verb, most of it imports.
Got (2 shared cores, another test suite at work, medians of 5 rounds): the table of 4 slots at 80 x 24 takes
0.3 % of a core and 0.7 of a screen a second, of 64 slots 0.6 % and 0.9, of 64 slots at 200 x 50 1.6 % and
0.3; ``status`` 0.87 s, ``best`` 0.75 s, ``trials --top 10`` 0.78 s, ``--help`` 0.11 s; ``optuna best-trial``
48 s.

    python benchmarks/bench_live_view.py [N_TRIALS]
"""

from __future__ import annotations

import io
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from orchestrator.live.terminal import REFRESH_S, LiveTable
from orchestrator.snapshot import Best, BusySlot, Snapshot

_REDRAWS = 200
_ROUNDS = 5


def main(n_trials: int) -> None:
    print(f"the live table, redrawn every {REFRESH_S} s:")
    for width, height, n_slots in ((80, 24, 4), (80, 24, 64), (200, 50, 64)):
        cpu_s, n_bytes = redraws(width, height, n_slots)
        print(
            f"  {width} x {height}, {n_slots:2} slots: {100 * cpu_s:.2f} % of a core, {n_bytes:,.0f} bytes/s "
            f"({n_bytes / (width * height):.2f} of a screen)"
        )
    print(f"  tqdm's bar, once a second: {100 * tqdm_s():.3f} % of a core")
    with tempfile.TemporaryDirectory() as folder:
        of_a_large_study(f"sqlite:///{folder}/study.db", n_trials)


def redraws(width: int, height: int, n_slots: int) -> tuple[float, float]:
    """CPU seconds and bytes a second."""
    out = io.StringIO()
    view = LiveTable(Console(file=out, force_terminal=True, width=width, height=height))
    view.refresh(_snapshot(n_slots, 0))
    start_s, start = time.process_time(), out.tell()
    for number in range(1, _REDRAWS):
        view._next_s = 0.0
        view.refresh(_snapshot(n_slots, number))
    took_s = time.process_time() - start_s
    n_bytes = len(out.getvalue()[start:].encode())
    view.close(None)
    return took_s / _REDRAWS / REFRESH_S, n_bytes / _REDRAWS / REFRESH_S


def _snapshot(n_slots: int, number: int) -> Snapshot:
    busy = [
        BusySlot(i, "node17", f"{i}-{i + 3}", number + i, number, 0.1 * i, 3.0 + i) for i in range(n_slots)
    ]
    return Snapshot(
        study="digits",
        total=1000,
        finished=number,
        states={"COMPLETE": number},
        running=busy,
        starting=0,
        n_slots=n_slots,
        best=Best(3, 0.01, {"lr": "0.01", "units": "64", "optimizer": "adam"}),
        rate_per_s=1.3,
        causes={"raised": 3},
        time_left_s=3600.0,
        curve=[(1, 3.0), (2, 2.0), (number // 2, 1.0), (number, 0.5)],
    )


def tqdm_s() -> float:
    from tqdm import tqdm

    bar = tqdm(total=_REDRAWS, file=io.StringIO(), mininterval=0.0)
    start_s = time.process_time()
    for _ in range(_REDRAWS):
        bar.set_description("Best trial: 3. Best value: 0.01", refresh=False)
        bar.update(1)
    return (time.process_time() - start_s) / _REDRAWS


def of_a_large_study(url: str, n_trials: int) -> None:
    program = Path(sys.executable)
    filling = [str(program), str(Path(__file__).with_name("large_study.py")), url, "large", str(n_trials)]
    subprocess.run(filling, check=True, capture_output=True)
    ours = str(program.with_name("nano-hpo"))
    commands = {
        "nano-hpo status": [ours, "status", "--storage", url],
        "nano-hpo best": [ours, "best", "--storage", url],
        "nano-hpo trials --top 10": [ours, "trials", "--top", "10", "--storage", url],
        "nano-hpo --help": [ours, "--help"],
        "optuna best-trial": [
            str(program.with_name("optuna")),
            "--storage",
            url,
            "best-trial",
            "--study-name",
            "large",
        ],
    }
    took_s: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(_ROUNDS):
        for name, command in commands.items():
            start_s = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            took_s[name].append(time.perf_counter() - start_s)
    print(f"verbs on a study of {n_trials:,} trials, medians of {_ROUNDS} rounds:")
    for name, found in took_s.items():
        print(f"  {name:26} {statistics.median(found):.2f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
