"""Nothing is lost and nothing is there twice, whatever happens: three storms, and thirty in the long run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import optuna
import pytest

from orchestrator.causes import Cause
from orchestrator.records import AttemptRecord
from orchestrator.sql.opening import open_database
from orchestrator.summarise import summarise
from orchestrator.summary import Summary
from tests.chaos.storm import N_TRIALS, Done, Storm
from tests.conftest import MariaDB

SOUND = (Cause.RETURNED, Cause.PRUNED)
FAULT_CAUSES = {"hang": Cause.TIMED_OUT, "greed": Cause.OVER_MEMORY, "raise": Cause.RAISED}


@pytest.fixture(scope="module")
def server() -> Any:
    """A server of one's own, to be killed."""
    mine = MariaDB()
    mine.start()
    yield mine
    mine.remove()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=[pytest.mark.long] if n >= 1 else []) for n in range(30)]
)
def test_exactly_500_trials_are_finished_and_each_lost_attempt_has_its_cause(
    seed: int, tmp_path: Path, server: MariaDB
) -> None:
    folder = tmp_path / "a storm"
    folder.mkdir()
    storm = Storm(seed, folder, server)
    printed = storm.blow()
    assert storm.left_behind() == []
    database = open_database(storm.url)
    try:
        summary = summarise(database, "storm", storm.url)
        judge_trials(summary, storm)
        for attempt in summary.attempts:
            judge_attempt(attempt, storm, agents_of(storm))
        judge_victims(summary, storm.done)
    finally:
        database.close()
    assert json.loads(printed)["counts"] == summary.counts
    judge_report((folder / "run" / "report.html").read_text(), summary)


def judge_trials(summary: Summary, storm: Storm) -> None:
    """As many as were asked for, each once, finished and whole."""
    trials = optuna.load_study(study_name="storm", storage=storm.url).trials
    assert [trial.number for trial in trials] == list(range(N_TRIALS))
    finished = [
        attempt for attempt in summary.attempts if attempt.cause in SOUND or is_final(attempt, trials)
    ]
    assert len({attempt.trial_number for attempt in finished}) == N_TRIALS
    for trial in trials:
        if trial.state.name == "COMPLETE":
            assert trial.value == trial.params["x"] ** 2
            assert trial.intermediate_values == {0: trial.params["x"], 1: trial.value}
        else:
            assert trial.state.name == "FAIL"
            assert trial.number in storm.faults or deaths(summary, trial.number) >= 3


def is_final(attempt: AttemptRecord, trials: list[optuna.trial.FrozenTrial]) -> bool:
    return trials[attempt.trial_number].state.name == "FAIL"


def deaths(summary: Summary, number: int) -> int:
    mine = [attempt for attempt in summary.attempts if attempt.trial_number == number]
    return sum(attempt.cause == Cause.SIGNAL for attempt in mine)


def agents_of(storm: Storm) -> dict[str, int]:
    """The pid of each agent by the token of its attempts."""
    query = f"SELECT a.token, b.pid FROM {storm.database}.nano_attempts a "
    return dict(storm.server.execute(query + f"JOIN {storm.database}.nano_agents b USING (agent_id)"))


def judge_attempt(attempt: AttemptRecord, storm: Storm, agents: dict[str, int]) -> None:
    """Whatever is said to have happened to it did happen."""
    fault, done = storm.faults.get(attempt.trial_number), storm.done
    assert attempt.end is not None, attempt
    match attempt.cause:
        case Cause.RETURNED:
            assert attempt.objective_s is not None
        case Cause.SIGNAL:
            own = {"crash": "SIGSEGV", "litter": "SIGKILL"}.get(fault or "", "")
            expected = {own, done.killed.get(attempt.pid, "")} - {""}
            assert attempt.detail.split()[0] in expected, attempt
        case Cause.AGENT_LOST:
            assert agents[attempt.token] in done.agents, attempt
        case Cause.TIMED_OUT | Cause.OVER_MEMORY | Cause.RAISED:
            assert FAULT_CAUSES.get(fault or "") == attempt.cause, attempt
        case _:
            raise AssertionError(f"nothing of that kind happened: {attempt}")


def judge_victims(summary: Summary, done: Done) -> None:
    """What did happen is said: the last attempt of a killed worker was lost so, if it was at one."""
    for pid, name in done.killed.items():
        mine = [attempt for attempt in summary.attempts if attempt.pid == pid]
        lost = [attempt for attempt in mine if attempt.cause not in SOUND]
        if lost and lost[-1].cause == Cause.SIGNAL:
            assert lost[-1].detail.split()[0] in (name, "SIGKILL", "SIGSEGV")
        assert all(attempt is mine[-1] for attempt in lost if attempt.cause == Cause.SIGNAL)


def judge_report(page: str, summary: Summary) -> None:
    """It tells how often what happened: a row for each cause, or for each kind of it, with its number."""
    assert "Failures and lost attempts" in page
    rows = re.findall(r'class="cause">(.+?)</th><td>.*?</span> ([\d,]+)</td>', page)
    for cause in {str(attempt.cause) for attempt in summary.failures()}:
        n = sum(attempt.cause == cause for attempt in summary.failures())
        mine = [number for text, number in rows if re.match(rf"{cause}(?=[ :]|$)", text)]
        told = [int(number.replace(",", "")) for number in mine]
        assert sum(told) == n, (cause, rows)
