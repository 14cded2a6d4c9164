"""Which CPUs the ranks of a node divide: a /proc in, and the environments that srun leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from launchers import ALONE, Confinement, Rank, read_confinement

SECOND_OF_TWO = Rank(1, 2, 1, 2, "openmpi")


@pytest.fixture
def process(tmp_path: Path) -> Path:
    """A rank that mpirun bound to CPU 1, below a shell that may use CPUs 0 to 3."""
    lines = {
        "40": ("nano-hpo", "30", "1"),
        "30": ("sh", "20", "1"),
        "20": ("mpirun", "10", "0-3"),
        "10": ("bash", "1", "0-7"),
    }
    for pid, (name, parent, mask) in lines.items():
        (tmp_path / pid).mkdir()
        text = f"Name:\t{name}\nPPid:\t{parent}\nCpus_allowed_list:\t{mask}\n"
        (tmp_path / pid / "status").write_text(text)
    return tmp_path / "40"


def test_ranks_of_mpirun_divide_what_mpirun_may_use(process: Path) -> None:
    found = read_confinement(SECOND_OF_TWO, {}, process=process)
    assert (found.pus, found.n_ranks, found.place, found.source) == ((0, 1, 2, 3), 2, 1, "mpirun")


@pytest.mark.parametrize(
    "name", ["mpirun.openmpi", "mpiexec.openmpi", "prterun", "orted", "hydra_pmi_proxy", "mpiexec.hydra"]
)
def test_the_processes_of_other_mpis_are_known(process: Path, name: str) -> None:
    status = process.with_name("20") / "status"
    status.write_text(status.read_text().replace("mpirun", name[:15]))  # as the kernel cuts it
    assert read_confinement(SECOND_OF_TWO, {}, process=process).pus == (0, 1, 2, 3)


def test_what_a_rank_was_bound_to_and_what_binds_none_is_said_on_one_line(process: Path) -> None:
    found = read_confinement(SECOND_OF_TWO, {}, process=process)
    assert found.note is not None
    assert found.note.startswith("mpirun bound this rank to CPU 1. The ranks of this node (2) divide CPU 0-3")
    assert "--keep-binding" in found.note
    assert "mpirun --bind-to none" in found.note
    assert "\n" not in found.note


def test_there_is_nothing_to_say_of_a_rank_that_is_not_bound(process: Path) -> None:
    status = process / "status"
    status.write_text(status.read_text().replace("Cpus_allowed_list:\t1", "Cpus_allowed_list:\t0-3"))
    assert read_confinement(SECOND_OF_TWO, {}, process=process).note is None


@pytest.mark.parametrize(
    ("launcher", "environ", "flag"),
    [
        ("mpich", {}, "mpiexec -bind-to none"),
        ("mpich", {"I_MPI_HYDRA_UUID": "1"}, "mpiexec -genv I_MPI_PIN off"),
        ("pmi", {}, "mpiexec --cpu-bind none"),
        ("pmix", {}, "its launcher's option for no binding"),
    ],
)
def test_each_launcher_has_its_own_flag(
    process: Path, launcher: str, environ: dict[str, str], flag: str
) -> None:
    found = read_confinement(Rank(1, 2, 1, 2, launcher), environ, process=process)
    assert found.note is not None
    assert flag in found.note


def test_a_rank_that_keeps_its_binding_has_its_mask_to_itself(process: Path) -> None:
    found = read_confinement(SECOND_OF_TWO, {}, keep_binding=True, process=process)
    assert (found.pus, found.n_ranks, found.place, found.note) == (None, 1, 0, None)


def test_ranks_divide_their_own_mask_where_no_mpirun_is_above_them_and_say_so(process: Path) -> None:
    (process.with_name("20") / "status").unlink()
    found = read_confinement(SECOND_OF_TWO, {}, process=process)
    assert (found.pus, found.n_ranks, found.place) == (None, 2, 1)
    assert found.note is not None
    assert "cannot be seen from here" in found.note
    assert "all 2 ranks of this node are taken to share them" in found.note
    assert "mpirun --bind-to none" in found.note


def test_a_process_alone_divides_its_own_mask_also_below_an_mpirun(process: Path) -> None:
    assert read_confinement(ALONE, {}, process=process) == Confinement(None, n_ranks=1, place=0)


@pytest.mark.parametrize(
    ("environ", "is_own"),
    [
        ({"SLURM_CPU_BIND_TYPE": "mask_cpu:", "SLURM_CPU_BIND_LIST": "0x3,0xC"}, True),
        ({"SLURM_CPU_BIND_TYPE": "mask_cpu:", "SLURM_CPU_BIND_LIST": "0xF,0xF"}, False),
        ({"SLURM_CPU_BIND_TYPE": "none", "SLURM_CPU_BIND_LIST": ""}, False),
        ({}, False),
    ],
    ids=["a mask for each task", "sockets shared by tasks", "--cpu-bind=none", "no binding plugin"],
)
def test_tasks_of_srun_keep_cpus_of_their_own_and_divide_common_ones(
    environ: dict[str, str], is_own: bool
) -> None:
    found = read_confinement(Rank(1, 2, 1, 2, "slurm"), environ)
    assert found.pus is None
    assert (found.n_ranks, found.place) == ((1, 0) if is_own else (2, 1))
    assert found.note is None  # what srun gives is what was asked for


def test_a_task_of_srun_that_has_too_few_cpus_is_told_what_gives_more() -> None:
    environ = {"SLURM_CPU_BIND_TYPE": "mask_cpu:", "SLURM_CPU_BIND_LIST": "0x1,0x2"}
    found = read_confinement(Rank(1, 2, 1, 2, "slurm"), environ)
    assert "--cpus-per-task=N" in found.more
    assert "--cpu-bind=none" in found.more
