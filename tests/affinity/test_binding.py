"""Binding real processes on this machine, read back from the kernel."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affinity import (
    BindError,
    Binding,
    Observation,
    Pool,
    bind_command,
    differences,
    format_list,
    mempolicy,
    observe,
    partition,
    read_allowance,
    read_topology,
    set_policy,
)

ROOT = Path(__file__).parents[2]
MINE = tuple(sorted(os.sched_getaffinity(0)))
LAST = MINE[-1:]
REPORT = """
import json, os, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({"pus": sorted(os.sched_getaffinity(0)), "environ": dict(os.environ), "argv": sys.argv[1:],
                  "ignored": status["SigIgn"].strip()}))
"""


def run(argv: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


def report(binding: Binding, *arguments: str, **options: object) -> dict:
    done = run(bind_command(binding, [sys.executable, "-c", REPORT, *arguments]), **options)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def shim(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "affinity", *arguments], cwd=ROOT)


def python(code: str) -> str:
    done = run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_bound_command_has_the_mask_the_threads_and_its_environment() -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": "/nowhere", "MKL_NUM_THREADS": "1", "A": "é b"}
    seen = report(Binding(LAST, (), 3), "a b", "--pus", "", env=environ)
    assert seen["pus"] == list(LAST)
    assert seen["argv"] == ["a b", "--pus", ""]
    assert {name: seen["environ"][name] for name in environ} == environ
    assert seen["environ"]["OMP_NUM_THREADS"] == "3"
    extra = set(seen["environ"]) - set(environ)
    others = {"LOKY_MAX_CPU_COUNT", "LC_CTYPE", "KMP_BLOCKTIME", "NANO_HPO_DATALOADER_WORKERS"}
    assert all("THREADS" in name or name in others for name in extra)


def test_slots_of_this_machine_bind_each_to_its_own_pus() -> None:
    topology = read_topology()
    allowance = read_allowance(topology)
    slots = partition(topology, allowance, len(topology.cores_within(allowance.pus))).slots
    for slot in slots:
        seen = report(replace(Binding.of(slot), memory_policy="default"))
        assert seen["pus"] == list(slot.pus)


def test_another_affinity_module_in_the_way_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "a folder with spaces"
    for name in ("affinity", "threads", "binding", "shim"):
        (folder / name).mkdir(parents=True)
        (folder / f"{name}.py").write_text("raise SystemExit('the wrong module')")
        (folder / name / "__init__.py").write_text("raise SystemExit('the wrong package')")
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    assert report(Binding(LAST, (), 1), cwd=folder, env=environ)["pus"] == list(LAST)


def test_a_package_in_a_folder_with_spaces_works(tmp_path: Path) -> None:
    home = tmp_path / "my programs"
    home.mkdir()
    (home / "affinity").symlink_to(ROOT / "affinity")
    argv = bind_command(Binding(LAST, (), 1), ["cat", "/proc/self/status"])
    argv[2] = str(home / "affinity" / "__main__.py")
    assert f"Cpus_allowed_list:\t{format_list(LAST)}" in run(argv, cwd=tmp_path).stdout


def test_signals_that_python_ignores_are_restored() -> None:
    bound = run(bind_command(Binding(LAST, (), 1), ["grep", "SigIgn", "/proc/self/status"])).stdout
    assert int(bound.split()[1], 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0


def test_a_command_that_is_not_there_is_one_line_and_exit_2() -> None:
    done = run(bind_command(Binding(LAST, (), 1), ["/no/such/program"]))
    assert done.returncode == 2
    assert (
        done.stderr
        == "affinity: '/no/such/program' cannot be started: No such file or directory; check the path.\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["bind", "--pus", "x", "--", "true"],
        ["bind", "--pus", "", "--", "true"],
        ["bind", "--pus", "0"],
        ["bind", "--pus", "0", "--threads", "0", "--", "true"],
        ["bind", "--pus", "0", "--memory-policy", "some", "--", "true"],
        ["bind", "--pus", "0", "--omp-bind", "master", "--", "true"],
        ["bind", "--pus", "0", "--dataloader-workers", "-1", "--", "true"],
        ["bind", "--pus", "0", "--parent-death-signal", "999", "--", "true"],
        ["bind", "--pus", "99999", "--", "true"],
        ["show", "--synthetic", "x"],
        ["show", "--root", "/nowhere"],
        ["show", "--synthetic", "2", "--slots", "3"],
        ["dance"],
        [],
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments: list[str]) -> None:
    done = shim(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("affinity: ")
    assert done.stderr.count("\n") == 1


def test_pus_the_kernel_cuts_silently_are_reported() -> None:
    done = shim("bind", "--pus", f"{LAST[0]},4000", "--threads", "1", "--", "true")
    assert done.returncode == 0
    assert "asked for PUs" in done.stderr


def test_a_variable_of_the_user_too_big_for_the_slot_is_a_line_on_stderr() -> None:
    argv = bind_command(Binding(LAST, (), 1), ["true"])
    done = run(argv, env={**os.environ, "OMP_NUM_THREADS": "64"})
    assert done.returncode == 0
    assert done.stderr.startswith("affinity: OMP_NUM_THREADS=64 was kept")


def test_the_shim_ends_when_the_parent_has_gone_already() -> None:
    done = shim(
        "bind", "--pus", str(LAST[0]), "--parent-pid", "1", "--parent-death-signal", "9", "--", "echo", "x"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "has gone" in done.stderr


def test_a_bound_command_dies_with_its_parent() -> None:
    inner = bind_command(Binding(LAST, (), 1), ["sh", "-c", "echo $$; exec tail -f /dev/null >/dev/null"])
    inner[inner.index("--") : inner.index("--")] = ["--parent-death-signal", "9"]
    code = f"""
import os, subprocess, sys
child = subprocess.Popen({inner!r}, stdout=subprocess.PIPE)
print(child.stdout.readline().decode().strip(), flush=True)
sys.stdin.readline()
os._exit(0)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    handle = os.pidfd_open(pid)
    parent.communicate("end\n")
    ended = select.select([handle], [], [], 240)[0]
    if not ended:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    os.close(handle)
    assert ended


SAYS = "import sys; sys.path.insert(0, sys.argv[1]); import affinity; print(*affinity.get_policy())"
REFUSALS = ("the kernel forbids it", "this system has no memory policies")
"""What a container or a kernel without NUMA may say; any other line, say EINVAL, is a mistake of ours."""


@pytest.mark.parametrize("policy", ["preferred", "bind", "interleave"])
def test_the_memory_policy_is_what_the_kernel_says_after_exec(policy: str) -> None:
    node = read_allowance(read_topology()).memory_nodes[:1]
    binding = Binding(LAST, node, 1, policy)  # type: ignore[arg-type]
    child = [sys.executable, "-c", SAYS, str(ROOT)]
    parent = f"import subprocess; subprocess.run({child!r}, check=True)"
    done = run(bind_command(binding, [sys.executable, "-c", parent]))
    told = {f"{policy} {node}"}
    if done.stderr:  # one line, and the command ran
        assert refused(done.stderr)
        told = {"default ()", "unknown ()"}
    assert done.stdout.strip() in told


def refused(line: str) -> bool:
    return "was not set" in line and line.strip().count("\n") == 0 and any(why in line for why in REFUSALS)


def test_the_default_policy_takes_back_what_was_set() -> None:
    node = read_allowance(read_topology()).memory_nodes[:1]
    code = f"""
from affinity import get_policy, set_policy
print(set_policy("bind", {node}))
print(*get_policy())
print(set_policy("default", {node}))
print(*get_policy())
"""
    line, bound, silence, after = python(code).splitlines()
    assert bound == f"bind {node}" or refused(line)
    assert silence == ""
    assert after in (("default ()",) if line == "" else ("default ()", "unknown ()"))


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.EFAULT])
def test_a_refused_memory_policy_is_one_line(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempolicy, "_set", lambda mode, nodes: code)
    line = set_policy("preferred", (0, 1))
    assert "0,1 was not set" in line
    assert "\n" not in line


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS])
@pytest.mark.parametrize("policy", ["preferred", "bind", "interleave"])
def test_a_forbidden_memory_policy_costs_one_line_and_the_command_runs(policy: str, code: int) -> None:
    script = f"""
from affinity import mempolicy
from affinity.shim import main
mempolicy._set = lambda mode, nodes: {code}
words = ["--memory-nodes", "0", "--memory-policy", "{policy}"]
main(["bind", "--pus", "{LAST[0]}", *words, "--threads", "1", "--", "echo", "it ran"])
"""
    done = run([sys.executable, "-c", script], cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "it ran\n")
    assert refused(done.stderr)
    assert f"memory policy {policy}:0" in done.stderr


def test_without_a_policy_the_one_that_is_inherited_stays() -> None:
    node = read_allowance(read_topology()).memory_nodes[:1]
    inner = bind_command(Binding(LAST, node, 1, "none"), [sys.executable, "-c", SAYS, str(ROOT)])
    outer = run(bind_command(Binding(LAST, node, 1, "interleave"), inner))
    told = outer.stdout.strip()
    assert told == f"interleave {node}" or (refused(outer.stderr) and told in ("default ()", "unknown ()"))


def test_a_policy_that_has_no_node_says_so() -> None:
    assert set_policy("preferred", ()) == ""
    assert set_policy("none", (0,)) == ""
    for policy in ("bind", "interleave"):
        assert set_policy(policy, ()) == f"memory policy {policy} was not set: no node may be used."


@given(st.sets(st.integers(0, 1023), max_size=20))
def test_nodes_are_bits_of_whole_words(nodes: set[int]) -> None:
    """Any number that a kernel may have, and no word beyond them that it could read."""
    words = list(mempolicy._mask(tuple(nodes)))
    assert all(0 <= word < 1 << 64 for word in words)
    assert {
        word * 64 + bit for word in range(len(words)) for bit in range(64) if words[word] >> bit & 1
    } == nodes
    assert len(words) == 1024 // 64 + 1


def test_a_node_beyond_any_kernel_is_refused_not_written_out_of_bounds() -> None:
    assert "was not set" in set_policy("bind", (1 << 20,))


IMPOSSIBLE = [
    ((), (), 1),
    ((-1,), (), 1),
    ((0,), (), 0),
    ((0,), (), 1, "near"),
    ((0,), (), 1, "bind", "master"),
    ((0,), (), 1, "bind", None, -1),
]


@pytest.mark.parametrize("values", IMPOSSIBLE)
def test_impossible_bindings_are_refused(values: tuple) -> None:
    with pytest.raises(BindError):
        Binding(*values)


def test_this_process_observes_itself() -> None:
    seen = observe()
    assert seen.pus == MINE
    assert seen.threads_outside == 0
    assert seen.threads >= 1


def test_threads_that_leave_the_slot_are_seen() -> None:
    gate, bound = threading.Event(), threading.Event()

    def stay() -> None:
        os.sched_setaffinity(0, LAST)
        bound.set()
        gate.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    bound.wait()
    try:
        seen = observe(expected=LAST)
    finally:
        gate.set()
        thread.join()
    assert seen.pus == MINE
    assert seen.threads >= 2
    assert seen.threads_outside == (seen.threads - 1 if len(MINE) > 1 else 0)


def test_torch_is_counted_only_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Torch:
        @staticmethod
        def get_num_threads() -> int:
            return 7

        @staticmethod
        def get_num_interop_threads() -> int:
            return 3

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert not [pool for pool in observe().pools if pool.library.startswith("torch")]
    monkeypatch.setitem(sys.modules, "torch", Torch)  # type: ignore[arg-type]
    assert {Pool("torch", 7), Pool("torch interop", 3)} <= set(observe().pools)


def test_differences_name_each_deviation_once() -> None:
    plan = Binding((0, 1), (0,), 2)
    good = Observation((0, 1), 0, (0,), "preferred", (Pool("openblas", 2),), 3)
    assert differences(plan, good) == ()
    assert differences(plan, replace(good, memory_policy="unknown", memory_nodes=())) == ()
    for change, part in (
        ({"pus": (0, 1, 5), "threads_outside": 1}, "PUs 5 may be used but were not planned"),
        ({"pus": (0,)}, "PUs 1 were planned"),
        ({"memory_policy": "default", "memory_nodes": ()}, "memory policy preferred was planned"),
        ({"memory_nodes": (3,)}, "memory from nodes 0 was planned, it comes from 3"),
        ({"pools": (Pool("openblas", 64),)}, "openblas runs 64 threads, 2 were planned"),
    ):
        (line,) = differences(plan, replace(good, **change))
        assert part in line


def test_a_bound_worker_finds_no_difference() -> None:
    binding = Binding(LAST, (), 1)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import numpy\n"
        f"from affinity import *; print(differences({binding!r}, observe()))"
    )
    done = run(bind_command(binding, [sys.executable, "-c", code, str(ROOT)]))
    assert done.stdout == "()\n", done.stderr


def test_binding_this_process_holds_for_what_it_starts() -> None:
    code = f"""
import os, subprocess
from affinity import Binding, bind_this_process
print(bind_this_process(Binding({LAST!r}, (), 1)), sorted(os.sched_getaffinity(0)))
"""
    assert python(code) == f"() {list(LAST)}\n"


def test_without_psutil_the_system_call_binds_and_without_both_only_threads_are_set() -> None:
    code = f"""
import sys, os
sys.modules["psutil"] = None
from affinity import Binding, bind_this_process
plan = Binding({LAST!r}, (), 1)
print(bind_this_process(plan), sorted(os.sched_getaffinity(0)))
sys.platform = "darwin"
print(*bind_this_process(plan))
"""
    assert python(code).splitlines() == [
        f"() {list(LAST)}",
        "this system cannot bind processes; only thread counts are set.",
    ]


def test_importing_the_package_loads_nothing_heavy_and_every_name_is_there() -> None:
    code = """
import sys, affinity
assert not {"numpy", "psutil", "threadpoolctl", "dataclasses"} & set(sys.modules), sys.modules.keys()
from affinity.partition import Slot
from affinity import *
import affinity.observe, affinity.partition
missing = [name for name in affinity.__all__ if not hasattr(affinity, name)]
told = sorted(affinity.__all__) == sorted(affinity._HOMES)
print(missing, told, callable(affinity.partition), callable(observe))
"""
    assert python(code) == "[] True True True\n"


def test_show_prints_the_machine_the_limits_and_the_slots() -> None:
    done = shim("show", "--synthetic", "2 4 2", "--slots", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 packages, 2 NUMA nodes, 2 LLCs, 8 cores, 16 PUs" in done.stdout
    assert "0-3,8-11" in done.stdout
    assert "Policy: balanced, because it crosses no NUMA node." in done.stdout


def test_show_as_json_has_the_promised_keys() -> None:
    told = json.loads(shim("show", "--slots", "1", "--json").stdout)
    assert told["allowed"] == list(MINE)
    assert all(one["source"] and one["kind"] and one["text"] for one in told["constraints"])
    slot = told["slots"][0]
    assert list(slot)[:5] == ["index", "pus", "cores", "numa_nodes", "threads"]
    assert slot["pus"] == list(MINE)
