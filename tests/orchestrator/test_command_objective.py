"""Commands as objectives: real processes, well-behaved and not, on trials of plain Optuna and of a search."""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
import signal
import sys
import time
from pathlib import Path

import cloudpickle
import optuna
import psutil
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from orchestrator import CommandObjective, SpecError, UserError, search
from orchestrator.command.errors import CommandFailed
from orchestrator.sampling.streams import stream_seed
from tests.orchestrator.waiting import wait_until

X = {"x": FloatDistribution(0, 1)}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def script(text: str, *words: str, space=X, **options) -> CommandObjective:
    """An executable file ./run with this shell script."""
    Path("run").write_text(f"#!/bin/bash\n{text}\n")
    Path("run").chmod(0o755)
    return CommandObjective(["./run", *words], space, **options)


def python(code: str, *words: str, space=X, **options) -> CommandObjective:
    Path("run.py").write_text(code)
    return CommandObjective([sys.executable, "run.py", *words], space, **options)


def study(n_directions: int = 1, pruner=None) -> optuna.Study:
    return optuna.create_study(
        directions=["minimize"] * n_directions, pruner=pruner or optuna.pruners.NopPruner()
    )


def value(objective: CommandObjective):
    return objective(study().ask())


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


VALUES = [
    ("echo training; echo 0.25", 0.25),
    ("echo 0.25; echo; echo '  '", 0.25),
    ("printf 0.25", 0.25),
    ("printf '{\"value\": 0.25}'", 0.25),
    ("mkfifo $NANO_HPO_RESULT; echo 0.25", 0.25),  # nobody would ever write to it
    ("printf '0.25\\r\\n'", 0.25),
    ("printf 'epoch 1\\repoch 2\\r0.25'", 0.25),
    ("printf '\\377\\376\\0\\n0.25\\n'", 0.25),
    ("echo 7 >&2; echo 0.25; echo 8 >&2", 0.25),
    ("echo '[0.25]'", 0.25),
    ("echo '{\"value\": 0.25}'; echo 'done in 3 s'", 0.25),
    ("echo '{\"value\": 0.25}'; echo 3", 0.25),
    ("echo '{\"value\": 1}'; echo '{\"value\": 0.25}'", 0.25),
    ("echo '{\"value\": null}'; echo 0.25", 0.25),
    ('echo \'{"step": 0, "value": 1}\'; echo 0.25', 0.25),
    ("echo 1; echo '{\"value\": 2}'; echo 0.25 > $NANO_HPO_RESULT", 0.25),
    ('echo \'{\n "value": 0.25,\n "step": 3}\' > $NANO_HPO_RESULT', 0.25),
    ("echo 1 > {trial_dir}/old; echo 0.25 > {result}", 0.25),
    ("exec >&- 2>&-; sleep 0.2; echo 0.25 > $NANO_HPO_RESULT", 0.25),
    ("cat; echo 0.25", 0.25),
    ("head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; echo; echo 0.25", 0.25),
    ("exec > >(sleep 0.2; cat); echo 0.25", 0.25),  # the script ends before its `tee` has spoken
]


@pytest.mark.parametrize(("text", "expected"), VALUES, ids=[text[:40] for text, _ in VALUES])
def test_the_value_is_where_the_command_left_it(text, expected):
    text = text.replace("{trial_dir}", "$2").replace("{result}", "$1")
    assert value(script(text, "{result}", "{trial_dir}")) == expected


@pytest.mark.parametrize("text", ["echo 0.5 2", "echo 0.5,2", "echo '{\"values\": [0.5, 2]}'"])
def test_several_directions_have_several_values(text):
    objective = script(f'echo \'{{"step": 0, "value": 9}}\'; {text}')
    assert objective(study(2).ask()) == (0.5, 2.0)
    summary = search(objective, n_trials=1, directions=["minimize", "maximize"], progress=False)
    assert summary.trials[0].values == [0.5, 2.0]


def test_it_works_where_the_kernel_tells_no_exits(monkeypatch):
    def missing(_pid):
        raise OSError(errno.ENOSYS, "Function not implemented")  # before Linux 5.3

    monkeypatch.setattr(os, "pidfd_open", missing)
    assert value(script("exec > >(sleep 0.2; cat); echo 0.25")) == 0.25
    assert value(script("exec >&- 2>&-; sleep 0.2; echo 0.25 > $NANO_HPO_RESULT")) == 0.25
    assert value(script("(sleep 600) & echo 0.25")) == 0.25


def test_the_command_reads_nothing_of_our_input():
    reads, writes = os.pipe()
    os.write(writes, b"7\n")
    before = os.dup(0)
    os.dup2(reads, 0)
    try:
        assert value(script("timeout 5 cat; echo; echo 0.25 > $NANO_HPO_RESULT")) == 0.25
        assert os.read(reads, 9) == b"7\n"
    finally:
        os.dup2(before, 0)
        for descriptor in (before, reads, writes):
            os.close(descriptor)


NO_VALUE = [
    ("true", "it printed nothing"),
    ("echo accuracy: 0.25", "its last line is 'accuracy: 0.25'"),
    ("echo 0.25; echo done", "its last line is 'done'"),
    ('echo 0.25; echo \'{"step": 1, "value": 0.3}\'', "its last line is"),
    ("printf '{\n\"value\": 0.25\n}'", "its last line is '}'"),
    ("echo 0.25; : > $NANO_HPO_RESULT", "result file is empty"),
    ("echo 0.25; echo best > $NANO_HPO_RESULT", "result file is 'best'"),
    ("echo 0.25; head -c 400000 /dev/zero > $NANO_HPO_RESULT", "result file is"),
    ("head -c 300000 /dev/zero | tr '\\0' 1", "its last line is '111"),
]


@pytest.mark.parametrize(("text", "said"), NO_VALUE)
def test_a_command_without_a_value_says_what_was_there_instead(text, said):
    with pytest.raises(CommandFailed) as caught:
        value(script(text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


ENDS = [
    ("echo 0.25; echo first >&2; echo 'bad layer' >&2; echo >&2; exit 3", "exit status 3: bad layer"),
    ("echo 0.25; exit 1", "ended with exit status 1"),
    ("echo 0.25; kill -SEGV $$", r"was killed by SIGSEGV \(segmentation fault\)"),
    ("printf 'Traceback\\n\\tKilled \\377' >&2; kill -9 $$", "was killed by SIGKILL: Killed \ufffd"),
]


@pytest.mark.parametrize(("text", "said"), ENDS)
def test_a_command_that_ends_badly_fails_with_its_last_words(text, said):
    with pytest.raises(CommandFailed, match=f"the command .*{said}$"):
        value(script(text))


def test_a_failure_is_the_trials_and_its_reason_is_kept():
    objective = script('echo "no $1" >&2; test $1 = 1 && exit 3; echo 0.5', "{trial}")
    summary = search(objective, n_trials=3, progress=False)
    assert [trial.state.name for trial in summary.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert "ended with exit status 3: no 1" in str(summary.trials[1].system_attrs)


def test_a_command_that_cannot_start_says_why():
    objective = script("echo 1")
    Path("run").write_text("echo 1")
    with pytest.raises(CommandFailed, match=r"Exec format error.*#!/bin/sh"):
        value(objective)
    Path("run").unlink()
    with pytest.raises(CommandFailed, match="cannot be started: No such file"):
        value(objective)
    with pytest.raises(CommandFailed, match="Argument list too long"):
        value(script("echo 1", "{x}", space={"x": CategoricalDistribution(["x" * 200_000])}))


NASTY = ["a b", "'", '"', "; touch pwned", "$(touch pwned)", "`touch pwned`", "a\nb", "-x", "--", "*", ""]
NASTY += ["grün ☃", "{x}", "{{", "\\", "~", "%s", "!!", "\t", "\x01"]

SHOWS_ITS_WORDS = """
import json, os, sys
with open("got", "a") as file:
    print(json.dumps([sys.argv[1:], os.environ["NANO_HPO_PARAM_x"]]), file=file)
print(1)
"""


def test_no_value_is_read_by_a_shell():
    space = {"x": CategoricalDistribution(NASTY)}
    objective = python(SHOWS_ITS_WORDS, "{x}", "--x={x}", "{{x}}", space=space)
    search(objective, n_trials=len(NASTY), sampler="bruteforce", progress=False)
    got = [json.loads(line) for line in Path("got").read_text().splitlines()]
    assert sorted(got) == sorted([[x, f"--x={x}", "{x}"], x] for x in NASTY)
    assert not Path("pwned").exists()


def test_floats_come_back_the_same():
    objective = python("import sys; print(sys.argv[1])", "{x}", space={"x": FloatDistribution(1e-9, 1e9)})
    summary = search(objective, n_trials=5, progress=False)
    assert [trial.value for trial in summary.trials] == [trial.params["x"] for trial in summary.trials]


ENVIRONMENT = """
import json, os
keys = ("TRIAL", "TRIAL_DIR", "RESULT", "SEED", "STUDY", "CHECKPOINT", "PARAM_x")
seen = {key: os.environ.get(f"NANO_HPO_{key}") for key in keys}
seen |= {"cwd": os.getcwd(), "leads": os.getpgid(0) == os.getpid(), "session": os.getsid(0)}
seen |= {"result_is_there": os.path.exists(seen["RESULT"]), "unbuffered": os.environ["PYTHONUNBUFFERED"]}
seen |= {"threads": os.environ.get("OMP_NUM_THREADS"), "stdin": os.readlink("/proc/self/fd/0")}
print(json.dumps({"value": 1, "user_attrs": {"seen": seen}, "checkpoint": 4}))
open(seen["RESULT"], "w").write("2")
"""


def test_the_command_finds_its_trial_in_its_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    trial = study().ask()
    objective = python(ENVIRONMENT)
    assert objective(trial) == 2.0
    first = trial.user_attrs["seen"]
    assert first["PARAM_x"] == repr(trial.params["x"])
    assert (first["TRIAL"], first["STUDY"]) == ("0", trial.study.study_name)
    assert Path(first["RESULT"]).parent == Path(first["TRIAL_DIR"])
    assert (first["cwd"], first["stdin"]) == (str(tmp_path), "/dev/null")
    assert (first["leads"], first["session"]) == (True, os.getsid(0))
    assert (first["threads"], first["unbuffered"]) == ("3", "1")
    assert (first["result_is_there"], first["CHECKPOINT"]) == (False, None)
    objective(trial)  # tried again
    second = trial.user_attrs["seen"]
    same = ("TRIAL", "TRIAL_DIR", "SEED", "PARAM_x")
    assert [second[key] for key in same] == [first[key] for key in same]
    assert (second["CHECKPOINT"], second["result_is_there"]) == ("4", False)
    assert second["RESULT"] != first["RESULT"]


def test_the_seed_is_the_one_that_libraries_are_given():
    objective = script('test $1 = "$NANO_HPO_SEED" && echo $1', "{seed}")
    summary = search(objective, n_trials=3, seed=11, progress=False)
    assert [trial.value for trial in summary.trials] == [stream_seed(11, number) for number in range(3)]


def test_a_parameter_may_have_the_name_of_a_fact():
    objective = script("echo $1", "{seed}", space={"seed": CategoricalDistribution([5])})
    assert value(objective) == 5.0


def test_reports_attributes_and_checkpoints_are_stored():
    text = """
    echo '{"step": 0, "value": 3, "user_attrs": {"lr": 0.1}}'
    echo '{"step": 1, "loss": 7}'
    echo '{"step": 1, "value": NaN, "checkpoint": 1}'
    printf '{"step": 2, "value": 1}'"""
    summary = search(script(f"{text}; echo; echo 1"), n_trials=1, progress=False)
    (trial,) = summary.trials
    assert {0: 3.0, 2: 1.0}.items() <= trial.intermediate_values.items()
    assert list(trial.intermediate_values) == [0, 1, 2]
    assert trial.user_attrs == {"lr": 0.1}
    assert trial.system_attrs["nano:checkpoint"] == 1


def test_what_is_not_understood_is_said_once_and_goes_on(caplog):
    text = 'for i in 1 2 3; do echo \'{"step": "one", "value": 3}\'; done; echo 0.5'
    with caplog.at_level(logging.WARNING, "nano_hpo"):
        assert value(script(text)) == 0.5
    (record,) = caplog.records
    assert "not understood" in record.getMessage()
    assert '{"step": "one", "value": 3}' in record.getMessage()


HOPELESS = """
trap 'sleep 0.1; touch ended; exit 0' TERM
echo '{"step": 0, "value": 1}'
while ! test -e go; do sleep 0.02; done
echo '{"step": 1, "value": 9}'
sleep 600 & echo $! > child
wait
echo 0.5"""


class Pruner(optuna.pruners.ThresholdPruner):
    """Lets the command go on once its first report is stored."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        if study.trials[0].intermediate_values == {0: 1.0}:
            Path("go").touch()
        return super().prune(study, trial)


def test_a_hopeless_trial_is_pruned_while_its_command_runs():
    one = study(pruner=Pruner(upper=5.0))
    one.optimize(script(HOPELESS), n_trials=1)
    (trial,) = one.trials
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {0: 1.0, 1: 9.0})
    assert Path("ended").exists()  # it was asked first, and had time
    assert not Path("child").exists() or has_ended(int(Path("child").read_text()))


def test_a_command_that_has_finished_is_not_pruned():
    """What it had buffered comes at its end, when there is nothing left to be saved."""
    one = study(pruner=optuna.pruners.ThresholdPruner(upper=5.0))
    text = '(sleep 0.3; echo \'{"step": 0, "value": 9}\'; echo 0.5) & exit 0'
    one.optimize(script(text), n_trials=1)
    assert (one.trials[0].state, one.trials[0].value) == (TrialState.COMPLETE, 0.5)
    assert one.trials[0].intermediate_values == {0: 9.0}


def test_what_a_command_leaves_behind_is_killed_and_holds_up_nothing():
    start_s = time.monotonic()
    assert value(script("trap '' TERM; (sleep 600) & echo $! > child; echo 0.5")) == 0.5
    assert time.monotonic() - start_s < 60
    wait_until(lambda: has_ended(int(Path("child").read_text())))


class Interrupt(BaseException):
    """What a signal handler raises."""


STUBBORN = "trap '' TERM; sleep 600 & echo $! > child; echo $$ > leader; wait; sleep 600"


@pytest.mark.parametrize("text", [STUBBORN, STUBBORN.replace("trap '' TERM; ", "")])
def test_whatever_interrupts_the_objective_ends_the_group(text):
    def interrupt(_number, _frame):
        if not (Path("leader").exists() and Path("leader").read_text().strip()):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            return
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(Interrupt):
            value(script(text, grace_s=0.2))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    for name in ("leader", "child"):
        pid = int(Path(name).read_text())
        wait_until(lambda pid=pid: has_ended(pid))


def test_a_second_interrupt_ends_the_group_at_once():
    def interrupt(_number, _frame):
        if Path("child").exists() and Path("child").read_text().strip():
            calls.append(1)
            signal.setitimer(signal.ITIMER_REAL, 0.1)  # once more, while the first waits
            raise Interrupt
        signal.setitimer(signal.ITIMER_REAL, 0.05)

    calls: list[int] = []
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(Interrupt):
            value(script(STUBBORN.replace("echo $$ > leader; ", ""), grace_s=3600))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(calls) == 2
    wait_until(lambda: has_ended(int(Path("child").read_text())))


def test_output_goes_on_to_the_log_as_it_is(capfd):
    value(script("echo out; printf 'bytes \\303\\274' >&2; printf 0.5"))
    out, err = capfd.readouterr()
    assert (out, err) == ("out\n0.5\n", "bytes ü\n")


def test_output_reaches_a_stream_without_a_descriptor(capsys):
    value(script("echo 0.5; echo oh >&2"))
    assert capsys.readouterr() == ("0.5\n", "oh\n")


@pytest.mark.parametrize("log", ["/dev/full", "closed", "none", "pipe"])
def test_a_log_that_takes_nothing_does_no_harm(log, monkeypatch):
    stream = {"none": lambda _: None, "pipe": broken_pipe}.get(log, Path("/dev/full").open)("w")
    if log == "closed":
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    assert value(script("head -c 300000 /dev/zero; echo; echo 0.5")) == 0.5
    if stream is not None:
        stream.close()


def broken_pipe(mode: str):
    reads, writes = os.pipe()
    os.close(reads)
    return os.fdopen(writes, mode)


def test_any_amount_of_output_needs_little_memory(monkeypatch):
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", nowhere)
        value(script("echo 0.5"))
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        text = "head -c 100000000 /dev/zero; yes | head -c 5000000; yes '{' | head -c 2000000; echo 0.5"
        assert value(script(text)) == 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 60_000


def test_it_travels_to_another_process_with_its_name():
    objective = script("echo 0.5", "--x", "{x}", "a b")
    assert objective.__qualname__ == f"./run --x {{x}} 'a b' (space {objective.space.digest()})"
    Path("run").rename("elsewhere")  # as on a node that does not see it: it is looked for when a trial runs
    again = cloudpickle.loads(cloudpickle.dumps(objective))
    assert (again.__qualname__, again.words, again.grace_s) == (
        objective.__qualname__,
        objective.words,
        objective.grace_s,
    )
    Path("elsewhere").rename("run")
    assert value(again) == 0.5


def test_mistakes_are_said_when_it_is_made(tmp_path):
    for words, space, said in [
        (["./none"], X, "There is no file"),
        (["true", "{y}"], X, "asks for {y}"),
        ("true {x}", X, "give its words"),
        (["true"], {}, "no parameters"),
        (["true"], tmp_path / "none.toml", "There is no file"),
        (["true"], {"a.b": X["x"], "a-b": X["x"]}, "rename one"),
    ]:
        with pytest.raises(UserError) as caught:
            CommandObjective(words, space)
        assert said in str(caught.value)
    with pytest.raises(SpecError, match="grace_s is -1"):
        CommandObjective(["true"], X, grace_s=-1)
    assert list(tmp_path.iterdir()) == []
