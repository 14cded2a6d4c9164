"""Our SQL as servers want it that are not at hand (MySQL 5.7 and 8, MariaDB 10.3), and one clock for all."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from orchestrator.sql import schema
from orchestrator.sql.schema import database_now
from orchestrator.sql.upsert import upsert, upsert_while
from orchestrator.storage import claims
from orchestrator.storage.rows import (
    ATTRIBUTE_KEY,
    RUNNING_ATTEMPT,
    STEP_KEY,
    attribute_row,
    intermediate_row,
)
from tests.conftest import MariaDB


def server(version: tuple[int, ...], is_mariadb: bool = False) -> sa.Dialect:
    dialect = mysql.dialect(is_mariadb=is_mariadb)
    dialect.server_version_info, dialect._casing = version, 0
    if not is_mariadb:
        dialect._initialize_mysql(None)  # what SQLAlchemy derives from a version when it connects
    return dialect


SERVERS = {
    "MySQL 5.7": server((5, 7, 44)),
    "MySQL 8.0.19": server((8, 0, 19)),
    "MySQL 8.0.36": server((8, 0, 36)),
    "MySQL 8.4": server((8, 4, 3)),
    "MariaDB 10.3": server((10, 3, 39), is_mariadb=True),
    "MariaDB 11.8": server((11, 8, 2), is_mariadb=True),
}
# Words that one of these servers lacks, or that need rights or settings of their own.
FOREIGN = (
    "SKIP LOCKED",
    "NOWAIT",
    "RETURNING",
    "FOR SHARE",
    "LATERAL",
    " WITH ",
    "INTERSECT",
    "EXCEPT",
    "OVER (",
)


@pytest.fixture(params=SERVERS, ids=str)
def dialect(request: pytest.FixtureRequest) -> sa.Dialect:
    return SERVERS[request.param]


class Recorder:
    """Stands where a connection does and keeps what would be executed."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self.dialect = dialect
        self.said: list[str] = []

    def execute(self, statement, values=None, **options):
        compiled = statement.compile(dialect=self.dialect)
        self.said.append(" ".join(str(compiled).split()))
        return type("Result", (), {"rowcount": 1})


def statements(dialect: sa.Dialect) -> Iterator[str]:
    """Those of our statements that are more than plain SELECT, UPDATE and DELETE."""
    c = Recorder(dialect)
    attributes, reports = schema.trial_system_attributes, schema.trial_intermediate_values
    for keep in (False, True):
        upsert(c, attributes, [attribute_row(1, "k", 2)], ATTRIBUTE_KEY, keep)  # type: ignore[arg-type]
        for steps in (1, 3):
            rows = [intermediate_row(1, step, 0.5) for step in range(steps)]
            upsert_while(c, RUNNING_ATTEMPT, {"token": "t"}, reports, rows, STEP_KEY, keep)  # type: ignore[arg-type]
    c.execute(claims._LOOK)
    c.execute(sa.select(database_now()))
    yield from c.said


def test_no_statement_uses_words_that_a_server_lacks(dialect):
    for statement in statements(dialect):
        assert not [word for word in FOREIGN if word in statement.upper()], statement


def test_rows_that_are_there_are_written_over_in_the_servers_own_words(dialect):
    """MySQL from 8.0.20 on warns of VALUES() beside VALUES rows; no other server knows the alias."""
    plain = next(statements(dialect))
    by_alias = dialect.server_version_info >= (8, 0, 20) and not dialect.is_mariadb
    assert ("AS new ON DUPLICATE KEY UPDATE" in plain) is by_alias
    assert ("VALUES(value_json)" in plain) is not by_alias
    selected = [text for text in statements(dialect) if " SELECT " in text and "INSERT" in text]
    assert len(selected) == 4
    assert not [text for text in selected if " AS new " in text]  # no alias can name what is selected


def test_what_is_set_to_itself_names_its_table(dialect):
    """A bare name could as well be the selected table's: error 1052."""
    keeping = [text for text in statements(dialect) if "UPDATE trial_id" in text]
    assert len(keeping) == 3
    for statement in keeping:
        assert re.search(r"UPDATE trial_id = `?trial_\w+`?\.trial_id", statement), statement


def test_reserved_words_are_quoted_and_keys_are_short_enough(dialect):
    for table in schema.nano_tables.sorted_tables:
        text = str(CreateTable(table).compile(dialect=dialect))
        assert not re.search(r"^\s+(rank|key|system|groups|window|rows)\s", text, re.MULTILINE), text
        for index in table.indexes:
            CreateIndex(index).compile(dialect=dialect)
            n_bytes = [4 * (getattr(column.type, "length", None) or 1) for column in index.columns]
            assert max(n_bytes) <= 767  # of one column, in the old row formats
            assert sum(n_bytes) <= 3072
    text = str(CreateTable(schema.agents).compile(dialect=dialect))
    assert "`rank`" in text


@pytest.mark.parametrize("other", [sqlite.dialect(), postgresql.dialect()], ids=["SQLite", "PostgreSQL"])
def test_the_same_statements_compile_for_the_other_databases(other):
    assert len(list(statements(other))) == 8


@pytest.fixture
def in_berlin(monkeypatch) -> Iterator[MariaDB]:
    """A server in a time zone with summer time."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    mine = MariaDB()
    try:
        mine.start()
        yield mine
    finally:
        mine.remove()


def test_the_databases_clock_goes_on_when_its_time_zone_says_an_hour_twice(in_berlin):
    engine = sa.create_engine(in_berlin.url("mysql"))
    change = 1792890000  # 2026-10-25, 3:00 summer time: it is 2:00 again
    with engine.connect() as c:
        for instant in range(change - 5400, change + 7200, 900):
            c.exec_driver_sql(f"SET timestamp = {instant}.25")
            assert c.execute(sa.select(database_now())).scalar_one() == instant + 0.25
        assert c.exec_driver_sql("SELECT @@system_time_zone").scalar() in ("CET", "CEST")
    engine.dispose()
