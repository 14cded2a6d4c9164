"""``nano-hpo doctor`` on what is around a run: packages, MPI, Slurm, variables, names, limits, memory."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from affinity import read_allowance, read_topology, synthetic_topology, unrestricted
from affinity.memory import Memory
from orchestrator.doctor import Verdict, environment, machine, mpi, packages, slurm, software
from orchestrator.doctor.machine import Machine
from orchestrator.doctor.programs import answer
from orchestrator.siblings import ROOT
from orchestrator.versions import version_of
from tests.orchestrator.waiting import has_ended, wait_until


def by_topic(checks):
    return {one.topic: one for one in checks}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Installs packages that are nothing but their metadata, before all others."""
    version_of.cache_clear()
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, number: str, *asked: str) -> None:
        folder = tmp_path / f"{name.replace('-', '_')}-{number}.dist-info"
        folder.mkdir()
        lines = [f"Name: {name}", f"Version: {number}", *(f"Requires-Dist: {one}" for one in asked)]
        (folder / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
        version_of.cache_clear()

    yield install
    version_of.cache_clear()


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A PATH of these programs alone, each a few lines of sh."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


def test_the_packages_of_this_environment_go_together():
    found = by_topic(packages.package_checks())
    assert found["versions"].verdict is Verdict.GOOD
    assert found["conflicts"].verdict is Verdict.GOOD


def test_a_package_that_is_too_old_for_us_is_a_problem(site):
    site("optuna", "4.9.0")
    versions = by_topic(packages.package_checks())["versions"]
    assert versions.verdict is Verdict.BAD
    assert "optuna 4.9.0, not <6,>=5.0" in versions.said


def test_libraries_that_do_not_fit_each_other_are_named(site):
    site("keras", "3.99.0", "numpy<1", "nowhere-to-be-found>=2; python_version>='3'", "else-x; extra=='x'")
    conflicts = by_topic(packages.package_checks())["conflicts"]
    assert conflicts.verdict is Verdict.MIND
    assert "keras 3.99.0: numpy " in conflicts.said
    assert "nowhere-to-be-found missing, not >=2" in conflicts.said
    assert "else-x" not in conflicts.said


def test_ipex_needs_the_torch_of_its_own_number(site):
    site("intel-extension-for-pytorch", "2.8.0")
    site("torch", "2.13.0+cpu")
    ipex = by_topic(packages.package_checks())["IPEX"]
    assert ipex.verdict is Verdict.MIND
    assert "2.8.0 needs torch 2.8, there is 2.13.0+cpu" in ipex.said
    assert "torch==2.8.*" in (ipex.step or "")


def test_ipex_with_its_torch_is_good(site):
    site("intel-extension-for-pytorch", "2.8.10")
    site("torch", "2.8.0")
    assert by_topic(packages.package_checks())["IPEX"].verdict is Verdict.GOOD


def test_packages_that_overwrite_each_other_are_named(site):
    site("openmpi", "5.0.11")
    site("mpich", "5.0.0")
    assert "openmpi and mpich overwrite" in by_topic(packages.package_checks())["twins"].said


@pytest.mark.parametrize(
    ("variable", "value"), [("TF_USE_LEGACY_KERAS", "1"), ("KERAS_BACKEND", "torch"), ("", "")]
)
def test_keras_must_be_the_third_on_tensorflow(site, monkeypatch, variable, value):
    site("tensorflow-cpu", "2.21.0")
    site("keras", "3.15.0" if variable else "2.15.0")
    if variable:
        monkeypatch.setenv(variable, value)
    assert by_topic(packages.package_checks())["TensorFlow"].verdict is Verdict.MIND


def test_nothing_heavy_is_imported():
    heavy = "torch tensorflow keras pytorch_lightning optuna_dashboard sklearn orchestrator.plots"
    code = f"import sys; from orchestrator.doctor import examine; list(examine(None))\n\
print({{*'{heavy}'.split()}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


HYDRA = "HYDRA build details:\n    Version:                                 4.0.2\n    Release Date: x\n"


@pytest.mark.parametrize(
    ("said", "family", "title"),
    [
        ("mpirun (Open MPI) 4.1.4\n\nReport bugs to", "openmpi", "mpirun (Open MPI) 4.1.4"),
        ("mpirun (Open MPI) 5.0.11", "openmpi", "mpirun (Open MPI) 5.0.11"),
        (HYDRA, "mpich", "MPICH's Hydra 4.0.2"),
        ("Intel(R) MPI Library for Linux* OS, Version 2021.18\n", "mpich", "Intel(R) MPI Library for Linux*"),
        ("something else", None, "something else"),
    ],
)
def test_launchers_are_known_by_what_they_say(said, family, title):
    assert mpi.family_of(said) == family
    assert mpi.title_of(said).startswith(title)


def test_the_real_mpirun_and_mpi4py_are_named():
    if shutil.which("mpirun") is None:
        pytest.skip("MPI: no mpirun")
    found = by_topic(mpi.mpi_checks())
    assert found["mpirun"].verdict is Verdict.GOOD
    assert "MP" in found["mpirun"].said


def test_mpi4py_of_another_mpi_than_mpirun_is_minded(path, monkeypatch):
    path("mpirun", f"cat <<'END'\n{HYDRA}END".replace("cat", "/bin/cat"))
    monkeypatch.setattr(mpi, "read_mpi_library", lambda: "Open MPI v4.1.4")
    monkeypatch.setattr(mpi, "is_installed", lambda: True)
    found = by_topic(mpi.mpi_checks())
    assert "Hydra 4.0.2" in found["mpirun"].said
    assert found["mpi4py"].verdict is Verdict.MIND
    assert "Build mpi4py" in (found["mpi4py"].step or "")
    path("mpirun", "echo 'mpirun (Open MPI) 4.1.4'")
    assert by_topic(mpi.mpi_checks())["mpi4py"].verdict is Verdict.GOOD


def test_without_mpi_and_slurm_nothing_is_wrong(path):
    assert by_topic(mpi.mpi_checks())["mpirun"].verdict is Verdict.NONE
    (only,) = slurm.slurm_checks()
    assert only.verdict is Verdict.NONE


def test_a_controller_that_is_down_is_minded_and_the_job_is_named(path, monkeypatch):
    for name in ("sbatch", "srun", "squeue", "scancel"):
        path(name, "exit 0")
    path("scontrol", "echo 'Slurmctld(primary) at head is UP'")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    found = by_topic(slurm.slurm_checks())
    assert [found[topic].verdict for topic in ("Slurm", "controller", "job")] == [Verdict.GOOD] * 3
    assert found["job"].said == "12"
    path("scontrol", "echo 'Slurmctld(primary) at head is DOWN'; exit 1")
    assert by_topic(slurm.slurm_checks())["controller"].verdict is Verdict.MIND
    path("scontrol", "echo 'fatal: Could not establish a configuration source' >&2; exit 1")
    assert by_topic(slurm.slurm_checks())["controller"].verdict is Verdict.NONE


def test_commands_of_slurm_that_are_missing_are_named(path):
    path("sbatch", "exit 0")
    assert "srun, squeue, scancel, scontrol missing" in by_topic(slurm.slurm_checks())["Slurm"].said


def test_a_program_that_does_not_answer_is_ended_with_its_children(tmp_path):
    pids = tmp_path / "pids"
    assert answer(["sh", "-c", f"sleep 600 & echo $! > '{pids}'; wait"], answer_s=0.5) is None
    if pids.exists() and pids.read_text().strip():  # else it was ended before
        child = int(pids.read_text())
        wait_until(lambda: has_ended(child))  # a signal is sent before it is obeyed
    assert answer(["no-such-program"]) is None
    found = answer(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert found is not None
    assert (found.text, found.is_well, found.last_line) == ("out\nerr\n", False, "err")


def test_thread_variables_that_workers_would_keep_are_minded():
    machine_, n_cores = read_topology(), 2
    allowance = read_allowance(machine_)
    assert environment._variables({}, allowance, n_cores).verdict is Verdict.GOOD
    for name, value in (
        ("OMP_NUM_THREADS", "64"),
        ("MKL_NUM_THREADS", "1"),
        ("OMP_PROC_BIND", "true"),
        ("KMP_AFFINITY", "compact"),
        ("GOMP_CPU_AFFINITY", "0-3"),
    ):
        found = environment._variables({name: value}, allowance, n_cores)
        assert found.verdict is Verdict.MIND
        assert f"{name}={value}" in found.said
        assert f"unset {name}" in (found.step or "")


@pytest.mark.parametrize(
    "name", ["affinity.py", "launchers", "orchestrator.py", "optuna.py", "torch/__init__.py"]
)
def test_files_that_hide_a_package_are_named(tmp_path, name):
    assert environment._names(tmp_path, {}).verdict is Verdict.GOOD
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).touch()
    for found in (
        environment._names(tmp_path, {}),
        environment._names(ROOT, {"PYTHONPATH": f"/nowhere{os.pathsep}{tmp_path}"}),
    ):
        assert found.verdict is Verdict.MIND
        assert str(tmp_path / name) in found.said


def test_a_folder_of_data_hides_no_library(tmp_path):
    (tmp_path / "torch").mkdir()
    assert environment._names(tmp_path, {}).verdict is Verdict.GOOD
    assert environment._names(ROOT, {}).verdict is Verdict.GOOD


def test_a_folder_that_is_gone_is_a_problem_and_no_traceback(cli):
    words = " ".join(shlex.quote(word) for word in cli.argv("doctor"))
    command = ["sh", "-c", f"mkdir gone && cd gone && rmdir ../gone && {words}"]
    done = subprocess.run(command, cwd=cli.cwd, env=cli.env, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done
    assert "✗ names" in done.stdout
    assert "this folder is gone" in done.stdout


def checks_under(limit: str) -> str:
    """What is said in a shell with that limit."""
    code = "from orchestrator.doctor import environment as e; print(e._files(1000)); print(e._limits())"
    command = ["bash", "-c", f'ulimit {limit}; "$0" -c "$1"', sys.executable, code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_limits_of_the_shell_are_minded():
    assert "MIND" in checks_under("-n 256").splitlines()[0]
    assert "256 allowed, 3024 needed" in checks_under("-n 256")
    assert "ulimit -t: 3,600 s of CPU time" in checks_under("-t 3600")
    assert "MiB of address space" in checks_under("-v 33554432")


def test_room_for_what_is_temporary_and_shared(tmp_path, monkeypatch):
    assert environment._temporary(tmp_path).verdict is Verdict.GOOD
    assert environment._shared(tmp_path / "none").verdict is Verdict.NONE
    usage = shutil.disk_usage(tmp_path)._replace(total=64 << 20, free=10 << 20)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    assert environment._temporary(tmp_path).verdict is environment._shared(tmp_path).verdict is Verdict.MIND


def test_quota_memory_and_halved_cores_are_minded():
    there = synthetic_topology("2 4 2")
    whole = unrestricted(there)
    found = by_topic(machine.machine_checks(Machine(there, replace(whole, memory=Memory(65536, "told")))))
    assert [found[topic].verdict for topic in ("cores", "SMT", "memory")] == [Verdict.GOOD] * 3
    little = replace(whole, quota_cpus=2.5, memory=Memory(1024, "cgroup")).without([0])
    found = by_topic(machine.machine_checks(Machine(there, little)))
    assert [found[topic].verdict for topic in ("cores", "SMT", "memory")] == [Verdict.MIND] * 3
    assert "--n-parallels 2 at most" in (found["cores"].step or "")
    assert found["SMT"].said.startswith("1 core of which")
    single = synthetic_topology("4")
    assert (
        by_topic(machine.machine_checks(Machine(single, unrestricted(single))))["SMT"].verdict is Verdict.NONE
    )


def test_a_server_program_is_looked_for_and_a_wrong_name_is_minded(monkeypatch, tmp_path):
    monkeypatch.setenv("NANO_HPO_SERVER", str(tmp_path / "none"))
    assert by_topic(software.software_checks(None))["server program"].verdict is Verdict.MIND
    monkeypatch.delenv("NANO_HPO_SERVER")
    monkeypatch.setattr(software, "search_folders", lambda: [tmp_path])
    assert by_topic(software.software_checks(None))["server program"].verdict is Verdict.NONE
    (tmp_path / "mariadbd").touch(mode=0o755)
    assert str(tmp_path / "mariadbd") in by_topic(software.software_checks(None))["server program"].said
