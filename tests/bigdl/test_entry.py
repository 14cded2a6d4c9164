"""The command `nano-hpo` as a real process, with and without something in its way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What the console script does, with every heavy module it must not load told at the end.
COMMAND = (
    "import sys; from bigdl.nano.entry import main; sys.argv = ['nano-hpo', *sys.argv[1:]]; sys.exit(main())"
)


def nano_hpo(*arguments: str, first_on_path: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = [str(folder) for folder in (first_on_path, ROOT) if folder]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    command = [sys.executable, "-P", "-c", COMMAND, *arguments]
    return subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, check=False)


def test_the_command_reaches_the_command_line() -> None:
    done = nano_hpo("--help")
    assert done.returncode == 0, done.stderr
    assert "nano-hpo" in done.stdout


@pytest.mark.parametrize("name", ["affinity", "launchers", "orchestrator"])
def test_a_file_in_the_way_is_named_in_one_line_and_the_status_is_2(tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name}.py"
    file.write_text("raise SystemExit('imported by mistake')")
    done = nano_hpo("--help", first_on_path=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"nano-hpo: {file} hides nano-hpo's package {name!r}. Rename it")


def test_importing_bigdl_nano_loads_none_of_our_other_rooms() -> None:
    code = "import bigdl.nano.entry, sys; print({'affinity', 'launchers', 'orchestrator'} & set(sys.modules))"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
