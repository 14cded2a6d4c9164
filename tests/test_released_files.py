"""What is released holds what it needs and no more, and installs and runs where no network is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from email.message import Message
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest

from launchers.job_script import KINDS, file_name
from tests.built import ROOT, Built, build

ROOMS = ("affinity", "launchers", "orchestrator", "bigdl")
TYPED = ("affinity", "launchers", "orchestrator", "bigdl/nano")  # bigdl itself is a namespace

OBJECTIVE = """
def objective(trial):
    return (trial.suggest_float("x", -5, 5) - 1) ** 2
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def in_wheel(built: Built) -> set[str]:
    with zipfile.ZipFile(built.wheel) as wheel:
        return set(wheel.namelist())


@pytest.fixture(scope="module")
def in_sdist(built: Built) -> set[str]:
    """Files by their paths in the tree."""
    with tarfile.open(built.sdist) as sdist:
        return {str(PurePosixPath(*PurePosixPath(one.name).parts[1:])) for one in sdist if one.isfile()}


def modules() -> Iterator[str]:
    for room in ROOMS:
        yield from (path.relative_to(ROOT).as_posix() for path in (ROOT / room).rglob("*.py"))


def test_the_wheel_and_the_sdist_hold_every_module(in_wheel: set[str], in_sdist: set[str]) -> None:
    assert set(modules()) - in_wheel == set()
    assert set(modules()) - in_sdist == set()


def test_the_wheel_holds_the_rooms_and_nothing_else(in_wheel: set[str]) -> None:
    tops = {name.partition("/")[0] for name in in_wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(ROOMS)
    code = {name for name in in_wheel if name.endswith(".py")}
    assert code == set(modules())
    assert not [name for name in in_wheel if name.endswith((".pyc", "~", ".orig"))]


@pytest.mark.parametrize("package", TYPED)
def test_every_package_says_that_it_is_typed(in_wheel: set[str], in_sdist: set[str], package: str) -> None:
    assert f"{package}/py.typed" in in_wheel & in_sdist


def test_the_template_of_the_report_is_there(in_wheel: set[str], in_sdist: set[str]) -> None:
    files = (path for path in (ROOT / "orchestrator/templates").rglob("*") if path.is_file())
    templates = {path.relative_to(ROOT).as_posix() for path in files}
    assert templates
    assert templates <= in_wheel & in_sdist


def metadata(built: Built) -> Message:
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(wheel.read(name).decode())


def test_licence_readme_and_command_are_in_the_wheel(built: Built, in_wheel: set[str]) -> None:
    said = metadata(built)
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Requires-Python"] == ">=3.11"
    assert said.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    assert [name for name in in_wheel if name.endswith(".dist-info/licenses/LICENSE")]
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = (name for name in in_wheel if name.endswith("entry_points.txt"))
        assert "nano-hpo = bigdl.nano.entry:main" in wheel.read(name).decode().splitlines()


def test_the_sdist_holds_what_make_needs(in_sdist: set[str]) -> None:
    wanted = {"README.md", "LICENSE", "CHANGELOG.md", "Makefile", "pyproject.toml"}
    for folder in ("tests", "docs", "examples", "benchmarks", "slurm", ".ci"):
        files = (path for path in (ROOT / folder).rglob("*") if path.is_file())
        wanted |= {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc"}
    assert wanted - in_sdist == set()


def test_what_is_built_names_no_folder_of_this_machine(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        texts = {name: wheel.read(name) for name in wheel.namelist()}
    assert [name for name, text in texts.items() if str(ROOT).encode() in text] == []


def test_a_search_runs_from_what_the_wheel_holds(built: Built, tmp_path: Path) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        wheel.extractall(tmp_path / "unpacked")
    (tmp_path / "train.py").write_text(OBJECTIVE)
    words = ["run", "train.py:objective", "--n-trials", "3", "--draw", "html", "--json", "--quiet"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "unpacked")}
    summary = json.loads(call([sys.executable, "-P", "-m", "bigdl.nano.entry", *words], tmp_path, env))
    assert summary["counts"] == {"COMPLETE": 3}
    assert Path(summary["report"]).stat().st_size > 1_000_000  # with plotly in it
    where = "import orchestrator; print(orchestrator.__file__)"
    assert call([sys.executable, "-P", "-c", where], tmp_path, env).startswith(str(tmp_path / "unpacked"))


# Without root and without a network


def without_network() -> list[str]:
    """What a command is put behind so that it reaches nothing; nothing where the kernel does not let us."""
    alone = ["unshare", "--map-root-user", "--net"]
    is_possible = (
        shutil.which("unshare") and not subprocess.run([*alone, "true"], capture_output=True).returncode
    )
    return alone if is_possible else []


def clean(folder: Path) -> dict[str, str]:
    """An environment that knows nothing of this one, nor of a registry."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return {**kept, "PATH": "/usr/bin:/bin", "HOME": str(home), "PIP_CONFIG_FILE": os.devnull}


def call(command: Sequence[object], cwd: Path, env: dict[str, str] | None = None) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.long
def test_a_wheelhouse_gives_a_first_result_where_no_network_is(built: Built, tmp_path: Path) -> None:
    wheelhouse, site = tmp_path / "wheelhouse", tmp_path / "a site"
    site.mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    call([*pip, "download", "--only-binary=:all:", "--dest", wheelhouse, built.wheel], tmp_path)

    env, alone = clean(tmp_path), without_network()
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    call([*alone, base, "-m", "venv", "env"], site, env)
    there = site / "env" / "bin"
    offline = ["install", "--no-index", "--find-links", wheelhouse, "nano-hpo"]
    call([*alone, there / "python", "-m", "pip", "--disable-pip-version-check", *offline], site, env)
    call([*alone, there / "python", "-m", "pip", "check"], site, env)

    (site / "train.py").write_text(OBJECTIVE)
    words = ["run", "train.py:objective", "--n-trials", 6, "--draw", "html", "--json", "--quiet"]
    summary = json.loads(call([*alone, there / "nano-hpo", *words], site, env))
    assert summary["counts"] == {"COMPLETE": 6}
    assert Path(summary["report"]).stat().st_size > 1_000_000  # with plotly in it
    url = f"sqlite:///{site / 'nano-hpo-runs' / 'train' / 'run-001' / 'study.db'}"
    assert "6 trials" in subprocess.run(
        [there / "nano-hpo", "export", "--storage", url, "-o", "t.csv"],
        cwd=site, env=env, capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    call([*alone, there / "nano-hpo", "init", "slurm", "jobs"], site, env)
    assert {path.name for path in (site / "jobs").iterdir()} == {file_name(kind) for kind in KINDS}
