"""Real shells that read the completion scripts: a line that somebody types in; what may follow out."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from collections.abc import Sequence
from pathlib import Path

_END = ":end:"
_PATIENCE_S = 60  # of one answer

_FISH = """\
source $argv[1]
source $argv[1]
while read -l line
    complete -C $line | string replace -r '/?(\\t.*)?$' ''
    echo :end:
end
"""

_ZSH = """\
autoload -Uz compinit && compinit -u -D
compadd() {
    emulate -L zsh
    if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\\ * ]]; then
        local -a hits
        builtin compadd -A hits "$@"
        for hit in "${hits[@]}"; do print -r -- "$IPREFIX${(Q)hit}" >> $ANSWERS; done
    fi
    builtin compadd "$@"
}
_offer() { _main_complete; compstate[insert]=; compstate[list]=; }
zle -C offer complete-word _offer
answer() {
    emulate -L zsh
    BUFFER=$(<$LINE)
    CURSOR=$#BUFFER
    zle offer
    BUFFER=
    print -- :end: >> $ANSWERS
}
zle -N answer
bindkey '^G' answer
"""


class Fish:
    """A fish without a terminal: it completes a line that it is handed."""

    def __init__(self, script: Path, cwd: Path):
        self._process = subprocess.Popen(
            ["fish", "--no-config", "-c", _FISH, str(script)],
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def offers(self, line: str) -> set[str]:
        """The words for the end of this line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(line, file=self._process.stdin, flush=True)
        return set(iter(lambda: self._process.stdout.readline().removesuffix("\n"), _END))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Zsh:
    """A zsh at a terminal: its line editor completes, and tells what it was about to list."""

    def __init__(
        self, script: Path, cwd: Path, home: Path, settings: Sequence[str] = (), how: str = "source"
    ):
        home.mkdir()
        self._line = home / "line"
        read = {"source": [f"source '{script}'"] * 2, "fpath": []}[how]
        before = {"source": [], "fpath": [f"fpath+=('{script.parent}')"]}[how]
        (home / ".zshrc").write_text(
            "\n".join([*settings, *before, _ZSH, *read, f"print -- {_END} >> $ANSWERS"])
        )
        os.mkfifo(home / "answers")
        self._answers = os.open(home / "answers", os.O_RDWR)
        self._terminal, terminal = pty.openpty()
        self._process = subprocess.Popen(
            ["zsh", "-i"],
            **dict.fromkeys(("stdin", "stdout", "stderr"), terminal),
            cwd=cwd,
            env={
                **{"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "dumb", "PS1": ""},
                **{
                    "HOME": str(home),
                    "ZDOTDIR": str(home),
                    "LINE": str(self._line),
                    "ANSWERS": str(home / "answers"),
                },
            },
            start_new_session=True,
        )
        os.close(terminal)
        self.shown = ""
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def offers(self, line: str) -> set[str]:
        """The words for the end of this line."""
        self._line.write_text(line)
        os.write(self._terminal, b"\x07")
        return self._answer()

    def _answer(self) -> set[str]:
        said = b""
        while not said.endswith(f"{_END}\n".encode()):
            ready, _, _ = select.select([self._answers, self._terminal], [], [], _PATIENCE_S)
            assert ready, f"zsh is silent; the terminal shows {self.shown!r}"
            if self._terminal in ready:  # one that nobody reads would stop it
                self.shown += os.read(self._terminal, 65536).decode(errors="replace")
            if self._answers in ready:
                said += os.read(self._answers, 65536)
        return set(said.decode().splitlines()[:-1])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)
        os.close(self._answers)
