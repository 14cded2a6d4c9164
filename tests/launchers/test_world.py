"""Ranks and a broadcast by real MPIs, and by environments that promise more than the MPI at hand keeps."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from launchers import LauncherError, join_world
from tests.mpi import (
    environment,
    fake_rsh,
    hydra,
    launch,
    mpich_environment,
    needs_mpich,
    needs_open_mpi,
    open_mpi,
)

pytest.importorskip("mpi4py", reason="mpi4py: not installed")

# Says who it is and what rank 0 said, then leaves MPI where it may.
JOIN = """
from dataclasses import asdict
world = join_world(os.environ, owns=OWNS)
said = world.broadcast(b"x" * 100_000 if world.rank.index == 0 else None, 60.0) if world.can_talk else b""
world.close()
from mpi4py import MPI
tell(**asdict(world.rank), notes=world.notes, said=len(said), finalized=MPI.Is_finalized())
"""
COMMAND = JOIN.replace("OWNS", "True")
SCRIPT = JOIN.replace("OWNS", "False")
LOADED = "from mpi4py import MPI\n"

OF_TWO = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}
OF_TWO |= {"OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}
TASK_OF_TWO = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"}
TASK_OF_TWO |= {"SLURM_NODEID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "2"}

ALONE: list[str] = []  # no launcher before the program


def numbers(facts: dict) -> tuple[int, int, int, int]:
    return facts["index"], facts["size"], facts["local_index"], facts["local_size"]


# Real launches


@needs_open_mpi
@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_ranks_of_open_mpi_hear_rank_0_and_leave_mpi(tmp_path: Path, n_ranks: int) -> None:
    done = launch(open_mpi(n_ranks), COMMAND, tmp_path, environment())
    assert done.code == 0, done.err
    assert [numbers(facts) for facts in done.told] == [(i, n_ranks, i, n_ranks) for i in range(n_ranks)]
    assert all(facts["said"] == 100_000 and not facts["notes"] for facts in done.told)
    assert all(facts["finalized"] == (n_ranks > 1) for facts in done.told)  # one rank holds up nobody


@needs_mpich
@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_ranks_of_mpich_hear_rank_0_and_leave_mpi(tmp_path: Path, n_ranks: int) -> None:
    done = launch(hydra(n_ranks), COMMAND, tmp_path, mpich_environment(tmp_path))
    assert done.code == 0, done.err
    assert [numbers(facts) for facts in done.told] == [(i, n_ranks, i, n_ranks) for i in range(n_ranks)]
    assert all(facts["said"] == 100_000 and not facts["notes"] for facts in done.told)
    assert all(facts["finalized"] == (n_ranks > 1) for facts in done.told)


@needs_open_mpi
def test_open_mpi_on_two_hosts_tells_which_ranks_share_one(tmp_path: Path) -> None:
    hosts = ["--mca", "plm_rsh_agent", fake_rsh(tmp_path), "--host", "one:1,two:2"]
    done = launch(open_mpi(3, *hosts), COMMAND, tmp_path, environment())
    assert done.code == 0, done.err
    assert [numbers(facts) for facts in done.told] == [(0, 3, 0, 1), (1, 3, 0, 2), (2, 3, 1, 2)]
    assert all(facts["said"] == 100_000 for facts in done.told)


@needs_mpich
def test_mpich_on_two_hosts_tells_which_ranks_share_one(tmp_path: Path) -> None:
    hosts = ["-launcher", "ssh", "-launcher-exec", fake_rsh(tmp_path), "-hosts", "one:1,two:2"]
    done = launch(hydra(3, *hosts), COMMAND, tmp_path, mpich_environment(tmp_path))
    assert done.code == 0, done.err
    assert [numbers(facts) for facts in done.told] == [(0, 3, 0, 1), (1, 3, 0, 2), (2, 3, 1, 2)]


# Scripts, in which others may need MPI


@needs_open_mpi
def test_a_script_may_search_twice_and_use_mpi_afterwards(tmp_path: Path) -> None:
    body = SCRIPT.replace("tell(", "again = join_world(os.environ, owns=False)\ntell(") + (
        "assert again is world and again.broadcast(b'y' if world.rank.index == 0 else None, 60.0) == b'y'\n"
        "assert MPI.COMM_WORLD.allreduce(1) == 2\n"
    )
    done = launch(open_mpi(2), body, tmp_path, environment())
    assert done.code == 0, done.err  # MPI_Finalize as well: mpirun complains of a rank that leaves without
    assert [facts["finalized"] for facts in done.told] == [False, False]


@needs_open_mpi
def test_mpi_that_a_script_has_begun_is_its_own(tmp_path: Path) -> None:
    body = LOADED + COMMAND + "assert MPI.COMM_WORLD.allreduce(1) == 2\n"
    done = launch(open_mpi(2), body, tmp_path, environment())
    assert done.code == 0, done.err
    assert [facts["finalized"] for facts in done.told] == [False, False]
    assert all(facts["said"] == 100_000 for facts in done.told)


@needs_open_mpi
def test_a_script_that_fails_ends_though_the_others_are_at_work(tmp_path: Path) -> None:
    body = SCRIPT + "if world.rank.index == 1: raise ValueError('no data')\nwhile True: time.sleep(0.1)\n"
    done = launch(open_mpi(2), body, tmp_path, environment())
    assert done.code == 1, done.err
    assert "ValueError: no data" in done.err


@needs_open_mpi
def test_a_search_that_one_rank_alone_begins_is_refused(tmp_path: Path) -> None:
    body = """
launchers.world._JOIN_S = 0.5
if read_rank(os.environ).index == 0:
    try:
        join_world(os.environ, owns=False)
    except RankError as error:
        tell(error=str(error))
    os._exit(1)
from mpi4py import MPI
while True: time.sleep(0.1)
"""
    done = launch(open_mpi(2), body, tmp_path, environment())
    assert done.code == 1, done.err
    assert "every rank must run the search" in done.told[0]["error"]


@needs_open_mpi
def test_a_rank_that_hears_nothing_says_so_and_talks_no_more(tmp_path: Path) -> None:
    body = """
world = join_world(os.environ, owns=False)
if world.rank.index == 1:
    try:
        world.broadcast(None, 0.2)
    except LauncherError as error:
        tell(error=str(error), can_talk=world.can_talk)
while not list(Path().glob("told-*.json")): time.sleep(0.05)
os._exit(0)
"""
    done = launch(open_mpi(2), body, tmp_path, environment())
    assert done.told == [{"error": "MPI brought nothing of rank 0 for 0.2 s.", "can_talk": False}], done.err


@needs_open_mpi
def test_a_rank_that_waits_burns_no_core(tmp_path: Path) -> None:
    body = """
world = join_world(os.environ, owns=True)
is_root = world.rank.index == 0
if is_root: time.sleep(3)
began_s, used_s = time.monotonic(), time.process_time()
world.broadcast(b"x" if is_root else None, 60.0)
share = (time.process_time() - used_s) / (time.monotonic() - began_s)
tell(index=world.rank.index, share=share)
world.close()
"""
    done = launch(open_mpi(2), body, tmp_path, environment())
    assert done.code == 0, done.err
    assert done.told[1]["share"] < 0.2  # MPI_Bcast takes all that it gets; this took 0.002


# A library of another MPI, and none


@needs_open_mpi
@needs_mpich
def test_behind_open_mpi_a_library_of_mpich_is_not_begun(tmp_path: Path) -> None:
    body = COMMAND.replace("from mpi4py import MPI", "assert 'mpi4py.MPI' not in sys.modules")
    body = body.replace("MPI.Is_finalized()", "None")
    done = launch(open_mpi(2), body, tmp_path, mpich_environment(tmp_path))
    assert done.code == 0, done.err
    assert [numbers(facts) for facts in done.told] == [(0, 2, 0, 2), (1, 2, 1, 2)]
    for facts in done.told:
        (note,) = facts["notes"]
        assert note.startswith("The mpirun of Open MPI has started us, mpi4py uses MPICH ")
        assert "The ranks come from the environment." in note


@needs_open_mpi
@needs_mpich
def test_behind_mpich_a_library_of_open_mpi_is_not_begun(tmp_path: Path) -> None:
    body = COMMAND.replace("from mpi4py import MPI", "").replace("MPI.Is_finalized()", "None")
    done = launch(hydra(2), body, tmp_path, environment())
    assert done.code == 0, done.err
    assert [numbers(facts) for facts in done.told] == [(0, 2, 0, 2), (1, 2, 1, 2)]
    assert all("mpi4py uses Open MPI v" in facts["notes"][0] for facts in done.told)


@needs_open_mpi
@pytest.mark.parametrize("loaded", ["", LOADED], ids=["begun by us", "begun by the script"])
def test_a_world_of_one_among_several_ranks_is_not_believed(tmp_path: Path, loaded: str) -> None:
    done = launch(ALONE, loaded + SCRIPT, tmp_path, environment() | OF_TWO)
    assert done.code == 0, done.err
    (facts,) = done.told
    assert numbers(facts) == (1, 2, 1, 2)
    assert facts["notes"][0].startswith("openmpi has started 2 ranks, but mpi4py, which uses Open MPI v")


@needs_open_mpi
def test_a_task_of_srun_with_an_mpi_world_of_its_own_has_its_rank_from_slurm(tmp_path: Path) -> None:
    done = launch(ALONE, LOADED + SCRIPT, tmp_path, environment() | TASK_OF_TWO)
    assert done.code == 0, done.err
    (facts,) = done.told
    assert numbers(facts) == (1, 2, 1, 2)
    assert "srun has started 2 tasks, but mpi4py" in facts["notes"][0]
    assert "srun --mpi=list" in facts["notes"][0]


@needs_open_mpi
def test_a_rank_that_nobody_tells_is_refused(tmp_path: Path) -> None:
    body = """
try:
    join_world(os.environ, owns=True)
except RankError as error:
    tell(error=str(error))
"""
    done = launch(ALONE, body, tmp_path, environment() | {"PMIX_RANK": "1"})
    (facts,) = done.told
    assert "PMIX_SIZE or PMIX_JOB_SIZE is not set" in facts["error"]
    assert "sees no other ranks either" in facts["error"]


@pytest.mark.parametrize("library", ["/nowhere/libmpi.so.40", "libc.so.6"])
def test_without_a_library_of_mpi_the_environment_tells(tmp_path: Path, library: str) -> None:
    body = COMMAND.replace("from mpi4py import MPI", "").replace("MPI.Is_finalized()", "None")
    env = environment() | OF_TWO | {"MPI4PY_LIBMPI": library}
    done = launch(ALONE, body, tmp_path, env)
    assert done.code == 0, done.err
    (facts,) = done.told
    assert numbers(facts) == (1, 2, 1, 2)
    assert facts["notes"][0].startswith("mpi4py cannot be used (cannot load MPI library")
    assert "LD_LIBRARY_PATH" in facts["notes"][0]


# Where MPI is left alone


@pytest.mark.parametrize(
    "environ", [{}, TASK_OF_TWO, OF_TWO | {"NANO_HPO_MPI": "no"}], ids=["alone", "srun", "switched off"]
)
def test_mpi_is_left_alone(tmp_path: Path, environ: dict[str, str]) -> None:
    body = "tell(world=join_world(os.environ, owns=True), loaded='mpi4py' in sys.modules)\n"
    done = launch(ALONE, body, tmp_path, environment() | environ)
    assert done.told == [{"world": None, "loaded": False}], done.err


def test_without_mpi4py_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert join_world(OF_TWO, owns=True) is None


def test_ranks_without_mpi_cannot_talk() -> None:
    from launchers import World, read_rank

    world = World(read_rank(OF_TWO))
    assert not world.can_talk
    with pytest.raises(LauncherError, match="cannot talk"):
        world.broadcast(None, 1.0)
    world.close()
