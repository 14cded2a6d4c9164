"""What the renderer writes: the files of `slurm/`, and scripts with a command in them, as bash reads them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from launchers import JobScript, JobScriptError
from launchers.job_rendering import render
from launchers.job_script import KINDS, file_name

SCRIPTS = Path(__file__).parents[2] / "slurm"
WORDS = ("my train.py:objective", "--study-name", "it's #1; really", "--n-trials", "4")


def lint(script: str, folder: Path) -> None:
    file = folder / "job.sbatch"
    file.write_text(script)
    subprocess.run(["bash", "-n", file], check=True)
    if shellcheck := shutil.which("shellcheck"):
        done = subprocess.run([shellcheck, file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_of_the_folder_are_what_the_renderer_gives(kind: str) -> None:
    assert (SCRIPTS / file_name(kind)).read_text() == render(JobScript(kind=kind))


def test_the_folder_holds_nothing_else() -> None:
    assert sorted(path.name for path in SCRIPTS.iterdir()) == sorted(map(file_name, KINDS))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", [(), WORDS])
def test_every_script_is_sound_bash(kind: str, command: tuple[str, ...], tmp_path: Path) -> None:
    lint(render(JobScript(kind=kind, command=command)), tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_command_changes_the_head_and_the_words_alone(kind: str) -> None:
    plain = render(JobScript(kind=kind)).split("\n\n")
    filled = render(JobScript(kind=kind, command=WORDS)).split("\n\n")
    different = [n for n, (one, other) in enumerate(zip(plain, filled, strict=True)) if one != other]
    assert len(different) == 2
    assert different[0] == 0
    assert plain[different[1]].startswith("if [ $# -eq 0 ]")


@pytest.mark.parametrize("kind", KINDS)
def test_strictness_begins_after_modules_and_environments(kind: str, tmp_path: Path) -> None:
    """Their scripts read variables that are not set, and return what they like."""
    job = JobScript(kind=kind, command=("t.py",), setup=('echo "$NOT_SET"', "false", "export PATH=/nowhere"))
    file = tmp_path / "job.sbatch"
    file.write_text(render(job))
    done = subprocess.run(["/bin/bash", file], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nano-hpo is not on PATH" in done.stderr
    assert render(job).index("set -euo pipefail") > render(job).index("export PATH=/nowhere")


def test_every_wish_has_its_line() -> None:
    job = JobScript(
        kind="search_multinode",
        command=("t.py",),
        nodes=4,
        ntasks_per_node=2,
        cpus_per_task=8,
        time="1-12",
        mem="64G",
        exclusive=True,
        hint="nomultithread",
        array="8%2",
        job_name="my search",
        account="a1",
        partition="big",
        qos="high",
        constraint="avx512&ib",
        dependency="afterok:12",
        signal="USR1@300",
        directives=("--gres=gpu:1",),
    )
    lines = [line.split("  #")[0].strip() for line in render(job).splitlines() if line.startswith("#SBATCH")]
    wanted = {
        *("--nodes=4", "--ntasks-per-node=2", "--cpus-per-task=8", "--time=1-12", "--mem=64G", "--exclusive"),
        *(
            "--hint=nomultithread",
            "--array=0-7%2",
            "--job-name='my search'",
            "--account=a1",
            "--partition=big",
        ),
        *("--qos=high", "--constraint=avx512&ib", "--dependency=afterok:12", "--gres=gpu:1", "--requeue"),
        *("--open-mode=append", "--output=nano-hpo-%A_%a.out", "--no-kill", "--signal=USR1@300"),
    }
    assert {line.removeprefix("#SBATCH ").split(" #")[0] for line in lines} == wanted


def test_whole_nodes_give_all_their_cores() -> None:
    assert "--cpus-per-task" not in render(JobScript(kind="search_multinode", exclusive=True))


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        ({"nodes": 0, "kind": "search_multinode"}, "--nodes"),
        ({"nodes": 2}, "srun"),
        ({"time": "2 hours"}, "--time"),
        ({"mem": "much"}, "--mem"),
        ({"array": "0-7"}, "--array"),
        ({"array": "0"}, "--array"),
        ({"signal": "TERM@60"}, "--signal"),
        ({"max_requeues": -1}, "--max-requeues"),
        ({"job_name": "a\n#SBATCH --uid=0"}, "--job-name"),
        ({"partition": ""}, "--partition"),
        ({"setup": ("a\nb",)}, "--setup"),
        ({"directives": ("gres=gpu:1",)}, "--directive"),
        ({"directives": ("--time=1",)}, "--time"),
        ({"directives": ("--output=x",)}, "set by the script"),
        ({"kind": "database", "array": "2"}, "--database"),
        ({"kind": "search_multinode", "ntasks_per_node": 2, "exclusive": True}, "--cpus-per-task"),
    ],
)
def test_what_slurm_would_refuse_is_refused_by_its_flag(wrong: dict[str, object], flag: str) -> None:
    with pytest.raises(JobScriptError, match=flag):
        JobScript(**wrong)  # type: ignore[arg-type]


@pytest.fixture
def fakes(tmp_path: Path) -> Path:
    """A folder for PATH with an ``scontrol`` that tells what it was given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    texts = {"scontrol": 'echo "scontrol $*"', "nano-hpo": 'exit "${CODE:-0}"', "sleep": "exit 143"}
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


def run_job(fakes: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    job = {"PATH": f"{fakes}:{os.environ['PATH']}", "SLURM_JOB_ID": "44", "SLURM_CPUS_PER_TASK": "4"}
    command = ["bash", SCRIPTS / "search.sbatch", "t.py"]
    return subprocess.run(
        command, env=clean | job | environ, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("code", ["0", "1", "2", "130", "137"])
def test_no_other_code_than_75_requeues(fakes: Path, code: str) -> None:
    done = run_job(fakes, CODE=code)
    assert (done.returncode, done.stdout) == (int(code), "")


def test_75_requeues_the_job_and_says_so(fakes: Path) -> None:
    done = run_job(fakes, CODE="75", SLURM_RESTART_COUNT="2")
    assert (done.returncode, done.stdout) == (75, "scontrol requeue 44\n")
    assert "requeue 3 of at most 10" in done.stderr


def test_a_task_of_an_array_requeues_itself_and_not_the_array(fakes: Path) -> None:
    done = run_job(fakes, CODE="75", SLURM_ARRAY_JOB_ID="44", SLURM_ARRAY_TASK_ID="3")
    assert done.stdout == "scontrol requeue 44_3\n"


def test_a_job_that_was_requeued_often_enough_says_so(fakes: Path) -> None:
    done = run_job(fakes, CODE="75", SLURM_RESTART_COUNT="3", MAX_REQUEUES="3")
    assert (done.returncode, done.stdout) == (75, "")
    assert "after 3 requeues" in done.stderr


def test_a_site_that_forbids_requeues_is_named(fakes: Path) -> None:
    (fakes / "scontrol").write_text("#!/bin/sh\nexit 1\n")
    done = run_job(fakes, CODE="75")
    assert done.returncode == 75
    assert "submit it again" in done.stderr
