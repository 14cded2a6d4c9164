"""``nano-hpo topology --verify`` and ``--bench``, and ``nano-hpo tune-parallels``: plans tried out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from affinity.options import add_choices
from orchestrator.cli.columns import columns

if TYPE_CHECKING:
    from affinity import Choices, Observation, Partition, Probes, Speed
    from orchestrator.tuning import Width

_TUNE_JSON = (
    '--json prints one object: "widths", each with "n_parallels", "cores" (of the smallest slot), "threads", '
    '"n_runs", "median_s" (of a run), "runs_per_hour" and "peak_mib", and "best", the n_parallels to take.'
)
_MINUTE_S = 60.0
_LEAST_S = 0.2
_MOST_S = 2.0


def try_out(divided: Partition, choices: Choices, benches: bool, as_json: bool) -> int:
    """A process in each slot: what it got, with ``benches`` how fast it is; 1 when that is not as planned."""
    from affinity import Probes

    with Probes([choices.binding(slot) for slot in divided.slots]) as probes:
        alone, together = _speeds(probes, len(divided.slots)) if benches else ([], [])
        problems = probes.problems()
    if as_json:
        print(json.dumps(_facts(probes.seen, problems, alone, together), indent=2))
    else:
        print(columns([_HEAD, *_rows(divided, probes.seen, problems)]))
        for slot, found in enumerate(problems):
            for line in found:
                print(f"Slot {slot}: {line}")
        if benches:
            print(f"\n{columns([_SPEED_HEAD, *_speed_rows(alone, together)])}\n\n{_verdict(alone, together)}")
    return 1 if any(problems) else 0


_HEAD = ("slot", "CPUs", "got", "threads", "pools", "memory")


def _rows(
    divided: Partition, seen: list[Observation], problems: list[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    from affinity import format_list

    rows: list[tuple[str, ...]] = []
    for slot, saw, found in zip(divided.slots, seen, problems, strict=True):
        pools = ", ".join(f"{pool.library}: {pool.threads}" for pool in saw.pools) or "none seen"
        memory = ", ".join(f"{mib:.0f} MiB on node {node}" for node, mib in sorted(saw.memory_mib.items()))
        got = format_list(saw.pus) or "not known"
        mark = "✗" if found else "✓"
        memory = memory or "not known"
        rows.append((f"{mark} {slot.index}", format_list(slot.pus), got, str(slot.threads), pools, memory))
    return rows


def _speeds(probes: Probes, n: int) -> tuple[list[Speed], list[Speed]]:
    """Measured within a minute, most of it one slot after the other."""
    alone_s = min(_MOST_S, max(_LEAST_S, 0.6 * _MINUTE_S / n))
    return probes.alone(alone_s), probes.together(5 * _MOST_S)


_SPEED_HEAD = ("slot", "triad alone", "with all", "matmul alone", "with all")


def _speed_rows(alone: list[Speed], together: list[Speed]) -> list[tuple[str, ...]]:
    return [
        (
            str(index),
            f"{by_itself.triad_gib_s:.1f} GiB/s",
            f"{with_all.triad_gib_s:.1f} ({with_all.triad_gib_s / by_itself.triad_gib_s:.0%})",
            f"{by_itself.gflop_s:.1f} GFLOP/s",
            f"{with_all.gflop_s:.1f} ({with_all.gflop_s / by_itself.gflop_s:.0%})",
        )
        for index, (by_itself, with_all) in enumerate(zip(alone, together, strict=True))
    ]


def _verdict(alone: list[Speed], together: list[Speed]) -> str:
    """What binding could not give: the memory, the clock and the power are everybody's."""
    triad = sum(s.triad_gib_s for s in together) / sum(s.triad_gib_s for s in alone)
    matmul = sum(s.gflop_s for s in together) / sum(s.gflop_s for s in alone)
    advice = (
        "Work that lives in memory gains little from so many slots; fewer, wider ones may do as many trials."
        if triad < 0.6
        else "Slots hold each other up little."
    )
    return (
        f"All at once keep {matmul:.0%} of their speed in products and {triad:.0%} in memory. {advice} "
        "For your own command: nano-hpo tune-parallels -- COMMAND."
    )


def _facts(
    seen: list[Observation], problems: list[tuple[str, ...]], alone: list[Speed], together: list[Speed]
) -> dict[str, Any]:
    slots = [
        asdict(saw) | {"slot": index, "problems": list(found)}
        for index, (saw, found) in enumerate(zip(seen, problems, strict=True))
    ]
    speeds = {"alone": [asdict(one) for one in alone], "together": [asdict(one) for one in together]}
    return {"slots": slots} | (speeds if alone else {})


def add_tune(subparsers: Any) -> None:
    """``nano-hpo tune-parallels``."""
    parser = subparsers.add_parser(
        "tune-parallels",
        help="find how many trials at once a command is best run with",
        description="Run a command in slots at several widths, each process bound as a worker is, and say "
        "how many trials an hour each width gives. Let the command do what a short trial does.",
        epilog=f"{_TUNE_JSON}\n\nexample:\n  nano-hpo tune-parallels -- python train.py --epochs 1",
    )
    parser.add_argument(
        "--widths",
        metavar="LIST",
        help="numbers of processes, as 1,2,4 (default: 1, 2, 4, … up to the cores)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=20.0,
        metavar="S",
        help="for each width; the command is begun again until they are over, and runs once at least "
        "(default 20)",
    )
    add_choices(parser.add_argument_group("division"))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after '--'")
    parser.set_defaults(handler=tune)


def tune(options: argparse.Namespace) -> int:
    """``nano-hpo tune-parallels``: trials an hour at each width."""
    from affinity import choices_of, read_allowance, read_topology
    from orchestrator.tuning import best_of, measure

    machine, choices = read_topology(), choices_of(options)
    allowance = choices.select(machine, read_allowance(machine))
    widths = _widths(options, choices.most_slots(machine, allowance))
    found = []
    for width in widths:
        divided = choices.divide(machine, allowance, width)
        print(f"nano-hpo: {width} at once …", file=sys.stderr)
        found.append(measure(divided, choices, options.command, options.seconds, os.environ))
    memory = allowance.memory.mib if allowance.memory is not None else None
    best = best_of(found, memory)
    if options.json:
        print(json.dumps({"widths": [asdict(one) for one in found], "best": best.n_parallels}, indent=2))
    else:
        print(columns([_TUNE_HEAD, *(_tune_row(one, found[0], best, memory) for one in found)]))
        print(f"\nBest: --n-parallels {best.n_parallels}")
    return 0


def _widths(options: argparse.Namespace, most: int) -> tuple[int, ...]:
    from orchestrator.errors import SpecError
    from orchestrator.tuning import widths_up_to

    if not 0 < options.seconds < 1e6:
        raise SpecError(f"--seconds is {options.seconds}; it must be more than 0.")
    if options.widths is None:
        return widths_up_to(most)
    try:
        return tuple(sorted({int(word) for word in options.widths.split(",")}))
    except ValueError:
        raise SpecError(f"--widths is '{options.widths}'; it must be numbers, as 1,2,4.") from None


_TUNE_HEAD = (
    "n_parallels",
    "cores each",
    "threads",
    "runs",
    "seconds a run",
    "runs an hour",
    "peak memory",
    "",
)


def _tune_row(one: Width, first: Width, best: Width, memory_mib: float | None) -> tuple[str, ...]:
    notes = [f"{one.runs_per_hour / first.runs_per_hour:.2f} x"]
    notes += ["best"] if one is best else []
    notes += [] if one.fits(memory_mib) else ["more than the memory"]
    return (
        str(one.n_parallels),
        str(one.cores),
        str(one.threads),
        str(one.n_runs),
        f"{one.median_s:.3g}",
        f"{one.runs_per_hour:.0f}",
        f"{one.peak_mib:.0f} MiB",
        ", ".join(notes),
    )
