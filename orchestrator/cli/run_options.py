"""``nano-hpo run`` and its options: a parser in, the same parser with help texts and handler out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from affinity.options import add_choices, add_switch
from orchestrator.cli import given, run
from orchestrator.cli.db import SERVER_HELP
from orchestrator.cli.parser import seconds
from orchestrator.cli.shared import STORAGE_HELP, add_drawing

_RUN_EPILOG = """\
space.toml:
  lr = { low = 1e-4, high = 0.1, log = true }
  units = { low = 16, high = 128 }
  optimizer = ["adam", "sgd"]           # the command finds it in NANO_HPO_PARAM_optimizer

study.toml ('nano-hpo init study' writes one; a key is a flag's long name with _ for -):
  objective = "train.py:objective"      # beside the file; or command = [...] with a table [space]
  n_trials = 100
  sampler_arg = { n_startup_trials = 20 }

run.json in the run directory holds the settings ("spec") and, in the same shape, where each came
from ("sources": flag, file, environment or default), the "study_file" and the "seed" in use.

A run that was cut off is finished by the same command. --resume begins a new run on the
study: its history counts, and N trials are added.

exit codes: 0 done, 1 the run failed, 2 bad input, 130 stopped by Ctrl-C, SIGTERM or SIGHUP,
75 out of time (walltime, SIGUSR1): the same command goes on

examples:
  nano-hpo run train.py:objective -n 100 -p 4
  nano-hpo run --space space.toml -n 100 -- ./train.sh --lr {lr} --units {units}
  nano-hpo run study.toml --n-trials 200"""


def add_run(subparsers: Any) -> None:
    """``nano-hpo run``."""
    parser = subparsers.add_parser(
        "run",
        help="run a search",
        usage="%(prog)s [options] FILE.py:FUNCTION\n"
        "       %(prog)s [options] --space FILE -- COMMAND …\n"
        "       %(prog)s [options] STUDY.toml",
        description="Search for the parameters that optimise a function of one Optuna trial, or a command.",
        epilog=_RUN_EPILOG,
    )
    parser.add_argument(
        "objective",
        nargs="?",
        metavar="FILE.py:FUNCTION",
        help="what to optimise (default FUNCTION: objective); or a study file, FILE.toml, that says this and "
        "all else: flags win over it",
    )
    add_settings(parser)
    parser.set_defaults(handler=run.run)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """All flags of a run; ``given``, ``settings`` and ``command`` come with the options (``cli.given``)."""
    _add_command(parser)
    _add_budget(parser)
    _add_trials(parser)
    _add_study(parser)
    _add_search(parser)
    _add_division(parser)
    _add_output(parser)


def _add_command(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("command")
    group.add_argument(
        "--space",
        type=Path,
        metavar="FILE",
        help="search space (TOML) of the command behind '--': {NAME} in it stands for a value, its last line "
        "of output is the trial's (see below)",
    )
    parse = parser.parse_known_args

    def parse_known_args(args: Any = None, namespace: Any = None) -> Any:
        """What stands behind the first ``--`` is the command, whatever it looks like."""
        words, command = divided(list(args))
        options, unknown = parse(words, namespace)
        options.command = command
        options.given, options.settings = given.given(parser, parse, words), given.settings_of(parser)
        return options, unknown

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign]  # else argparse reads it too


def divided(words: list[str]) -> tuple[list[str], list[str] | None]:
    """What stands before the first ``--``, and behind it."""
    if "--" not in words:
        return words, None
    place = words.index("--")
    return words[:place], words[place + 1 :]


def _add_budget(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("budget")
    group.add_argument(
        "-n", "--n-trials", type=int, metavar="N", help="finished trials over all processes, exactly"
    )
    group.add_argument(
        "--timeout", type=seconds, metavar="S", help="begin no trial after so many seconds (or 90m, 2h)"
    )
    group.add_argument(
        "--walltime",
        default="auto",
        metavar="TIME",
        help="when this launch is ended from outside, as Slurm's --time (90 is minutes; 01:30:00; 1-12:00; "
        "90s is seconds), or none: no trial begins that will not finish by then, going by the time that 90%% "
        "of the completed ones took at most, and shortly before, running ones are stopped as by SIGUSR1 "
        "(exit code 75). Default: the end of the Slurm job (SLURM_JOB_END_TIME, squeue)",
    )
    group.add_argument(
        "--grace",
        type=seconds,
        default=30.0,
        metavar="S",
        help="seconds for running trials to finish or to checkpoint after Ctrl-C, SIGTERM or SIGUSR1, "
        "and before the walltime ends, at most a quarter of it (default 30)",
    )


def _add_trials(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("trials")
    group.add_argument(
        "--trial-timeout",
        type=seconds,
        metavar="S",
        help="end and fail a trial after so many seconds (or 10m, 2h)",
    )
    group.add_argument(
        "--trial-memory",
        metavar="SIZE",
        help="end and fail a trial that takes more, with all that it has started: 800M, 4G (a number alone: "
        "MiB)",
    )
    group.add_argument(
        "--max-retries",
        type=int,
        default=3,
        metavar="N",
        help="how often a trial is tried again whose process, agent or node was lost (default 3); one over "
        "which three processes died is failed for good",
    )
    add_switch(group, "--isolate", "every trial in a process of its own: --trials-per-worker 1")
    group.add_argument(
        "--trials-per-worker",
        type=int,
        metavar="N",
        help="replace a process after so many trials, when they leak memory",
    )


def _add_study(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("study")
    group.add_argument(
        "--storage",
        metavar="URL",
        help=f"{STORAGE_HELP}; auto:mysql[:DIR]: a private server, see nano-hpo db (default: an SQLite "
        "file of the run)",
    )
    group.add_argument("--server", metavar="PATH", help=f"for auto:mysql: {SERVER_HELP}")
    add_switch(
        group,
        "--storage-proxy",
        "behind mpirun or srun: only rank 0 reaches the database, and lends it to the other ranks",
    )
    group.add_argument(
        "--storage-patience",
        type=seconds,
        default=300.0,
        metavar="S",
        help="seconds that the database may be away before the run gives up; 0: none (default 300)",
    )
    group.add_argument("--study-name", metavar="NAME", help="default: from the objective's file")
    group.add_argument("--resume", action="store_true", help="a new run on the existing study")
    group.add_argument(
        "--run-id", metavar="ID", help="the run's identity in the database (default: a new one)"
    )
    group.add_argument(
        "--direction",
        action="append",
        choices=("minimize", "maximize"),
        help="default minimize; once for each objective",
    )


def _add_search(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("search")
    samplers = "tpe, random, gp, cmaes, nsgaii, nsgaiii, qmc, grid, bruteforce, partialfixed"
    pruners = "median, none, percentile, halving, hyperband, threshold, patient, wilcoxon"
    group.add_argument("--sampler", default="tpe", metavar="NAME", help=f"{samplers} (default tpe)")
    group.add_argument(
        "--sampler-arg",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an argument of the sampler, value as JSON",
    )
    group.add_argument("--pruner", default="median", metavar="NAME", help=f"{pruners} (default median)")
    group.add_argument(
        "--pruner-arg",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an argument of the pruner, value as JSON",
    )
    group.add_argument(
        "--seed", type=int, metavar="N", help="of the study; each trial draws its own stream from it"
    )


def _add_division(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("processes")
    group.add_argument(
        "-p",
        "--n-parallels",
        default="1",
        metavar="N",
        help="processes of each rank, each bound to its share of cores; auto: one per core, or as many as "
        "--cores-per-slot lets fit (default 1)",
    )
    add_choices(group)
    add_switch(
        group,
        "--keep-binding",
        "behind mpirun: use the cores that it bound each rank to (default: the ranks of a node divide "
        "all that mpirun may use)",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--run-dir",
        type=Path,
        metavar="DIR",
        help="all files go below it (default ./nano-hpo-runs/STUDY/run-NNN)",
    )
    group.add_argument(
        "--scratch",
        metavar="DIR",
        help="folder on each node's own disk, as '$TMPDIR', for what is written often: the run's SQLite file "
        "(a copy goes to the run directory every minute and at the end), large arrays, logs. Default: the "
        "run directory; where that is on a network file system, the temporary folder for file and arrays",
    )
    group.add_argument(
        "--keep-top",
        type=int,
        metavar="K",
        help="of the folders of trials (trials/trial-00012, where checkpoints and logs of models are) keep "
        "those of the K best, of the Pareto front with several objectives, and of failed trials; those of "
        "other trials are removed once this run has finished them (default: all stay)",
    )
    group.add_argument("--json", action="store_true", help="print the summary as JSON")
    add_drawing(group)
    group.add_argument("-q", "--quiet", action="store_true", help="show no progress")
