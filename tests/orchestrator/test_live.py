"""The live view: what it draws, and a real terminal of 80 and of 200 columns that shows it."""

from __future__ import annotations

import io
import shlex
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.live import curve
from orchestrator.live.notebook import page
from orchestrator.live.table import screen
from orchestrator.progress import PlainLines, rate, state_line
from orchestrator.snapshot import Best, BusySlot, Snapshot
from tests.orchestrator.waiting import wait_until


def snapshot(n_slots: int = 3, **changes) -> Snapshot:
    busy = [BusySlot(i, f"node{i // 8}", f"{i}-{i + 1}", 100 + i, 4, 0.25, 12.0) for i in range(n_slots)]
    known = {
        "study": "digits",
        "total": 400,
        "finished": 120,
        "states": {"COMPLETE": 100, "PRUNED": 15, "FAIL": 5},
        "running": busy,
        "starting": 1,
        "n_slots": n_slots + 1,
        "best": Best(77, 0.0245, {"lr": "0.01", "units": "64"}),
        "rate_per_s": 0.5,
        "causes": {"raised": 4, "timed out": 1},
        "time_left_s": 3600.0,
        "curve": [(1, 5.0), (2, 1.0), (40, 0.5), (77, 0.0245)],
    }
    return Snapshot(**{**known, **changes})


def drawn(one: Snapshot, width: int = 80, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(screen(one, width, height))
    return console.file.getvalue().rstrip("\n").split("\n")


def test_the_screen_says_all_that_matters():
    text = "\n".join(drawn(snapshot()))
    for words in (
        "digits: 120/400 finished (100 complete, 15 pruned, 5 failed)",
        "30 trials/min, ETA 9 min 20 s, 280 left, time left 1 h 00 min",
        "best 0.0245 (trial 77): lr = 0.01, units = 64",
        "trouble: 4 raised, 1 timed out",
        "1 of 4 workers starting",
    ):
        assert words in text
    assert "node0     0  0-1     100     4   0.25  12 s" in text


@pytest.mark.parametrize("n_slots", [0, 1, 3, 15, 16, 64, 500])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (200, 50), (20, 6)])
def test_the_screen_is_never_larger_than_the_terminal(n_slots, width, height):
    lines = drawn(snapshot(n_slots), width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    shown = sum("node" in line for line in lines)
    assert shown == n_slots or any(f"… and {n_slots - shown} more" in line for line in lines) or width < 40


def test_one_rank_of_several_says_where_the_others_are():
    assert "of this rank; 'nano-hpo watch' shows the slots of all" in "\n".join(drawn(snapshot(several=True)))
    assert "nano-hpo watch" not in "\n".join(drawn(snapshot()))


def test_names_cannot_act_in_the_terminal():
    evil = snapshot(study="a\x1b[31mred\nb", best=Best(1, 1.0, {"x\x1b]0;t\x07": "y\r\n"}))
    assert not any(set("\x1b\x07\r") & set(line) for line in drawn(evil))
    assert len(drawn(evil)) == len(drawn(snapshot()))


def test_the_curve_falls_from_the_top_left_to_the_bottom_right():
    lines = curve.drawn([(10, 8.0), (50, 4.0), (90, 0.0)], 100, 54, 4)
    bars = [line[2:] for line in lines]
    assert [line[:2] for line in lines] == ["8 ", "  ", "  ", "0 "]
    widths = [len(bar.rstrip()) for bar in bars]
    assert widths == sorted(widths)  # each line reaches further to the right than the one above
    assert widths[0] < widths[-1]


def test_the_first_wild_values_do_not_flatten_the_curve():
    lines = curve.drawn([(1, 1e9), (20, 2.0), (100, 1.0)], 200, 60, 4)
    assert lines[0].startswith("2 ")
    assert lines[-1].startswith("1 ")


@pytest.mark.parametrize(
    "steps", [[], [(1, 1.0)], [(1, float("inf"))], [(1, float("inf")), (2, float("-inf"))]]
)
def test_too_little_to_draw_is_no_curve(steps):
    assert curve.drawn(steps, 10, 50, 4) == []


def test_equal_values_and_one_column_are_drawn():
    assert len(curve.drawn([(1, 1.0), (2, 1.0)], 2, 1, 4)) == 4


@pytest.mark.parametrize(
    ("per_s", "text"), [(12.0, "12 trials/s"), (0.5, "30 trials/min"), (1 / 7200, "0.5 trials/h")]
)
def test_a_rate_has_the_unit_that_makes_a_number_of_it(per_s, text):
    assert rate(per_s) == text


def test_one_line_for_a_log():
    assert state_line(snapshot(2)) == (
        "120/400 finished (15 pruned, 5 failed), 2 running, best 0.0245 (trial 77), 30 trials/min, "
        "ETA 9 min 20 s"
    )


def test_a_log_says_nothing_before_the_first_trial(capsys, monkeypatch):
    view = PlainLines()
    monkeypatch.setattr(view, "_next_s", 0.0)
    view.refresh(snapshot(0, finished=0, states={}, best=None, rate_per_s=None))
    assert capsys.readouterr().err == ""
    view.refresh(snapshot(1, finished=0, states={}, best=None, rate_per_s=None))
    assert capsys.readouterr().err == "0/400 finished, 1 running\n"


def test_the_end_is_said_once_in_a_log(capsys, monkeypatch):
    view = PlainLines()
    monkeypatch.setattr(view, "_next_s", 0.0)
    view.refresh(snapshot(0, finished=400, rate_per_s=2.0))
    view.close(snapshot(0, finished=400, rate_per_s=1.9))
    assert len(capsys.readouterr().err.splitlines()) == 1
    view.close(snapshot(0, finished=400, lost_attempts=2))
    assert capsys.readouterr().err.rstrip().endswith("2 attempts lost")


def test_a_page_for_a_notebook_escapes_what_people_named():
    html = page(snapshot(40, study="<script>alert(1)</script>"), ["a <b> note"])
    assert "<script>" not in html
    assert "a &lt;b&gt; note" in html
    assert "… and 8 more slots at work" in html
    assert "<svg" in html


class Terminal:
    """A tmux of its own in which one command runs."""

    def __init__(
        self, folder: Path, command: list[str], env: dict[str, str], width: int, height: int
    ) -> None:
        self._socket = folder / "tmux"
        words = " ".join(map(shlex.quote, command))
        script = folder / "command.sh"
        script.write_text(f'cd {shlex.quote(str(folder / "my work"))}\n{words}\necho "ended $?"\nsleep 600\n')
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, f"bash '{script}'", env=env
        )

    def _tmux(self, *words: object, env: dict[str, str] | None = None) -> str:
        command = ["tmux", "-u", "-S", str(self._socket), *map(str, words)]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=env, timeout=60).stdout

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-J")

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", width, "-y", height)

    def press(self, keys: str) -> None:
        self._tmux("send-keys", keys)

    def close(self) -> None:
        self._tmux("kill-server")


@pytest.fixture
def terminal(cli, tmp_path):
    opened = []

    def start(*words: object, width: int, height: int = 24) -> Terminal:
        env = {name: value for name, value in cli.env.items() if name not in ("COLUMNS", "TMUX")}
        one = Terminal(tmp_path, cli.argv(*words), {**env, "LC_ALL": "C.UTF-8"}, width, height)
        opened.append(one)
        return one

    yield start
    for one in opened:
        one.close()


@pytest.mark.parametrize("width", [80, 200])
def test_a_terminal_shows_slots_best_and_what_is_left(cli, terminal, width):
    cli.env["HELD"] = "5:go"
    words = ("run", "job.py:held", "-n", 10, "-p", 2, "--oversubscribe", "--draw", "none")
    one = terminal(*words, width=width)
    wait_until(lambda: "job-held: 5/10 finished (5 complete)" in one.screen())
    wait_until(lambda: sorted(line.split()[3] for line in rows(one.screen())) == ["5", "6"])
    shown = one.screen()
    assert "5 left" in shown
    assert "best 0." in shown
    assert "x = 0." in shown
    one.resize(60, 12)
    wait_until(lambda: len(rows(one.screen())) == 2 and "more slots" not in one.screen())
    (cli.cwd / "go").touch()
    wait_until(lambda: "ended 0" in one.screen())
    assert "Trials:  10 (10 complete)" in one.screen()
    assert not rows(one.screen())  # the table has gone, the result stands


def rows(shown: str) -> list[str]:
    """The table of slots below its titles."""
    lines = shown.split("\n")
    start = next((n for n, line in enumerate(lines) if line.startswith("host ") and "for" in line), None)
    found = lines[start + 1 : start + 3] if start is not None else []
    return [line for line in found if line.rstrip().endswith(("s", "min")) and len(line.split()) > 6]


def test_watching_from_another_terminal_shows_the_same_and_ctrl_c_leaves_the_run_alone(cli, terminal):
    cli.env["HELD"] = "5:go"
    process = cli.start("run", "job.py:held", "-n", 10, "-p", 2, "--oversubscribe", "--draw", "none", "-q")
    wait_until(lambda: (cli.cwd / "began-5").exists() and (cli.cwd / "began-6").exists())
    one = terminal("watch", "--every", 0.5, width=80)
    wait_until(lambda: sorted(line.split()[3] for line in rows(one.screen())) == ["5", "6"])
    assert "job-held: 5/10 finished (5 complete)" in one.screen()
    one.press("C-c")
    wait_until(lambda: "ended 0" in one.screen())
    assert process.poll() is None
    (cli.cwd / "go").touch()
    assert process.wait(60) == 0


NOTEBOOK = """
import sys
sys.path.insert(0, {folder!r})
from orchestrator import search
def objective(trial):
    return trial.suggest_float("x", 0, 1)
summary = search(objective, n_trials=3)
"""


def test_a_notebook_shows_one_output_that_is_brought_up_to_date(tmp_path):
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", cwd=str(tmp_path))
    seen = []
    try:
        done = client.execute_interactive(
            NOTEBOOK.format(folder=str(Path.cwd())), timeout=240, output_hook=seen.append
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert done["content"]["status"] == "ok"
    first = [one for one in seen if one["msg_type"] == "display_data"]
    later = [one for one in seen if one["msg_type"] == "update_display_data"]
    assert len(first) == 1
    assert later
    assert "3/3 finished" in later[-1]["content"]["data"]["text/html"]
    printed = [one["content"]["text"] for one in seen if one["msg_type"] == "stream"]
    assert not [text for text in printed if "Tqdm" not in text]  # Optuna misses a widget
