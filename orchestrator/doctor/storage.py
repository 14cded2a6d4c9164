"""A storage: its URL in; checks of what a run needs of it out. Creates nothing, and no password is shown."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import sqlalchemy as sa

from orchestrator.doctor.check import Check, bad, good, mind
from orchestrator.doctor.mysql import mysql_checks
from orchestrator.doctor.sqlite import sqlite_checks
from orchestrator.errors import StorageError
from orchestrator.sql import schema
from orchestrator.sql.asking import asked
from orchestrator.sql.tables import OPTUNA_TABLES
from orchestrator.storage_url import masked, sqlite_path

_SLOW_S, _SKEWED_S = 0.02, 5.0


def storage_checks(url: str, n_workers: int = 1) -> Iterator[Check]:
    """Whether it is reachable, and all that can be asked of it then; for so many workers on this machine."""
    path = sqlite_path(url)
    if path is not None:
        yield from sqlite_checks(path)
        if not path.exists():
            return
    try:
        yield from asked(url, lambda c: list(_checks(c, url, n_workers)))
    except StorageError as error:
        yield bad("storage", str(error), "mend that first; a run would stop with the same words")


def _checks(c: sa.Connection, url: str, n_workers: int) -> Iterator[Check]:
    version = str(c.exec_driver_sql(_VERSION.get(c.dialect.name, "SELECT version()")).scalar())
    yield good("storage", f"{masked(url)} answers: {c.dialect.name} {version.split(' on ')[0]}")
    if c.dialect.name != "sqlite":
        yield _latency(c)
        yield _clock(c)
    if c.dialect.name == "mysql":
        yield from mysql_checks(c, url, n_workers)
    yield _tables(c)


_VERSION = {"sqlite": "SELECT 'version ' || sqlite_version()"}


def _latency(c: sa.Connection) -> Check:
    taken = []
    for _ in range(21):
        began = time.perf_counter()
        c.execute(sa.select(1)).scalar()
        taken.append(time.perf_counter() - began)
    median_s = statistics.median(taken)
    said = f"{median_s * 1e3:.2f} ms for a statement (median of {len(taken)})"
    if median_s > _SLOW_S:
        return mind("latency", said, "a trial costs some ten statements: for short trials, a nearer server")
    return good("latency", said)


def _clock(c: sa.Connection) -> Check:
    """Heartbeats are by the database's clock, the times in the report by each machine's."""
    before = time.time()
    there = float(c.execute(sa.select(schema.database_now())).scalar_one())
    ahead_s = there - (before + time.time()) / 2
    said = f"{abs(ahead_s):.2f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
    if abs(ahead_s) > _SKEWED_S:
        return mind("clock", said, "have both set by NTP: else times in reports do not fit together")
    return good("clock", said)


def _tables(c: sa.Connection) -> Check:
    there = set(sa.inspect(c).get_table_names())
    ours = set(schema.nano_tables.tables)
    if not there & {*OPTUNA_TABLES}:
        return good("tables", "none yet; the first run makes them")
    revision = c.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    n_studies = c.execute(sa.select(sa.func.count()).select_from(schema.studies)).scalar()
    said = f"Optuna's (schema {revision}), {n_studies} studies"
    if missing := ours - there:
        return good("tables", f"{said}; the first run adds {', '.join(sorted(missing))}")
    return good("tables", f"{said}, and ours")
