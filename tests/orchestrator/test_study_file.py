"""A search in one file: ``nano-hpo run study.toml``, ``init study``, ``submit``; where settings come from."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
from pathlib import Path

import pytest

from orchestrator import search
from orchestrator.cli.effective import effective
from orchestrator.cli.main import main, parse
from orchestrator.cli.run import asked_for, named_values
from orchestrator.errors import SpecError
from orchestrator.jobs.settings import KEYS, STUDY_KEYS
from orchestrator.study_file.reading import ONE_LAUNCH, read_study_file
from orchestrator.study_file.rendering import EXAMPLES, Draft, rendered, shown_path
from orchestrator.study_file.setting import NUMBERS_TOO
from orchestrator.study_file.text import toml_text
from tests.orchestrator.waiting import wait_until

SETTINGS = {setting.name: setting for setting in parse(["run", "job.py"]).settings}
IN_FILE = [name for name in SETTINGS if name not in ONE_LAUNCH]
SECRET = "mysql://user:hunter2@no-such-host.invalid/db"
TRAIN = """#!/bin/sh
echo "$2"
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a space in its name, an objective, a command, and no settings of the user's."""
    folder = tmp_path / "my searches"
    folder.mkdir()
    (folder / "job.py").write_text("def objective(trial):\n    return trial.suggest_float('x', 0, 1)\n")
    (folder / "train.sh").write_text(TRAIN)
    (folder / "train.sh").chmod(0o755)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


def options_of(*words: str) -> argparse.Namespace:
    """What holds for a run with these words."""
    return effective(parse(["run", *words]))


def written(folder: Path, text: str, name: str = "study.toml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code = main([*words])
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err.count("\n") == 1, captured.err
    assert "hunter2" not in captured.err
    return captured.err


def run_json(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


HEAD = 'objective = "job.py"\nn_trials = 3\n'
BAD = [
    ("n_trails = 3", "'n_trails' is no setting; did you mean 'n_trials'?"),
    ("n-trails = 3", "did you mean 'n_trials'?"),
    ("sampler_args = {}", "did you mean 'sampler_arg'?"),
    ('directions = ["minimize"]', "did you mean 'direction'?"),
    ("colour = 'red'", "'nano-hpo init study' writes"),
    ("n-trials = 4", "'n_trials' is there twice"),
    ("resume = true", "'resume' is for one launch; write it on the command line: --resume"),
    ("json = true", "--json"),
    ("help = true", "'help' is no setting"),
    ("timeout = '6y'", "timeout is '6y'; it must be a number of seconds, or one with s, m, h or d"),
    ("timeout = true", "timeout is True; it must be a number of seconds, or one with s, m, h or d"),
    ("timeout = 01:00:00", "timeout is 01:00:00; it must be a number of seconds"),
    (f"timeout = 0x1{'0' * 300}", "more than 64 bits"),
    ("timeout = nan", "timeout is nan"),
    ("seed = 1.5", "seed is 1.5; it must be a whole number"),
    ("seed = true", "seed is True; it must be a whole number"),
    ("seed = 1e400", "seed is inf"),
    ("isolate = 1", "isolate is 1; it must be true or false"),
    ("isolate = 'yes'", "it must be true or false"),
    ("study_name = 5", "study_name is 5; it must be a text"),
    ("study_name = ''", "A study name has 1 to 512 characters"),
    ("storage = 5", "storage is 5; it must be a text"),
    ("storage = ''", "empty text"),
    ('storage = "a\\u0000b"', "without NUL"),
    ("run_dir = ['a']", "run_dir is ['a']; it must be a text, the path"),
    ("draw = 'htm'", "draw is 'htm'; it must be one of all, html, none"),
    ("smt = true", "smt is True; it must be a text"),
    ("direction = 'up'", "direction is 'up'; it must be one of minimize, maximize"),
    ("direction = ['minimize', 3]", "direction is 3"),
    ("direction = []", "direction is []; it must be one or more of minimize"),
    ("n_parallels = 'many'", "must be a number of processes, or auto"),
    ("n_parallels = true", "n_parallels is True"),
    ("walltime = 'soon'", "walltime"),
    ("walltime = 1979-05-27", "walltime is 1979-05-27; it must be a text"),
    ("sampler = 'tpee'", "There is no sampler"),
    ("sampler_arg = 5", "sampler_arg is 5"),
    ("sampler_arg = ['x']", "is not KEY=VALUE"),
    ("sampler_arg = { 'a=b' = 1 }", "a key is the name of an argument"),
    ("sampler_arg = { a = 04:00:00 }", "of texts, numbers"),
    ("sampler_arg = { n_startup_trails = 1 }", "TPESampler takes no argument 'n_startup_trails'"),
    ("space = { x = [1, 2] }", "a Python objective needs neither"),
    ("command = ['true']", "a Python objective needs neither"),
    ("slurm = 3", "[slurm] must be a table"),
    ("[slurm]\npartitoin = 'x'", "did you mean 'partition'?"),
    ("[slurm]\nnodes = 'four'", "a whole number"),
    ("[slurm]\ncpus-per-task = 1\ncpus_per_task = 1", "is there twice"),
    ("[slurm]\nseed = 3", "'seed' stands in [slurm]; write it above the first [table]"),
    (f"[slurm]\nnodes = '{SECRET}'", "chmod 600"),
    ("n_trials = 4\n", "Cannot overwrite a value (at line 3, "),
    ("seed = x\nreserve = 1", "Invalid value (at line 3, column 8)"),
    ("seed = ", "Invalid value (at line 3, the end)"),
    ("seed = 1\n[slurm", "at line 4"),
    ("seed", "(at line 3"),
    ("\x00", "is not TOML"),
    ("x = " + "[" * 5000, "is not TOML"),
    ("seed = " + "9" * 5000, "is not TOML"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=lambda value: value[:40])
def test_what_is_wrong_in_a_file_is_one_line_that_names_it(
    desk: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    written(desk, HEAD + text)
    before = sorted(desk.rglob("*"))
    line = refused(capsys, "run", "study.toml")
    assert said in line
    assert len(line) < 600
    assert [path for path in sorted(desk.rglob("*")) if "__pycache__" not in path.parts] == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n_trials = 3", "does not say what to run"),
        ("", "does not say what to run"),
        ("objective = 5", "objective is 5; it must be a text"),
        ("objective = ' '", "it must be a text"),
        ('objective = "a\\u0000"', "it must be a text"),
        ("objective = 'no.py'\nn_trials = 1", "There is no file no.py"),
        ("objective = 'job.py'", "A run needs an end"),
        ("command = []\n[space]\nx = [1]", "it must be a list of words"),
        ("command = ['a', 1]\n[space]\nx = [1]", "it must be a list of words"),
        ('command = "a \'b"\n[space]\nx = [1]', "no closing quotation"),
        ("n_trials = 1\ncommand = 'true'", "A command needs its search space"),
        ("n_trials = 1\n[space]\nx = [1]", "does not say what to run"),
        ("n_trials = 1\ncommand = 'true'\nspace = 5", "it must be a table of parameters, or the path"),
        ("n_trials = 1\ncommand = 'true'\nspace = 'none.toml'", "There is no file none.toml"),
        ("n_trials = 1\ncommand = 'true'\nspace = '~no-such-user/s.toml'", "There is no file ~no-such-user"),
        ("n_trials = 1\ncommand = 'true'\n[space]", "has no parameters"),
        ("command = 'true'\n[space]\nx = [1, 2]\nn_trials = 5", "'n_trials' stands in [space]"),
        ("n_trials = 1\ncommand = 'true'\n[space]\nx = { low = 3, high = 1 }", "[space]: Parameter 'x'"),
        ("n_trials = 1\ncommand = 'true {y}'\n[space]\nx = [1, 2]", "asks for {y}"),
    ],
    ids=lambda value: value[:40],
)
def test_a_file_must_say_what_to_run_and_how_long(
    desk: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    written(desk, text)
    assert said in refused(capsys, "run", "study.toml")


def test_the_line_of_an_error_names_the_file_as_it_was_typed(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "a b").mkdir()
    written(desk / "a b", "n_trails = 3")
    assert "nano-hpo: a b/study.toml: 'n_trails'" in refused(capsys, "run", "a b/study.toml")


def test_files_that_cannot_be_read_are_one_line(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "folder.toml").mkdir()
    (desk / "bytes.toml").write_bytes(b"n_trials = 1\n# \xff\n")
    assert "There is no file none.toml; 'nano-hpo init study" in refused(capsys, "run", "none.toml")
    assert "There is no file job.py/x.toml" in refused(capsys, "run", "job.py/x.toml")
    assert "Is a directory" in refused(capsys, "run", "folder.toml")
    assert "it is not UTF-8 (at line 2)" in refused(capsys, "run", "bytes.toml")
    assert "File name too long" in refused(capsys, "run", f"{'x' * 300}.toml")


def test_a_file_of_an_editor_with_byte_order_mark_and_other_line_ends_is_read(desk: Path) -> None:
    (desk / "study.toml").write_bytes(b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode())
    assert options_of("study.toml").n_trials == 3


FLAG_VALUES = {  # where the value on the command line is not the text of that in the file
    "sampler_arg": ("n_startup_trials=20",),
    "pruner_arg": ("n_warmup_steps=5",),
}


def example_of(name: str) -> object:
    setting = SETTINGS[name]
    if setting.kind is bool:
        return True
    return EXAMPLES[name] if setting.default in (None, "", []) else setting.default


@pytest.mark.parametrize("name", [name for name in IN_FILE if name != "space"])
def test_every_flag_of_run_has_a_key_that_means_the_same(desk: Path, name: str) -> None:
    value, flag = example_of(name), SETTINGS[name].flag
    written(desk, f"objective = 'job.py'\n{name} = {toml_text(value)}\n")
    words = [flag] if value is True else [flag, *FLAG_VALUES.get(name, (str(value),))]
    by_file, by_flag = options_of("study.toml"), options_of("job.py", *words)
    if name in FLAG_VALUES:  # JSON may be written in several ways
        (pair,) = getattr(by_file, name)
        assert [pair] == list(FLAG_VALUES[name])
    assert getattr(by_file, name) == getattr(by_flag, name)
    assert type(getattr(by_file, name)) is type(getattr(by_flag, name))
    mine = {key: one for key, one in vars(by_file).items() if key not in ("given", "sources", "slurm")}
    assert mine == {key: vars(by_flag)[key] for key in mine}


def test_the_flags_that_no_file_may_have_are_these_three() -> None:
    assert ONE_LAUNCH == ("resume", "json", "quiet")
    assert set(ONE_LAUNCH) < set(SETTINGS)
    assert set(NUMBERS_TOO) < set(SETTINGS)
    assert set(EXAMPLES) < set(SETTINGS)
    assert all(name.replace("_", "-") == setting.flag[2:] for name, setting in SETTINGS.items())


def test_every_flag_of_submit_has_a_key_in_the_table_slurm() -> None:
    options = vars(parse(["submit", "--", "run", "job.py"]))
    doing = {"dry_run", "no_check", "wait", "parsable", "json"}
    others = {"verb", "handler", "parse", "run_words", "version"}
    assert {key.replace("-", "_") for key in STUDY_KEYS} == set(options) - doing - others
    assert set(STUDY_KEYS) - set(KEYS) == {"profile", "database"}


def test_each_commented_line_of_a_written_file_is_a_setting(desk: Path) -> None:
    text = rendered(Draft("s.toml", {"objective": "job.py"}, {}, {}), SETTINGS.values())
    bare = re.sub(r"^#(?=\S+ = )", "", text, flags=re.MULTILINE)
    study = read_study_file(written(desk, bare), SETTINGS.values())
    assert set(study.options) == set(IN_FILE) - {"space"}
    assert study.slurm["nodes"] == 2
    assert read_study_file(written(desk, text), SETTINGS.values()).options == {}


def test_flags_win_over_the_file(desk: Path) -> None:
    text = "seed = 1\nisolate = true\nexplain = true\ndirection = ['minimize', 'maximize']\nn_parallels = 2\n"
    written(desk, HEAD + text)
    words = ("-n", "7", "--no-explain", "--direction", "maximize", "-p", "1", "--trials-per-worker", "5")
    options = options_of("study.toml", *words)
    assert (options.n_trials, options.seed, options.n_parallels) == (7, 1, "1")
    assert (options.explain, options.isolate, options.trials_per_worker) == (False, False, 5)
    assert options.direction == ["maximize"]
    assert options_of(*words, "study.toml").n_trials == 7
    assert options_of("study.toml", "--no-isolate").isolate is False


def test_a_flag_that_repeats_the_default_wins_as_well(desk: Path) -> None:
    written(desk, HEAD + "grace = 5\nsampler = 'random'\n")
    options = options_of("study.toml", "--grace", "30", "--sampler", "tpe")
    assert (options.grace, options.sampler) == (30.0, "tpe")


def test_arguments_of_a_sampler_are_taken_one_by_one_and_go_with_it(desk: Path) -> None:
    written(desk, HEAD + "sampler = 'tpe'\nsampler_arg = { n_startup_trials = 5, multivariate = true }\n")
    typed = ("--sampler-arg", "n_startup_trials=9")
    pairs = ["n_startup_trials=5", "multivariate=true"]
    assert options_of("study.toml").sampler_arg == pairs
    assert options_of("study.toml", *typed).sampler_arg == [*pairs, "n_startup_trials=9"]
    assert options_of("study.toml", "--sampler", "random").sampler_arg == []


def test_values_may_be_written_as_people_write_them(desk: Path) -> None:
    text = "walltime = 04:00:00\ntrial_memory = 512\nexclude = 3\ntimeout = 60\nn_parallels = 'auto'\n"
    written(desk, HEAD.replace("n_trials", "n-trials") + text + "sampler_arg = ['seed_=None', 'a=1']\n")
    options = options_of("study.toml")
    assert (options.walltime, options.trial_memory, options.exclude) == ("04:00:00", "512", "3")
    assert (options.timeout, type(options.timeout), options.n_trials) == (60.0, float, 3)
    assert options.sampler_arg == ["seed_=None", "a=1"]


def test_objective_and_space_are_looked_for_beside_the_file(desk: Path, tmp_path: Path) -> None:
    (desk / "a b").mkdir()
    (desk / "job.py").rename(desk / "a b" / "job.py")
    (desk / "a b" / "s.toml").write_text("x = [1, 2]")
    written(desk / "a b", HEAD)
    assert options_of("a b/study.toml").objective == "a b/job.py"
    assert options_of(str(desk / "a b/study.toml")).objective == str(desk / "a b/job.py")
    written(desk / "a b", "command = './train.sh {x}'\nspace = 's.toml'\nn_trials = 2\n")
    options = options_of("a b/study.toml")
    assert (options.command, options.space) == (("./train.sh", "{x}"), Path("a b/s.toml"))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_password_in_a_file_that_others_may_read_is_refused(
    desk: Path, capsys: pytest.CaptureFixture[str], mode: int
) -> None:
    file = written(desk, f"{HEAD}storage = '{SECRET}'\n", "my study.toml")
    file.chmod(mode)
    assert "chmod 600 'my study.toml'" in refused(capsys, "run", "my study.toml")
    assert "chmod 600" in refused(capsys, "submit", "--dry-run", "--", "run", "my study.toml")
    file.chmod(0o600)
    assert options_of("my study.toml").storage == SECRET


def test_a_message_about_a_value_never_shows_a_password(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("draw", "n_trials", "command", "space", "slurm", "sampler_arg", "timeout"):
        file = written(desk, f"objective = 'job.py'\n{key} = ['{SECRET}', 5]\n")
        file.chmod(0o600)
        refused(capsys, "run", "study.toml")


TRIALS = ("--draw", "none", "--quiet", "--json")


def test_a_search_in_a_file_is_the_same_run_as_by_flags(cli) -> None:
    (cli.cwd / "study.toml").write_text(
        'objective = "job.py:quadratic"\nn_trials = 6\nseed = 3\nsampler_arg = { n_startup_trials = 3 }\n'
        'study_name = "both"\ndraw = "none"\n'
    )
    done = cli("run", "study.toml", *TRIALS)
    assert done.code == 0, done.err
    words = ("-n", 6, "--seed", 3, "--sampler-arg", "n_startup_trials=3", "--study-name", "both")
    again = cli("run", "job.py:quadratic", *words, *TRIALS)
    assert again.code == 0, again.err
    first, second = (run_json(cli.cwd / f"nano-hpo-runs/both/run-00{n}") for n in (1, 2))
    assert first["spec_hash"] == second["spec_hash"]
    assert done.json["best_trials"][0]["params"] == again.json["best_trials"][0]["params"]  # reproduced


def test_a_run_of_a_file_that_was_cut_off_is_finished_by_the_same_command(cli) -> None:
    (cli.cwd / "study.toml").write_text('objective = "job.py:held"\nn_trials = 3\ndraw = "none"\n')
    cli.env["HELD"] = "1:go"
    process = cli.start("run", "study.toml", "--quiet")
    wait_until((cli.cwd / "began-1").exists, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (cli.cwd / "go").touch()
    done = cli("run", "study.toml", *TRIALS)
    assert done.code == 0, done.err
    assert [path.name for path in (cli.cwd / "nano-hpo-runs/job-held").iterdir()] == ["run-001"]
    assert done.json["counts"] == {"COMPLETE": 3}


def test_run_json_says_where_each_setting_came_from(cli) -> None:
    (cli.cwd / "study.toml").write_text(
        'objective = "job.py:empty"\nn_trials = 9\nsampler_arg = { multivariate = true }\nsmt = "on"\n'
        'study_name = "told"\nisolate = true\n'
    )
    cli.env["NANO_HPO_STORAGE"] = f"sqlite:///{cli.cwd}/s.db"
    cli.env["NANO_HPO_DATALOADER_WORKERS"] = "0"
    typed = ("-n", 2, "--sampler-arg", "n_startup_trials=1", "--reserve", 0)
    assert cli("run", "study.toml", *typed, *TRIALS).code == 0
    run = run_json(cli.cwd / "nano-hpo-runs/told/run-001")
    sources = run["sources"]
    assert sources.keys() == run["spec"].keys()
    assert run["study_file"] == str(cli.cwd / "study.toml")
    assert isinstance(run["seed"], int)
    assert run["spec"]["n_trials"] == 2
    assert sources["sampler_args"] == {"multivariate": "file", "n_startup_trials": "flag"}
    found = {name: source for name, source in sources.items() if not isinstance(source, dict)}
    assert {name for name, source in found.items() if source == "flag"} == {"n_trials"}
    assert {name for name, source in found.items() if source == "environment"} == {"storage_url"}
    of_file = {name for name, source in found.items() if source == "file"}
    assert of_file == {"objective", "study_name", "trials_per_worker"}
    choices = {name: source for name, source in sources["choices"].items() if source != "default"}
    assert choices == {"smt": "file", "reserve": "flag", "dataloader_workers": "environment"}


def test_run_json_without_a_file_names_none(cli) -> None:
    assert cli("run", "job.py:empty", "-n", 1, *TRIALS).code == 0
    run = run_json(cli.cwd / "nano-hpo-runs/job-empty/run-001")
    assert run["study_file"] is None
    assert (run["sources"]["objective"], run["sources"]["n_trials"]) == ("flag", "flag")
    assert {source for source in run["sources"].values() if isinstance(source, str)} == {"flag", "default"}


def test_run_json_of_a_search_from_python_knows_arguments_and_defaults(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = {"n_trials": 2, "sampler_args": {"n_startup_trials": 1}, "reserve": 0, "policy": "balanced"}
    search(lambda trial: 1.0, **arguments, run_dir=folder, draw="none", progress=False)
    sources = run_json(folder)["sources"]
    assert sources["sampler_args"] == {"n_startup_trials": "argument"}
    assert (sources["choices"]["policy"], sources["choices"]["reserve"]) == ("argument", "default")
    found = {name for name, source in sources.items() if source == "argument"}
    assert found == {"objective", "n_trials"}


def test_a_password_of_a_file_is_in_nothing_that_a_run_writes(cli, mariadb) -> None:
    mariadb.execute("CREATE USER IF NOT EXISTS 'filed'@'localhost' IDENTIFIED BY 'hunter2'")
    mariadb.execute("GRANT ALL ON *.* TO 'filed'@'localhost'")
    url = mariadb.create_database().replace("root@", "filed:hunter2@")
    text = f"objective = 'job.py:empty'\nn_trials = 2\nstorage = '{url}'\nstudy_name = 's'\n"
    file = written(cli.cwd, text)
    file.chmod(0o600)
    done = cli("run", "study.toml", *TRIALS)
    assert done.code == 0, done.err
    files = [path for path in cli.cwd.rglob("*") if path.is_file() and path != file]
    assert not any(b"hunter2" in path.read_bytes() for path in files)
    assert "hunter2" not in done.out + done.err
    assert "filed:***@" in run_json(cli.cwd / "nano-hpo-runs/s/run-001")["spec"]["storage_url"]


def test_a_command_and_its_space_may_stand_in_a_file(cli) -> None:
    (cli.cwd / "train.sh").write_text(TRAIN)
    (cli.cwd / "train.sh").chmod(0o755)
    (cli.cwd / "study.toml").write_text(
        'command = ["./train.sh", "--x", "{x}"]\nn_trials = 3\n\n[space]\nx = { low = 0.0, high = 1.0 }\n'
    )
    done = cli("run", "study.toml", *TRIALS)
    assert done.code == 0, done.err
    assert run_json(cli.cwd / "nano-hpo-runs/train/run-001")["sources"]["objective"] == "file"


def test_a_command_in_a_file_is_the_same_run_as_by_flags(desk: Path) -> None:
    written(desk, "x = { low = 0.0, high = 1.0 }\n", "space.toml")
    written(desk, "command = './train.sh --x {x}'\nn_trials = 3\n[space]\nx = { low = 0.0, high = 1.0 }\n")
    by_file, _ = asked_for(options_of("study.toml"))
    words = ("-n", "3", "--space", "space.toml", "--", "./train.sh", "--x", "{x}")
    by_flags, _ = asked_for(options_of(*words))
    assert by_file.identity_hash() == by_flags.identity_hash()


def test_a_command_on_the_line_replaces_that_of_the_file(desk: Path) -> None:
    written(desk, "command = './train.sh {x}'\nn_trials = 3\n[space]\nx = [1, 2]\n")
    options = options_of("study.toml", "--", "echo", "{x}")
    assert list(options.command) == ["echo", "{x}"]
    assert options.space.names == ("x",)
    assert options.sources.named["objective"] == "flag"


# ---- nano-hpo init study ----


@pytest.mark.parametrize(
    "words", [("job.py:quadratic", "-n", 3), ("-n", 3, "--", "./train.sh", "{trial}", "{x}")]
)
def test_a_written_file_runs_as_it_is(cli, words) -> None:
    (cli.cwd / "train.sh").write_text(TRAIN)
    (cli.cwd / "train.sh").chmod(0o755)
    done = cli("init", "study", *words)
    assert (done.code, done.out) == (0, "study.toml\n"), done.err
    done = cli("run", "study.toml", *TRIALS)
    assert done.code == 0, done.err
    assert done.json["counts"] == {"COMPLETE": 3}


@pytest.mark.parametrize(
    "words",
    [
        ("job.py:objective", "-n", "3", "-p", "1", "--walltime", "90", "study.toml"),
        ("study.toml", "--draw", "none", "-n", "3", "job.py:objective"),
        (
            "--seed",
            "5",
            "--sampler-arg",
            "n_startup_trials=2",
            "--sampler",
            "TPESampler",
            "-n",
            "3",
            "job.py",
        ),
        ("job.py", "--direction", "minimize", "--direction", "maximize", "-n", "2", "--no-isolate"),
        ("job.py", "-n", "3", "--pruner-arg", "n_warmup_steps=1", "--pruner-arg", "n_min_trials=2"),
        ("job.py", "-n", "3", "--sampler", "cmaes", "--sampler-arg", "sigma0=None"),
        ("job.py", "--timeout", "60", "--trial-memory", "512", "--exclude", "1", "--run-dir", "a b"),
        ("-n", "3", "--space", "space.toml", "--", "./train.sh", "--a b", "{x}"),
        ("job.py", "--study-name", 'a "b" \\ é\x7f', "-n", "1"),
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_a_written_file_means_what_was_typed(
    desk: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    (desk / "space.toml").write_text("x = [0.5, 0.25]\n")
    assert main(["init", "study", *words]) == 0
    by_file = options_of("study.toml")
    by_flags = options_of(*[word for word in words if word != "study.toml"])
    for name in ("sampler_arg", "pruner_arg"):
        pairs = [named_values(getattr(one, name), name) for one in (by_file, by_flags)]
        assert pairs[0] == pairs[1]
    others = ("given", "sources", "slurm", "sampler_arg", "pruner_arg", "command")
    mine = {key: value for key, value in vars(by_file).items() if key not in others}
    assert mine == {key: vars(by_flags)[key] for key in mine}
    assert list(by_file.command or []) == list(by_flags.command or [])


def test_a_written_file_has_what_was_asked_for_and_the_rest_as_comments(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-p", "4", "--oversubscribe", "--sampler-arg", "multivariate=true", "--timeout", "60"]
    assert main(["init", "study", "job.py:objective", *words]) == 0
    lines = (desk / "study.toml").read_text().splitlines()
    said = [line for line in lines if line and not line.startswith("#")]
    assert said == [
        'objective = "job.py:objective"',
        "timeout = 60.0",
        "sampler_arg = { multivariate = true }",
        "n_parallels = 4",
        "oversubscribe = true",
        "[slurm]",
    ]
    assert "#n_trials = 100" in lines
    assert all(len(line) <= 100 for line in lines)


def test_a_written_file_in_another_folder_finds_what_it_names(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "real").mkdir()
    (desk / "link").symlink_to("real", target_is_directory=True)
    for folder in ("real", "link"):
        assert main(["init", "study", "job.py:objective", f"{folder}/{folder}.toml"]) == 0
        found = options_of(f"{folder}/{folder}.toml").objective.rpartition(":")[0]
        assert Path(found).samefile("job.py")
    assert shown_path("~/job.py", Path("real")) == "~/job.py"
    assert shown_path("/x/job.py", Path("real")) == "/x/job.py"


def test_a_file_that_is_there_is_kept_without_force(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(desk, "mine")
    assert "--force" in refused(capsys, "init", "study", "job.py")
    assert file.read_text() == "mine"
    assert main(["init", "study", "job.py", "--force"]) == 0
    assert "objective" in file.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Name what to optimise"),
        (("study.toml",), "Name what to optimise"),
        (("job.py", "a.toml", "b.toml"), "'b.toml' is one too many"),
        (("job.py", "job.py"), "is one too many"),
        (("none.py",), "There is no file none.py"),
        (("job.py:other",), "other"),
        (("job.py", "--n-trials", "0"), "n_trials is 0"),
        (("job.py", "--resume"), "--resume is for one launch"),
        (("job.py", "--storage", SECRET), "holds a password"),
        (("--", "./train.sh", "--db", SECRET, "{x}"), "holds a password"),
        (("--", "./train.sh"), "has no {NAME}"),
        (("--", "./none.sh", "{x}"), "There is no file ./none.sh"),
        (("job.py", "--space", "s.toml"), "--space"),
        (("job.py", "job.py/study.toml"), "cannot be written"),
        (("job.py", b"a\xff.toml".decode(errors="surrogateescape"), "--study-name", "\udcff"), "not text"),
        (("job.py", "--scratch", "\udcff"), "not UTF-8"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_cannot_be_a_search_is_refused_and_no_file_is_written(
    desk: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    before = sorted(desk.rglob("*"))
    assert said in refused(capsys, "init", "study", *words)
    assert sorted(desk.rglob("*")) == before


def test_an_unknown_flag_of_init_study_is_named(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["init", "study", "job.py", "--n-trails", "5"])
    assert ended.value.code == 2
    assert "--n-trails" in capsys.readouterr().err


@pytest.mark.parametrize(
    "value", ["a\nb", 'q"\\', "\x7f\x01", "é…", 1e22, -0.5, float("inf"), [1, ["a"]], {"a b": {}}]
)
def test_what_is_written_as_toml_is_read_as_it_was(desk: Path, value: object) -> None:
    import tomllib

    assert tomllib.loads(f"x = {toml_text(value)}") == {"x": value}
    with pytest.raises(SpecError):
        toml_text(None)


# ---- nano-hpo submit ----


def dry(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code = main(["submit", "--dry-run", "--no-check", *words])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


SLURM = """
[slurm]
time = 02:00:00
account = "file"
cpus_per_task = 8
setup = "module load study"
"""


def test_submit_takes_what_a_study_file_says_and_flags_win(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = desk.parent / "config" / "nano-hpo" / "slurm.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[defaults]\naccount = "config"\npartition = "config"\nsetup = "module load config"\n')
    written(desk, HEAD + SLURM, "my study.toml")
    script = dry(capsys, "--setup", "module load flag", "--", "run", "my study.toml")
    for line in ("time=02:00:00", "account=file", "partition=config", "cpus-per-task=8"):
        assert f"#SBATCH --{line}" in script
    places = [script.index(f"module load {name}") for name in ("config", "study", "flag")]
    assert places == sorted(places)
    assert "set -- 'my study.toml'" in script
    assert "account=flag" in dry(capsys, "--account", "flag", "--", "run", "my study.toml")


def test_submit_takes_profile_and_database_of_a_study_file(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = desk.parent / "config" / "nano-hpo" / "slurm.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[profiles.short]\npartition = "express"\n[profiles.long]\npartition = "night"\n')
    written(desk, HEAD + "[slurm]\nnodes = 2\nprofile = 'short'\ndatabase = true\n")
    script = dry(capsys, "--", "run", "study.toml")
    assert "partition=express" in script
    assert "nano-hpo db start" in script
    assert "partition=night" in dry(capsys, "--profile", "long", "--", "run", "study.toml")
    written(desk, HEAD + "[slurm]\ndatabase = 'my data'\n")
    assert f"'{desk}/my data'" in dry(capsys, "--", "run", "study.toml")
    written(desk, HEAD + "[slurm]\ndatabase = false\n")
    assert "nano-hpo db start" not in dry(capsys, "--", "run", "study.toml")


def test_the_width_of_a_study_file_counts_in_its_job_unless_the_job_has_its_own(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(desk, HEAD + "n_parallels = 3\n")
    assert "set -- --n-parallels 3 study.toml" in dry(capsys, "--", "run", "study.toml")
    assert "set -- study.toml -p 5" in dry(capsys, "--", "run", "study.toml", "-p", "5")
    assert "set -- study.toml\n" in dry(capsys, "--cores-per-trial", "2", "--", "run", "study.toml")
    written(desk, HEAD)
    assert "set -- study.toml\n" in dry(capsys, "--", "run", "study.toml")


def test_the_objective_of_a_study_file_is_loaded_before_the_queue(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(desk, HEAD)
    (desk / "job.py").write_text("import no_such_module_at_all\ndef objective(trial): ...\n")
    assert "no_such_module_at_all" in refused(capsys, "submit", "--dry-run", "--", "run", "study.toml")


def test_a_password_in_the_setup_of_a_study_file_gets_into_no_script(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(desk, f"{HEAD}[slurm]\nsetup = 'export X={SECRET}'\n").chmod(0o600)
    assert "password" in refused(capsys, "submit", "--dry-run", "--no-check", "--", "run", "study.toml")


def test_a_job_script_reads_the_file_where_it_was_submitted(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import subprocess

    written(desk, HEAD + "draw = 'none'\nn_parallels = 1\n", "it's mine.toml")
    script = dry(capsys, "--", "run", "it's mine.toml", "-q")
    environ = {name: text for name, text in os.environ.items() if name != "SLURM_JOB_ID"}
    done = subprocess.run(
        ["bash", "-s"], input=script, capture_output=True, text=True, check=False, env=environ, cwd=desk
    )
    assert done.returncode == 0, done.stderr
    (run,) = desk.glob("nano-hpo-runs/job/run-*/run.json")
    assert json.loads(run.read_text())["study_file"] == str(desk / "it's mine.toml")


def test_the_study_file_of_the_examples_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    example = Path(__file__).parents[2] / "examples" / "digits.toml"
    spec, objective = asked_for(options_of(str(example)))
    assert (spec.n_trials, spec.study_name) == (40, "digits")
    assert objective == f"{example.parent / 'digits.py'}:objective"


def test_a_value_that_the_run_refuses_is_told_with_the_file_that_holds_it(here, desk: Path) -> None:
    def refused(text: str, *words: object) -> str:
        written(desk, text)
        done = here("run", "study.toml", *words)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        return done.err

    assert refused(HEAD.replace("job.py", "gone.py")).startswith(
        "nano-hpo: study.toml: There is no file gone.py"
    )
    assert refused(HEAD + "timeout = '-3m'").startswith("nano-hpo: study.toml: timeout is -180.0 s; it must")
    assert refused(HEAD, "--n-trials", 0).startswith("nano-hpo: n_trials is 0; it must")  # it was typed
