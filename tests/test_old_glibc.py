"""RHEL 8 and its kin (glibc 2.28, Python 3.11): all that nano-hpo needs comes as wheels that run there.

``mysqlclient`` and ``mpi4py`` are none of the core: they may be built from source on the machine, against its
own MariaDB or MPI library; ``pymysql`` needs no compiler.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OLDEST_PYTHON = "3.11"
GLIBC = 28  # of RHEL 8: 2.28
_LEGACY = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}  # PEP 600


def platforms(glibc: int) -> list[str]:
    """What pip takes on a machine with glibc 2.``glibc``, the newest first."""
    names = []
    for minor in range(glibc, 4, -1):
        names += [f"manylinux_2_{minor}_x86_64", *([f"{_LEGACY[minor]}_x86_64"] if minor in _LEGACY else [])]
    return names


def resolve(requirements: list[str], folder: Path, glibc: int, python: str = OLDEST_PYTHON) -> dict[str, str]:
    """The wheels that pip would install there, by package; ``RuntimeError`` with pip's words if it cannot."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--only-binary=:all:", f"--report={report}", f"--target={folder / 'nowhere'}"]
    command += [f"--python-version={python}", "--implementation=cp"]
    command += [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
    command += [f"--platform={name}" for name in platforms(glibc)]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise RuntimeError("\n".join(errors) or done.stderr)
    wheels = json.loads(report.read_text())["install"]
    return {
        wheel["metadata"]["name"].lower().replace("_", "-"): wheel["download_info"]["url"].rpartition("/")[2]
        for wheel in wheels
    }


def core() -> list[str]:
    """What ``pip install nano-hpo`` asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["dependencies"])


@pytest.mark.long
@pytest.mark.parametrize("python", [OLDEST_PYTHON, "3.12"])
def test_the_core_runs_on_glibc_2_28(tmp_path: Path, python: str) -> None:
    found = resolve([*core(), "pymysql"], tmp_path, GLIBC, python)
    assert {"optuna", "pandas", "sqlalchemy", "psutil", "numpy", "pymysql"} <= found.keys()
    assert all(wheel.endswith(".whl") for wheel in found.values())


@pytest.mark.long
def test_a_package_that_needs_a_newer_glibc_would_be_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="psutil"):
        resolve(core(), tmp_path, glibc=5)
