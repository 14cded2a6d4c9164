"""Lengths of time as people write them."""

from __future__ import annotations

import math

import pytest

from orchestrator.timespan import parse_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("90s", 90.0),
        ("10m", 600.0),
        (" 1.5 h ", 5400.0),
        (".5h", 1800.0),
        ("2d", 172800.0),
        ("-1m", -60.0),  # whoever has asked says what may be negative
        ("inf", math.inf),
    ],
)
def test_a_number_alone_is_of_seconds_and_a_unit_may_follow_it(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "1y", "10 min", "1h30m", "1:30:00", "inf h", "infm", "0x10s", "ten"]
)
def test_what_is_no_length_of_time_is_refused_with_the_rule(text):
    with pytest.raises(ValueError, match="is not a number of seconds, or one with s, m, h or d, such as 10m"):
        parse_seconds(text)


def test_flags_take_them(here, cli, monkeypatch):
    monkeypatch.chdir(cli.cwd)
    done = here("run", "job.py:empty", "-n", 1, "--timeout", "1 hour")
    assert (done.code, done.out) == (2, "")
    assert "argument --timeout: '1 hour' is not a number of seconds, or one with s, m, h or d" in done.err
    (cli.cwd / "study.toml").write_text("objective = 'job.py:empty'\nn_trials = 1\ntimeout = '2h'\n")
    words = ("study.toml", "--trial-timeout", "5m", "--grace", "2s", "--draw", "none", "-q", "--json")
    assert cli("run", *words).code == 0
    (run,) = (cli.cwd / "nano-hpo-runs").rglob("run.json")
    assert '"timeout_s": 7200.0' in run.read_text()
    assert '"trial_timeout_s": 300.0' in run.read_text()
