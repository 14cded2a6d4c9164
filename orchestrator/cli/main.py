"""``nano-hpo VERB …``: arguments in, an exit code out.

Exit codes: 0 done, 1 the run failed, 2 bad input, 75 out of time (the same command goes on), 130
interrupted. Nothing heavy is imported before a verb needs it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from orchestrator.cli import (
    best,
    completion,
    dashboard,
    db,
    doctor,
    enqueue,
    init,
    jobs,
    machine,
    measuring,
    reporting,
    run_options,
    status,
    stop,
    studies,
    submit_options,
    trials,
    watch,
)
from orchestrator.cli.parser import BAD_INPUT, Parser
from orchestrator.cli.streams import close_stdout, prepare_streams

FAILED, INTERRUPTED = 1, 130
UNREAD = 141  # as a shell says of a program that SIGPIPE ended

_DESCRIPTION = """\
Hyperparameter search on this machine's cores, and on those of a cluster.

Divides the cores among trial processes, lets them search on one SQL-backed Optuna study, and leaves a
summary, plots and one HTML report."""

_EPILOG = """\
exit codes: 0 done, 1 the run failed, 2 bad input, 130 interrupted, 75 out of time: the same
command goes on; 141 nobody reads the output any more (| head)

examples:
  nano-hpo run train.py:objective --n-trials 100 --n-parallels 4
  nano-hpo run train.py:objective --n-trials 100 --storage mysql://user@host/db --study-name s
  nano-hpo run --space space.toml --n-trials 100 -- ./train.sh --lr {lr}
  nano-hpo init study train.py:objective --n-trials 100
  nano-hpo run study.toml
  nano-hpo report --storage mysql://user@host/db --study-name s
  nano-hpo studies --storage mysql://user@host/db
  nano-hpo trials --failed --storage mysql://user@host/db --study-name s
  nano-hpo topology --n-parallels 4
  nano-hpo submit --nodes 4 -- run train.py:objective --n-trials 100 --storage mysql://user@host/db"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    prepare_streams()
    try:
        return _ran(argv)
    except KeyboardInterrupt:
        print("nano-hpo: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `nano-hpo topology | head`
        close_stdout()
        return UNREAD
    except OSError as error:  # a full disk, most often
        close_stdout()
        if _is_in_a_deleted_folder():
            print("nano-hpo: The current directory was deleted; go to one that exists.", file=sys.stderr)
            return BAD_INPUT
        print(f"nano-hpo: {error}", file=sys.stderr)
        return FAILED
    except Exception as error:
        return _explain(error)


def _ran(argv: Sequence[str] | None) -> int:
    """The exit code; all that was printed, help as well, is out."""
    try:
        arguments = parse(argv)
        handler: Callable[[argparse.Namespace], int] = arguments.handler
        code = handler(arguments)
    except SystemExit:
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The words of a command line as its verb reads them. Exits with one line where they are wrong."""
    return _parser().parse_args(argv)


def _is_in_a_deleted_folder() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - as Path.cwd, and nothing else fails here
    except FileNotFoundError:
        return True
    return False


def _explain(error: Exception) -> int:
    """One line for what a user can mend; a traceback is a bug of ours."""
    from affinity import AffinityError
    from launchers import LauncherError
    from orchestrator.errors import RunFailed, UserError

    if not isinstance(error, UserError | RunFailed | AffinityError | LauncherError):
        raise error
    print(f"nano-hpo: {' '.join(str(error).split())}", file=sys.stderr)
    return FAILED if isinstance(error, RunFailed) else BAD_INPUT


def _parser() -> Parser:
    parser = Parser(prog="nano-hpo", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    parser.set_defaults(parse=parse)  # for verbs that are given the words of another one
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for add in (run_options.add_run, reporting.add_report, machine.add_topology, machine.add_bind, db.add_db):
        add(verbs)
    status.add_status(verbs)
    watch.add_watch(verbs)
    trials.add_trials(verbs)
    best.add_best(verbs)
    enqueue.add_enqueue(verbs)
    stop.add_stop(verbs)
    studies.add_verbs(verbs)
    dashboard.add_dashboard(verbs)
    doctor.add_doctor(verbs)
    submit_options.add_submit(verbs)
    jobs.add_jobs(verbs)
    init.add_init(verbs)
    measuring.add_tune(verbs)
    completion.add_completion(verbs, parser)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"nano-hpo {version('nano-hpo')}")
        parser.exit()
