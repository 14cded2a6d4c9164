"""``nano-hpo run --space FILE -- COMMAND …`` as its user has it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import optuna
import psutil
import pytest

from orchestrator.cli.main import main
from tests.orchestrator.waiting import wait_until

TRIALS = ("--draw", "none", "--quiet", "--json")
SPACE = "x = {low = 0.0, high = 1.0}\nkind = ['a b', 'c']\n"
TRAIN = """#!/bin/sh
echo "trial $NANO_HPO_TRIAL: $*"
echo "threads $OMP_NUM_THREADS" >&2
echo '{"step": 0, "value": 1}'
echo "$2"
"""
HELD = """#!/bin/sh
echo $$ > "at-$NANO_HPO_TRIAL"
echo "$1 $NANO_HPO_SEED $NANO_HPO_CHECKPOINT" >> "attempts-$NANO_HPO_TRIAL"
echo '{"step": 7, "value": 0.5, "checkpoint": 7}'
echo '{"step": 8, "value": 0.4}'
while [ "$NANO_HPO_TRIAL" -ge 2 ] && ! [ -e go ]; do sleep 0.02; done
echo "$1"
"""


@pytest.fixture
def place(cli):
    (cli.cwd / "space.toml").write_text(SPACE)
    for name, text in {"train.sh": TRAIN, "held.sh": HELD, "plain.sh": "echo 1"}.items():
        (cli.cwd / name).write_text(text)
        (cli.cwd / name).chmod(0o644 if name == "plain.sh" else 0o755)
    return cli


def study(place, name: str, run: str = "run-001") -> optuna.Study:
    url = f"sqlite:///{place.cwd}/nano-hpo-runs/{name}/{run}/study.db"
    return optuna.load_study(study_name=name, storage=url)


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def pid_in(path: Path) -> int:
    return int(wait_until(lambda: path.exists() and path.read_text().strip()))


def is_marked(place) -> bool:
    """Whether trial 2 has a checkpoint."""
    return "nano:checkpoint" in study(place, "held").trials[2].system_attrs


def test_a_command_is_searched_by_several_processes(place):
    words = ("--", "./train.sh", "--x", "{x}", "{{{kind}}}")
    done = place("run", "--space", "space.toml", "-n", 6, "-p", 2, "--oversubscribe", *TRIALS, *words)
    assert done.code == 0, done.err
    trials = study(place, "train").trials
    assert [trial.value for trial in trials] == [trial.params["x"] for trial in trials]
    assert all(trial.intermediate_values == {0: 1.0} for trial in trials)
    folder = place.cwd / "nano-hpo-runs" / "train" / "run-001"
    spec = json.loads((folder / "run.json").read_text())["spec"]
    assert spec["objective"].startswith("./train.sh --x {x} {{{kind}}} (space ")
    log = "".join(path.read_text() for path in folder.glob("logs/*.log"))
    kinds = {
        f"trial {trial.number}: --x {trial.params['x']!r} {{{trial.params['kind']}}}" for trial in trials
    }
    assert kinds <= set(log.splitlines())
    assert log.count("threads ") == 6
    assert "threads \n" not in log  # the binding's


def test_the_same_command_finishes_a_run_and_another_space_is_another_run(place):
    args = ("run", "-n", 3, "--space", "space.toml", *TRIALS, "--", "./held.sh", "{x}")
    process = place.start(*args)
    at_work = pid_in(place.cwd / "at-2")
    wait_until(lambda: is_marked(place))
    process.kill()
    process.communicate()
    wait_until(lambda: not is_running(at_work))
    assert [trial.state.name for trial in study(place, "held").trials] == ["COMPLETE"] * 2 + ["RUNNING"]
    (place.cwd / "go").touch()
    done = place(*args)
    assert done.code == 0, done.err
    trials = study(place, "held").trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    (first, second) = (line.split(" ") for line in (place.cwd / "attempts-2").read_text().splitlines())
    assert first[:2] == second[:2]  # its parameter and its seed
    assert (first[2], second[2]) == ("", "7")
    assert set(trials[2].intermediate_values) == {7, 8}
    (place.cwd / "space.toml").write_text(SPACE.replace("1.0", "2.0"))
    assert place(*args).code == 0
    assert len(study(place, "held", "run-002").trials) == 3


def test_a_trial_whose_worker_died_is_tried_again_from_its_checkpoint(place):
    words = ("--", "./held.sh", "{x}")
    process = place.start("run", "--space", "space.toml", "-n", 3, *TRIALS, *words)
    command = psutil.Process(pid_in(place.cwd / "at-2"))
    wait_until(lambda: is_marked(place))
    command.parent().send_signal(signal.SIGKILL)
    wait_until(lambda: len((place.cwd / "attempts-2").read_text().splitlines()) == 2)
    wait_until(lambda: not is_running(command.pid))
    (place.cwd / "go").touch()
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    (first, second) = (line.split(" ") for line in (place.cwd / "attempts-2").read_text().splitlines())
    assert (first[:2], first[2], second[2]) == (second[:2], "", "7")


def test_commands_that_all_fail_end_the_run_with_their_reason(place):
    (place.cwd / "train.sh").write_text("#!/bin/sh\necho 'no such layer' >&2; exit 3\n")
    done = place("run", "--space", "space.toml", "-n", 2, "--draw", "none", "--", "./train.sh")
    assert done.code == 1
    assert "the command ended with exit status 3: no such layer" in done.err


def test_a_command_may_hold_any_words(place):
    words = ("sh", "-c", 'echo "$@"; echo 0.5', "--", "--", "-n", "{{}}", "job.py:f")
    done = place("run", "-n", 1, "--space", "space.toml", "--study-name", "s", *TRIALS, "--", *words)
    assert done.code == 0, done.err
    (log,) = place.cwd.glob("nano-hpo-runs/s/run-001/logs/*.log")
    assert "-- -n {} job.py:f\n" in log.read_text()


RUN = ("run", "-n", 1)
SPACED = (*RUN, "--space", "space.toml")
BAD = [
    (RUN, "Name what to optimise: FILE.py:FUNCTION, STUDY.toml, or --space FILE"),
    (SPACED, "--space needs a command"),
    ((*SPACED, "--"), "--space needs a command"),
    ((*RUN, "--", "./train.sh"), "A command needs its search space: --space FILE"),
    ((*SPACED, "job.py:empty"), "There are job.py:empty and --space"),
    (("run", "job.py:empty", "-n", 1, "--space", "space.toml", "--", "./train.sh"), "There are job.py:empty"),
    (("run", "job.py:empty", "-n", 1, "--", "./train.sh"), "There are job.py:empty and a command"),
    ((*SPACED, "--", "./train.sh", "{y}"), "asks for {y}; there are x, kind, trial"),
    ((*SPACED, "--", "./train.sh", "{x"), "single '{'"),
    ((*SPACED, "--", "./tran.sh"), "There is no file ./tran.sh"),
    ((*SPACED, "--", "train.sh"), "write ./train.sh"),
    ((*SPACED, "--", "./plain.sh"), "chmod +x ./plain.sh"),
    ((*RUN, "--space", "none.toml", "--", "./train.sh"), "There is no file none.toml"),
    ((*RUN, "--space", "bad.toml", "--", "./train.sh"), "bad.toml: Parameter 'x': low is 3"),
    ((*SPACED, "--sampler", "randm", "--", "./train.sh"), "did you mean random"),
]


@pytest.mark.parametrize(("words", "said"), BAD, ids=lambda value: " ".join(map(str, value))[:60])
def test_bad_input_is_one_line_and_exit_code_2_and_writes_nothing(place, words, said, monkeypatch, capsys):
    monkeypatch.chdir(place.cwd)
    (place.cwd / "bad.toml").write_text("x = {low = 3, high = 1}")
    before = set(place.cwd.rglob("*"))
    assert main(list(map(str, words))) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert len(err.strip().splitlines()) == 1, err
    assert out == ""
    assert set(place.cwd.rglob("*")) == before


def test_the_help_shows_an_example(place):
    done = place("run", "--help")
    assert "nano-hpo run --space space.toml -n 100 -- ./train.sh --lr {lr} --units {units}" in done.out
    assert "lr = { low = 1e-4, high = 0.1, log = true }" in done.out
