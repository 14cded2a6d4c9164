"""The verbs about jobs before Slurm is asked: settings, checks, scripts, records; with commands that tell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from launchers import JobState, SlurmError, read_job_states
from launchers.job_rendering import render
from launchers.job_script import KINDS, JobScript, file_name
from orchestrator.cli import main
from orchestrator.cli.jobs import _JSON_HELP
from orchestrator.errors import SpecError
from orchestrator.jobs.record import summed_up, worst_code
from orchestrator.jobs.settings import merged

SERVER = "mysql://user@no-such-host.invalid/db"
SECRET = "mysql://user:hunter2@no-such-host.invalid/db"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an objective and a space in its name, and no settings of the user's."""
    folder = tmp_path / "my searches"
    folder.mkdir()
    (folder / "train.py").write_text("def objective(trial):\n    return trial.suggest_float('x', 0, 1)\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


def run(*words: str) -> list[str]:
    return ["--", "run", "train.py:objective", "--n-trials", "4", *words]


def dry(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code = main(["submit", "--dry-run", *words])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code = main(["submit", "--dry-run", *words])
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err.count("\n") == 1
    assert "hunter2" not in captured.err
    return captured.err


def settings(desk: Path, text: str) -> Path:
    file = desk.parent / "config" / "nano-hpo" / "slurm.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ([], "search"),
        (["--nodes", "3"], "search_multinode"),
        (["--ntasks-per-node", "2"], "search_multinode"),
        (["--nodes", "3", "--mpirun"], "search_mpirun"),
        (["--array", "4"], "search_array"),
        (["--nodes", "3", "--database"], "database"),
    ],
)
def test_a_dry_run_is_what_the_renderer_gives(
    desk: Path, capsys: pytest.CaptureFixture[str], flags: list[str], kind: str
) -> None:
    storage = (
        [] if kind in ("search", "database") or flags[0] == "--ntasks-per-node" else ["--storage", SERVER]
    )
    script = dry(capsys, "--no-check", "--setup", "module load python", *flags, *run(*storage))
    body = render(JobScript(kind=kind, command=tuple(run(*storage)[2:])))  # type: ignore[arg-type]
    assert script.partition("set -euo pipefail")[2] == body.partition("set -euo pipefail")[2]
    assert "\nmodule load python\n" in script
    assert f'export PATH={Path(sys.executable).parent}:"$PATH"' in script
    assert not (desk / "nano-hpo-runs").exists()


def test_a_dry_run_as_json_has_the_keys_of_a_job_and_the_script(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--array", "4", *run("--storage", SERVER)]
    script = dry(capsys, "--no-check", *words)
    said = json.loads(dry(capsys, "--no-check", "--json", *words))
    assert said.pop("text") == script
    assert set(said) == set(re.findall(r'"(\w+)"', _JSON_HELP))
    assert [name for name in ("job_id", "state", "submitted", "output", "script") if said[name]] == []
    assert (said["study"], said["n_trials"], said["n_tasks"], said["storage"]) == ("train", 4, 4, SERVER)
    assert not (desk / "nano-hpo-runs").exists()


def test_the_script_runs_the_words_as_they_were_typed(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake = desk / "bin" / "nano-hpo"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    fake.chmod(0o755)
    words = ["--study-name", "it's; $HOME `x` «é»"]
    script = dry(capsys, "--no-check", "--setup", f"export PATH='{fake.parent}':$PATH", *run(*words))
    done = subprocess.run(
        ["bash", "-s"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SLURM_JOB_ID": "1"},
    )
    assert done.stdout.splitlines()[-5:] == ["train.py:objective", "--n-trials", "4", *words]


def test_flags_win_over_the_profile_and_that_over_the_defaults(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = '[defaults]\naccount = "a"\npartition = "d"\ntime = 30\nsetup = "module load x"\n'
    settings(desk, text + '[profiles.short]\npartition = "p"\ntime = "00:10:00"\n')
    script = dry(capsys, "--profile", "short", "--time", "5", "--setup", "module load y", *run())
    assert all(f"#SBATCH --{line}" in script for line in ("account=a", "partition=p", "time=5"))
    assert script.index("module load x") < script.index("module load y")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[defaults]\npartitoin = "x"', "did you mean 'partition'"),
        ("[defaults]\ncpus_per_task = 4", "did you mean 'cpus-per-task'"),
        ('[defualts]\npartition = "x"', "did you mean 'defaults'"),
        ('[defaults]\nnodes = "four"', "a whole number"),
        ("[defaults]\nexclusive = 1", "true or false"),
        ("[profiles.a]\nquos = 1", "profiles.a"),
        ("not toml", "cannot be read"),
    ],
)
def test_settings_that_are_none_are_refused_by_name(
    desk: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    settings(desk, text)
    assert said in refused(capsys, *run())


def test_an_unknown_profile_is_refused_with_those_that_there_are(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(desk, "[profiles.short]\n[profiles.long]\n")
    assert "long, short" in refused(capsys, "--profile", "shrot", *run())


def test_a_switch_of_the_profile_can_be_undone() -> None:
    file = Path("/nowhere/slurm.toml")
    assert merged({"exclusive": False, "setup": None}, None, file) == {"exclusive": False}
    with pytest.raises(SpecError, match="it has none"):
        merged({}, "short", file)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--storage", SECRET], "NANO_HPO_STORAGE"),
        (["--storage", "mysql://u@h/d?password=hunter2"], "NANO_HPO_STORAGE"),
        (["--n-trials", "0"], "n_trials"),
        (["--sampler", "tpe", "--direction", "minimize", "--timeout", "-1"], "timeout"),
    ],
)
def test_words_that_would_not_do_are_refused(
    desk: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert said in refused(capsys, "--no-check", *run(*words))


@pytest.mark.parametrize("flag", ["--setup", "--directive"])
def test_no_password_gets_into_a_script_by_another_way(
    desk: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    line = f"export NANO_HPO_STORAGE={SECRET}" if flag == "--setup" else f"--export=NANO_HPO_STORAGE={SECRET}"
    assert "password" in refused(capsys, "--no-check", f"{flag}={line}", *run())


def test_a_password_in_the_environment_stays_there(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fake_slurm: Path
) -> None:
    monkeypatch.setenv("NANO_HPO_STORAGE", SECRET)
    assert main(["submit", "--no-check", "--nodes", "2", *run()]) == 0
    files = [path for path in desk.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"train.py", "77.json", "77.sbatch"}
    assert all(b"hunter2" not in path.read_bytes() for path in files)
    assert json.loads((desk / "nano-hpo-runs/jobs/77.json").read_text())["has_secret"] is True
    assert "hunter2" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words", "said"),
    [
        (["--nodes", "2"], ["--storage", "sqlite:///s.db"], "several hosts"),
        (["--array", "2"], [], "array"),
        (["--array", "2"], ["--storage", "sqlite:///s.db"], "array"),
        (["--array", "2"], ["--storage", "auto:mysql"], "array"),
        (["--nodes", "2", "--database"], ["--storage", SERVER], "--database"),
        (["--nodes", "2", "--database", "--mpirun"], [], "--mpirun"),
    ],
)
def test_a_storage_that_the_hosts_cannot_share_is_refused(
    desk: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: list[str], said: str
) -> None:
    assert said in refused(capsys, *flags, *run(*words))


def test_several_agents_on_one_node_need_no_server(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "srun" in dry(capsys, "--ntasks-per-node", "2", *run())


def test_the_server_of_a_run_is_passed_on_as_typed(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "my-server").write_text("#!/bin/sh\n")
    (desk / "my-server").chmod(0o755)
    words = ("--storage", "auto:mysql", "--server", "./my-server")
    assert f"--n-trials 4 {' '.join(words)}\n" in dry(capsys, *run(*words))


def test_the_jobs_own_server_is_started_by_the_program_that_is_named(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "mariadbd").write_text("#!/bin/sh\n")
    (desk / "mariadbd").chmod(0o755)
    start = f"nano-hpo db start \"$database\" --tcp 0 --server '{desk / 'mariadbd'}' #"
    assert start in dry(capsys, "--database", "--server", "mariadbd", *run())
    settings(desk, f"[defaults]\nserver = {str(desk / 'mariadbd')!r}\n")
    assert start in dry(capsys, "--database", *run())
    assert "mariadbd" not in dry(capsys, *run())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--database", "--server", "nowhere"], []),
        ([], ["--storage", "auto:mysql", "--server", "nowhere"]),
    ],
    ids=["of the job", "of the run"],
)
def test_a_server_that_is_not_there_is_found_before_the_queue(
    desk: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: list[str]
) -> None:
    assert "--no-check" in refused(capsys, *flags, *run(*words))
    assert "nowhere" in dry(capsys, "--no-check", *flags, *run(*words))


@pytest.mark.parametrize(
    ("flags", "words", "said"),
    [
        (["--server", "/usr"], [], "--database"),
        (["--database"], ["--server", "/usr"], "--storage auto:mysql"),
    ],
)
def test_a_server_for_nobody_is_refused(
    desk: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: list[str], said: str
) -> None:
    assert said in refused(capsys, *flags, *run(*words))


def test_an_objective_that_does_not_load_is_found_before_the_queue(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "train.py").write_text("import no_such_module_at_all\ndef objective(trial): ...\n")
    assert "no_such_module_at_all" in refused(capsys, *run())
    assert dry(capsys, "--no-check", *run())


def test_an_objective_that_never_loads_is_found_too(desk: Path) -> None:
    from orchestrator.errors import ObjectiveError
    from orchestrator.jobs.checks import require_loadable

    (desk / "train.py").write_text("import time\ntime.sleep(600)\ndef objective(trial): ...\n")
    with pytest.raises(ObjectiveError, match="--no-check"):
        require_loadable("train.py", limit_s=0.5)


def test_a_database_that_cannot_be_reached_is_found_before_the_queue(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "mysql://user@127.0.0.1:9/db"
    assert "127.0.0.1" in refused(capsys, *run("--storage", url))


def test_a_study_that_does_not_fit_is_found_before_the_queue(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = "storage='sqlite:///s.db', study_name='train', direction='maximize'"
    create = f"import optuna; optuna.create_study({arguments})"
    subprocess.run([sys.executable, "-c", create], check=True, capture_output=True)
    words = run("--storage", "sqlite:///s.db")
    assert "--resume" in refused(capsys, *words)
    assert "maximize" in refused(capsys, *words, "--resume")


def test_the_words_are_asked_for(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "-- run" in refused(capsys)
    assert "-- run" in refused(capsys, "--", "report")


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands of Slurm that tell what they were given; the job is 77."""
    folder = tmp_path / "slurm-bin"
    folder.mkdir()
    texts = {
        "sbatch": 'cp "$2" "$(dirname "$0")/taken"; echo "77;cluster"',
        "squeue": "printf '%-64s%-24s%-24s%-16s%-80s\\n' 77 RUNNING 1:02 0 None",
        "scancel": 'echo "$*" > "$(dirname "$0")/cancelled"',
    }
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_submitting_keeps_script_and_record(
    desk: Path, capsys: pytest.CaptureFixture[str], fake_slurm: Path
) -> None:
    assert main(["submit", "--parsable", *run()]) == 0
    assert capsys.readouterr().out == "77\n"
    jobs = desk / "nano-hpo-runs" / "jobs"
    assert (jobs / "77.sbatch").read_text() == (fake_slurm / "taken").read_text()
    assert {path.name: path.stat().st_mode & 0o777 for path in jobs.iterdir()} == {
        "77.json": 0o600,
        "77.sbatch": 0o600,
    }
    assert main(["jobs", "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    expected: dict[str, Any] = {"job_id": "77", "state": "RUNNING", "elapsed": "1:02", "n_trials": 4}
    assert {key: shown[key] for key in expected} == expected
    assert main(["submit", "--json", *run()]) == 0
    assert json.loads(capsys.readouterr().out).keys() == shown.keys()
    assert main(["cancel", "--study", "train", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ["77"]
    assert (fake_slurm / "cancelled").read_text() == "77\n"


def test_a_job_that_slurm_refuses_leaves_nothing(
    desk: Path, capsys: pytest.CaptureFixture[str], fake_slurm: Path
) -> None:
    (fake_slurm / "sbatch").write_text(
        "#!/bin/sh\necho 'sbatch: error: invalid partition specified: x' >&2\nexit 1\n"
    )
    assert main(["submit", *run()]) == 2
    assert "invalid partition" in capsys.readouterr().err
    assert not list((desk / "nano-hpo-runs" / "jobs").iterdir())


def test_without_slurm_one_line_says_what_to_do(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["submit", "--no-check", *run()]) == 2
    assert "sbatch is not on PATH" in capsys.readouterr().err
    assert main(["jobs"]) == 0


def test_a_job_that_slurm_has_forgotten_is_not_said_to_run(
    desk: Path, capsys: pytest.CaptureFixture[str], fake_slurm: Path
) -> None:
    assert main(["submit", "--no-check", *run()]) == 0
    assert main(["jobs"]) == 0
    assert "RUNNING" in capsys.readouterr().out
    refusal = "slurm_load_jobs error: Invalid job id specified"
    (fake_slurm / "squeue").write_text(f"#!/bin/sh\necho '{refusal}' >&2\nexit 1\n")
    (fake_slurm / "sacct").write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n")
    (fake_slurm / "sacct").chmod(0o755)
    assert main(["jobs"]) == 0
    assert "FORGOTTEN" in capsys.readouterr().out
    (fake_slurm / "sacct").write_text("#!/bin/sh\necho '77|CANCELLED by 1000|1-02:00:00|0:15'\n")
    assert main(["jobs", "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert (shown["state"], shown["elapsed"], shown["exit_code"]) == ("CANCELLED", "1-02:00:00", 130)


def test_a_controller_that_does_not_answer_is_not_waited_for(
    fake_slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake_slurm / "squeue").write_text("#!/bin/sh\nexec sleep 600\n")
    monkeypatch.setattr("launchers.slurm.LIMIT_S", 0.2)
    with pytest.raises(SlurmError, match="scontrol ping"):
        read_job_states(["77"])


def test_cancel_asks_for_jobs_or_a_study(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["cancel"],
        ["cancel", "x; rm"],
        ["cancel", "12", "--study", "s"],
        ["cancel", "--study", "s"],
    ):
        assert main(words) == 2, words
    assert "no job waits or runs" in capsys.readouterr().err


def test_a_job_array_ends_with_its_worst() -> None:
    def states(*pairs: tuple[str, int | None]) -> list[JobState]:
        return [JobState(f"1_{n}", state, "0:01", code) for n, (state, code) in enumerate(pairs)]

    assert worst_code(states(("COMPLETED", 0), ("RUNNING", None))) is None
    assert worst_code(states(("COMPLETED", 0), ("COMPLETED", 0))) == 0
    assert worst_code(states(("COMPLETED", 0), ("FAILED", 2))) == 2
    assert worst_code(states(("CANCELLED", 0), ("FAILED", 1))) == 130
    assert worst_code(states(("TIMEOUT", 0))) == 75
    assert worst_code(states(("NODE_FAIL", 0))) == 1
    assert (
        summed_up(states(("COMPLETED", 0), ("RUNNING", None), ("COMPLETED", 0))) == "2 COMPLETED, 1 RUNNING"
    )


def test_init_writes_the_scripts_and_overwrites_none(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "slurm", "jobs here"]) == 0
    assert {path.name for path in (desk / "jobs here").iterdir()} == set(map(file_name, KINDS))
    edited = desk / "jobs here" / "search.sbatch"
    edited.write_text("mine")
    assert main(["init", "slurm", "jobs here"]) == 2
    assert edited.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert main(["init", "slurm", "jobs here", "--force"]) == 0
    assert edited.read_text() == render(JobScript())


def test_records_that_are_none_are_passed_over(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = desk / "nano-hpo-runs" / "jobs"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text("{}")
    (folder / "2.json").write_text("[")
    assert main(["jobs", "--all"]) == 0
    assert "no job was submitted" in capsys.readouterr().err
