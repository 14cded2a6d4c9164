"""A reader's folder: blocks of a page in, run there one after the other as a reader would; their output out.

The blocks run as they are printed, but for ``shortened``: fewer trials, servers of this machine's, no drawing
of plots for each run. Beside what the pages write, the folder holds the repository's ``examples`` and
``slurm``, and files that the pages speak of without showing them (``_OWN``).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.pages import ROOT, Block
from tests.mpi import OPEN_MPI, environment
from tests.orchestrator.waiting import wait_until

PATIENCE_S = 280
BIN = Path(sys.executable).parent

TRAIN = """\
def objective(trial):
    x = trial.suggest_float("x", -5, 5)
    trial.report(x * x, 0)
    return x * x
"""
HELD = """\
import time
from pathlib import Path

def objective(trial):
    lr, units = trial.suggest_float("lr", 1e-4, 0.1, log=True), trial.suggest_int("units", 16, 128)
    trial.report(lr, 0)
    Path(f"began-{trial.number}").touch()
    while trial.number > 2 and not (Path("go").exists() or trial.study.is_stopping):
        time.sleep(0.05)
    return lr * units
"""
_OWN = {"train.py": TRAIN, "held.py": HELD, "train.sh": "#!/bin/sh\necho 0.5\n"}

_LEFT_OUT = ("PYTHONPATH", "XDG_CONFIG_HOME")

# Readers' servers and numbers become such as this machine has; the rest of a block stays as it is.
_SHORTER = (
    (r"(--n-trials|-n) \d+(?= |$)", r"\1 4"),
    (r"(?<!optimize\(objective, )\bn_trials=\d+", 'n_trials=2, draw="none"'),
    (r"(?<=optimize\(objective, )n_trials=\d+", "n_trials=2"),
    (r'"n_trials": \d+', '"n_trials": 2, "draw": "none"'),
    (r"(--n-parallels|-p) [3-9]\b", r"\1 2"),
    (r'epochs(=|": )\d+', r"epochs\g<1>1"),
    (r"^n_trials = \d+", "n_trials = 4"),
    (
        r"nano-hpo run(?= examples/digits.py:objective --n-trials 4 --n-parallels 2$)",
        "nano-hpo run --draw html",
    ),
    (r"nano-hpo run(?! --draw)(?= )", "nano-hpo run --draw none"),
    (r"nano-hpo report(?=$| +(?!--watch)[-#])", "nano-hpo report --draw html"),
    (r"nano-hpo dashboard(?= )", "nano-hpo dashboard --port 0"),
    (r"mpirun -n \d+", "mpirun -n 2"),
    (r"--nodes \d+(?= --time)", "--nodes 1"),  # rank 0 waits long for others when trials take no time
    (r"--(array|nodes) [2-9]", r"--\1 2"),
    (r"-- run(?= )", "-- run --draw none"),
    (r"--cpus-per-task[= ]\d+", "--cpus-per-task=2"),
    (r"--mem[= ]\d+G", "--mem=1G"),
    (r"--older-than \d+d", "--older-than 0h"),
)


class Desk:
    """A folder with a home directory and programs of its own."""

    def __init__(self, url: str, cluster: dict[str, str] | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="nano-docs-", dir="/tmp"))  # short: sockets lie in it
        self.home.chmod(0o755)
        self.folder = self.home / "work"
        self.url = url
        self.printed = ""  # by the commands so far
        self._script = ""
        self._n_scripts = self._n_runs = 0
        self._lay_out()
        self.environ = self._environment() | (cluster or {})

    def _lay_out(self) -> None:
        shutil.copytree(
            ROOT / "examples", self.folder / "examples", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copytree(ROOT / "slurm", self.folder / "slurm")
        for name, text in _OWN.items():
            (self.folder / name).write_text(text)
        (self.folder / "train.sh").chmod(0o755)
        option_file = self.home / ".my.cnf"
        option_file.write_text("[client]\nuser=root\n")
        option_file.chmod(0o600)
        settings = self.home / ".config" / "nano-hpo" / "slurm.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text("[defaults]\ncpus-per-task = 2\ncores-per-trial = 1\n")
        self._program("mpirun", f'exec {shlex.join([OPEN_MPI, "--oversubscribe", "--bind-to", "none"])} "$@"')
        self._program("module", "true")
        activate = self.home / "venvs" / "search" / "bin" / "activate"
        activate.parent.mkdir(parents=True)
        activate.write_text(f"PATH={shlex.quote(str(BIN))}:$PATH\n")

    def _program(self, name: str, text: str) -> None:
        file = self.home / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def _environment(self) -> dict[str, str]:
        own = {
            "HOME": str(self.home),
            "PATH": f"{self.home / 'bin'}:{BIN}:{os.environ['PATH']}",
            "COLUMNS": "110",
        }
        known = {name: value for name, value in environment().items() if name not in _LEFT_OUT}
        return known | own | {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_WAIT_POLICY": "passive"}

    def shortened(self, text: str) -> str:
        """A block as it is run here."""
        for pattern, shorter in _SHORTER:
            text = re.sub(pattern, shorter, text, flags=re.MULTILINE)
        socket = self.url.partition("?")[2]
        text = re.sub(
            r"mysql://(user@)?(host|localhost|db\.example\.org)/(db|hpo)", self.url.partition("?")[0], text
        )
        place = re.escape(self.url.partition("?")[0])
        return re.sub(
            rf"{place}(\?[^\s\"'&]*)?(&ssl_ca=\S+?pem)?", rf"{self.url.partition('?')[0]}?{socket}", text
        )

    def write(self, block: Block) -> None:
        """A file of the reader's; its syntax is checked where its language has one."""
        assert block.file is not None
        file = self.folder / block.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.shortened(block.text))
        if block.language == "bash" or block.text.startswith("#!/bin/bash"):
            file.chmod(0o755)
            subprocess.run(["bash", "-n", file], check=True)
        elif block.language == "python":
            compile(block.text, str(block), "exec")
        elif block.language == "toml":
            tomllib.loads(block.text)

    def change(self, block: Block) -> None:
        """The file as the lines of a diff make it; what they take away must be there."""
        assert block.file is not None
        file = self.folder / block.file
        old, new = (self.shortened(_side(block.text, signs)) for signs in (" -", " +"))
        text = file.read_text()
        assert text.count(old) == 1, f"{block}: what it changes is not in {block.file}:\n{text}"
        file.write_text(text.replace(old, new))

    def script(self, block: Block, *, goes_on: bool) -> None:
        """A program of the reader's, or the next lines of the one before."""
        self._n_scripts += not goes_on
        self._script = f"{self._script}\n{block.text}" if goes_on else block.text
        name = f"script_{self._n_scripts}.py"
        (self.folder / name).write_text(self.shortened(self._script))
        self.command(block, f"python {name}")

    def command(self, block: Block, text: str | None = None) -> None:
        """What bash makes of it; the first command that fails ends it."""
        words = ["bash", "-euo", "pipefail", "-c", text or self.shortened(block.text)]
        self._finish(block, self._start(words))

    def terminal(self, block: Block) -> None:
        """The same in a terminal."""
        inner = shlex.join(["bash", "-euo", "pipefail", "-c", self.shortened(block.text)])
        command = f"stty rows 30 cols 110; {inner}"
        self._finish(block, self._start(["script", "--quiet", "--return", "--command", command, "/dev/null"]))

    def until_interrupted(self, block: Block) -> None:
        """A server, until it has said where it is."""
        log = self.folder / "server.log"
        words = ["bash", "-c", f"exec {self.shortened(block.text).strip()}"]
        with log.open("w") as output:
            server = subprocess.Popen(words, cwd=self.folder, env=self.environ, stdout=output, stderr=output)
        try:
            wait_until(lambda: "http://" in log.read_text() or server.poll() is not None)
            server.send_signal(signal.SIGINT)
            assert server.wait(PATIENCE_S) in (0, 130), log.read_text()
        finally:
            server.kill()

    def _start(self, words: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            words,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _finish(self, block: Block, process: subprocess.Popen[str]) -> None:
        try:
            printed, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
        assert process.returncode == 0, f"{block} ends with {process.returncode}:\n{block.text}\n{printed}"
        self.printed += printed

    def beside_a_run(self, block: Block) -> None:
        """Commands while a search is at work here, which goes on when they are done."""
        (self.folder / "go").unlink(missing_ok=True)
        for file in self.folder.glob("began-*"):
            file.unlink()
        self._n_runs += 1
        words = [
            "nano-hpo",
            "run",
            "held.py",
            "-n",
            "8",
            "-p",
            "2",
            "--oversubscribe",
            "--draw",
            "none",
            "-q",
        ]
        run = self._start([*words, "--grace", "2", "--study-name", f"held-{self._n_runs}"])
        try:
            wait_until((self.folder / "began-4").exists)
            if "nano-hpo watch" in block.text or "--watch" in block.text:
                (self.folder / "go").touch()
            self.command(block)
            (self.folder / "go").touch()
            printed, _ = run.communicate(timeout=PATIENCE_S)
            assert run.returncode in (0, 130), printed
        finally:
            run.kill()

    def remove(self) -> None:
        """End what a page has left running, and delete the folder."""
        for server in [path.parent for path in self.home.glob("**/server.cnf")]:
            subprocess.run([BIN / "nano-hpo", "db", "stop", server], env=self.environ, check=False)
        shutil.rmtree(self.home, ignore_errors=True)


def _side(diff: str, signs: str) -> str:
    return "".join(line[1:] for line in diff.splitlines(keepends=True) if line[:1] in signs)


@contextmanager
def desk(url: str, cluster: dict[str, str] | None = None) -> Iterator[Desk]:
    """A desk that is cleared at the end."""
    one = Desk(url, cluster)
    try:
        yield one
    finally:
        one.remove()
