"""``topology --verify``, ``--bench`` and ``tune-parallels``: plans tried out on this machine."""

from __future__ import annotations

import os

import pytest

from orchestrator.errors import RunFailed
from orchestrator.tuning import Width, best_of, measure, widths_up_to
from tests.orchestrator.conftest import CommandLine

N_CORES = len(os.sched_getaffinity(0))

two_cores = pytest.mark.skipif(N_CORES < 2, reason="takes two cores")


def width(n: int, runs_per_hour: float, peak_mib: float = 1.0) -> Width:
    return Width(n, 1, 1, 1, 1.0, runs_per_hour, peak_mib)


def test_verify_says_what_a_process_in_each_slot_got(cli: CommandLine):
    done = cli("topology", "-p", 1, "--verify")
    assert done.code == 0, done.err
    assert "✓ 0" in done.out
    assert "openblas: " in done.out
    told = cli("topology", "-p", 1, "--verify", "--json").json
    (slot,) = told["slots"]
    assert slot["problems"] == []
    assert slot["threads_outside"] == 0
    assert "alone" not in told


@two_cores
def test_verify_says_where_plan_and_reality_differ(cli: CommandLine):
    # What a library or a site's start-up file may do.
    first = min(os.sched_getaffinity(0))
    narrows = f"if sys.orig_argv[-1] == 'affinity.probe': os.sched_setaffinity(0, [{first}])"
    (cli.cwd / "sitecustomize.py").write_text(f"import os, sys\n{narrows}")
    cli.env["PYTHONPATH"] = str(cli.cwd)
    done = cli("topology", "-p", 1, "--verify")
    assert done.code == 1
    assert "✗ 0" in done.out
    assert "were planned but no thread may use them" in done.out


def test_bench_compares_each_slot_alone_with_all_at_once(cli: CommandLine):
    told = cli("topology", "-p", 1, "--bench", "--json").json
    assert told["alone"][0].keys() == {"triad_gib_s", "gflop_s"}
    assert told["together"][0]["gflop_s"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--verify",), "add --n-parallels N"),
        (("--verify", "-p", 2, "--synthetic", "2 8 2"), "leave --root and --synthetic out"),
    ],
)
def test_only_slots_of_this_machine_can_be_tried_out(cli: CommandLine, words, said):
    done = cli("topology", *words)
    assert done.code == 2
    assert said in done.err


def test_a_command_is_run_at_each_width_in_bound_processes(cli: CommandLine):
    script = 'echo "$NANO_X $(nproc) $OMP_NUM_THREADS" >> seen; sleep 0.05'
    cli.env["NANO_X"] = "x"
    done = cli("tune-parallels", "--widths", 1, "--seconds", 0.01, "--json", "--", "sh", "-c", script)
    assert done.code == 0, done.err
    (one,) = done.json["widths"]
    assert done.json["best"] == one["n_parallels"] == one["n_runs"] == 1
    assert one["runs_per_hour"] == pytest.approx(3600 / one["median_s"], rel=0.5)
    assert (cli.cwd / "seen").read_text() == f"x {N_CORES} {N_CORES}\n"
    assert "1 at once" in done.err


@two_cores
def test_the_table_names_the_best(cli: CommandLine):
    done = cli("tune-parallels", "--seconds", 0.3, "--", "sleep", "0.1")
    assert done.code == 0, done.err
    assert "n_parallels" in done.out
    assert f"Best: --n-parallels {N_CORES}" in done.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--", "sh", "-c", "echo so it goes; exit 3"), 1, "exit status 3: so it goes"),
        (("--widths", "1,x", "--", "true"), 2, "--widths is '1,x'"),
        (("--seconds", "0", "--", "true"), 2, "--seconds is 0.0"),
        (("--widths", "4000", "--", "true"), 2, "4000 slots need 4000 cores"),
    ],
)
def test_what_cannot_be_measured_is_one_line(cli: CommandLine, words, code, said):
    done = (
        cli("tune-parallels", "--widths", 1, *words)
        if "--widths" not in words
        else cli("tune-parallels", *words)
    )
    assert done.code == code
    assert said in done.err
    assert len(done.err.splitlines()) <= 2


def test_a_failure_ends_what_runs_in_the_other_slots():
    from affinity import Choices, partition, synthetic_topology, unrestricted

    machine = synthetic_topology(f"1 {N_CORES} 1")
    divided = partition(machine, unrestricted(machine), N_CORES)
    with pytest.raises(RunFailed, match="exit status 9"):
        measure(divided, Choices(), ["sh", "-c", "mkdir first 2>&- && sleep 600; exit 9"], 1.0, os.environ)


def test_widths_are_powers_of_two_and_all_cores():
    assert widths_up_to(1) == (1,)
    assert widths_up_to(6) == (1, 2, 4, 6)
    assert widths_up_to(8) == (1, 2, 4, 8)


def test_the_best_has_most_runs_an_hour_and_room():
    found = [width(1, 100), width(2, 190), width(4, 192), width(8, 300, peak_mib=1000)]
    assert best_of(found, None).n_parallels == 8
    assert best_of(found, 4000).n_parallels == 2  # as good as 4, and wider slots
    assert best_of([width(4, 10, peak_mib=9)], 1).n_parallels == 4
