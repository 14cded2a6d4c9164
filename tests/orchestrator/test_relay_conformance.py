"""Optuna's own suite for storages, over ours through a relay: to a SQLite file and to MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.testing.pytest_storages import StorageTestCase

from orchestrator.relay.lend import lend_to_this_machine
from orchestrator.storage.study_storage import StudyStorage, open_storage
from tests.conftest import MariaDB


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.long)])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """As for all tests, the slower half for the long ones: what differs by database is tested directly."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'study.db'}"
    server: MariaDB = request.getfixturevalue("mariadb")
    return server.create_database()


class TestBorrowedStorage(StorageTestCase):
    @pytest.fixture
    def storage(self, storage_url: str) -> Iterator[StudyStorage]:
        with lend_to_this_machine(storage_url) as relay:
            storage = open_storage(relay.url)
            yield storage
            storage.database.close()
