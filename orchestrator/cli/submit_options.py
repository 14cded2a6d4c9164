"""``nano-hpo submit`` and its options: a parser in, the same parser with help texts and handler out."""

from __future__ import annotations

import argparse
from typing import Any

from orchestrator.cli import submit
from orchestrator.cli.db import SERVER_HELP

_EPILOG = """\
A study file may say all of this in a table [slurm], by the same names, with profile and database: it wins
over slurm.toml, and flags win over it. The job reads the file when it starts.

~/.config/nano-hpo/slurm.toml ($XDG_CONFIG_HOME is respected) may hold what your site wants, by the names of
these flags; flags win over the profile, and that over the defaults; lines of setup and directives add up:

  [defaults]
  account = "project"
  setup = ["module load python/3.11", 'source "$HOME/venvs/search/bin/activate"']

  [profiles.short]
  partition = "express"
  time = "00:30:00"

A job whose time ends before the budget is spent goes back into the queue by itself and goes on.
Exit codes of --wait: those of the search; 130 for a job that was cancelled, 75 for one cut off.

examples:
  nano-hpo submit --time 02:00:00 -- run train.py:objective --n-trials 400
  nano-hpo submit --nodes 4 --setup 'module load python' -- run train.py:objective -n 400 --storage mysql://…
  nano-hpo submit --array 8 --profile short -- run train.py:objective -n 400 --storage mysql://…
  nano-hpo submit --nodes 4 --database -- run train.py:objective -n 400
  nano-hpo submit --dry-run -- run train.py:objective -n 400
  nano-hpo submit -- run study.toml"""


def add_submit(subparsers: Any) -> None:
    """``nano-hpo submit``."""
    parser = subparsers.add_parser(
        "submit",
        help="run a search as a Slurm job",
        usage="%(prog)s [options] -- run FILE.py:FUNCTION [options of nano-hpo run]",
        description="Check a search, write a job script for it, and hand it to Slurm.",
        epilog=_EPILOG,
    )
    _add_shape(parser)
    _add_place(parser)
    _add_script(parser)
    _add_doing(parser)
    _keep_words(parser)
    parser.set_defaults(handler=submit.submit)


def _keep_words(parser: argparse.ArgumentParser) -> None:
    """What stands behind the first ``--`` is the run's."""
    from orchestrator.cli.run_options import divided

    parse = parser.parse_known_args

    def parse_known_args(args: Any = None, namespace: Any = None) -> Any:
        words, run_words = divided(list(args))
        options, unknown = parse(words, namespace)
        options.run_words = run_words
        return options, unknown

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign]  # else argparse reads them too


def _add_shape(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("size")
    group.add_argument("-N", "--nodes", type=int, metavar="N", help="machines, an agent on each (default 1)")
    group.add_argument("-t", "--time", metavar="TIME", help="hours:minutes:seconds (default 04:00:00)")
    group.add_argument(
        "--array", metavar="N[%M]", help="N independent jobs that join one study, at most M of them at a time"
    )
    group.add_argument(
        "-c",
        "--cpus-per-task",
        type=int,
        metavar="N",
        help="cores of an agent for all its trials (default 16)",
    )
    group.add_argument(
        "--cores-per-trial", type=int, metavar="N", help="of them for each trial at a time (default 4)"
    )
    group.add_argument("--ntasks-per-node", type=int, metavar="N", help="agents on a machine (default 1)")
    group.add_argument("--mem", metavar="SIZE", help="memory of a machine, as 32G")
    _add_switch(group, "--exclusive", "whole machines, with all their cores")
    group.add_argument("--hint", metavar="HINT", help="nomultithread: cores and not hardware threads")


def _add_place(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("queue")
    group.add_argument("-J", "--job-name", metavar="NAME", help="default nano-hpo")
    group.add_argument("-A", "--account", metavar="NAME", help="who pays")
    group.add_argument("-p", "--partition", metavar="NAME", help="which part of the cluster")
    group.add_argument("-q", "--qos", metavar="NAME", help="quality of service")
    group.add_argument("-C", "--constraint", metavar="LIST", help="features that the nodes must have")
    group.add_argument("-d", "--dependency", metavar="LIST", help="as afterok:JOBID")
    group.add_argument(
        "--signal", metavar="S", help="seconds before its end at which Slurm warns, as 120 or USR1@120"
    )
    group.add_argument(
        "--max-requeues",
        type=int,
        metavar="N",
        help="how often a job may go on when its time is over (default 10)",
    )
    group.add_argument(
        "--directive",
        action="append",
        metavar="OPTION",
        help="any other option of sbatch, as '--gres=gpu:1'; may be repeated",
    )


def _add_script(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("script")
    group.add_argument("--profile", metavar="NAME", help="settings of [profiles.NAME] in slurm.toml")
    group.add_argument(
        "--setup",
        action="append",
        metavar="LINE",
        help="a line of bash before the search, as 'module load python/3.11'; may be repeated",
    )
    _add_switch(group, "--mpirun", "start the agents by mpirun (default: by srun)")
    group.add_argument(
        "--database",
        nargs="?",
        const="",
        metavar="DIR",
        help="the job starts a private database server, its data in DIR (default ./nano-hpo-runs/database)",
    )
    group.add_argument("--server", metavar="PATH", help=f"for --database: {SERVER_HELP}")


def _add_switch(group: Any, flag: str, text: str) -> None:
    group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)


def _add_doing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to do")
    group.add_argument("--dry-run", action="store_true", help="print the script and submit nothing")
    group.add_argument(
        "--no-check", action="store_true", help="look at neither objective nor database before"
    )
    group.add_argument(
        "--wait", action="store_true", help="follow the job until it is over; Ctrl-C ends the following alone"
    )
    group.add_argument("--parsable", action="store_true", help="print the job id alone")
    group.add_argument(
        "--json",
        action="store_true",
        help="print the job as JSON, with the keys of nano-hpo jobs; with --dry-run what only Slurm can say "
        'is null, and "text" is the script',
    )
