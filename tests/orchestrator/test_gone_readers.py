"""Output that nobody reads any more: a command ends quietly, and a run ends in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.orchestrator.waiting import wait_until

UNREAD = 141  # as a shell says of a program that SIGPIPE ended
STUDY = ("--storage", "sqlite:///s.db", "--study-name", "s")


@pytest.fixture
def broken_pipe() -> Iterator[int]:
    """What a program writes to after `| head` has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def said_to(stdout: int, cli, argv: list[str]) -> tuple[int, str]:
    env = {name: value for name, value in cli.env.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        argv, cwd=cli.cwd, env=env, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=240
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["topology", "--json"], ["completion", "fish"]])
def test_a_command_whose_reader_has_gone_ends_quietly(cli, broken_pipe, words):
    code, said = said_to(broken_pipe, cli, cli.argv(*words))
    assert (code, said) == (UNREAD, "")


def test_verbs_of_a_study_whose_reader_has_gone_end_quietly(cli, broken_pipe):
    assert cli("run", "job.py:every_third_fails", "-n", 4, *STUDY, "--draw", "none").code == 0
    for verb in (["trials"], ["trials", "--failed"], ["best"], ["status", "--json"], ["export", "-o", "-"]):
        assert said_to(broken_pipe, cli, cli.argv(*verb, *STUDY)) == (UNREAD, ""), verb


@pytest.mark.parametrize("words", [["show"], ["show", "--json"]])
def test_the_picture_of_a_machine_whose_reader_has_gone_ends_quietly(cli, broken_pipe, words):
    code, said = said_to(broken_pipe, cli, [sys.executable, "-m", "affinity", *words])
    assert (code, said) == (UNREAD, "")


def test_a_run_goes_on_when_nobody_reads_its_progress(cli, broken_pipe):
    words = cli.argv("run", "job.py:every_third_fails", "-n", 4, *STUDY, "--draw", "none", "--json")
    done = subprocess.run(
        words, cwd=cli.cwd, env=cli.env, stdout=subprocess.PIPE, stderr=broken_pipe, check=False, timeout=240
    )
    assert done.returncode == 0
    assert b'"COMPLETE": 2' in done.stdout


def test_an_error_that_nobody_reads_keeps_its_exit_code(cli, broken_pipe):
    words = cli.argv("run", "missing.py", "-n", 1)
    assert subprocess.run(words, cwd=cli.cwd, stderr=broken_pipe, check=False, timeout=240).returncode == 2


def test_ctrl_c_that_ends_tee_as_well_leaves_a_run_in_order(cli):
    """`nano-hpo run … 2>&1 | tee log`: the terminal interrupts both."""
    process = cli.start("run", "job.py:slow", "-n", 9, "--run-dir", "r", "--draw", "none", "--grace", 0)
    wait_until((cli.cwd / "began-0").exists)
    process.stdout.close()
    process.stderr.close()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=240)
    assert (cli.cwd / "r" / "summary.json").exists()
    status = cli("status", "--storage", "sqlite:///r/study.db")
    assert "cut off" not in status.out
