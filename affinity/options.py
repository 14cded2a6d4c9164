"""The options of a division, for every command that divides: a parser in, the same with them out; and back.

What they choose is an ``affinity.choices.Choices``; the help texts say its defaults.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from affinity.errors import PartitionError
from affinity.threads import DATALOADER_WORKERS

if TYPE_CHECKING:
    from affinity.allowance import Allowance
    from affinity.choices import Choices
    from affinity.paint import Look
    from affinity.slots import Partition
    from affinity.topology import Topology


def add_choices(parser: Any) -> None:
    """All of them, to a parser or a group of one."""
    _add_shape(parser)
    _add_parts(parser)
    _add_process(parser)
    add_switch(
        parser,
        "--explain",
        "say for each slot why it has these cores and what that costs, against what the other policies "
        "would give (default: not)",
    )


def add_switch(parser: Any, flag: str, text: str) -> None:
    """A switch that is off unless it is given; ``--no-…`` undoes what a file has switched on."""
    made = parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
    made.default = False  # given above, Python 3.11 would append it to the help


def _add_shape(parser: Any) -> None:
    parser.add_argument(
        "--policy",
        choices=("auto", "balanced", "local"),
        default="auto",
        help="equal slots, or slots that do not cross NUMA nodes (default auto: says which, and why)",
    )
    add_switch(parser, "--oversubscribe", "allow more processes than cores (default: refuse them)")
    parser.add_argument(
        "--cores-per-slot",
        type=int,
        metavar="K",
        help="slots of exactly K cores, the other cores stay idle; auto processes are then as many as fit "
        "(default: all cores are shared out)",
    )


def _add_parts(parser: Any) -> None:
    parser.add_argument(
        "--smt",
        choices=("on", "off"),
        default="on",
        help="off: one hardware thread of each core, its siblings belong to nobody (default on: siblings go "
        "with their core, one computing thread for both)",
    )
    parser.add_argument(
        "--reserve",
        type=int,
        default=0,
        metavar="N",
        help="leave N cores of this machine to the system, a database, the agent: slow ones first, that of "
        "CPU 0 first, then in turns from all NUMA nodes (default 0)",
    )
    parser.add_argument(
        "--exclude", default="", metavar="LIST", help="CPUs not to be used, as 0-3,8 (default: none)"
    )
    parser.add_argument(
        "--core-kind",
        choices=("performance", "efficient", "any"),
        default="any",
        help="where a machine has several kinds of cores: the fastest ones, the others, or any (default any)",
    )


def _add_process(parser: Any) -> None:
    parser.add_argument(
        "--mem-policy",
        choices=("preferred", "bind", "interleave", "none"),
        default="preferred",
        help="memory from the slot's own NUMA nodes while they have any, from them alone (or the process is "
        "killed), page by page from all of them in turns, or nothing of the kind (default preferred)",
    )
    parser.add_argument(
        "--threads-per",
        choices=("core", "pu"),
        default="core",
        help="compute with a thread for each core of the slot, or for each of its hardware threads, which "
        "pays where they wait for memory (default core)",
    )
    parser.add_argument(
        "--omp-bind",
        choices=("close", "spread"),
        help="bind OpenMP's threads to single cores of the slot, near each other or far apart; what the "
        "program starts later may inherit one core (default: they are free inside the slot)",
    )
    parser.add_argument(
        "--dataloader-workers",
        type=int,
        metavar="N",
        help="processes that each trial starts to load its data: so many threads fewer compute, and the "
        f"program finds N in {DATALOADER_WORKERS} (default: that variable, else 0)",
    )


def choices_of(options: argparse.Namespace) -> Choices:
    """What was chosen. Raises PartitionError for what cannot be."""
    from affinity.choices import Choices

    return Choices(
        policy=options.policy,
        oversubscribe=options.oversubscribe,
        cores_per_slot=options.cores_per_slot,
        smt=options.smt == "on",
        reserve=options.reserve,
        exclude=options.exclude,
        core_kind=options.core_kind,
        mem_policy=options.mem_policy,
        omp_bind=options.omp_bind,
        dataloader_workers=dataloader_workers(options.dataloader_workers),
        threads_per=options.threads_per,
    )


def dataloader_workers(given: int | None) -> int:
    """As given, else by the environment, else none."""
    if given is not None:
        return given
    text = os.environ.get(DATALOADER_WORKERS, "").strip() or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise PartitionError(
            f"{DATALOADER_WORKERS} is {text!r}; it must be a number of processes, 0 or more."
        )
    return int(text)


def width(text: str, most: Callable[[], int]) -> int:
    """``auto`` is as many as can be, at least one; else a number. Raises PartitionError for other words."""
    if text == "auto":
        return max(1, most())
    try:
        return int(text)
    except ValueError:
        raise PartitionError(
            f"--n-parallels is '{text}'; it must be a number of processes, or auto."
        ) from None


def divided(
    topology: Topology, selected: Allowance, choices: Choices, n_slots: str | None
) -> Partition | None:
    """The slots of a selected allowance, if a number (or auto) is named."""
    if n_slots is None:
        return None
    return choices.divide(topology, selected, width(n_slots, lambda: choices.most_slots(topology, selected)))


def shown(
    topology: Topology,
    allowance: Allowance,
    choices: Choices,
    n_slots: str | None,
    explains: bool,
    as_data: bool,
    look: Look | None = None,
) -> str:
    """The machine, what may be used of it, and the slots if a number (or auto) is named; text or JSON.

    With a ``look`` the text begins with a picture.
    """
    import json

    from affinity.describe import as_json, describe_topology
    from affinity.explain import alternatives, explain

    chosen = choices.select(topology, allowance)
    slots = divided(topology, chosen, choices, n_slots)
    if as_data:
        found = as_json(chosen, slots)
        found["warnings"] += choices.warnings(slots) if slots else ()
        if explains and slots is not None:
            found["alternatives"] = alternatives(topology, chosen, choices, slots)
        return json.dumps(found, indent=2)
    lines = [] if look is None else [_pictured(topology, allowance, chosen, slots, look), ""]
    lines.append(describe_topology(topology, chosen, slots))
    if slots is not None:
        lines += [f"Warning: {warning}" for warning in choices.warnings(slots)]
        lines += explain(topology, chosen, choices, slots) if explains else ()
    return "\n".join(lines)


def _pictured(
    topology: Topology, allowance: Allowance, chosen: Allowance, slots: Partition | None, look: Look
) -> str:
    from affinity.paint import paint
    from affinity.picture import draw

    return paint(draw(topology, allowance.pus, chosen.pus, slots, look.width), look)
