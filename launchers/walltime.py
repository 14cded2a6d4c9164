"""When does the allocation of this process end? Environment variables and squeue in, an `AllocationEnd` out.

Slurm 23.02 and later tell it by `SLURM_JOB_END_TIME`, in Unix time, anew for each start of a requeued job;
any Slurm tells the seconds left by `squeue --format=%L`. Both go by the clock of this node, once, and are
kept in `time.monotonic()`, which nobody sets. (The clocks of a cluster agree: munge refuses credentials that
are five minutes off.) squeue is asked again now and then, since a limit may be changed while a job runs.

PBS and LSF are left out: Torque's `PBS_WALLTIME` is how long a job may take in all, and nothing in its
environment says since when; PBS Pro and LSF say neither. There the time is given by hand.
"""

import math
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from .allocation import read_job

__all__ = ["AllocationEnd", "EndWatch", "parse_time", "read_allocation_end"]

VARIABLE = "SLURM_JOB_END_TIME"
ANSWER_S = 60.0  # a client of Slurm waits for minutes when the controller is down
ASK_S = (60.0, 300.0)  # between two questions: the more often the nearer the end
SPREAD = 1.3  # not all agents of a job at once
_SAME_S = 5.0  # squeue counts in whole seconds; what moves by less has not moved

_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", re.ASCII)
_SECONDS = re.compile(r"\d+(?:\.\d+)?s", re.ASCII)
_NO_LIMIT = ("UNLIMITED", "INFINITE")


@dataclass(frozen=True, slots=True)
class AllocationEnd:
    """When the time of this process is over, by `time.monotonic()`, and who says so, for people."""

    at_s: float
    source: str

    def left_s(self) -> float:
        """Seconds until then; below 0 afterwards."""
        return self.at_s - time.monotonic()

    def __str__(self) -> str:
        """`the allocation ends at 14:05 (squeue)`, by this machine's clock."""
        then = time.localtime(time.time() + self.left_s())
        is_today = then[:3] == time.localtime()[:3]
        clock = time.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M", then)
        return f"the allocation ends at {clock} ({self.source})"


def parse_time(text: str) -> float:
    """Seconds of a time as `sbatch --time` takes it and squeue prints it; infinite for UNLIMITED.

    `90` and `90:00` are minutes, `1:30:00` hours, `2-12` days and hours, `2-12:30` and `2-12:30:00` as well
    (sbatch(1), --time). Beyond Slurm's forms `90s` is seconds. Raises `ValueError`.
    """
    if text.upper() in _NO_LIMIT:
        return math.inf
    if _SECONDS.fullmatch(text):
        return float(text[:-1])
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time such as 90 (minutes), 01:30:00, 1-12 (days-hours) or 90s")
    days, *parts = found.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is not None or len(numbers) == 3:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
        return float(((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds)
    minutes, seconds = [*numbers, 0][:2]
    return float(minutes * 60 + seconds)


def read_allocation_end(
    environ: Mapping[str, str], unix_s: float | None = None, monotonic_s: float | None = None
) -> AllocationEnd | None:
    """The end that the environment tells of; the clocks may be given.

    One that is past is none: the limit was extended since the job began, and squeue will know.
    """
    text = environ.get(VARIABLE, "")
    if not text.isdecimal() or not text.isascii():
        return None
    left_s = int(text) - (time.time() if unix_s is None else unix_s)
    if left_s <= 0:
        return None
    return AllocationEnd((time.monotonic() if monotonic_s is None else monotonic_s) + left_s, VARIABLE)


class EndWatch:
    """Keeps an eye on the end of the Slurm job that ``environ`` tells of. It never waits for squeue."""

    def __init__(self, environ: Mapping[str, str], answer_s: float = ANSWER_S) -> None:
        self.end = read_allocation_end(environ)
        job = read_job(environ)
        self._command = ["squeue", "--noheader", "--format=%L", f"--jobs={job.name}"] if job else []
        # A user's SQUEUE_PARTITION or SQUEUE_STATES would hide the job.
        self._environ = {name: value for name, value in environ.items() if not name.startswith("SQUEUE_")}
        self._answer_s = answer_s
        self._question: subprocess.Popen[bytes] | None = None
        self._at_s = -math.inf if job else math.inf  # when to ask, or to give up asking

    @property
    def is_watching(self) -> bool:
        """Whether somebody can be asked: what is not known now may be known later."""
        return self._question is not None or self._at_s < math.inf

    def look(self) -> AllocationEnd | None:
        """The end as far as it is known; None: there is none, or nobody says. Call it often."""
        if self._question is not None:
            self._hear(self._question)
        elif time.monotonic() >= self._at_s:
            self._ask()
        return self.end

    def close(self) -> None:
        """Ask no more."""
        if self._question is not None:
            _last_words(self._question)
            self._question = None
        self._at_s = math.inf

    def _ask(self) -> None:
        null = subprocess.DEVNULL
        try:
            self._question = subprocess.Popen(
                self._command,
                bufsize=0,
                env=self._environ,
                stdin=null,
                stdout=subprocess.PIPE,
                stderr=null,
                start_new_session=True,
            )
            self._at_s = time.monotonic() + self._answer_s
        except FileNotFoundError:  # not on the compute nodes of this site
            self._at_s = math.inf
        except OSError:
            self._pause()

    def _hear(self, question: subprocess.Popen[bytes]) -> None:
        if question.poll() is None and time.monotonic() < self._at_s:
            return
        said = _last_words(question)
        self._question = None
        if question.returncode == 0:
            self._take_in(said.split())
        self._pause()

    def _take_in(self, answers: Sequence[str]) -> None:
        """A job of several components has several lines. NOT_SET and INVALID (over its limit) say nothing."""
        lefts_s = []
        for answer in answers:
            with suppress(ValueError):
                lefts_s.append(parse_time(answer))
        if not lefts_s:
            return
        at_s = time.monotonic() + min(lefts_s)
        if math.isinf(at_s):
            self.end = None
        elif self.end is None or abs(at_s - self.end.at_s) > _SAME_S:
            self.end = AllocationEnd(at_s, "squeue")

    def _pause(self) -> None:
        least, most = ASK_S
        left_s = math.inf if self.end is None else self.end.left_s()
        pause_s = min(max(left_s / 4, least), most) * random.uniform(1.0, SPREAD)
        self._at_s = time.monotonic() + pause_s


def _last_words(question: subprocess.Popen[bytes]) -> str:
    """End a program with what it has started, unless it has ended; what it has said by then.

    At many sites squeue is a script around the real one, which then holds the pipe as well.
    """
    if question.poll() is None:
        os.killpg(question.pid, signal.SIGKILL)
        question.wait()
    assert question.stdout is not None
    with question.stdout as pipe:
        os.set_blocking(pipe.fileno(), False)
        return (pipe.read() or b"").decode(errors="replace")
