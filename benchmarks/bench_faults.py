"""What does it cost to be watched over, and how soon is a killed worker replaced?

``idle``: CPU time of an agent (with its warden) whose 8 workers are all at long trials, over a minute.
``empty``: milliseconds of an empty trial in a supervised worker, and in the same loop that nobody watches.
``replace``: a worker is killed with SIGKILL in the middle of a trial; seconds until its trial runs again. The
rival is plain Optuna with heartbeats (interval 1 s, the least there is; grace period 2 s) and its own retry
callback: one worker is killed, and another, whose trials take half a second, takes over.
``budget``: of 60 trials by 3 workers one worker is killed every second, 10 times, and started again; what is
in the study at the end. The rival is plain Optuna, likewise, with ``MaxTrialsCallback``.

    python benchmarks/bench_faults.py mysql://root@localhost/nano?unix_socket=/tmp/db/s.sock
        [--rounds 5] [--seconds 60] [--parts idle empty replace budget]
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import psutil
from bench_cost_of_a_trial import our_worker

from orchestrator.sql.opening import open_database

JOB = """
import os, time
from pathlib import Path

def empty(trial):
    return 0.0

def long(trial):
    time.sleep(3600)

def short(trial):
    x = trial.suggest_float("x", 0, 1)
    time.sleep(0.5)
    return x

def told(trial):
    trial.suggest_float("x", 0, 1)
    name = f"began-{trial.number}-{os.getpid()}"
    Path("." + name).write_text(repr(time.time()))
    Path("." + name).replace(name)
    time.sleep(3600)

def mixed(trial):
    return told(trial) if trial.number == 0 else short(trial)
"""
PLAIN = """
import sys
import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import MaxTrialsCallback
from optuna.trial import TrialState
import job

optuna.logging.set_verbosity(optuna.logging.ERROR)
url, name, function, n_trials = sys.argv[1:]
retry = RetryHeartbeatStaleTrialCallback(max_retry=20)
storage = RDBStorage(url, heartbeat_interval=1, grace_period=2, heartbeat_stale_trial_callback=retry)
study = optuna.load_study(study_name=name, storage=storage)
states = (TrialState.COMPLETE, TrialState.PRUNED)
study.optimize(getattr(job, function), callbacks=[MaxTrialsCallback(int(n_trials), states)])
"""
OURS = str(Path(sys.executable).with_name("nano-hpo"))


class Place:
    """A folder with the objectives, and a study's name of its own."""

    def __init__(self, url: str, folder: str) -> None:
        self.url, self.folder = url, Path(folder)
        self.name = f"faults-{uuid.uuid4().hex[:8]}"
        (self.folder / "job.py").write_text(JOB)
        (self.folder / "plain.py").write_text(PLAIN)

    def start(self, *words: object) -> subprocess.Popen[bytes]:
        """A process in the folder; what it says is not heard."""
        null = subprocess.DEVNULL
        return subprocess.Popen(list(map(str, words)), cwd=self.folder, stdout=null, stderr=null)

    def start_ours(self, function: str, n_trials: int, n_parallels: int) -> subprocess.Popen[bytes]:
        """An agent with its workers."""
        words = (OURS, "run", f"job.py:{function}", "-n", n_trials, "-p", n_parallels, "--oversubscribe")
        where = ("--storage", self.url, "--study-name", self.name, "--run-dir", "run", "--draw", "none")
        return self.start(*words, *where, "--sampler", "random", "--max-retries", 100)

    def start_plain(self, function: str, n_trials: int) -> subprocess.Popen[bytes]:
        """One process of plain Optuna."""
        return self.start(sys.executable, "plain.py", self.url, self.name, function, n_trials)

    def wait_for(self, there: Callable[[], bool]) -> None:
        """Until it is so."""
        deadline = time.monotonic() + 300
        while not there():
            if time.monotonic() > deadline:
                raise SystemExit("waited in vain")
            time.sleep(0.005)

    def began(self) -> dict[str, float]:
        """When each attempt began, by its file."""
        return {path.name: float(path.read_text()) for path in self.folder.glob("began-*")}


@contextmanager
def a_place(url: str) -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as folder:
        yield Place(url, folder)


def workers_of(agent: int) -> list[int]:
    children = psutil.Process(agent).children()
    return [child.pid for child in children if "orchestrator.worker" in " ".join(child.cmdline())]


def end(*processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        process.kill()
        process.wait()


def idle(options: argparse.Namespace) -> None:
    """CPU time of the agent and its warden, which are all that supervision adds."""
    with a_place(options.url) as place:
        agent = place.start_ours("long", 8, 8)
        try:
            place.wait_for(lambda: running(place) == 8)
            time.sleep(2.0)
            watchers = [psutil.Process(agent.pid)]
            watchers += [p for p in watchers[0].children() if "warden.py" in " ".join(p.cmdline())]
            before = sum(map(cpu_seconds, watchers))
            time.sleep(options.seconds)
            used = sum(map(cpu_seconds, watchers)) - before
        finally:
            end(agent)
    print(
        f"idle: {used:.3f} s of CPU in {options.seconds:g} s, {100 * used / options.seconds:.2f} % of a core"
    )


def running(place: Place) -> int:
    try:
        study = optuna.load_study(study_name=place.name, storage=place.url)
    except KeyError:
        return 0
    return sum(trial.state.name == "RUNNING" for trial in study.trials)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def empty(options: argparse.Namespace) -> None:
    """Both in turns, each on a new study."""
    seen: dict[str, list[float]] = {"supervised": [], "unwatched": []}
    for _ in range(options.rounds):
        seen["supervised"].append(supervised_ms(options.url))
        seen["unwatched"].append(unwatched_ms(options.url))
    middle = {way: statistics.median(some) for way, some in seen.items()}
    added = middle["supervised"] - middle["unwatched"]
    print(f"empty: {middle['supervised']:.2f} ms supervised, {middle['unwatched']:.2f} ms unwatched, "
          f"{added:+.2f} ms, ratio {middle['supervised'] / middle['unwatched']:.2f}")  # fmt: skip


def supervised_ms(url: str, n_trials: int = 300) -> float:
    with a_place(url) as place:
        place.start_ours("empty", n_trials, 1).wait()
        trials = optuna.load_study(study_name=place.name, storage=url).trials
        return per_trial_ms(trials[20:])


def unwatched_ms(url: str, n_trials: int = 300) -> float:
    with a_place(url) as place:
        optuna.create_study(study_name=place.name, storage=url)
        import bench_cost_of_a_trial

        bench_cost_of_a_trial.objective = lambda trial: 0.0
        with our_worker(url, place.name, "random", n_trials) as one_trial:
            for _ in range(n_trials):
                one_trial()
        return per_trial_ms(optuna.load_study(study_name=place.name, storage=url).trials[20:])


def per_trial_ms(trials: list[optuna.trial.FrozenTrial]) -> float:
    """From one trial's start to the next one's, by the median."""
    starts = [trial.datetime_start for trial in trials if trial.datetime_start is not None]
    steps = [(b - a).total_seconds() for a, b in itertools.pairwise(starts)]
    return statistics.median(steps) * 1e3


def replace(options: argparse.Namespace) -> None:
    """Both in turns, each on a new study."""
    seen: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(options.rounds):
        seen["ours"] += replaced_ours(options.url)
        seen["plain"] += replaced_plain(options.url)
    for way, some in seen.items():
        print(f"replace: {way:5} {statistics.median(some):.2f} s (of {len(some)}: "
              f"{min(some):.2f} to {max(some):.2f})")  # fmt: skip


def replaced_ours(url: str, times: int = 2) -> list[float]:
    """A third death would fail the trial."""
    found = []
    with a_place(url) as place:
        agent = place.start_ours("told", 1, 1)
        try:
            for already in range(1, times + 1):
                place.wait_for(lambda n=already: len(place.began()) == n)
                found.append(until_again(place, workers_of(agent.pid)[0]))
        finally:
            end(agent)
    return found


def replaced_plain(url: str) -> list[float]:
    """Its other worker looks for stale trials between trials of its own, half a second each."""
    with a_place(url) as place:
        optuna.create_study(study_name=place.name, storage=url)
        first = place.start_plain("mixed", 1000)
        other = None
        try:
            place.wait_for(lambda: len(place.began()) == 1)
            other = place.start_plain("mixed", 1000)
            place.wait_for(lambda: running(place) == 2)
            killed_s = time.time()
            end(first)
            place.wait_for(lambda: is_retried(place))
            return [time.time() - killed_s]
        finally:
            end(first, *([other] if other else []))


def is_retried(place: Place) -> bool:
    """Whether the killed trial was enqueued again, or runs."""
    trials = optuna.load_study(study_name=place.name, storage=place.url).trials
    return any("failed_trial" in trial.system_attrs for trial in trials)


def until_again(place: Place, pid: int) -> float:
    known = set(place.began())
    killed_s = time.time()
    os.kill(pid, signal.SIGKILL)
    place.wait_for(lambda: bool(set(place.began()) - known))
    return max(place.began().values()) - killed_s


def budget(options: argparse.Namespace) -> None:
    """Both once."""
    print(f"budget: ours  {budget_ours(options.url)}")
    print(f"budget: plain {budget_plain(options.url)}", flush=True)


def budget_ours(url: str, n_trials: int = 60) -> str:
    with a_place(url) as place:
        agent = place.start_ours("short", n_trials, 3)
        try:
            place.wait_for(lambda: running(place) == 3)
            for turn in range(10):
                time.sleep(1.0)
                workers = workers_of(agent.pid) if agent.poll() is None else []
                if workers:
                    os.kill(workers[turn % len(workers)], signal.SIGKILL)
            agent.wait()
        finally:
            end(agent)
        return states(place)


def budget_plain(url: str, n_trials: int = 60) -> str:
    with a_place(url) as place:
        optuna.create_study(study_name=place.name, storage=url)
        workers = [place.start_plain("short", n_trials) for _ in range(3)]
        try:
            place.wait_for(lambda: running(place) == 3)
            for turn in range(10):
                time.sleep(1.0)
                end(workers[turn % 3])
                workers[turn % 3] = place.start_plain("short", n_trials)
            for worker in workers:
                worker.wait()
        finally:
            end(*workers)
        return states(place)


def states(place: Place) -> str:
    trials = optuna.load_study(study_name=place.name, storage=place.url).trials
    counted = Counter(trial.state.name.lower() for trial in trials)
    return f"{len(trials)} trials: " + ", ".join(f"{n} {state}" for state, n in counted.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0)
    parts = {"idle": idle, "empty": empty, "replace": replace, "budget": budget}
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    open_database(options.url).close()  # tables with dates to the microsecond, which plain Optuna's are not
    for part in options.parts:
        parts[part](options)


if __name__ == "__main__":
    main()
