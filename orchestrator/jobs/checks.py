"""A search that is about to be queued, in; nothing out, or one line on why it would fail in its job.

What can be known beforehand costs nobody a night in the queue: the objective loads, the database answers, the
study's settings are those that are stored, and no password would end up in a file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from affinity import Choices
from launchers import ALONE, JobScript
from orchestrator.errors import ObjectiveError, StorageError
from orchestrator.launching.launch import Wish, plan
from orchestrator.machine import read_share
from orchestrator.objective import file_objective
from orchestrator.server.programs import locate
from orchestrator.spec import RunSpec
from orchestrator.sql.advice import require_server
from orchestrator.storage_url import ENVIRONMENT, automatic_folder, masked, sqlite_path

LOADING_LIMIT_S = 300.0  # TensorFlow on a busy NFS takes minutes
MODULE = "orchestrator.jobs.loading"


def require_no_secret(texts: Iterable[str]) -> None:
    """Refuse what would write a password into a script, which others may be able to read."""
    for text in texts:
        if masked(text) != text:
            raise StorageError(
                f"'{masked(text)}' holds a password, which would stand in the job's script. Leave it out of "
                f"the command: set {ENVIRONMENT} to the whole URL, or name an option file, as "
                "mysql://USER@HOST/DATABASE?read_default_file=/home/USER/.my.cnf."
            )


def require_fitting_storage(spec: RunSpec, job: JobScript) -> None:
    """Refuse a storage that the hosts of the job, or of its array, could not share."""
    if job.kind == "database":
        if spec.storage_url is not None:
            raise StorageError(
                "The job starts a database of its own (--database), and there is "
                f"{masked(spec.storage_url)}: leave --database or --storage (and {ENVIRONMENT}) out."
            )
        return
    is_automatic = spec.storage_url is not None and automatic_folder(spec.storage_url) is not None
    if job.tasks is not None and (is_automatic or _is_file(spec)):
        raise StorageError(
            "The jobs of an array run on several hosts, which cannot share "
            f"{spec.storage_url or 'the SQLite file of a run'}: name a database server, as --storage "
            "mysql://USER@HOST/DATABASE, or take one job of several nodes with --database."
        )
    if job.n_nodes > 1 and spec.storage_url is not None and not is_automatic and not spec.storage_proxy:
        require_server(spec.storage_url)


def _is_file(spec: RunSpec) -> bool:
    return spec.storage_url is None or sqlite_path(spec.storage_url) is not None


def require_plan(spec: RunSpec, job: JobScript, run_dir: Path | None, run_id: str | None) -> None:
    """Look at run directory, database and study as the run itself will; creates nothing."""
    url = spec.storage_url
    if job.kind == "database" or (url is not None and automatic_folder(url) is not None):
        _require_server(job.server if job.kind == "database" else spec.server)
        return  # it is not started yet
    here = replace(spec, n_parallels=1, choices=Choices(), trial_memory_mib=None, storage_patience_s=0.0)
    plan(here, ALONE, read_share(here, ALONE, {}), Wish(run_dir, run_id))


def _require_server(server: str | None) -> None:
    """Refuse a named server that is not here: most sites have the same programs on all machines."""
    try:
        if server is not None:
            locate(Path(server))
    except StorageError as error:
        raise StorageError(f"{error} (If it is there on the nodes of the job: --no-check.)") from None


def require_loadable(objective: str, limit_s: float = LOADING_LIMIT_S) -> None:
    """Load ``FILE.py:FUNCTION`` in a process of its own, as a worker will."""
    ref = file_objective(objective)
    command = [sys.executable, "-P", "-m", MODULE]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(ref.as_json()),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ObjectiveError(
            f"{ref.path} has not been imported within {limit_s:g} s; guard what it runs by if __name__ == "
            "'__main__', or skip this with --no-check."
        ) from None
    if done.returncode != 0:
        raise ObjectiveError(f"{_last_line(done.stderr) or f'{ref.path} ends Python as it is imported'}")


def _last_line(text: str) -> str:
    lines: Sequence[str] = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
