"""What Python hands to workers: large arrays lie in files, once, and every process maps them."""

from __future__ import annotations

import importlib.util
import mmap
import multiprocessing
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from orchestrator import ObjectiveError, RunDirError, search
from orchestrator.paths import RunPaths
from orchestrator.payload import ArrayFolder, dump, load, pickling, place_of_arrays
from orchestrator.payload import folder as folder_module
from orchestrator.scratch import place as place_module
from tests.orchestrator.waiting import wait_until

MIB = 2**20


def far(path: Path) -> str | None:
    """All but the temporary folder is another machine's."""
    return None if path == Path(tempfile.gettempdir()) else "nfs4"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NANO_HPO_STORAGE", raising=False)


class Travel:
    """Pickles things as for a worker and loads them as a worker does."""

    def __init__(self, root: Path) -> None:
        self.pickle = root / "thing.pkl"
        self.arrays = ArrayFolder(root / "arrays")

    def __call__(self, thing):
        dump(thing, self.pickle, self.arrays)
        return load(self.pickle, self.arrays.path)

    @property
    def files(self) -> list[Path]:
        return sorted(self.arrays.path.glob("*.array"))


@pytest.fixture
def travel(tmp_path: Path):
    trip = Travel(tmp_path)
    with trip.arrays:
        yield trip
    assert not trip.arrays.path.exists()


def is_mapped(array: np.ndarray) -> bool:
    return isinstance(array.base, np.memmap) and isinstance(array.base.base, mmap.mmap)


def noise(*shape: int, dtype="f8") -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(0, 100, shape).astype(dtype)


RECORDS = np.dtype([("name", "U8"), ("when", "M8[ms]"), ("at", ">f4", (3,)), ("flag", "?")], align=True)


def records(n: int) -> np.ndarray:
    made = np.zeros(n, RECORDS)
    made["name"] = np.arange(n).astype("U8")
    made["at"] = noise(n, 3)
    made["flag"] = noise(n) > 50
    return made


LARGE = {
    "plain": noise(100, 200),
    "of one dimension": noise(20_000),
    "Fortran's order": np.asfortranarray(noise(100, 200)),
    "every third column": noise(100, 600)[:, ::3],
    "every second row": noise(200, 200)[::2],
    "backwards": noise(20_000)[::-1],
    "axes turned": noise(20, 30, 40).transpose(2, 0, 1),
    "larger than a piece, with gaps": noise(3, 3 * MIB, dtype="u1")[:, 1:],
    "broadcast": np.broadcast_to(noise(300), (100, 300)),
    "big-endian": noise(20_000, dtype=">i4"),
    "booleans": noise(100, 1000) > 50,
    "halves": noise(40_000, dtype="f2"),
    "complex": noise(10_000) * 1j,
    "dates": noise(20_000, dtype="M8[s]"),
    "spans": noise(20_000, dtype="m8[D]"),
    "text": noise(9_000).astype("U4"),
    "bytes": noise(20_000).astype("S5"),
    "raw": np.zeros(1, "V70000").reshape(()),
    "records": records(2_000),
    "records with gaps": records(4_000)[::2],
    "a field of records": records(20_000)["at"],
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_array_comes_back_as_it_was_and_its_pickle_is_small(travel, name):
    array = LARGE[name]
    back = travel(array)
    assert type(back) is np.ndarray
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(back, array)
    assert back.flags.f_contiguous if array.flags.f_contiguous else back.flags.c_contiguous
    assert back.flags.writeable
    assert back.ctypes.data % 64 == 0
    assert is_mapped(back)
    assert travel.pickle.stat().st_size < 2_000
    (file,) = travel.files
    assert file.stat().st_size == array.nbytes
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(travel.arrays.path.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 500_000)),
        np.array(3.5),
        noise(100),
        np.array([{"a": 1}] * 20_000, dtype=object),
        np.array(["a", "bcd"] * 20_000, dtype=np.dtypes.StringDType()),
        np.ma.masked_less(noise(20_000), 50),
        records(2_000).view(np.recarray),
        np.array([(1, "a"), (2, "b")] * 5_000, dtype=[("n", "i8"), ("any", object)]),
    ],
    ids=["empty", "one number", "small", "objects", "strings", "masked", "recarray", "records of objects"],
)
def test_other_arrays_stay_in_the_pickle(travel, array):
    back = travel(array)
    assert type(back) is type(array)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    assert not travel.arrays.path.exists()


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_array_in_any_order_comes_back(travel, monkeypatch, data):
    monkeypatch.setattr(pickling, "LARGE_BYTES", 1)
    kinds = st.one_of(hnp.scalar_dtypes(), hnp.array_dtypes())
    whole = data.draw(hnp.arrays(kinds, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7)))
    array = whole.transpose(data.draw(st.permutations(range(whole.ndim))))
    if array.ndim:
        array = array[data.draw(hnp.basic_indices(array.shape, allow_ellipsis=False))]
    array = np.asarray(array)
    back = travel([array, whole])
    for before, after in zip([array, whole], back, strict=True):
        assert after.shape == before.shape
        assert after.dtype == before.dtype or not before.size  # numpy itself forgets some orders of bytes
        assert after.tobytes() == before.tobytes()


def test_one_array_that_is_named_twice_is_one_array_there_too(travel):
    array = noise(20_000)
    back = travel({"x": array, "again": [array]})
    assert back["x"] is back["again"][0]
    assert len(travel.files) == 1


def test_the_same_content_is_written_once_and_each_array_may_be_changed_alone(travel):
    array = noise(20_000)
    first, view, copy, turned = travel([array, array[:], array.copy(), array.reshape(100, 200).T])
    assert len(travel.files) == 1
    first[:] = -1
    np.testing.assert_array_equal(view, array)
    np.testing.assert_array_equal(copy, array)
    np.testing.assert_array_equal(turned, array.reshape(100, 200).T)
    np.testing.assert_array_equal(np.fromfile(travel.files[0]), array)


def test_a_pickle_that_is_full_of_arrays_loads_with_few_descriptors(travel):
    arrays = [noise(10_000) + i for i in range(60)]
    limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_open = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_open + 40, hard))
    try:
        back = travel(arrays)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    for before, after in zip(arrays, back, strict=True):
        np.testing.assert_array_equal(after, before)
        assert after.flags.writeable
    assert any(is_mapped(array) for array in back)


def test_the_blocks_of_a_data_frame_lie_in_files(travel):
    frame = pd.DataFrame(noise(30_000, 4), columns=list("abcd"))
    frame["when"] = pd.date_range("2026-01-01", periods=30_000, freq="min")
    frame["kind"] = pd.Categorical(["x", "y", "z"] * 10_000)
    back = travel(frame)
    pd.testing.assert_frame_equal(back, frame)
    assert travel.pickle.stat().st_size < 100_000
    assert sum(file.stat().st_size for file in travel.files) >= 30_000 * 5 * 8
    back["a"] = 0.0
    back.loc[3, "b"] = 7.0
    assert (back.loc[3, "b"], frame.loc[3, "b"]) != (frame.loc[3, "b"], 7.0)


class StandIn:
    """As much of ``torch.Tensor`` as is asked of it, for where torch is not installed."""

    __module__ = "torch"
    __qualname__ = "Tensor"
    device = SimpleNamespace(type="cpu")
    layout = "strided"
    is_quantized = False
    _backward_hooks = None
    __slots__ = ("__dict__", "array", "requires_grad")

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.requires_grad = array, False

    def __reduce__(self):
        return StandIn, (self.array.tobytes(),)  # in the pickle, as torch's own

    def no(self) -> bool:
        return False

    is_conj = is_neg = has_names = no
    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)
    T = property(lambda self: StandIn(self.array.T))

    def requires_grad_(self, wanted: bool = True) -> StandIn:
        self.requires_grad = wanted
        return self

    def view(self, *shape: int) -> StandIn:
        return StandIn(self.array.reshape(shape))

    def detach(self) -> StandIn:
        return self

    def numpy(self) -> np.ndarray:
        return self.array

    def data_ptr(self) -> int:
        return self.array.ctypes.data

    def stride(self) -> tuple[int, ...]:
        return self.array.strides


@pytest.fixture
def torch(monkeypatch):
    """The real one where it is installed."""
    if importlib.util.find_spec("torch") is not None:
        return importlib.import_module("torch")
    module = ModuleType("torch")
    vars(module).update(Tensor=StandIn, strided="strided", from_numpy=StandIn)
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def test_tensors_of_torch_lie_in_files_and_tied_ones_stay_tied(travel, torch):
    array = noise(200, 200)
    values, wanting = torch.from_numpy(array), torch.from_numpy(array.copy()).requires_grad_()
    small = torch.from_numpy(noise(10))
    got, tied, turned, wanting_got, _ = travel([values, values.view(200, 200), values.T, wanting, small])
    assert type(got) is torch.Tensor
    np.testing.assert_array_equal(got.numpy(), array)
    np.testing.assert_array_equal(turned.numpy(), array.T)
    np.testing.assert_array_equal(wanting_got.detach().numpy(), array)
    assert (wanting_got.requires_grad, got.requires_grad) == (True, False)
    assert got.data_ptr() == tied.data_ptr() != turned.data_ptr()
    assert got.data_ptr() % 64 == 0
    got.numpy()[0, 0] = -5
    assert (tied.numpy()[0, 0], array[0, 0]) == (-5, noise(200, 200)[0, 0])
    assert len(travel.files) == 1
    assert travel.pickle.stat().st_size < 5_000


# Files of the user's


def test_an_array_mapped_from_a_file_is_not_copied(travel, tmp_path):
    path = tmp_path / "my data.npy"
    np.save(path, noise(500, 100))
    for mode in ("r", "r+"):
        mapped = np.load(path, mmap_mode=mode)
        whole, part, flat = travel([mapped, mapped[100:300], np.asarray(mapped).reshape(-1)[7:]])
        assert travel.files == []
        assert all(map(is_mapped, (whole, part, flat)))
        np.testing.assert_array_equal(whole, mapped)
        np.testing.assert_array_equal(part, mapped[100:300])
        np.testing.assert_array_equal(flat, mapped.reshape(-1)[7:])
        whole[:] = -1
        np.testing.assert_array_equal(np.load(path), noise(500, 100))


def test_an_array_written_to_a_file_of_the_users_is_read_from_there(travel, tmp_path):
    mapped = np.memmap(tmp_path / "made.bin", "f4", "w+", offset=12_345, shape=(300, 100), order="F")
    mapped[:] = noise(300, 100)
    back = travel(mapped)
    assert travel.files == []
    assert back.flags.f_contiguous
    np.testing.assert_array_equal(back, noise(300, 100))


def test_changes_that_a_private_map_keeps_to_itself_travel(travel, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, noise(20_000))
    mapped = np.load(path, mmap_mode="c")
    mapped[0] = -1
    back = travel(mapped)
    assert back[0] == -1
    assert len(travel.files) == 1


@pytest.mark.parametrize("what", ["replaced", "deleted", "cut short"])
def test_a_file_that_is_another_one_by_now_is_not_referred_to(travel, tmp_path, what):
    path = tmp_path / "x.npy"
    np.save(path, noise(20_000))
    mapped = np.load(path, mmap_mode="r")
    if what == "replaced":
        np.save(tmp_path / "new.npy", noise(20_000) + 1)
        (tmp_path / "new.npy").replace(path)
    elif what == "deleted":
        path.unlink()
    else:
        path.rename(tmp_path / "old.npy")
        path.write_bytes(b"")
    np.testing.assert_array_equal(travel(mapped), noise(20_000))
    assert len(travel.files) == 1


def test_gaps_in_an_array_of_a_file_are_left_out_by_a_copy(travel, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, noise(500, 100))
    mapped = np.load(path, mmap_mode="r")[:, ::2]
    np.testing.assert_array_equal(travel(mapped), noise(500, 100)[:, ::2])
    assert len(travel.files) == 1


# The folder


def test_agents_share_a_folder_and_the_last_to_leave_removes_it(tmp_path):
    place = tmp_path / "arrays"
    with ArrayFolder(place) as first:
        dump(noise(20_000), tmp_path / "first.pkl", first)
        (file,) = place.glob("*.array")
        written = file.stat().st_mtime_ns, file.stat().st_ino
        with ArrayFolder(place) as second:
            dump([noise(20_000), noise(30_000)], tmp_path / "second.pkl", second)
            assert len(list(place.glob("*.array"))) == 2
        assert (file.stat().st_mtime_ns, file.stat().st_ino) == written
    assert not place.exists()


def test_an_agent_whose_folder_is_gone_leaves_alone_what_another_has_made_there(tmp_path):
    place = tmp_path / "arrays"
    with ArrayFolder(place) as second:
        with ArrayFolder(place) as first:
            dump(noise(20_000), tmp_path / "first.pkl", first)
            shutil.rmtree(place)  # as when a run does not begin
            dump(noise(20_000), tmp_path / "second.pkl", second)
        np.testing.assert_array_equal(load(tmp_path / "second.pkl", place), noise(20_000))
    assert not place.exists()


def come_and_go(place: Path, seed: int, n: int) -> None:
    for i in range(n):
        with ArrayFolder(place) as arrays:
            pickle = place.with_name(f"{seed}.pkl")
            dump(noise(9_000) + i % 3, pickle, arrays)
            np.testing.assert_array_equal(load(pickle, place), noise(9_000) + i % 3)


def test_many_agents_come_and_go_at_once_and_leave_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    agents = [context.Process(target=come_and_go, args=(tmp_path / "arrays", i, 60)) for i in range(4)]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.join()
    assert [agent.exitcode for agent in agents] == [0] * 4
    assert not (tmp_path / "arrays").exists()


def left_by_a_killed_agent(place: Path) -> list[str]:
    """What is in the folder that an agent has left that had no time to leave."""
    place.parent.mkdir(parents=True, exist_ok=True)
    script = (
        "import os, signal, sys, numpy as np; from pathlib import Path\n"
        "from orchestrator.payload import ArrayFolder, dump\n"
        "arrays = ArrayFolder(Path(sys.argv[1]))\n"
        "dump(np.ones(20_000), arrays.path.with_name('x.pkl'), arrays)\n"
        "(arrays.path / f'.{0:040x}.array.17.tmp').touch()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, place], timeout=60).returncode == -signal.SIGKILL
    left = sorted(path.name for path in place.iterdir())
    assert len(left) == 4
    return left


def test_what_a_killed_agent_has_left_is_removed_by_the_next_one(tmp_path):
    place = tmp_path / "arrays"
    left_by_a_killed_agent(place)
    with ArrayFolder(place) as arrays:
        dump(noise(20_000), tmp_path / "x.pkl", arrays)
        assert len(list(place.glob("*.array"))) == 1
        assert list(place.glob(".*")) == []
    assert not place.exists()


def test_what_a_killed_agent_has_left_is_removed_by_one_that_has_no_large_array(tmp_path):
    place = tmp_path / "arrays"
    left_by_a_killed_agent(place)
    with ArrayFolder(place) as arrays:
        dump("small", tmp_path / "x.pkl", arrays)
        assert load(tmp_path / "x.pkl", place) == "small"
    assert not place.exists()


def test_what_a_killed_agent_of_another_run_of_the_study_has_left_is_removed_too(tmp_path):
    killed, alive = tmp_path / "run-001" / "arrays", tmp_path / "run-002" / "arrays"
    left_by_a_killed_agent(killed)
    alive.parent.mkdir()
    mine = tmp_path / "run-003" / "arrays"
    mine.parent.mkdir()
    with ArrayFolder(alive) as other, ArrayFolder(mine) as arrays:
        dump(noise(20_000), alive.parent / "x.pkl", other)
        dump(noise(20_000), mine.parent / "x.pkl", arrays)
        assert not killed.exists()
        assert len(list(alive.glob("*.array"))) == 1


def test_files_of_the_users_in_a_folder_of_that_name_stay(tmp_path):
    place = tmp_path / "arrays"
    place.mkdir()
    mine = place / "x.array"
    mine.write_text("mine")
    with ArrayFolder(place) as arrays:
        dump(noise(20_000), tmp_path / "x.pkl", arrays)
    assert list(place.iterdir()) == [mine]


def test_too_little_room_is_said_before_anything_is_written(travel, monkeypatch):
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(folder_module.shutil, "disk_usage", lambda path: usage(100 * MIB, 99 * MIB, 1 * MIB))
    with pytest.raises(
        RunDirError, match=r"need 2 MiB in .*/arrays, 1 MiB are free .*run_dir=DIR.*TMPDIR"
    ) as error:
        travel([np.zeros(MIB, "u1"), np.ones(MIB, "u1")])
    assert "\n" not in str(error.value)
    assert travel.files == []
    assert not travel.pickle.exists()


def test_a_disk_that_fills_up_meanwhile_leaves_no_half_a_file(travel):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, limits[1]))  # a larger file cannot be written
    try:
        with pytest.raises(RunDirError, match="need 3 MiB"):
            travel([np.zeros(3 * MIB, "u1")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in travel.arrays.path.iterdir() if "array" in path.name] == []
    assert not travel.pickle.exists()


def test_on_a_network_file_system_the_arrays_lie_on_a_disk_of_the_node(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "node"))
    Path(tempfile.gettempdir()).mkdir()
    here, there = RunPaths(tmp_path / "run-001"), RunPaths(tmp_path / "run-002")
    assert place_of_arrays(here) == here.arrays
    monkeypatch.setattr(place_module, "network_file_system", far)
    place = place_of_arrays(here)
    assert place.parent == Path(tempfile.gettempdir())
    assert place.name.startswith(f"nano-hpo-{os.getuid()}-")
    assert place == place_of_arrays(RunPaths(tmp_path / "x" / ".." / "run-001")) != place_of_arrays(there)
    left_by_a_killed_agent(place_of_arrays(there))
    with ArrayFolder(place) as arrays:
        dump(noise(20_000), tmp_path / "x.pkl", arrays)
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert not place_of_arrays(there).exists()
    assert not place.exists()


def test_a_folder_on_the_node_that_others_could_write_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(place_module, "network_file_system", far)
    place = place_of_arrays(RunPaths(tmp_path / "run-001"))
    place.mkdir()
    place.chmod(0o777)
    with ArrayFolder(place) as arrays, pytest.raises(RunDirError, match="not a folder of yours alone"):
        dump(noise(20_000), tmp_path / "x.pkl", arrays)


# Searches


def arrays_left() -> list[Path]:
    return [path for path in Path().rglob("*") if path.name == "arrays" or path.suffix == ".array"]


def memory_of(path_part: str) -> dict[str, int]:
    """KiB of the maps of this process whose path has that part: fields of /proc/self/smaps, summed."""
    sums: dict[str, int] = {}
    is_wanted = False
    for line in Path("/proc/self/smaps").read_text(errors="surrogateescape").splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            is_wanted = path_part in line
        elif is_wanted and words[-1] == "kB":
            sums[words[0][:-1]] = sums.get(words[0][:-1], 0) + int(words[1])
    return sums


def test_workers_share_the_pages_of_an_array():
    def anonymous_and_mapped(n_bytes: int):
        array = np.random.default_rng(1).integers(0, 255, n_bytes, "u1")
        of, expected = memory_of, int(array.sum())

        def objective(trial):
            assert int(array.sum()) == expected
            trial.set_user_attr("anonymous", of("")["Anonymous"])
            trial.set_user_attr("mapped", of(".array"))
            return trial.suggest_float("x", 0, 1)

        summary = search(
            objective, n_trials=6, n_parallels=2, oversubscribe=True, progress=False, draw="none"
        )
        assert summary.counts == {"COMPLETE": 6}
        return summary.trials[-1].user_attrs

    without, array_kib = anonymous_and_mapped(1000), 16 * 1024
    found = anonymous_and_mapped(array_kib * 1024)
    assert found["mapped"]["Rss"] > 0.9 * array_kib
    assert found["mapped"]["Anonymous"] == 0  # no page of it is a copy
    assert found["anonymous"] - without["anonymous"] < array_kib / 2
    assert without["mapped"] == {}
    assert arrays_left() == []


def test_a_search_with_a_large_array_leaves_a_small_pickle_and_no_array():
    array = noise(1000, 200)
    wanted = float(array.sum())

    def objective(trial):
        array[0, 0] += 1  # its own: no other process sees it
        assert float(array.sum()) >= wanted + 1
        trial.set_user_attr("files", len(list((trial.study.run_dir / "arrays").glob("*.array"))))
        return 0.0

    summary = search(objective, n_trials=4, n_parallels=2, oversubscribe=True, progress=False, draw="none")
    assert summary.counts == {"COMPLETE": 4}
    assert {trial.user_attrs["files"] for trial in summary.trials} == {1}
    assert (summary.run_dir / "objective.pkl").stat().st_size < 10_000
    assert arrays_left() == []


def test_workers_of_a_run_on_a_network_file_system_map_arrays_of_their_node(tmp_path, monkeypatch):
    node = tmp_path / "node"
    node.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(node))
    monkeypatch.setattr(place_module, "network_file_system", far)
    array, of = noise(1000, 200), memory_of

    def objective(trial):
        total = float(array.sum())
        trial.set_user_attr("mapped", of(f"{node}/nano-hpo-")["Rss"])
        return total

    summary = search(objective, n_trials=2, run_dir="here", progress=False, draw="none")
    assert {trial.value for trial in summary.trials} == {float(array.sum())}
    assert summary.trials[0].user_attrs["mapped"] >= array.nbytes / 1024
    assert list(node.iterdir()) == arrays_left() == []


class Unloadable:
    """Travels, and fails to arrive."""

    def __init__(self) -> None:
        self.array = noise(20_000)

    def __reduce__(self):
        return _fail, (self.array,)

    def __call__(self, trial):
        return 0.0


def _fail(_array):
    raise OSError("no such device")


@pytest.mark.parametrize("is_there", [False, True])
def test_a_search_that_does_not_begin_leaves_no_array(is_there, tmp_path):
    where = tmp_path / "here"
    if is_there:
        where.mkdir()
    with pytest.raises(ObjectiveError, match="no such device"):
        search(Unloadable(), n_trials=1, n_parallels=2, oversubscribe=True, run_dir=where, progress=False)
    assert arrays_left() == []
    assert where.exists() == is_there


def test_an_objective_that_cannot_be_pickled_leaves_no_array(tmp_path):
    import threading

    array, lock = noise(20_000), threading.Lock()
    with pytest.raises(ObjectiveError, match=r"_thread\.lock"):
        search(lambda trial: (array, lock), n_trials=1, run_dir=tmp_path / "here", progress=False)
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
import os, sys, time
from pathlib import Path
import numpy as np
from orchestrator import search

array = np.arange(1_000_000)

def objective(trial):
    assert array.sum() == 499999500000
    Path(f"at-{os.getpid()}").touch()
    while not Path("go").exists():
        time.sleep(0.02)
    return trial.suggest_float("x", 0, 1)

if __name__ == "__main__":
    print(search(objective, n_trials=6, n_parallels=2, oversubscribe=True, draw="none").counts)
"""


def started(n: int, **env: str) -> subprocess.Popen[str]:
    """The script, begun; as many workers of it are at work."""
    Path("job.py").write_text(SCRIPT)
    script = subprocess.Popen(
        [sys.executable, "job.py"],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: len(list(Path().glob("at-*"))) >= n or script.poll() is not None)
    return script


def test_the_same_script_goes_on_after_its_agent_was_killed_and_leaves_no_array():
    script = started(2)
    script.kill()
    script.communicate()
    assert len(list(Path().rglob("*.array"))) == 1
    Path("go").touch()
    out, err = started(0).communicate(timeout=120)
    assert out.strip() == "{'COMPLETE': 6}", err
    assert len(list(Path("nano-hpo-runs").glob("*/run-*"))) == 1
    assert arrays_left() == []


def test_ranks_of_a_node_write_an_array_once_and_the_last_one_removes_it():
    def rank(index: int) -> dict[str, str]:
        names = {"RANK": index, "SIZE": 2, "LOCAL_RANK": index, "LOCAL_SIZE": 2}
        return {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in names.items()}

    scripts = [started(2, **rank(0)), started(4, **rank(1))]
    assert len(list(Path().rglob("*.array"))) == 1
    Path("go").touch()
    results = [script.communicate(timeout=120) for script in scripts]
    assert [script.returncode for script in scripts] == [0, 0], results
    assert "{'COMPLETE': 6}" in results[0][0] + results[1][0]
    assert arrays_left() == []
