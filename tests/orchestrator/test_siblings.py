"""Who answers to the names of our packages, seen by real interpreters."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.siblings import OUR_NAMES, HiddenPackageError, names_hidden_in, require_ours

ROOT = Path(__file__).resolve().parents[2]
CHECK = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("siblings", {str(ROOT / "orchestrator" / "siblings.py")!r})
siblings = importlib.util.module_from_spec(spec)
spec.loader.exec_module(siblings)
try:
    siblings.require_ours(siblings.OUR_NAMES)
except ImportError as error:
    print(type(error).__name__, error)
else:
    print("all ours")
print(sorted({{"affinity", "launchers", "orchestrator"}} & set(sys.modules)))
"""


def check(*path: Path) -> list[str]:
    """What the check says with these folders in front of ours, and which of our packages it imported."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT)))}
    command = [sys.executable, "-c", CHECK]
    done = subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def write(file: Path, text: str = "") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_our_own_packages_pass_and_are_not_imported() -> None:
    assert check() == ["all ours", "[]"]


def test_the_check_passes_inside_this_process() -> None:
    require_ours(OUR_NAMES)


def test_a_users_file_that_hides_a_package_is_named_with_the_way_out(tmp_path: Path) -> None:
    file = write(tmp_path / "my project" / "affinity.py", "raise SystemExit('imported')")
    line, imported = check(file.parent)
    assert line.startswith(f"HiddenPackageError {file} hides nano-hpo's package 'affinity'. Rename it")
    assert imported == "[]"


@pytest.mark.parametrize("name", OUR_NAMES)
def test_a_users_package_that_hides_one_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / name / "__init__.py")
    assert check(tmp_path)[0].startswith(f"HiddenPackageError {tmp_path / name} hides")


def test_a_folder_without_init_does_not_hide_a_package_further_on(tmp_path: Path) -> None:
    write(tmp_path / "launchers" / "run.sh")
    assert check(tmp_path)[0] == "all ours"


def test_another_distribution_in_site_packages_is_to_be_uninstalled(tmp_path: Path) -> None:
    write(tmp_path / "site-packages" / "affinity" / "__init__.py")
    assert "Uninstall the package it belongs to" in check(tmp_path / "site-packages")[0]


def test_a_package_that_overwrote_ours_in_place_is_found(tmp_path: Path) -> None:
    """Two distributions with a folder `affinity`: pip lets the second overwrite the first's files."""
    site = tmp_path / "site-packages"
    write(site / "orchestrator" / "siblings.py", (ROOT / "orchestrator" / "siblings.py").read_text())
    write(site / "orchestrator" / "__init__.py", "search = start_worker = None")
    write(site / "launchers" / "__init__.py", "start_worker = None")
    theirs = write(site / "affinity" / "__init__.py", "def set_process_affinity_mask(): ...")
    code = "from orchestrator.siblings import *; require_ours(OUR_NAMES)"
    environ = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environ, capture_output=True, text=True, check=False
    )
    assert f"{theirs} is another package's" in done.stderr.splitlines()[-1]


def test_a_module_already_imported_under_our_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    impostor = type(sys)("affinity")
    impostor.__file__ = "/home/me/affinity.py"
    monkeypatch.setitem(sys.modules, "affinity", impostor)
    with pytest.raises(HiddenPackageError, match=r"/home/me/affinity\.py hides"):
        require_ours(("affinity",))


def test_everything_in_a_folder_that_would_hide_us_is_listed(tmp_path: Path) -> None:
    clashes = [write(tmp_path / "affinity.py"), write(tmp_path / "launchers" / "x.sh").parent]
    clashes.append(write(tmp_path / "orchestrator" / "__init__.py").parent)
    write(tmp_path / "train.py")
    assert names_hidden_in(tmp_path) == clashes


def test_our_own_folder_hides_nothing() -> None:
    assert names_hidden_in(ROOT) == []
    assert names_hidden_in(ROOT / "examples") == []
