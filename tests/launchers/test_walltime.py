"""When an allocation ends: Slurm's forms of time, its variable, and a squeue that answers, fails or hangs."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest

from launchers import AllocationEnd, EndWatch, parse_time, read_allocation_end


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("1:30", 90),
        ("1:02:03", 3723),
        ("2-12", 216000),
        ("2-12:30", 217800),
        ("2-12:30:05", 217805),
        ("0:00", 0),
        ("90s", 90),
        ("1.5s", 1.5),
        ("UNLIMITED", math.inf),
        ("infinite", math.inf),
    ],
)
def test_a_time_is_read_as_slurm_reads_it(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1:2:3:4", "1-", "5m", "NOT_SET", "INVALID", "1.5", "٣", "nan"]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="is no time such as"):
        parse_time(text)


def test_the_end_is_read_once_by_both_clocks():
    end = read_allocation_end({"SLURM_JOB_END_TIME": "5000"}, unix_s=4000.0, monotonic_s=70.0)
    assert end == AllocationEnd(1070.0, "SLURM_JOB_END_TIME")


@pytest.mark.parametrize("text", ["", "soon", "3999", "0", "-5", "²"])
def test_an_end_that_is_past_or_no_time_is_none(text):
    assert read_allocation_end({"SLURM_JOB_END_TIME": text}, unix_s=4000.0) is None
    assert read_allocation_end({}) is None


def test_people_read_an_end_by_the_clock_on_the_wall():
    hour = read_allocation_end({"SLURM_JOB_END_TIME": str(int(time.time()) + 5)})
    assert str(hour).startswith("the allocation ends at ")
    assert str(hour).endswith(" (SLURM_JOB_END_TIME)")
    days = AllocationEnd(time.monotonic() + 3 * 86400, "squeue")
    assert time.strftime("%Y-", time.localtime(time.time() + 3 * 86400)) in str(days)


@pytest.fixture
def squeue(tmp_path: Path):
    """Makes a squeue on PATH of a script, and the environment of job 12."""

    def make(script: str) -> dict[str, str]:
        path = tmp_path / "squeue"
        path.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n{script}\n')
        path.chmod(0o755)
        return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "12"}

    return make


def answered(watch: EndWatch, path: Path) -> AllocationEnd | None:
    """What is known once squeue has been asked and has ended, or was given up."""
    deadline = time.monotonic() + 60
    while not path.exists() or watch._question is not None:
        assert time.monotonic() < deadline
        watch.look()
        time.sleep(0.01)
    return watch.look()


def test_squeue_tells_the_seconds_left(squeue, tmp_path):
    watch = EndWatch(squeue("echo 1:00:00"))
    assert watch.look() is None
    end = answered(watch, tmp_path / "asked")
    assert end is not None
    assert end.source == "squeue"
    assert end.left_s() == pytest.approx(3600, abs=60)
    assert (tmp_path / "asked").read_text() == "--noheader --format=%L --jobs=12\n"


def test_a_task_of_an_array_asks_for_itself_alone(squeue, tmp_path):
    environ = squeue("echo 1:00:00") | {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}
    answered(EndWatch(environ), tmp_path / "asked")
    assert (tmp_path / "asked").read_text().endswith("--jobs=12_3\n")


def test_squeue_knows_of_an_extension_and_of_no_limit(squeue, tmp_path):
    soon = {"SLURM_JOB_END_TIME": str(int(time.time()) + 600)}
    longer = answered(EndWatch(squeue("echo 2:00:00") | soon), tmp_path / "asked")
    assert longer is not None
    assert longer.left_s() > 6000
    (tmp_path / "asked").unlink()
    assert answered(EndWatch(squeue("echo UNLIMITED") | soon), tmp_path / "asked") is None


@pytest.mark.parametrize("script", ["exit 1", "echo INVALID", "echo NOT_SET", "true", "echo 9:00; exit 1"])
def test_a_squeue_that_says_nothing_of_use_changes_nothing(squeue, tmp_path, script):
    soon = {"SLURM_JOB_END_TIME": str(int(time.time()) + 600)}
    end = answered(EndWatch(squeue(script) | soon), tmp_path / "asked")
    assert end is not None
    assert end.source == "SLURM_JOB_END_TIME"


def test_a_squeue_that_hangs_is_given_up_and_never_waited_for(squeue, tmp_path):
    soon = {"SLURM_JOB_END_TIME": str(int(time.time()) + 600)}
    watch = EndWatch(squeue("sleep 600; echo 1:00") | soon, answer_s=0.5)  # a script around the real one
    end = answered(watch, tmp_path / "asked")
    assert end is not None
    assert end.source == "SLURM_JOB_END_TIME"
    assert watch.is_watching


def test_a_question_ends_with_its_watch(squeue, tmp_path):
    watch = EndWatch(squeue(f"echo $$ >{tmp_path}/pid; exec sleep 600"))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        watch.look()
        time.sleep(0.01)
    watch.close()
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    assert not watch.is_watching


def test_without_squeue_or_a_job_nobody_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    watch = EndWatch({"SLURM_JOB_ID": "12", "PATH": str(tmp_path)})
    assert watch.is_watching
    assert watch.look() is None
    assert not watch.is_watching
    assert not EndWatch({}).is_watching
