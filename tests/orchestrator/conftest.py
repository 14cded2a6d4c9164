"""What the orchestrator's tests share: a begun run in a database, and the command line as its user has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.spec import RunSpec
from orchestrator.storage.study_storage import StudyStorage


@dataclass
class Ledger:
    """A run of ``n_trials`` tickets in a real database."""

    database: Any
    study_id: int
    run_id: str
    seats: list[Any] = field(default_factory=list)

    @property
    def attempts(self):
        from orchestrator.storage.attempts import AttemptTable

        return AttemptTable(self.database, self.study_id)

    @property
    def claims(self):
        from orchestrator.storage.claims import Claims

        return Claims(self.database, self.study_id)

    def seat(self, slot: int = 0):
        from orchestrator.storage.attempts import Seat

        return Seat(self.run_id, "agent", slot, "0", "some CPU", 1, os.getpid())

    def claim(self, slot: int = 0) -> tuple[str, int | None]:
        """Token and trial id; no id when there is no ticket left."""
        token = uuid.uuid4().hex
        claim = self.claims.claim(self.seat(slot), token)
        return token, claim.trial_id if claim is not None else None

    def finish(self, token: str, trial_id: int, result: Any) -> None:
        from orchestrator.storage.claims import Claim
        from orchestrator.storage.trial_writer import TrialWriter

        TrialWriter(self.database).finish(Claim(token, trial_id, 0), result)

    def trials(self):
        return StudyStorage(self.database).get_all_trials(self.study_id)


@pytest.fixture
def make_ledger(storage_url: str) -> Iterator[Callable[[int], Ledger]]:
    """Begins a run with so many tickets on the storage at hand."""
    from optuna.study import StudyDirection

    from orchestrator.host import this_process
    from orchestrator.sql.opening import open_database
    from orchestrator.storage.runs import RunTable

    opened = []

    def make(n_trials: int) -> Ledger:
        database = open_database(storage_url)
        opened.append(database)
        study_id = StudyStorage(database).create_new_study([StudyDirection.MINIMIZE], "ledger")
        runs = RunTable(database)
        runs.create("run", study_id, RunSpec("f", "ledger", n_trials=n_trials), seed=1)
        runs.register_agent("agent", "run", 0, this_process())
        return Ledger(database, study_id, "run")

    yield make
    for database in opened:
        database.close()


@dataclass
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


@pytest.fixture
def here(capsys) -> Callable[..., Finished]:
    """The command line in this process: it spares the start of an interpreter."""

    from orchestrator.cli import main

    def call(*words: object) -> Finished:
        try:
            code = main(list(map(str, words)))
        except SystemExit as error:
            code = error.code
        return Finished(code, *capsys.readouterr())

    return call


class CommandLine:
    """``nano-hpo`` in a directory of its own, as a user has it."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd
        self.env = {**os.environ, "COLUMNS": "200"}
        self._started: list[subprocess.Popen[str]] = []

    def argv(self, *words: object) -> list[str]:
        return [str(Path(sys.executable).with_name("nano-hpo")), *map(str, words)]

    def __call__(self, *words: object) -> Finished:
        done = subprocess.run(
            self.argv(*words), cwd=self.cwd, env=self.env, capture_output=True, text=True, timeout=240
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def start(self, *words: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.argv(*words),
            cwd=self.cwd,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Kill what a failed test has left running; the workers die with their agent."""
        for process in self._started:
            process.kill()
            process.communicate()


OBJECTIVES = """
import os, resource, signal, time
from pathlib import Path

import optuna

def empty(trial):
    return 1.0

def quadratic(trial):
    x = trial.suggest_float("x", -5, 5)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    for step in range(3):
        trial.report(x * x + step, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return x * x

def two(trial):
    x = trial.suggest_float("x", 0, 1)
    return x, 1 - x

def bad(trial):
    # Each takes half as long again: however late the agent hears of the first, few have begun by then.
    time.sleep(1.5 ** trial.number / 100)
    raise ValueError("no such layer")

def every_third_fails(trial):
    trial.suggest_int("k", 0, 9)
    if trial.number % 3 == 0:
        raise RuntimeError(f"trial {trial.number}")
    return 0.0

def slow(trial):
    x = trial.suggest_float("x", 0, 1)
    trial.report(x, 0)
    Path(f"began-{trial.number}").touch()
    time.sleep(float(os.environ.get("SLOW_S", "600")))
    return x

def held(trial):
    # HELD="3:go 20:end": from trial 3 on they wait for the file `go`, from trial 20 on for `end` as well.
    x = trial.suggest_float("x", 0, 1)
    trial.report(x, 0)
    Path(f"began-{trial.number}").touch()
    for number, _, file in (gate.partition(":") for gate in os.environ.get("HELD", "0:go").split()):
        while trial.number >= int(number) and not Path(file).exists():
            time.sleep(0.02)
    return x

def gated(trial):
    # Every 20th trial tells which process is at it, and waits until it is let through.
    if trial.number and trial.number % 20 == 0:
        Path(f"at-{trial.number}").write_text(f"{os.getpid()}\\n")
        while not Path(f"through-{trial.number}").exists():
            time.sleep(0.01)
    return 1.0

def dies_once(trial):
    x = trial.suggest_float("x", 0, 1)
    flag = Path(f"died-{trial.number}")
    if trial.number == 2 and not flag.exists():
        flag.write_text(repr(x))
        os.kill(os.getpid(), signal.SIGKILL)
    return x

def always_dies(trial):
    trial.suggest_float("x", 0, 1)
    if trial.number == 1:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), signal.SIGSEGV)
    return 0.0

def meets(trial):
    Path(f"here-{os.getpid()}").touch()
    deadline = time.monotonic() + 240
    while len(list(Path().glob("here-*"))) < int(os.environ["MEET"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return quadratic(trial)

def stops(trial):
    trial.study.stop()
    return 0.0

def nothing(trial):
    return None

number = 3
"""


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line in a folder with a space in its name, beside ``job.py`` with some objectives."""
    folder = tmp_path / "my work"
    folder.mkdir()
    (folder / "job.py").write_text(OBJECTIVES)
    command = CommandLine(folder)
    yield command
    command.end()


@pytest.fixture
def ask(cli, here, monkeypatch) -> Callable[..., Finished]:
    """The same command line in the same folder, in this process: for the many verbs that only read."""
    monkeypatch.chdir(cli.cwd)
    monkeypatch.setenv("COLUMNS", "200")
    return here
