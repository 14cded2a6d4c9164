"""The job script that a person submits, run by bash with a `nano-hpo` that tells what it was given."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "slurm" / "search.sbatch"


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """The environment of job 42 on 16 cores."""
    fake = tmp_path / "bin" / "nano-hpo"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    fake.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    return clean | {
        "PATH": f"{fake.parent}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "42",
        "SLURM_CPUS_PER_TASK": "16",
    }


def submit(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(SCRIPT), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_the_job_divides_its_cores_and_hands_the_rest_on(job: dict[str, str]) -> None:
    done = submit(job, "my train.py:objective", "--n-trials", "400")
    expected = ["run", "--n-parallels", "4", "my train.py:objective", "--n-trials", "400"]
    assert done.stdout.splitlines() == expected
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_user_passes_comes_later_and_wins(job: dict[str, str]) -> None:
    lines = submit(job, "t.py:f", "-p", "2").stdout.splitlines()
    assert lines == ["run", "--n-parallels", "4", "t.py:f", "-p", "2"]


def test_a_narrow_job_still_runs_one_trial(job: dict[str, str]) -> None:
    lines = submit(job | {"SLURM_CPUS_PER_TASK": "2"}, "t.py:f").stdout.splitlines()
    assert lines[lines.index("--n-parallels") + 1] == "1"


def test_without_slurm_the_script_says_so_and_runs_here(job: dict[str, str], tmp_path: Path) -> None:
    alone = {name: value for name, value in job.items() if not name.startswith("SLURM")}
    done = submit(alone, "t.py:f")
    assert done.returncode == 0
    assert "not a Slurm job" in done.stderr
    assert done.stdout.startswith("run\n")


def test_without_arguments_it_says_how_to_use_it(job: dict[str, str]) -> None:
    done = submit(job)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: sbatch")


def test_bash_and_shellcheck_find_nothing_wrong() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    if shellcheck := shutil.which("shellcheck"):
        subprocess.run([shellcheck, SCRIPT], check=True)


def test_a_job_that_does_not_find_the_command_says_which_lines_to_edit(job: dict[str, str]) -> None:
    path = [folder for folder in os.environ["PATH"].split(":") if not (Path(folder) / "nano-hpo").exists()]
    done = submit(job | {"PATH": ":".join(path)}, "train.py", "--n-trials", "4")
    assert done.returncode == 2
    assert "marked EDIT" in done.stderr
