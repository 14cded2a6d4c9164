"""The completion scripts for zsh and fish, in a real zsh and a real fish."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.main import _parser
from orchestrator.completion import RENDERERS, command_of
from tests.orchestrator.shells import Fish, Zsh
from tests.orchestrator.waiting import wait_until

WHOLE = command_of(_parser())
VERBS = {verb.name for verb in WHOLE.verbs}
HERE = {"my file.toml", "run dir", "train.py"}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with files to complete, and beside it the scripts; all their names have spaces."""
    folder = tmp_path_factory.mktemp("a place") / "my work"
    (folder / "run dir").mkdir(parents=True)
    (folder / "train.py").touch()
    (folder / "my file.toml").touch()
    for shell, render in RENDERERS.items():
        (folder.parent / shell).mkdir()
        (folder.parent / shell / "_nano-hpo").write_text(render(WHOLE))
    return folder


@pytest.fixture(scope="module")
def fish(place) -> Iterator[Fish]:
    one = Fish(place.parent / "fish" / "_nano-hpo", place)
    yield one
    one.close()


@pytest.fixture(scope="module")
def zsh(place, tmp_path_factory) -> Iterator[Zsh]:
    one = Zsh(place.parent / "zsh" / "_nano-hpo", place, tmp_path_factory.mktemp("zsh") / "home")
    yield one
    one.close()


@pytest.fixture(params=["zsh", "fish"])
def shell(request) -> Zsh | Fish:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("nano-hpo ", VERBS),
        ("nano-hpo --version stud", {"studies"}),
        ("nano-hpo db st", {"start", "status", "stop"}),
        ("nano-hpo run --n-tr", {"--n-trials"}),
        ("nano-hpo run -n5 -p 2 --resu", {"--resume"}),
        ("nano-hpo run -n ", set()),
        ("nano-hpo topology --policy ", {"auto", "balanced", "local"}),
        ("nano-hpo topology --policy=l", {"--policy=local"}),
        ("nano-hpo completion ", {"bash", "zsh", "fish"}),
        ("nano-hpo studies --storage db ren", {"rename"}),
        ("nano-hpo studies --storage rm ren", {"rename"}),
        ("nano-hpo studies --storage=rm rename --for", {"--force"}),
        ("nano-hpo submit --database --dry", {"--dry-run"}),
        ("nano-hpo submit --database ", {"run dir"}),
        ("nano-hpo submit --nodes 4 -- ru", {"run"}),
        ("nano-hpo submit -- run --space 'my file.toml' --isol", {"--isolate"}),
        ("nano-hpo submit -- topology --policy=l", {"--policy=local"}),
        ("nano-hpo import ", HERE),
        ("nano-hpo run tr", {"train.py"}),
        ("nano-hpo run --space 'm", {"my file.toml"}),
        ("nano-hpo run --run-dir ", {"run dir"}),
        ("nano-hpo init study ", HERE),
        ("nano-hpo run --space x.toml -- python m", {"my file.toml"}),
        ("nano-hpo run x.py:f -- --isol", set()),
    ],
)
def test_a_shell_offers_what_may_stand_there(shell, line, offered):
    assert shell.offers(line) == offered


@pytest.mark.parametrize("line", ["run --space x.toml", "bind -p 2 --slot 1", "tune-parallels"])
def test_a_command_may_stand_behind_dashes(shell, line):
    assert shell.offers(f"nano-hpo {line} -- chmo") == {"chmod"}


@pytest.mark.parametrize("how", ["source", "fpath"])
def test_a_zsh_of_strict_and_odd_options_completes_at_the_first_key(place, tmp_path, how):
    settings = ["setopt nounset errreturn ksharrays shwordsplit noglob nullglob extendedglob globsubst"]
    one = Zsh(place.parent / "zsh" / "_nano-hpo", place, tmp_path / "home", settings, how)
    try:
        assert one.offers("nano-hpo db st") == {"start", "status", "stop"}
        assert one.offers("nano-hpo submit -- run --isol") == {"--isolate"}
        assert "nano" not in one.shown.replace("nano-hpo", "")
    finally:
        one.close()


@pytest.mark.parametrize("read", ['source "$1"', 'eval "$(<"$1")"'])
def test_a_zsh_that_has_not_begun_to_complete_takes_the_script(place, read):
    """As in a .zshrc without compinit; nothing is left in the home folder."""
    home = place.parent / "empty"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            "zsh",
            "-f",
            "-u",
            "-c",
            f"{read}; {read}; print $_comps[nano-hpo]",
            "-",
            place.parent / "zsh/_nano-hpo",
        ],
        **{"cwd": place, "env": {"PATH": os.environ["PATH"], "HOME": str(home)}},
        **{"capture_output": True, "text": True, "check": True, "stdin": subprocess.DEVNULL},
    )
    assert (done.stdout, done.stderr) == ("_nano-hpo\n", "")
    assert not list(home.iterdir())


@pytest.mark.parametrize(
    ("shell", "begin", "record"),
    [
        ("zsh", "zsh -f -i", 'nano-hpo() {{ print -rl -- "$@" > {said} }}'),
        ("fish", "fish --no-config -i", "function nano-hpo; printf '%s\\n' $argv > {said}; end"),
    ],
)
def test_a_tab_key_completes_what_is_typed(place, tmp_path, shell, begin, record):
    """In a real terminal; the shell then runs the line."""
    said = tmp_path / "said"
    tmux = ["tmux", "-u", "-f", "/dev/null", "-S", str(tmp_path / "tmux")]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    subprocess.run([*tmux, "new-session", "-d", begin], check=True, cwd=place, env=environ)
    try:
        for text, *keys in [
            (f"source '{place.parent / shell / '_nano-hpo'}'", "Enter"),
            (record.format(said=f"'{said}'"), "Enter"),
            ("nano-hpo topology --poli", "Tab"),
            ("ba", "Tab"),
            ("--root r", "Tab", "Enter"),
        ]:
            subprocess.run([*tmux, "send-keys", "-l", "--", text], check=True)
            subprocess.run([*tmux, "send-keys", *keys], check=True)
        wait_until(said.exists)
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
    words = [word.rstrip("/") for word in said.read_text().replace("=", "\n").splitlines()]
    assert words == ["topology", "--policy", "balanced", "--root", "run dir"]
