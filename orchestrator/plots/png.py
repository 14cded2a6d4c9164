"""The plots as PNG files: figures in, paths out, or one line that says why there are none."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from orchestrator.browser import BROWSERS, find_browser
from orchestrator.paths import written_whole
from orchestrator.plots.style import WIDTH, Plot, Skipped

_WORKER = Path(__file__).with_name("png_worker.py")


def write_pngs(figures: Mapping[str, Plot], folder: Path, timeout_s: float = 120.0) -> list[Path] | str:
    """Write ``NAME.png`` of each figure into ``folder``, all with one browser; skipped plots get none.

    Returns the paths, or the reason why there are none: no browser, a browser that fails, or one that
    is not done within ``timeout_s`` (it is ended with its children). Never raises for these.
    """
    drawn = {name: plot for name, plot in figures.items() if not isinstance(plot, Skipped)}
    browser = find_browser()
    if browser is None:
        return f"No PNG files: none of {', '.join(BROWSERS)} is on PATH, and BROWSER_PATH names no browser."
    try:
        return _written(drawn, folder, browser, timeout_s)
    except subprocess.TimeoutExpired:
        return f"No PNG files: {browser} was not done after {timeout_s:g} s."
    except (OSError, ValueError) as error:
        return f"No PNG files: {' '.join(str(error).split())}"


def _written(figures: Mapping[str, Plot], folder: Path, browser: str, timeout_s: float) -> list[Path] | str:
    with tempfile.TemporaryDirectory(prefix="nano-hpo-png-") as name:
        work = Path(name)
        for key, figure in figures.items():
            assert not isinstance(figure, Skipped)
            (work / f"{key}.json").write_text(figure.to_json(), encoding="utf-8")
        command = [sys.executable, "-P", str(_WORKER), str(work), browser, str(WIDTH), str(timeout_s)]
        status, said = _run(command, timeout_s)
        made = [work / f"{key}.png" for key in figures]
        if status != 0 or not all(path.is_file() for path in made):
            return f"No PNG files: {browser} failed ({said or f'exit status {status}'})."
        return [_moved(path, folder / path.name) for path in made]


def _run(command: Sequence[str], timeout_s: float) -> tuple[int, str]:
    """Run the worker to its end or its time; its exit status and the last line it wrote."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as worker:
        try:
            _, said = worker.communicate(timeout=timeout_s)
        except BaseException:
            _end(worker.pid)
            raise
    return worker.returncode, (said.strip().splitlines() or [""])[-1][:300]


def _end(pid: int) -> None:
    """End the worker and every process of its browser, which has a process group of its own."""
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass
    psutil.wait_procs(family, timeout=5)


def _moved(source: Path, target: Path) -> Path:
    with written_whole(target) as temporary:
        shutil.copyfile(source, temporary)
    return target
