"""The tables: Optuna's schema as our own SQL needs it, and ours, prefixed ``nano_``.

Optuna's tables are described, never created or changed here (``RDBStorage`` creates them, so that its
version table is right). Ours hold no foreign key into them: plain Optuna must stay able to delete a study.
Times of ours are seconds since the epoch, by the database's clock: ``DATETIME`` columns that plain Optuna has
made keep whole seconds on MySQL.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

_seconds = sa.Float(53)  # a double: microseconds survive

optuna_tables = sa.MetaData()

studies = sa.Table(
    "studies",
    optuna_tables,
    sa.Column("study_id", sa.Integer, primary_key=True),
    sa.Column("study_name", sa.String(512)),
)

study_directions = sa.Table(
    "study_directions",
    optuna_tables,
    sa.Column("study_direction_id", sa.Integer, primary_key=True),
    sa.Column("study_id", sa.Integer),
    sa.Column("direction", sa.Enum(StudyDirection)),
    sa.Column("objective", sa.Integer),
)

trials = sa.Table(
    "trials",
    optuna_tables,
    sa.Column("trial_id", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer),
    sa.Column("study_id", sa.Integer),
    sa.Column("state", sa.Enum(TrialState)),
    sa.Column("datetime_start", sa.DateTime),
    sa.Column("datetime_complete", sa.DateTime),
)

trial_params = sa.Table(
    "trial_params",
    optuna_tables,
    sa.Column("param_id", sa.Integer, primary_key=True),
    sa.Column("trial_id", sa.Integer),
    sa.Column("param_name", sa.String(512)),
    sa.Column("param_value", sa.Float(53)),
    sa.Column("distribution_json", sa.Text),
)

trial_values = sa.Table(
    "trial_values",
    optuna_tables,
    sa.Column("trial_value_id", sa.Integer, primary_key=True),
    sa.Column("trial_id", sa.Integer),
    sa.Column("objective", sa.Integer),
    sa.Column("value", sa.Float(53)),
    sa.Column("value_type", sa.Enum("FINITE", "INF_POS", "INF_NEG", name="trialvaluetype")),
)

_reported = sa.Enum("FINITE", "INF_POS", "INF_NEG", "NAN", name="trialintermediatevaluetype")
trial_intermediate_values = sa.Table(
    "trial_intermediate_values",
    optuna_tables,
    sa.Column("trial_intermediate_value_id", sa.Integer, primary_key=True),
    sa.Column("trial_id", sa.Integer),
    sa.Column("step", sa.Integer),
    sa.Column("intermediate_value", sa.Float(53)),
    sa.Column("intermediate_value_type", _reported),
)

trial_heartbeats = sa.Table(
    "trial_heartbeats",
    optuna_tables,
    sa.Column("trial_heartbeat_id", sa.Integer, primary_key=True),
    sa.Column("trial_id", sa.Integer),
)


def _attributes(name: str, owner: str) -> sa.Table:
    """A table of attributes of studies or trials: JSON texts by key."""
    return sa.Table(
        name,
        optuna_tables,
        sa.Column(f"{name[:-1]}_id", sa.Integer, primary_key=True),
        sa.Column(owner, sa.Integer),
        sa.Column("key", sa.String(512)),
        sa.Column("value_json", sa.Text),
    )


study_user_attributes = _attributes("study_user_attributes", "study_id")
study_system_attributes = _attributes("study_system_attributes", "study_id")
trial_user_attributes = _attributes("trial_user_attributes", "trial_id")
trial_system_attributes = _attributes("trial_system_attributes", "trial_id")

nano_tables = sa.MetaData()

runs = sa.Table(
    "nano_runs",
    nano_tables,
    sa.Column("run_id", sa.String(191), primary_key=True),
    sa.Column("study_id", sa.Integer, nullable=False, index=True),
    sa.Column("owner", sa.String(191), nullable=False),
    sa.Column("spec", sa.Text().with_variant(MEDIUMTEXT, "mysql"), nullable=False),
    sa.Column("spec_hash", sa.String(64), nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("n_trials", sa.Integer),  # NULL: limited by time alone
    sa.Column("claimed", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("start_s", _seconds, nullable=False),
    sa.Column("end_s", _seconds),
    sa.Column("mark", sa.String(32)),  # of who created or ended it: a repeated statement knows itself
)

agents = sa.Table(
    "nano_agents",
    nano_tables,
    sa.Column("agent_id", sa.String(32), primary_key=True),
    sa.Column("run_id", sa.String(191), nullable=False, index=True),
    sa.Column("rank", sa.Integer, nullable=False, quote=True),  # a reserved word in MySQL 8
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("boot_id", sa.String(64), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("pid_start_s", _seconds, nullable=False),
    sa.Column("heartbeat_s", _seconds, nullable=False),  # the database's clock
    sa.Column("start_s", _seconds, nullable=False),
    sa.Column("end_s", _seconds),
    sa.Column("report", sa.Text().with_variant(MEDIUMTEXT, "mysql")),
    sa.Column("n_ranks", sa.Integer),  # of the launch that it belongs to
    sa.Column("job", sa.String(64)),  # of Slurm: 1234, or 1200_3 for a task of an array
    sa.Column("until_s", _seconds),  # when its time is over, by the database's clock; NULL: no end is known
    sa.Column("machine", sa.Text().with_variant(MEDIUMTEXT, "mysql")),  # JSON, told while it is at work
)

attempts = sa.Table(
    "nano_attempts",
    nano_tables,
    sa.Column("token", sa.String(32), primary_key=True),
    sa.Column("trial_id", sa.Integer, nullable=False, index=True),
    sa.Column("run_id", sa.String(191), nullable=False),
    sa.Column("agent_id", sa.String(32), nullable=False),
    sa.Column("slot", sa.Integer, nullable=False),
    sa.Column("cpus", sa.Text, nullable=False),
    sa.Column("cpu_model", sa.String(191), nullable=False),
    sa.Column("slot_width", sa.Integer, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("start_s", _seconds, nullable=False),  # the database's clock
    sa.Column("end_s", _seconds),
    sa.Column("objective_s", _seconds),
    sa.Column("cause", sa.String(64)),  # orchestrator.causes
    sa.Column("exit_status", sa.Integer),
    sa.Column("peak_rss_mib", _seconds),
    sa.Column("attempt", sa.Integer),  # 1 for the first at its trial
    sa.Column("detail", sa.Text),  # what is known of the cause besides
    sa.Column("cpu_s", _seconds),  # of the worker and its children, user and system
    sa.Index("nano_attempts_run_state", "run_id", "state"),
    sa.Index("nano_attempts_agent_state", "agent_id", "state"),
)


class database_now(FunctionElement[float]):  # noqa: N801 - an SQL function
    """Seconds since the epoch by the database's clock: the one clock that all nodes share."""

    type = sa.Float(53)
    inherit_cache = True


@compiles(database_now, "mysql")
def _now_mysql(element: Any, compiler: Any, **kw: Any) -> str:
    # Not UNIX_TIMESTAMP(NOW(6)): where the server's time zone has summer time, NOW() says one hour twice in
    # autumn, and that clock would leap by 3600 s: all agents dead for a moment, or none for an hour.
    return "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1e6)"


@compiles(database_now, "sqlite")
def _now_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _now_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return "EXTRACT(EPOCH FROM clock_timestamp())"
