"""``nano-hpo completion``: what a shell completes is what the parser takes."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.cli.main import _parser
from orchestrator.completion import RENDERERS, command_of
from orchestrator.completion.words import short

WHOLE = command_of(_parser())
BASH = RENDERERS["bash"](WHOLE)


def completed(folder: Path, *words: str) -> list[str]:
    """What a real bash would offer for the last of these words, in a folder."""
    listed = " ".join(map(shlex.quote, words))
    ask = (
        f"COMP_WORDS=({listed}) COMP_CWORD={len(words) - 1}; _nano_hpo; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{BASH}\n{ask}"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").touch()
    (tmp_path / "run").mkdir()
    return tmp_path


def test_every_verb_and_option_of_the_parser_is_known():
    found = {" ".join(one.words): {f for o in one.options for f in o.flags} for one in WHOLE.walk()}
    assert {"nano-hpo run", "nano-hpo db grant", "nano-hpo init slurm", "nano-hpo completion"} <= set(found)
    assert {"-n", "--n-trials", "--sampler", "--help"} <= found["nano-hpo run"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("stud",), ["studies"]),
        (("db", "st"), ["start", "status", "stop"]),
        (("run", "--n-tr"), ["--n-trials"]),
        (("topology", "--policy", ""), ["auto", "balanced", "local"]),
        (("topology", "--policy", "=", "l"), ["local"]),
        (("topology", "--policy", "="), ["auto", "balanced", "local"]),
        (("topology", "-p", "4", "--sm"), ["--smt"]),
        (("topology", "-p", "="), []),
        (("report", "--draw", "h"), ["html"]),
        (("run", "tr"), ["train.py"]),
        (("run", "--space", "tr"), ["train.py"]),
        (("run", "--run-dir", ""), ["run"]),
        (("run", "-n", ""), []),
        (("run", "--study-name", "db", "--resu"), ["--resume"]),
        (("run", "--study-name", "=", "db", "--resu"), ["--resume"]),
        (("bind", "-p", "2", "--slot", "1", "--", "tr"), ["train.py"]),
        (("submit", "--dry"), ["--dry-run"]),
        (("submit", "--database", "--dry"), ["--dry-run"]),
        (("submit", "--", "ru"), ["run"]),
        (("submit", "--", "run", "--isol"), ["--isolate"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
        (("studies", "--n-trials"), []),
    ],
)
def test_bash_offers_what_may_stand_there(folder, words, offered):
    found = completed(folder, "nano-hpo", *words)
    assert set(found) >= set(offered)
    if "--" not in words:
        assert sorted(found) == sorted(offered)


def test_bash_offers_all_verbs_at_first(folder):
    assert set(completed(folder, "nano-hpo", "")) == {verb.name for verb in WHOLE.verbs}


def test_files_with_spaces_stay_whole(tmp_path):
    (tmp_path / "my file.toml").touch()
    listed = f'{BASH}\nCOMP_WORDS=(nano-hpo run --space m) COMP_CWORD=3; _nano_hpo; echo "${{#COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", listed], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_a_bash_at_work_completes_what_is_typed(cli, folder):
    """A tab key in a real terminal."""
    script = cli("completion", "bash")
    assert (script.code, script.out) == (0, BASH)
    (folder / "c").write_text(script.out)
    said = typed(folder, b"source ./c\n", b"nano-hpo topology --poli\tba\t-\x15echo done\n")
    assert "--policy balanced -" in re.sub(r"\x1b\[[?\d;]*[a-zA-Z]|\x07", "", said)


def typed(folder: Path, *lines: bytes) -> str:
    """What a terminal shows until ``done`` is on a line of its own."""
    ours, theirs = pty.openpty()
    environ = {
        "PATH": os.environ["PATH"],
        "TERM": "dumb",
        "HISTFILE": "/dev/null",
        "INPUTRC": "/dev/null",
        "PS1": ">>",
    }
    process = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        **dict.fromkeys(("stdin", "stdout", "stderr"), theirs),
        cwd=folder,
        env=environ,
        start_new_session=True,
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):
        for line in lines:
            while not said.endswith(b">>"):  # else the terminal would echo what bash should edit
                said += os.read(ours, 4096)
            os.write(ours, line)
            said += b"\n"
        while b"\ndone" not in said and (part := os.read(ours, 4096)):
            said += part
    os.close(ours)
    process.kill()
    process.wait()
    return said.decode(errors="replace")


@pytest.mark.parametrize("shell", RENDERERS)
def test_a_script_is_one_its_shell_can_read(tmp_path, shell):
    script = tmp_path / "script"
    script.write_text(RENDERERS[shell](WHOLE))
    subprocess.run([shell, "-n", str(script)], check=True)
    assert all(line.isprintable() for line in script.read_text().splitlines())


@pytest.mark.parametrize("shell", RENDERERS)
def test_every_option_of_every_verb_is_in_each_script(shell):
    text = RENDERERS[shell](WHOLE)
    for command in WHOLE.walk():
        for option in command.options:
            for flag in option.flags:
                assert re.search(rf"(?<![\w-])-*{flag.lstrip('-')}(?![\w-])", text), (command.name, flag)


def test_menus_show_the_first_clause_of_a_help_text():
    assert (
        short("off: one thread of each core; its siblings idle (default on)")
        == "off: one thread of each core"
    )
    assert short("word " * 30).endswith("word…")
    assert len(short("word " * 30)) <= 70


def test_an_unknown_shell_is_one_line(cli):
    done = cli("completion", "bsh")
    assert done.code == 2
    assert "did you mean bash?" in done.err
