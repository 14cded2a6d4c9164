"""Connections that are asked to be encrypted are, or are refused; a server with TLS and one without."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestrator.errors import StorageError
from orchestrator.sql.opening import open_database
from orchestrator.storage_url import checked
from tests.conftest import MariaDB

DRIVERS = ("mysql", "mysql+pymysql")


class EncryptingMariaDB(MariaDB):
    """A server with a certificate for ``localhost``; it speaks TLS on its socket too."""

    def __init__(self) -> None:
        super().__init__()
        self.ca = self._make_ca("ca")
        self.other_ca = self._make_ca("other")
        self._make_certificate()

    def _make_ca(self, name: str) -> Path:
        openssl("req", "-x509", *NEW_KEY, "-subj", f"/CN={name}", *self._pair(name), "-days", "2")
        return self.folder / f"{name}.pem"

    def _make_certificate(self) -> None:
        request = self.folder / "server.csr"
        openssl(
            "req", *NEW_KEY, "-subj", "/CN=localhost", "-keyout", self.folder / "server.key", "-out", request
        )
        by = ("-CA", self.ca, "-CAkey", self.folder / "ca.key", "-set_serial", "7", "-days", "2")
        openssl("x509", "-req", "-in", request, *by, "-out", self.folder / "server.pem")
        (self.folder / "server.key").chmod(0o644)

    def _pair(self, name: str) -> tuple[str | Path, ...]:
        return ("-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.pem")

    def _options(self) -> list[str]:
        files = {"ca": "ca.pem", "cert": "server.pem", "key": "server.key"}
        return [*super()._options(), *(f"--ssl-{name}={self.folder / file}" for name, file in files.items())]


NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def encrypting(mariadb: MariaDB) -> Iterator[EncryptingMariaDB]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    server = EncryptingMariaDB()
    try:
        server.start()
        yield server
    finally:
        server.remove()


def cipher(url: str) -> str:
    database = open_database(checked(url))
    try:
        status = sa.text("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        return str(database.read(lambda c: c.execute(status).one()[1]))
    finally:
        database.close()


def with_driver(url: str, driver: str, **query: object) -> str:
    words = "".join(f"&{name}={value}" for name, value in query.items())
    return url.replace("mysql", driver, 1) + words


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("mode", [None, "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"])
def test_the_right_ca_gives_an_encrypted_connection(encrypting, driver, mode):
    words = {"ssl_ca": encrypting.ca} | ({"ssl_mode": mode} if mode else {})
    assert cipher(with_driver(encrypting.create_database(), driver, **words))


@pytest.mark.parametrize("driver", DRIVERS)
def test_required_without_a_ca_is_encrypted_and_disabled_is_not(encrypting, driver):
    url = encrypting.create_database()
    assert cipher(with_driver(url, driver, ssl_mode="required"))
    assert not cipher(with_driver(url, driver, ssl_mode="DISABLED"))


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("mode", [None, "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"])
def test_a_certificate_of_another_ca_is_refused_in_one_line(encrypting, driver, mode):
    words = {"ssl_ca": encrypting.other_ca} | ({"ssl_mode": mode} if mode else {})
    with pytest.raises(StorageError, match="certificate") as refused:
        cipher(with_driver(encrypting.create_database(), driver, **words))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    "words", [{"ssl_mode": "REQUIRED"}, {"ssl_ca": "CA"}, {"ssl_mode": "VERIFY_CA"}], ids=str
)
def test_a_server_without_tls_is_refused_when_tls_is_asked_for(mariadb, encrypting, driver, words):
    words = {name: encrypting.ca if value == "CA" else value for name, value in words.items()}
    with pytest.raises(StorageError, match=r"TLS|SSL"):
        cipher(with_driver(mariadb.create_database(), driver, **words))


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_option_file_asks_for_tls_too(mariadb, encrypting, driver, tmp_path):
    file = tmp_path / "my.cnf"
    file.write_text(f"[client]\nssl_mode=VERIFY_CA\nssl-ca='{encrypting.ca}'\n")
    assert cipher(with_driver(encrypting.create_database(), driver, read_default_file=file))
    with pytest.raises(StorageError, match=r"TLS|SSL"):
        cipher(with_driver(mariadb.create_database(), driver, read_default_file=file))


def test_an_unknown_mode_is_refused_with_those_there_are(mariadb):
    with pytest.raises(StorageError, match="ssl_mode is 'ON'; choose from DISABLED"):
        cipher(mariadb.create_database() + "&ssl_mode=ON")


def test_a_missing_certificate_is_one_line_and_exit_code_2(cli, mariadb):
    done = cli("run", "job.py:empty", "-n", 1, "--storage", mariadb.url("x") + "&ssl_ca=no.pem")
    assert done.code == 2
    assert f"ssl_ca of the storage: {cli.cwd / 'no.pem'} is not there" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_run_with_workers_uses_certificates_of_a_relative_path(cli, encrypting):
    url = encrypting.create_database()
    shutil.copy(encrypting.ca, cli.cwd / "ca.pem")
    words = ("-n", 2, "--storage", url + "&ssl_ca=ca.pem", "--study-name", "s", "--draw", "none", "--json")
    done = cli("run", "job.py:empty", *words)
    assert done.code == 0, done.err
    assert done.json["counts"] == {"COMPLETE": 2}


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow: not installed")
@pytest.mark.parametrize("preloaded", ["", "libm.so.6"], ids=["alone", "with a preloaded library"])
def test_tensorflow_does_not_lend_its_own_tls_to_the_driver(encrypting, preloaded):
    """Its library shows BoringSSL's functions to all that are loaded later: a process, TensorFlow first."""
    url = with_driver(encrypting.create_database(), "mysql", ssl_ca=encrypting.ca, ssl_mode="VERIFY_CA")
    script = f"""
import tensorflow
from tests.orchestrator.test_tls import cipher
print("cipher", cipher({url!r}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "LD_PRELOAD": preloaded},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"cipher \S+", done.stdout)
