"""Workers are real processes here: started, signalled, killed, and gone with all they started."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from affinity import Binding
from launchers import (
    LauncherError,
    SpawnError,
    Warden,
    WorkerProcess,
    WorkerSpec,
    descendants,
    describe_exit,
    kill_all,
    start_worker,
)
from tests.orchestrator.waiting import wait_until

ROOT = Path(__file__).parents[2]
Start = Callable[..., WorkerProcess]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "a run's folder"
    path.mkdir()
    return path


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts Python code as a worker; whatever still runs after the test is ended."""
    started: list[WorkerProcess] = []

    def start_code(code: str, *arguments: str, **changes: object) -> WorkerProcess:
        fields: dict[str, object] = {"binding": None, "env": os.environ, "cwd": folder}
        fields |= {"log": folder / "logs" / "worker 0.log"} | changes
        started.append(start_worker(WorkerSpec((sys.executable, "-c", code, *arguments), **fields)))  # type: ignore[arg-type]
        return started[-1]

    yield start_code
    for worker in started:
        worker.end(grace_s=0)


def has_ended(pid: int) -> bool:
    """Gone, or dead and waiting for a parent that never asks."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def pid_in(file: Path) -> int:
    wait_until(lambda: file.exists() and file.read_text().endswith("\n"), what=f"{file} is written")
    return int(file.read_text())


# Starts a child that ignores SIGTERM, and writes the child's pid once that is so.
STUBBORN_CHILD = """
import subprocess, sys, time
child = "import os, pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);" \
    "pathlib.Path('child.pid').write_text(f'{os.getpid()}\\\\n'); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child])
"""
WAIT_FOR_CHILD = """
import pathlib, time
file = pathlib.Path("child.pid")
while not (file.exists() and file.read_text().endswith("\\n")): time.sleep(0.01)
"""


def test_a_worker_gets_its_arguments_environment_folder_and_no_input(start: Start, folder: Path) -> None:
    code = "import os, sys; print(sys.argv[1:], os.environ['X'], os.getcwd(), repr(sys.stdin.read()))"
    worker = start(code, "two words", "--", env={**os.environ, "X": "1"})
    assert worker.wait() == 0
    assert (folder / "logs" / "worker 0.log").read_text() == f"['two words', '--'] 1 {folder} ''\n"


def test_output_and_errors_are_appended_to_the_log(start: Start, folder: Path) -> None:
    log = folder / "w.log"
    for number in "12":
        assert start(f"import sys; print({number}); print('e', file=sys.stderr)", log=log).wait() == 0
    assert log.read_text() == "1\ne\n2\ne\n" or sorted(log.read_text().split()) == ["1", "2", "e", "e"]


def test_a_binding_reaches_the_worker(start: Start, folder: Path) -> None:
    pu = min(os.sched_getaffinity(0))
    code = "import os; print(os.sched_getaffinity(0), os.environ['OMP_NUM_THREADS'])"
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    assert start(code, binding=Binding((pu,), (), 1), env=env, log=folder / "w.log").wait() == 0
    assert (folder / "w.log").read_text().splitlines()[-1] == f"{{{pu}}} 1"


@pytest.mark.parametrize("bound", [False, True])
def test_a_descriptor_is_inherited_when_it_is_passed(start: Start, bound: bool) -> None:
    reader, writer = os.pipe()
    try:
        binding = Binding((min(os.sched_getaffinity(0)),), (), 1) if bound else None
        code = "import os, sys; os.write(int(sys.argv[1]), b'hello')"
        assert start(code, str(writer), pass_fds=(writer,), binding=binding).wait() == 0
        assert os.read(reader, 5) == b"hello"
    finally:
        os.close(reader)
        os.close(writer)


def test_a_worker_leads_its_own_session(start: Start) -> None:
    worker = start("import time; time.sleep(600)")
    assert os.getpgid(worker.pid) == os.getsid(worker.pid) == worker.pid


def test_waiting_gives_up_in_time_and_poll_tells_nothing_yet(start: Start) -> None:
    worker = start("import time; time.sleep(600)")
    assert worker.wait(timeout_s=0.05) is None
    assert worker.poll() is None


@pytest.mark.parametrize("with_pidfd", [True, False])
def test_an_exit_is_seen_with_and_without_a_pidfd(
    start: Start, with_pidfd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_pidfd:
        monkeypatch.setattr(os, "pidfd_open", refuse)
    worker = start("raise SystemExit(3)")
    assert (worker.pidfd is None) is not with_pidfd
    assert worker.wait(timeout_s=240) == 3
    assert worker.poll() == 3
    assert worker.pidfd is None


def refuse(pid: int) -> int:
    raise OSError(38, "Function not implemented")


def test_the_pidfd_becomes_readable_when_the_worker_exits(start: Start) -> None:
    worker = start("pass")
    assert select.select([worker.pidfd], [], [], 240)[0] == [worker.pidfd]
    assert worker.poll() == 0


@pytest.mark.parametrize("ending", ["wait", "poll", "end"])
def test_workers_that_have_ended_leave_no_descriptor_open(start: Start, ending: str) -> None:
    start("pass").wait()
    before = open_descriptors()
    for _ in range(3):
        worker = start("pass")
        if ending == "end":
            worker.end(grace_s=240)
        elif ending == "wait":
            worker.wait()
        else:
            wait_until(lambda worker=worker: worker.poll() is not None, what="the worker has ended")
    assert open_descriptors() == before


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_ending_a_worker_ends_grandchildren_that_ignore_sigterm(start: Start, folder: Path) -> None:
    worker = start(STUBBORN_CHILD + "time.sleep(600)")
    child = pid_in(folder / "child.pid")
    assert worker.end(grace_s=240) == -signal.SIGTERM
    wait_until(lambda: has_ended(child), what="the grandchild has ended")


def test_a_worker_that_ignores_sigterm_is_killed_after_the_grace(start: Start, folder: Path) -> None:
    code = "import signal, pathlib, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    worker = start(f"{code}; pathlib.Path('ready').touch(); time.sleep(600)")
    wait_until((folder / "ready").exists, what="the worker ignores SIGTERM")
    assert worker.end(grace_s=0.05) == -signal.SIGKILL


def test_a_worker_has_the_grace_to_finish(start: Start, folder: Path) -> None:
    code = "import signal, sys, pathlib, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))"
    worker = start(f"{code}; pathlib.Path('ready').touch(); time.sleep(600)")
    wait_until((folder / "ready").exists, what="the worker handles SIGTERM")
    assert worker.end(grace_s=240) == 7
    assert worker.end() == 7


def test_what_a_worker_leaves_behind_ends_with_it(start: Start, folder: Path) -> None:
    worker = start(STUBBORN_CHILD + WAIT_FOR_CHILD)
    assert worker.wait() == 0
    child = pid_in(folder / "child.pid")
    wait_until(lambda: has_ended(child), what="the child left behind has ended")


def test_a_kill_reaches_the_whole_group(start: Start, folder: Path) -> None:
    code = "import subprocess, sys, pathlib; child = subprocess.Popen(['sleep', '600']);"
    worker = start(code + "pathlib.Path('child.pid').write_text(f'{child.pid}\\n'); print(child.wait())")
    child = pid_in(folder / "child.pid")
    worker.kill()
    assert worker.wait() == -signal.SIGKILL
    wait_until(lambda: has_ended(child), what="the child has ended")
    worker.kill()  # nobody is left, and nobody else is hit


def test_what_has_left_group_and_session_ends_with_the_worker_too(start: Start, folder: Path) -> None:
    daemon = (
        "import os, pathlib, time; os.setsid(); pathlib.Path('child.pid').write_text(f'{os.getpid()}\\n')"
    )
    code = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {daemon + '; time.sleep(600)'!r}])"
    )
    worker = start(code + WAIT_FOR_CHILD)
    assert worker.wait() == 0
    assert has_ended(pid_in(folder / "child.pid"))


def test_the_worker_alone_is_asked_to_end_and_may_end_its_children_itself(start: Start, folder: Path) -> None:
    code = """
import pathlib, signal, subprocess, sys
def end(*_):
    alive = child.poll() is None
    child.kill()
    sys.exit(40 + alive)
signal.signal(signal.SIGTERM, end)
child = subprocess.Popen(['sleep', '600'])
pathlib.Path('child.pid').write_text(f'{child.pid}\\n')
child.wait()
"""
    worker = start(code)
    pid_in(folder / "child.pid")
    assert worker.end(grace_s=240) == 41


def test_what_a_worker_has_used_is_known_when_it_has_ended(start: Start) -> None:
    worker = start("b = bytearray(200 << 20); b[::4096] = b'x' * len(b[::4096]); [x for x in range(10**6)]")
    assert worker.wait() == 0
    assert worker.usage is not None
    assert worker.usage.ru_maxrss > 200 << 10
    assert worker.usage.ru_utime > 0


def test_the_kernel_is_to_prefer_a_worker_when_memory_is_short(start: Start, folder: Path) -> None:
    mine = int(Path("/proc/self/oom_score_adj").read_text())
    start("print(open('/proc/self/oom_score_adj').read())").wait()
    said = int((folder / "logs" / "worker 0.log").read_text())
    assert said == min(1000, mine + 500)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_warden_ends_what_the_workers_of_a_killed_agent_have_started(how: int, folder: Path) -> None:
    daemon = (
        "import os, pathlib, time; os.setsid(); pathlib.Path('child.pid').write_text(f'{os.getpid()}\\n')"
    )
    code = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {daemon + '; time.sleep(600)'!r}])"
    )
    code += "; import time; time.sleep(600)"
    agent_code = f"""
import os, sys, time
from pathlib import Path
from launchers import Warden, WorkerSpec, start_worker
here, warden = Path.cwd(), Warden()
argv = (sys.executable, "-c", {code!r})
spec = WorkerSpec(argv, None, os.environ, here, here / "w.log")
warden.watch(spec.mark)
start_worker(spec)
time.sleep(600)
"""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    agent = subprocess.Popen([sys.executable, "-c", agent_code], cwd=folder, env=environ)
    child = pid_in(folder / "child.pid")
    agent.send_signal(how)
    agent.wait()
    wait_until(lambda: has_ended(child), what="the child of the worker has ended")


def test_a_warden_that_has_nothing_to_do_ends_with_its_agent() -> None:
    warden = Warden()
    warden.watch("nobody")
    warden.forget("nobody")
    warden.close()


def test_descendants_are_children_and_their_children(folder: Path) -> None:
    shell = subprocess.Popen(
        ["sh", "-c", "sleep 600 & sh -c 'sleep 600 & echo ready; wait'; true"], stdout=subprocess.PIPE
    )
    try:
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + 20
        names: list[str] = []
        while (
            names != ["sh", "sleep", "sleep"] and time.monotonic() < deadline
        ):  # "sh" until they are "sleep"
            found = descendants(shell.pid)
            names = sorted(psutil.Process(pid).name() for pid in found)
        assert names == ["sh", "sleep", "sleep"]
        assert shell.pid not in found
        assert set(found) <= set(descendants(os.getpid()))
    finally:
        kill_all([*descendants(shell.pid), shell.pid])
        shell.wait()
        assert shell.stdout is not None
        shell.stdout.close()


@pytest.mark.parametrize("bound", [False, True])
def test_a_worker_dies_with_its_killed_agent(bound: bool, folder: Path) -> None:
    binding = f"Binding(({min(os.sched_getaffinity(0))},), (), 1)" if bound else "None"
    agent_code = f"""
import os, sys, time
from pathlib import Path
from affinity import Binding
from launchers import WorkerSpec, start_worker
child = "pathlib.Path('child.pid').write_text(str(os.getpid()) + chr(10))"
code = f"import os, pathlib, time; {{child}}; time.sleep(600)"
here = Path.cwd()
spec = WorkerSpec((sys.executable, "-c", code), {binding}, os.environ, here, here / "w.log")
start_worker(spec)
time.sleep(600)
"""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", agent_code], cwd=folder, env=environ) as agent:
        try:
            worker = pid_in(folder / "child.pid")
            assert not has_ended(worker)
        finally:
            agent.kill()
    wait_until(lambda: has_ended(worker), what="the worker died with its agent")


# Starts a worker through a Python that waits for a gate, and tells its pid.
LATE_WORKER = """
import os, sys, time
from pathlib import Path
sys.executable = sys.argv[1]
from affinity import Binding
from launchers import WorkerSpec, start_worker
here = Path.cwd()
binding = Binding((int(sys.argv[2]),), (), 1) if sys.argv[2] else None
worker = start_worker(WorkerSpec(("touch", "began"), binding, os.environ, here, here / "w.log"))
Path("worker.pid").write_text(f"{worker.pid}\\n")
time.sleep(600)
"""


@pytest.mark.parametrize("agent_lives", [True, False])
@pytest.mark.parametrize("bound", [False, True])
def test_a_late_worker_does_its_work_only_if_its_agent_lives(
    bound: bool, agent_lives: bool, folder: Path
) -> None:
    """When the agent dies first, the parent-death signal is set too late: only the parent's id tells it."""
    late = folder / "late python"
    late.write_text(f'#!/bin/sh\nwhile [ ! -e gate ]; do sleep 0.01; done\nexec "{sys.executable}" "$@"\n')
    late.chmod(0o755)
    pu = str(min(os.sched_getaffinity(0))) if bound else ""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LATE_WORKER, str(late), pu]
    with subprocess.Popen(command, cwd=folder, env=environ) as agent:
        try:
            worker = pid_in(folder / "worker.pid")
            if agent_lives:
                (folder / "gate").touch()
                wait_until(lambda: has_ended(worker), what="the worker has done its work")
        finally:
            agent.kill()
            agent.wait()
            (folder / "gate").touch()
    wait_until(lambda: has_ended(worker), what="the worker has ended")
    assert (folder / "began").exists() is agent_lives
    assert ("has gone" in (folder / "w.log").read_text()) is not agent_lives


def test_a_real_segmentation_fault_is_named(start: Start) -> None:
    worker = start(
        "import ctypes, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); ctypes.string_at(0)"
    )
    returncode = worker.wait()
    assert returncode == -signal.SIGSEGV
    assert describe_exit(returncode) == "killed by SIGSEGV (segmentation fault)"


@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (0, "exit status 0"),
        (3, "exit status 3"),
        (-signal.SIGKILL, "killed by SIGKILL"),
        (-signal.SIGABRT, "killed by SIGABRT (aborted by itself)"),
        (-(signal.SIGRTMIN + 1), f"killed by signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_an_exit_is_told_in_words(returncode: int, words: str) -> None:
    assert describe_exit(returncode) == words


def test_a_missing_folder_is_refused_with_the_fix(start: Start, folder: Path) -> None:
    with pytest.raises(SpawnError, match=r"nowhere: no such folder\. Create it"):
        start("pass", cwd=folder / "nowhere")


def test_a_log_that_cannot_be_written_is_refused_with_the_fix(start: Start, folder: Path) -> None:
    with pytest.raises(SpawnError, match="Choose another run directory"):
        start("pass", log=folder)


def test_a_python_that_is_missing_is_refused_with_the_fix(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(SpawnError, match=r"/nowhere/python cannot be started: No such file.* this node"):
        start("pass")


def test_a_program_that_is_missing_is_told_by_the_log(folder: Path) -> None:
    spec = WorkerSpec(("/nowhere/program",), None, os.environ, folder, folder / "w.log")
    assert start_worker(spec).wait() == 127
    assert "/nowhere/program cannot be started" in spec.log.read_text()


def test_a_spec_without_a_program_is_refused(folder: Path) -> None:
    with pytest.raises(LauncherError, match="names no program"):
        WorkerSpec((), None, {}, folder, folder / "w.log")
