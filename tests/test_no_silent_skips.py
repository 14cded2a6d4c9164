"""Continuous integration fails on a skip that nobody allowed, tried with a real pytest."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")


@pytest.mark.parametrize(
    ("reason", "ci", "status"),
    [
        ("MariaDB: not installed", "true", 1),
        ("MariaDB: not installed", "", 0),
        ("PostgreSQL: no server", "true", 0),
        ("IPEX: needs torch 2.8", "true", 0),
    ],
)
@pytest.mark.parametrize(
    "where", ["def test_x(): pytest.skip({!r})", "pytest.skip({!r}, allow_module_level=True)"]
)
def test_a_skip_fails_continuous_integration_unless_its_reason_is_listed(
    tmp_path: Path, reason: str, ci: str, status: int, where: str
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "test_passes.py").write_text("def test_passes(): pass\n")
    (tmp_path / "test_skips.py").write_text(f"import pytest\n{where.format(reason)}\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "--rootdir",
        ".",
        "-p",
        "no:cacheprovider",
        ".",
    ]
    environ = {**os.environ, "CI": ci}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout
    assert "1 passed, 1 skipped" in done.stdout.splitlines()[-1]
    assert ("SKIPPED WITHOUT LEAVE" in done.stdout) == bool(status)
