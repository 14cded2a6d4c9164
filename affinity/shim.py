"""The command line of this package: arguments come in, a bound program or a description goes out."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn, get_args

from affinity.binding import Binding, exec_bound
from affinity.cpuset import parse_list
from affinity.errors import AffinityError, BindError
from affinity.mempolicy import Policy
from affinity.threads import OmpBind

_PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0 when it went well, 2 with one line on stderr when the input is wrong.

    ``bind`` does not return: the process becomes the command.
    """
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        options = _parser(words[:1] != ["bind"]).parse_args(words)
        if options.verb == "bind":
            _bind(options)
        _show(options)
        sys.stdout.flush()
    except AffinityError as error:
        print(f"affinity: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader has gone, as in `python -m affinity show | head -1`
        return _unread()
    return 0


def _unread() -> int:
    """128 + SIGPIPE; what is still buffered goes nowhere, else Python would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


class _Parser(argparse.ArgumentParser):
    """Argparse with one line of error, as the other errors have."""

    def error(self, message: str) -> NoReturn:
        raise AffinityError(f"{message}; see 'python -m affinity --help'.")


def _parser(shows: bool) -> argparse.ArgumentParser:
    """``show`` has many options, and ``bind`` stands before every worker."""
    parser = _Parser(prog="python -m affinity", description="Bind a command, or show the machine.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    bind = verbs.add_parser("bind", help="bind, set the thread variables, then become COMMAND")
    bind.add_argument("--pus", type=parse_list, required=True, help="CPUs to run on, as in 0-3,8")
    bind.add_argument("--memory-nodes", type=parse_list, default=(), help="NUMA nodes for memory")
    bind.add_argument(
        "--memory-policy",
        choices=get_args(Policy),
        default="preferred",
        help="take memory from these nodes while they have any, from them alone, page by page from all of "
        "them; from the node each thread runs on; or leave the policy as it is (default preferred)",
    )
    bind.add_argument("--threads", type=int, help="threads of each pool (default: as many as PUs)")
    bind.add_argument(
        "--omp-bind", choices=get_args(OmpBind), help="bind OpenMP's threads to cores (default: not)"
    )
    bind.add_argument(
        "--dataloader-workers",
        type=int,
        default=0,
        metavar="N",
        help="threads left to processes that COMMAND starts (default 0)",
    )
    bind.add_argument("--parent-death-signal", type=int, help="signal to get when the parent ends")
    bind.add_argument("--parent-pid", type=int, help="exit at once if this is no longer the parent")
    bind.add_argument("command", nargs="+", metavar="COMMAND", help="after '--'")
    if shows:
        _add_show(verbs.add_parser("show", help="print the machine and what this process may use"))
    return parser


def _add_show(parser: argparse.ArgumentParser) -> None:
    from affinity.options import add_choices

    parser.add_argument("--root", default="/", help="file system root to read (default /)")
    parser.add_argument("--synthetic", metavar="TEXT", help="an invented machine, as '2 8 2'")
    parser.add_argument("--slots", metavar="N", help="divide it into so many slots; auto: as many as can be")
    add_choices(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def _bind(options: argparse.Namespace) -> NoReturn:
    threads = len(options.pus) if options.threads is None else options.threads
    binding = Binding(
        options.pus,
        options.memory_nodes,
        threads,
        options.memory_policy,
        options.omp_bind,
        options.dataloader_workers,
    )
    if options.parent_death_signal is not None:
        _die_with_parent(options.parent_death_signal)
    if options.parent_pid is not None and os.getppid() != options.parent_pid:
        raise BindError(f"the parent {options.parent_pid} has gone; nothing was started.")
    exec_bound(binding, options.command, os.environ)


def _die_with_parent(number: int) -> None:
    """prctl(2) PR_SET_PDEATHSIG: kept over exec (but of set-user-ID programs), not handed to children.

    The kernel sends it when the *thread* that started us ends: the parent starts workers from a lasting one.
    """
    if number not in signal.valid_signals():
        raise BindError(f"{number} is no signal; 9 is SIGKILL, 15 is SIGTERM.")
    if sys.platform != "linux":
        print("affinity: this system has no parent death signal.", file=sys.stderr)
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(number), 0, 0, 0) != 0:
        print(f"affinity: prctl: {os.strerror(ctypes.get_errno())}.", file=sys.stderr)


def _show(options: argparse.Namespace) -> None:
    # Here, because ``bind`` stands before every worker and needs none of it.
    from pathlib import Path

    from affinity.allowance import read_allowance, unrestricted
    from affinity.options import choices_of, shown
    from affinity.paint import Look
    from affinity.synthetic import synthetic_topology
    from affinity.sysfs import read_topology

    root = Path(options.root)
    if options.synthetic:
        topology = synthetic_topology(options.synthetic)
        allowance = unrestricted(topology)
    else:
        topology = read_topology(root)
        allowance = read_allowance(topology, root)
    words = options.slots, options.explain, options.json
    print(shown(topology, allowance, choices_of(options), *words, look=Look.of(sys.stdout)))
