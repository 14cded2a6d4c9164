"""Settings are checked when made; passwords never show."""

from __future__ import annotations

import json

import pytest

from orchestrator.errors import SpecError, StorageError
from orchestrator.spec import RunSpec, default_study_name
from orchestrator.sql.asking import study_names
from orchestrator.sql.opening import open_database
from orchestrator.storage_url import automatic_folder, checked, masked, scrubbed, sqlite_path, sqlite_url


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({}, "--n-trials"),
        ({"n_trials": 0}, "n_trials is 0"),
        ({"timeout_s": -1.0}, "timeout is -1"),
        ({"n_trials": 1, "n_parallels": 0}, "n_parallels is 0"),
        ({"n_trials": 1, "directions": ("up",)}, "up"),
        ({"n_trials": 1, "directions": ()}, "missing"),
        ({"n_trials": 1, "seed": -1}, "seed is -1"),
        ({"n_trials": 1, "study_name": ""}, "study name"),
        ({"n_trials": 1, "study_name": "x" * 513}, "513"),
        ({"n_trials": 1, "max_retries": -1}, "max_retries"),
        ({"n_trials": 1, "storage_patience_s": -1.0}, "storage patience is -1"),
        ({"n_trials": 1, "storage_patience_s": float("nan")}, "storage patience is nan"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(settings, word):
    with pytest.raises(SpecError, match=word):
        RunSpec(**{"objective": "f", "study_name": "s", **settings})


def test_the_same_command_has_the_same_identity_whatever_its_width():
    one = RunSpec("f", "s", n_trials=10, n_parallels=1)
    wide = RunSpec("f", "s", n_trials=10, n_parallels=8, timeout_s=5.0, resume=True, storage_patience_s=0)
    other = RunSpec("f", "s", n_trials=11)
    assert one.identity_hash() == wide.identity_hash() != other.identity_hash()


def test_the_written_settings_hold_no_password():
    spec = RunSpec("f", "s", n_trials=1, storage_url="mysql://me:s3cr3t@host/db")
    assert "s3cr3t" not in json.dumps(spec.as_json())
    assert "s3cr3t" not in spec.identity_hash()


@pytest.mark.parametrize(
    "text",
    [
        "mysql://me:s3cr3t@host/db",
        "mysql+pymysql://me:s3cr3t@host:3306/db?charset=utf8mb4",
        "postgresql://me:s3cr3t@host",
        "could not open mysql://me:s3cr3t@host/db: refused",
        "mysql://me:s3c@r3t/s3cr3t@host/db",
        "mysql://me@host/db?password=s3cr3t&x=1",
        "'mysql://me:s3cr3t@[::1]:3306/db'",
        "mysql://me:s3c s3cr3t@host/db",
        "MYSQL://me:s3cr3t@host/db",
        "mysql://m@e:s3cr3t@host/db",
        "mysql://me/x:s3cr3t@host/db",
        "mysql://me:s3cr3t@T:s3cr3t/#%?x@host/db",
    ],
)
def test_a_masked_text_holds_no_password(text):
    assert "s3cr3t" not in masked(text)
    assert "***" in masked(text)
    assert "host" in masked(text) or "::1" in masked(text)


def test_what_a_server_says_does_not_show_a_password_by_what_is_missing():
    said = "Access denied for user 'me'@'host' (using password: YES), not with s3cr3t"
    assert scrubbed(said, "mysql://me:pass@host/db") == said
    assert scrubbed(said, "mysql://me:s3cr3t@host/db") == said.replace("s3cr3t", "***")


def test_files_of_a_url_are_absolute_and_must_be_there(tmp_path, monkeypatch):
    (tmp_path / "my ca.pem").touch()
    monkeypatch.chdir(tmp_path)
    url = "mysql://me@h/d?ssl_ca=my+ca.pem&ssl_mode=VERIFY_CA"
    assert checked(url) == f"mysql://me@h/d?ssl_ca={tmp_path}/my%20ca.pem&ssl_mode=VERIFY_CA"
    assert checked(checked(url)) == checked(url)
    with pytest.raises(StorageError, match=r"ssl_key of the storage: .* is not there"):
        checked(f"{url}&ssl_key=key.pem")


def test_a_text_without_password_is_left_alone():
    for text in (
        "mysql://me@host:3306/db",
        "mysql://host:3306",
        masked("mysql://me:x@host:3306/db"),
        "mysql://me@host/db",
        "sqlite:///a/b.db",
        "mail me: a@b.c",
    ):
        assert masked(text) == text


@pytest.mark.parametrize(
    "url",
    [
        "mysql:/me:s3cr3t@h/db",
        "me:s3cr3t@h/db",
        "mysql//me:s3cr3t@h/db",
        "me:s3cr3t",
        "sqlite://me:s3cr3t@x/db",
        "mysql://me:s3cr3t",
        "mysql://me:s3cr3t@h:port/db",
        "mysql://me:s3c@r3t:s3cr3t/#%?x@h/db",
        "mysql://me:{s3cr3t}@127.0.0.1:1/db",
        "mysql://me:%733cr3t@127.0.0.1:1/db?nonsense=1",
        "mysql+nothing+x://me:s3cr3t@h/db",
    ],
)
def test_a_url_that_cannot_be_used_is_one_line_without_its_password(url):
    with pytest.raises(StorageError) as refused:
        study_names(checked(url))
    assert "s3cr3t" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.__cause__ is None or "s3cr3t" not in repr(refused.value.__cause__)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused_for_workers(url):
    with pytest.raises(StorageError, match="in memory"):
        checked(url)


@pytest.mark.parametrize("name", ["a b.db", "a%41b.db", "a?b.db", "a#{b}.db", "é.db"])
def test_any_file_name_makes_an_sqlite_url(tmp_path, name):
    url = sqlite_url(tmp_path / name)
    assert sqlite_path(url) == tmp_path / name
    database = open_database(url)
    database.close()
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".db"] == [name]


@pytest.mark.parametrize("url", ["digits.db", "redis://host", "mysql:/host/db", ""])
def test_what_is_no_database_url_is_refused(url):
    with pytest.raises(StorageError):
        checked(url)


def test_a_relative_sqlite_file_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sqlite_path(checked("sqlite:///a b.db")) == tmp_path.resolve() / "a b.db"
    assert sqlite_path("sqlite://") is None


def test_a_study_is_named_after_its_file():
    assert default_study_name("/a/b/digits.py:objective") == "digits"
    assert default_study_name("/a/b/digits.py:other") == "digits-other"


@pytest.mark.parametrize("url", ["mysql://root@127.0.0.1:3306", "mysql://h/", "postgresql://u@h?x=a/b"])
def test_a_server_without_a_database_is_refused(url):
    with pytest.raises(StorageError, match="names no database"):
        checked(url)


@pytest.mark.parametrize("url", ["mysql:///d?unix_socket=/a/b", "mysql://u:p?/x@h/d", "mysql://h/d?user=a@b"])
def test_a_database_is_found_wherever_the_host_ends(url):
    assert checked(url) == url


def test_a_folder_for_a_server_is_no_url():
    with pytest.raises(StorageError, match="folder"):
        automatic_folder("auto:mysql://u:secret@h/d")
