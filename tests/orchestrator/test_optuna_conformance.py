"""Optuna's own suite for storages, over ours: on a SQLite file and on MariaDB."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from optuna.testing.pytest_storages import StorageTestCase

from orchestrator.storage.study_storage import StudyStorage, open_storage


class TestStudyStorage(StorageTestCase):
    @pytest.fixture
    def storage(self, storage_url: str) -> Iterator[StudyStorage]:
        storage = open_storage(storage_url)
        yield storage
        storage.database.close()
