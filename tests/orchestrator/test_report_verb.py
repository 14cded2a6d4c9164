"""``nano-hpo report`` and what a run leaves beside its tables, with the real command line."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

from tests.orchestrator.conftest import CommandLine

REFRESH = 'http-equiv="refresh"'


def until(process: subprocess.Popen[str], path: Path, word: str) -> str:
    """The text of the file once it has the word, which the running process is to write."""
    while process.poll() is None:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if word in text:
            return text
        time.sleep(0.05)
    raise AssertionError(f"it ended before: {process.communicate()}")


def url_of(cli: CommandLine) -> str:
    return f"sqlite:///{cli.cwd}/r/study.db"


def test_the_report_of_a_run_has_its_machine_its_time_and_links_to_its_logs(cli: CommandLine) -> None:
    done = cli("run", "job.py:dies_once", "-n", 5, "--run-dir", "r", "--draw", "html", "--json", "--quiet")
    assert done.code == 0, done.err
    (slot,) = done.json["slots"]
    assert slot["starting_s"] > 0
    assert slot["lost_s"] > 0
    assert sum(slot[f"{use}_s"] for use in ("busy", "starting", "waited", "lost")) <= slot["alive_s"]
    page = (cli.cwd / "r" / "report.html").read_text(encoding="utf-8")
    links = set(re.findall(r'href="(logs/[^"]+)"', page))
    assert links
    assert all((cli.cwd / "r" / link).is_file() for link in links)
    assert re.search(r'title="PU \d+: slot 0"', page)
    assert "Environment of the last launch" in page
    assert "killed by a signal: SIGKILL" in page
    assert REFRESH not in page
    text = (cli.cwd / "r" / "report.md").read_text(encoding="utf-8")
    assert "| killed by a signal: SIGKILL | 1 | 1 |" in text
    again = cli("report", "--storage", url_of(cli), "--watch", "--draw", "html")  # nobody is at work
    assert again.code == 0, again.err
    copy = (cli.cwd / "nano-hpo-report" / "job-dies_once" / "report.html").read_text(encoding="utf-8")
    assert REFRESH not in copy
    assert 'href="logs' not in copy  # the logs are not beside it


def test_watch_follows_a_run_and_ends_with_it(cli: CommandLine) -> None:
    run = cli.start("run", "job.py:held", "-n", 4, "--run-dir", "r", "--draw", "none", "--quiet")
    while not (cli.cwd / "began-0").exists() and run.poll() is None:
        time.sleep(0.05)
    watch = cli.start(
        "report", "--storage", url_of(cli), "--watch", 0.2, "--run-dir", "seen", "--draw", "html"
    )
    first = until(watch, cli.cwd / "seen" / "report.html", REFRESH)
    assert "running trials" in first
    assert not (cli.cwd / "seen" / "summary.json").exists()  # not all is there yet
    (cli.cwd / "go").touch()
    assert run.wait() == 0, run.communicate()
    out, err = watch.communicate()
    assert watch.returncode == 0, err
    assert "1 agent is at work" in err
    assert "4 complete" in out
    last = (cli.cwd / "seen" / "report.html").read_text(encoding="utf-8")
    assert REFRESH not in last
    assert (cli.cwd / "seen" / "summary.json").exists()


def test_ctrl_c_ends_the_watching_with_a_page_that_stands_still(cli: CommandLine) -> None:
    run = cli.start("run", "job.py:held", "-n", 2, "--run-dir", "r", "--draw", "none", "--quiet")
    while not (cli.cwd / "began-0").exists() and run.poll() is None:
        time.sleep(0.05)
    watch = cli.start("report", "--storage", url_of(cli), "--watch", "--run-dir", "seen")
    until(watch, cli.cwd / "seen" / "report.html", REFRESH)
    until(watch, cli.cwd / "seen" / "report.md", "##")
    watch.send_signal(signal.SIGINT)
    out, err = watch.communicate()
    assert watch.returncode == 0, err
    assert "1 running" in out
    assert REFRESH not in (cli.cwd / "seen" / "report.html").read_text(encoding="utf-8")
    (cli.cwd / "go").touch()
    assert run.wait() == 0, run.communicate()


def test_watching_without_a_report_is_refused_in_a_line(cli: CommandLine) -> None:
    done = cli("report", "--watch", "--draw", "none")
    assert done.code == 2
    assert "give one of them" in done.err
    assert done.err.count("\n") == 1


def test_a_pause_that_is_no_time_is_refused_in_a_line(cli: CommandLine) -> None:
    for text in ("0", "-1m", "nan", "inf", "2d"):
        done = cli("report", f"--watch={text}")
        assert done.code == 2
        assert done.err == (
            f"nano-hpo: argument --watch: '{text}' is no time; give seconds, up to 86400; "
            "see 'nano-hpo report --help'.\n"
        )
