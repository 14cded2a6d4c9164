"""Thread variables: set for the slot, kept where the user set them, checked."""

from __future__ import annotations

import pytest

from affinity import thread_variables


def test_every_pool_gets_the_threads_of_the_slot() -> None:
    settings = thread_variables(4, {})
    for name in ("OMP", "MKL", "OPENBLAS", "BLIS", "NUMEXPR", "NUMBA"):
        assert settings.set[f"{name}_NUM_THREADS"] == "4"
    assert settings.set["TF_NUM_INTRAOP_THREADS"] == "4"
    assert settings.set["TF_NUM_INTEROP_THREADS"] == "1"
    assert (settings.kept, settings.warnings) == ({}, ())
    assert not {"OMP_PROC_BIND", "GOMP_CPU_AFFINITY", "KMP_AFFINITY", "MKL_DYNAMIC"} & settings.set.keys()


@pytest.mark.parametrize(("workers", "left"), [(1, "3"), (4, "1"), (9, "1")])
def test_dataloader_workers_are_taken_off(workers: int, left: str) -> None:
    settings = thread_variables(4, {}, dataloader_workers=workers)
    assert settings.set["OMP_NUM_THREADS"] == left
    assert settings.set["LOKY_MAX_CPU_COUNT"] == "4"


def test_what_the_user_set_is_kept_and_checked() -> None:
    environ = {
        "OMP_NUM_THREADS": "8,2",
        "MKL_NUM_THREADS": "2",
        "NUMBA_NUM_THREADS": "many",
        "BLIS_NUM_THREADS": " ",
    }
    settings = thread_variables(4, environ)
    assert settings.kept == {
        name: environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    }
    assert not settings.kept.keys() & settings.set.keys()
    assert settings.set["BLIS_NUM_THREADS"] == "4"
    over, garbage = settings.warnings
    assert "OMP_NUM_THREADS=8,2" in over
    assert "4 threads" in over
    assert "NUMBA_NUM_THREADS=many" in garbage


def test_half_of_a_numexpr_pair_is_left_to_the_user() -> None:
    settings = thread_variables(4, {"NUMEXPR_MAX_THREADS": "2"})
    assert "NUMEXPR_NUM_THREADS" not in settings.set


@pytest.mark.parametrize(
    ("name", "value", "outside"),
    [
        ("GOMP_CPU_AFFINITY", "0 2-3", ""),
        ("GOMP_CPU_AFFINITY", "0-6:3", "6"),
        ("KMP_AFFINITY", "granularity=fine,proclist=[0,{5,6}],explicit", "5-6"),
        ("KMP_AFFINITY", "compact,1,0", ""),
        ("OMP_PROC_BIND", "close", ""),
    ],
)
def test_binders_of_the_user_are_kept_mentioned_and_checked(name: str, value: str, outside: str) -> None:
    settings = thread_variables(4, {name: value}, pus=(0, 1, 2, 3))
    assert settings.kept == {name: value}
    (warning,) = settings.warnings
    assert f"{name}={value}" in warning
    assert (f"PUs {outside} are not in the slot" in warning) == bool(outside)
