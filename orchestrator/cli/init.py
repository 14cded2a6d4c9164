"""``nano-hpo init``: files to begin with out; here the job scripts for Slurm, in a folder that is named."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from orchestrator.cli.init_study import add_init_study, print_files

_EXAMPLE = """\
example:
  nano-hpo init slurm jobs"""


def add_init(subparsers: Any) -> None:
    """``nano-hpo init``."""
    parser = subparsers.add_parser(
        "init",
        help="write a study file, or job scripts, to edit",
        description="Write files to begin with.",
        epilog=_EXAMPLE,
    )
    verbs = parser.add_subparsers(dest="init_verb", metavar="WHAT", required=True)
    add_init_study(verbs)
    slurm = verbs.add_parser(
        "slurm",
        help="job scripts for Slurm",
        description="Write the job scripts for Slurm into DIR, each for another way to run a search; their "
        "lines marked EDIT are yours. 'nano-hpo submit' writes and submits such a script in one go.",
        epilog=_EXAMPLE,
    )
    slurm.add_argument("folder", type=Path, metavar="DIR", help="made when it is not there")
    slurm.add_argument("--force", action="store_true", help="overwrite scripts that are there")
    slurm.add_argument(
        "--json", action="store_true", help='print JSON: "files", the paths, and "done" (true)'
    )
    slurm.set_defaults(handler=init_slurm)


def init_slurm(options: argparse.Namespace) -> int:
    """Write all scripts, or none where one is there already."""
    from launchers.job_rendering import render
    from launchers.job_script import KINDS, JobScript, file_name
    from orchestrator.errors import UserError
    from orchestrator.paths import write_whole

    folder = options.folder.expanduser()
    there = [name for name in map(file_name, KINDS) if (folder / name).exists()]
    if there and not options.force:
        raise UserError(f"{folder} holds {', '.join(there)} already; choose another folder, or give --force.")
    try:
        for kind in KINDS:
            write_whole(folder / file_name(kind), render(JobScript(kind=kind)))
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}); choose another folder.") from None
    print_files([folder / file_name(kind) for kind in KINDS], options.json)
    return 0
