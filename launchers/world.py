"""The MPI world that this process was started in: a rank that is right on any MPI, and one broadcast.

MPI is used while a launch begins and never afterwards: a rank that waits in a collective burns a core, and a
lost rank would hold up all others. mpi4py is imported only where an MPI launcher has announced itself (see
`mpi_library`). `NANO_HPO_MPI=no` leaves MPI alone altogether.
"""

from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Mapping
from typing import Any

from .errors import LauncherError, RankError
from .mpi_library import FROM_ENVIRONMENT, REBUILD, begin_mpi, is_installed, name_of, running_mpi
from .rank import ALONE, Rank, find_launcher, read_rank

__all__ = ["World", "join_world"]

_NO_MPI = ("slurm",)  # srun tells ranks by itself; under --mpi=none each task would be a world of its own
SWITCH = "NANO_HPO_MPI"
_OFF = ("0", "no", "off", "false")
_POLLS_S = (0.001, 0.05)  # the first wait and the longest one
_JOIN_S = 900.0  # rank 0 of a script may prepare its data before it searches
_CLOSE_S = 300.0


class World:
    """The ranks of one MPI launch, or what the environment says of them where MPI cannot be used.

    rank: this process among them; its node's ranks are those that share memory with it. notes: what is odd
    about how we were started, for people.
    """

    def __init__(
        self, rank: Rank, comm: Any = None, leaving: Any = None, notes: tuple[str, ...] = ()
    ) -> None:
        self.rank = rank
        self.notes = notes
        self._comm = comm
        self._leaving = leaving  # a communicator for the last barrier; None: MPI is not ours to end

    @property
    def can_talk(self) -> bool:
        """Whether :meth:`broadcast` works."""
        return self._comm is not None

    def broadcast(self, item: bytes | None, patience_s: float) -> bytes:
        """Rank 0's ``item`` on every rank. Waiting costs no core.

        Raises ``LauncherError`` when rank 0 has said nothing for ``patience_s`` seconds, or when the ranks
        cannot talk (``can_talk``), which they cannot after that either.
        """
        if self._comm is None:
            raise LauncherError("The ranks of this launch cannot talk by MPI.")
        is_root = self.rank.index == 0
        size = bytearray(len(item or b"").to_bytes(8, "big") if is_root else bytes(8))
        self._finish(self._comm.Ibcast(size, root=0), patience_s)
        data = bytearray(item or b"") if is_root else bytearray(int.from_bytes(size, "big"))
        if data:
            self._finish(self._comm.Ibcast(data, root=0), patience_s)
        return bytes(data)

    def _finish(self, request: Any, patience_s: float) -> None:
        if not _is_done(request, patience_s):
            self._comm = None
            raise LauncherError(f"MPI brought nothing of rank 0 for {patience_s:g} s.")

    def close(self) -> None:
        """Leave MPI, where this process may: the others need not wait for its end, nor notice its death.

        All ranks come here when they have heard rank 0. Where one does not in five minutes MPI stays as it
        is: MPI_Finalize would wait for it for ever, and burn a core.
        """
        if self._leaving is None:
            return
        leaving, self._comm, self._leaving = self._leaving, None, None
        if _is_done(leaving.Ibarrier(), _CLOSE_S):
            _finalize()


_joined: World | None = None  # a process has one world; a script may search more than once


def join_world(environ: Mapping[str, str], owns: bool) -> World | None:
    """The world of an MPI launcher; None where there is none, or no mpi4py: ``read_rank`` tells then.

    ``owns``: nobody else in this process needs MPI, which is ended by :meth:`World.close`; in a script it is
    ended when the script ends, unless the script has loaded mpi4py itself. All ranks must call this: it waits
    for them, without using a core, and raises ``RankError`` after 15 minutes.

    Where mpi4py belongs to another MPI, or ``srun`` was given the wrong ``--mpi``, each process has an MPI
    world of its own: the ranks then come from the environment, and a note says why. Raises ``RankError``
    where neither tells the ranks apart.
    """
    global _joined
    if _joined is None:
        world = _join(environ, owns)
        if world is None or not world.can_talk:
            return world
        _joined = world
    return _joined


def _join(environ: Mapping[str, str], owns: bool) -> World | None:
    mpi = running_mpi()
    if mpi is not None:
        return _compare(mpi, environ, is_ours=False, owns=owns)
    launcher = find_launcher(environ)
    is_off = environ.get(SWITCH, "").lower() in _OFF
    if launcher is None or launcher.name in _NO_MPI or is_off or not is_installed():
        return None
    try:
        mpi = begin_mpi(launcher.name)
    except LauncherError as error:
        return World(read_rank(environ), notes=(f"{error} {FROM_ENVIRONMENT}",))
    return _compare(mpi, environ, is_ours=True, owns=owns)


def _compare(mpi: Any, environ: Mapping[str, str], is_ours: bool, owns: bool) -> World | None:
    """MPI's word counts unless it takes each of several processes for a world of its own."""
    said, size = _said(environ), mpi.COMM_WORLD.Get_size()
    if size == 1 and said == ALONE:
        return None
    if size == 1 and isinstance(said, RankError):
        raise RankError(f"{said} {name_of(mpi)} sees no other ranks either.")
    if isinstance(said, Rank) and said != ALONE and said.size != size:
        if is_ours:
            atexit.register(_finalize)
        return World(said, notes=(_mismatch(mpi, said),))
    launcher = find_launcher(environ)
    return _talk(mpi, launcher.name if launcher is not None else "mpi", is_ours, owns)


def _said(environ: Mapping[str, str]) -> Rank | RankError:
    """What the environment says, or what it lacks."""
    try:
        return read_rank(environ)
    except RankError as error:
        return error


def _talk(mpi: Any, launcher: str, is_ours: bool, owns: bool) -> World:
    """The world as MPI knows it; the ranks meet here."""
    world = mpi.COMM_WORLD
    comm, leaving = _duplicate(world), _duplicate(world)
    node = comm.Split_type(mpi.COMM_TYPE_SHARED, key=comm.Get_rank())
    rank = Rank(comm.Get_rank(), comm.Get_size(), node.Get_rank(), node.Get_size(), launcher)
    node.Free()
    if is_ours and (rank.size == 1 or not owns):
        atexit.register(_leave_at_exit, leaving)
    return World(rank, comm, leaving if is_ours and owns and rank.size > 1 else None)


def _duplicate(world: Any) -> Any:
    comm, request = world.Idup()
    if not _is_done(request, _JOIN_S):
        raise RankError(
            f"MPI has {world.Get_size()} ranks, but not all of them came here in {_JOIN_S:g} s: every rank "
            "must run the search. Start the script without mpirun or srun if only one shall."
        )
    return comm


def _leave_at_exit(leaving: Any) -> None:
    """Let the others come to their end as well, without burning a core for it as MPI_Finalize does.

    A script that has failed does not wait: its exit status is what the launcher shall see.
    """
    if getattr(sys, "last_value", None) is None and _is_done(leaving.Ibarrier(), float("inf")):
        _finalize()


def _finalize() -> None:
    mpi = running_mpi()
    if mpi is not None:
        mpi.Finalize()


def _is_done(request: Any, patience_s: float) -> bool:
    """Look until a request is completed, or for ``patience_s`` seconds."""
    deadline = time.monotonic() + patience_s
    pause_s, longest_s = _POLLS_S
    while not request.Test():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, longest_s)
    return True


def _mismatch(mpi: Any, said: Rank) -> str:
    seen = f"but mpi4py, which uses {name_of(mpi)}, sees {mpi.COMM_WORLD.Get_size()}"
    if said.launcher == "slurm":
        fix = "Give srun the --mpi that this MPI speaks (srun --mpi=list; mostly pmix or pmi2)."
        return f"srun has started {said.size} tasks, {seen}. {fix} {FROM_ENVIRONMENT}"
    return f"{said.launcher} has started {said.size} ranks, {seen}. {REBUILD} {FROM_ENVIRONMENT}"
