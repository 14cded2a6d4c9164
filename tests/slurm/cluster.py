"""A private Slurm cluster: munge, a controller and four node daemons, all processes of this machine.

The nodes claim more CPUs than the machine has, so that jobs of several nodes can be tried anywhere. Every
daemon runs in the foreground as our child, and is ended by its pid.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "squeue")
N_NODES, CPUS = 4, 8
START_S, CLIENT_S, PATIENCE_S = 60.0, 60.0, 240.0

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
PlugStackConfig=/dev/null
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
TmpFS={folder}/tmp/%n
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,defer_batch
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
InactiveLimit=0
KillWait=5
MinJobAge=300
JobRequeue=1
AccountingStorageType=accounting_storage/none
"""
NODE = "NodeName=node{n} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=4000\n"
PARTITION = "PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"


def missing_program() -> str | None:
    """The first program that is not installed."""
    return next((name for name in PROGRAMS if _path(name) is None), None)


def _path(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Cluster:
    """Four nodes of eight CPUs, for one pytest session."""

    def __init__(self) -> None:
        # Short: a socket's path may have 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="nano-slurm-", dir="/tmp"))
        self.folder.chmod(0o755)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environ(self) -> dict[str, str]:
        """What makes Slurm's commands talk to this cluster."""
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Return when all nodes are idle."""
        for name in ("state", *(f"{kind}/node{n + 1}" for kind in ("spool", "tmp") for n in range(N_NODES))):
            (self.folder / name).mkdir(parents=True)
        self._start_munge()
        self._write_configuration()
        self._daemon("slurmctld", "-D", "-c")
        for n in range(N_NODES):
            self.start_node(f"node{n + 1}")
        self.wait(lambda: self._idle_nodes() == N_NODES, "all nodes are idle", START_S)

    def start_node(self, name: str) -> None:
        """Start the daemon of a node, which was not there or has been killed."""
        self._daemon(name, "-D", "-N", name, program="slurmd")

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        files = {"--key-file": key, "--socket": self.folder / "munge.sock"}
        files |= {f"--{name}-file": self.folder / f"munge.{name}" for name in ("pid", "log", "seed")}
        words = [f"{name}={path}" for name, path in files.items()]
        self._daemon("munged", "--foreground", "--num-threads=2", *words)
        self.wait((self.folder / "munge.sock").exists, "munge listens", START_S)

    def _write_configuration(self) -> None:
        ports, host = _free_ports(N_NODES + 1), socket.gethostname().partition(".")[0]
        facts: dict[str, Any] = {"host": host, "folder": self.folder, "user": getpass.getuser()}
        text = CONFIGURATION.format(ports=ports, **facts)
        for n, port in enumerate(ports[1:], 1):
            text += NODE.format(n=n, port=port, host=host, cpus=CPUS)
        (self.folder / "slurm.conf").write_text(text + PARTITION)

    def _daemon(self, name: str, *words: str, program: str | None = None) -> None:
        path = _path(program or name)
        assert path is not None
        with (self.folder / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                [path, *words],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _idle_nodes(self) -> int:
        try:
            return len(self.call("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split())
        except (subprocess.SubprocessError, OSError):  # the controller is not there yet
            return 0

    def call(self, *command: str, folder: Path | None = None, environ: dict[str, str] | None = None) -> str:
        """The output of a client command, which must succeed in time."""
        done = subprocess.run(
            command,
            env=self.environ | (environ or {}),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=CLIENT_S,
            check=False,
        )
        if done.returncode != 0:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    def has_mpi(self, kind: str) -> bool:
        """Whether ``srun --mpi=KIND`` starts a task: what is listed may lack its library."""
        try:
            self.call("srun", "--ntasks=1", f"--mpi={kind}", "true")
        except subprocess.CalledProcessError:
            return False
        return True

    def sbatch(self, *words: str | Path, folder: Path, environ: dict[str, str] | None = None) -> str:
        """Submit; the job's id."""
        return self.call("sbatch", "--parsable", *map(str, words), folder=folder, environ=environ).strip()

    def states(self, job: str) -> list[str]:
        """States of a job, of an array one for each task."""
        return self.call("squeue", "-h", "-r", "--states=all", "-j", job, "-o", "%T").split()

    def show(self, job: str) -> dict[str, str]:
        """What the controller knows of a job."""
        words = self.call("scontrol", "show", "job", "-o", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def finish(self, job: str) -> list[str]:
        """Wait until a job is over; its states, one for each task of an array."""
        over = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}
        self.wait(lambda: over.issuperset(self.states(job)), f"job {job} is over")
        return self.states(job)

    def hurry(self, job: str) -> None:
        """A requeued job starts soon and not in two minutes.

        Not at once: a node refuses a job's credential of the second in which it has ended the one before.
        """
        self.call("scontrol", "update", f"jobid={job}", "starttime=now+3")

    def wait(self, condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> None:
        """Return when the condition holds."""
        deadline = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"it never came to this: {what}\n{self._logs()}")
            time.sleep(0.2)

    def _logs(self) -> str:
        files: Sequence[Path] = sorted(self.folder.glob("*.out")) + sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-600:]}" for file in files)

    def power_off(self, node: str) -> None:
        """End a node with all that runs on it, as a power cut would."""
        daemon = self._daemons.pop(node)
        steps = [stepd for stepd, place in _step_daemons(self.folder).items() if place == node]
        _kill([*steps, *(child for stepd in steps for child in _children(stepd)), psutil.Process(daemon.pid)])
        daemon.wait()

    def stop(self) -> None:
        """End the jobs, then the daemons, munge last; remove the folder."""
        with suppress(subprocess.SubprocessError, OSError):
            self.call("scancel", "--user", getpass.getuser())
            self.wait(lambda: not self.call("squeue", "-h", "-o", "%i").split(), "no job is left", 30)
        for name in sorted(self._daemons, key=lambda name: name == "munged"):
            daemon = self._daemons[name]
            daemon.terminate()
            try:
                daemon.wait(30)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        left = list(_step_daemons(self.folder))
        _kill([*(child for stepd in left for child in _children(stepd)), *left])
        shutil.rmtree(self.folder, ignore_errors=True)


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _step_daemons(folder: Path) -> dict[psutil.Process, str]:
    """The daemons that watch the steps of this cluster's jobs, which outlive their node's, and their nodes.

    Their own environment cannot be read, but the tasks below them know where they are.
    """
    found = {}
    for stepd in [one for one in psutil.process_iter() if one.name() == "slurmstepd"]:
        for known in map(_environment, _children(stepd)):
            if known.get("SLURM_CONF") == str(folder / "slurm.conf"):
                found[stepd] = known.get("SLURMD_NODENAME", "")
    return found


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except psutil.Error:
        return {}
