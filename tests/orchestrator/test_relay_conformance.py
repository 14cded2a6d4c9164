"""Optuna's own suite for storages, over ours through a relay: to a SQLite file and to MariaDB."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from optuna.testing.pytest_storages import StorageTestCase

from orchestrator.relay.lend import lend_to_this_machine
from orchestrator.storage.study_storage import StudyStorage, open_storage

pytestmark = pytest.mark.long  # what differs by database, and by relay, is tested directly


class TestBorrowedStorage(StorageTestCase):
    @pytest.fixture
    def storage(self, storage_url: str) -> Iterator[StudyStorage]:
        with lend_to_this_machine(storage_url) as relay:
            storage = open_storage(relay.url)
            yield storage
            storage.database.close()
