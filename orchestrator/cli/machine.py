"""``nano-hpo topology`` and ``nano-hpo bind``: this machine, or another one, in; who gets what of it out."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affinity.options import add_choices

if TYPE_CHECKING:
    from affinity import Allowance, Choices, Partition, Topology

_JSON_HELP = """\
--json prints one object; PUs, cores and NUMA nodes are the kernel's numbers. "allowed" (PUs), "constraints"
(each with "kind", "source", "text", "pus", "cpus"), "slots" (each with "index", "pus", "cores", "numa_nodes",
"threads", "memory_nodes", "llcs", "why"), "memory_nodes", "quota_cpus", "memory_mib", and of a division
"policy", "reason", "warnings", "crossings", "llc_splits", "imbalance", "idle_pus"."""
_VERIFY_HELP = """\
With --verify the object has "slots" alone, each with "slot", "pus", "threads", "threads_outside", "pools",
"memory_mib" (by node), "memory_nodes", "memory_policy", "problems"; with --bench also "alone" and "together",
lists of the speeds of the slots."""
_TOPOLOGY_EPILOG = f"""\
{_JSON_HELP}

{_VERIFY_HELP}

examples:
  nano-hpo topology
  nano-hpo topology --n-parallels 4 --explain
  nano-hpo topology --n-parallels 6 --synthetic "pack:2 numa:2 core:8 pu:2\""""


def add_topology(subparsers: Any) -> None:
    """``nano-hpo topology``."""
    parser = subparsers.add_parser(
        "topology",
        help="show this machine and who would get what of it",
        description="What this machine has, what this process may use of it and why, and who would get what.",
        epilog=_TOPOLOGY_EPILOG,
    )
    parser.add_argument(
        "-p",
        "--n-parallels",
        metavar="N",
        help="divide it into N slots; auto: one for each core, or as many as --cores-per-slot lets fit",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="read another machine: a folder that holds its sys/ and proc/",
    )
    source.add_argument(
        "--synthetic", metavar="TEXT", help='an invented machine: "2 8 2" or "pack:2 numa:1 core:8 pu:2"'
    )
    add_choices(parser.add_argument_group("division"))
    parser.add_argument(
        "--verify",
        action="store_true",
        help="start a process in each slot and say what it got: masks of all threads, pools, where its "
        "memory lies (exit code 1 when that is not as planned)",
    )
    parser.add_argument(
        "--bench",
        action="store_true",
        help="and how fast each slot is, alone and with all others at work (up to a minute)",
    )
    parser.add_argument("--json", action="store_true", help="allowed PUs, constraints and slots as JSON")
    parser.set_defaults(handler=topology)


def add_bind(subparsers: Any) -> None:
    """``nano-hpo bind``."""
    parser = subparsers.add_parser(
        "bind",
        help="run any command inside one slot",
        description="Divide this machine like a search would, and run a command in one of the slots.",
        epilog="example:\n  nano-hpo bind --n-parallels 2 --slot 1 -- python train.py",
    )
    parser.add_argument(
        "-p",
        "--n-parallels",
        required=True,
        metavar="N",
        help="into how many slots; auto: one for each core, or as many as --cores-per-slot lets fit",
    )
    parser.add_argument("--slot", type=int, required=True, metavar="I", help="which of them, from 0")
    add_choices(parser.add_argument_group("division"))
    parser.add_argument("command", nargs="+", metavar="CMD", help="the command, after '--'")
    parser.set_defaults(handler=bind)


def topology(options: argparse.Namespace) -> int:
    """``nano-hpo topology``: the machine, the allowance and the division, for people or as JSON."""
    from affinity import choices_of
    from affinity.options import shown
    from affinity.paint import Look
    from orchestrator.cli.measuring import try_out

    (machine, allowance), choices = _machine(options), choices_of(options)
    if options.verify or options.bench:
        divided = _divided(options, choices, machine, choices.select(machine, allowance))
        return try_out(_here(options, divided), choices, benches=options.bench, as_json=options.json)
    words = options.n_parallels, options.explain, options.json
    print(shown(machine, allowance, choices, *words, look=Look.of(sys.stdout)))
    return 0


def _here(options: argparse.Namespace, divided: Partition | None) -> Partition:
    """A division of this machine, which processes can be started in."""
    from orchestrator.errors import SpecError

    if options.root is not None or options.synthetic is not None:
        raise SpecError("--verify and --bench are for this machine; leave --root and --synthetic out.")
    if divided is None:
        raise SpecError("--verify and --bench need slots to look at: add --n-parallels N.")
    return divided


def _divided(
    options: argparse.Namespace, choices: Choices, machine: Topology, allowance: Allowance
) -> Partition | None:
    from affinity.options import divided

    return divided(machine, allowance, choices, options.n_parallels)


def _machine(options: argparse.Namespace) -> tuple[Topology, Allowance]:
    from affinity import read_allowance, read_topology, synthetic_topology, unrestricted

    if options.synthetic is not None:
        machine = synthetic_topology(options.synthetic)
        return machine, unrestricted(machine)
    root = options.root if options.root is not None else Path("/")
    machine = read_topology(root)
    return machine, read_allowance(machine, root)


def bind(options: argparse.Namespace) -> int:
    """``nano-hpo bind``: become the command, bound to a slot."""
    from affinity import choices_of, exec_bound, explain, read_allowance, read_topology
    from orchestrator.errors import SpecError

    machine, choices = read_topology(), choices_of(options)
    allowance = choices.select(machine, read_allowance(machine))
    divided = _divided(options, choices, machine, allowance)
    assert divided is not None
    if not 0 <= options.slot < len(divided.slots):
        raise SpecError(f"There is no slot {options.slot}; {len(divided.slots)} slots are numbered from 0.")
    for warning in (*divided.warnings, *choices.warnings(divided)):
        print(f"nano-hpo: {warning}", file=sys.stderr)
    if options.explain:
        print(*explain(machine, allowance, choices, divided), sep="\n", file=sys.stderr)
    exec_bound(choices.binding(divided.slots[options.slot]), options.command, os.environ)
