"""What holds in this process while a trial trains: threads, signals, silence."""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, wraps
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.model_helpers import is_overridden
from pytorch_lightning.utilities.warnings import PossibleUserWarning

from affinity.threads import DATALOADER_WORKERS, THREADS
from bigdl.nano.automl.pytorch.data import loaders_in

_LIGHTNING = r"(pytorch_lightning|lightning_fabric)\b"
_LOGGERS = ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric")


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's lines for a training by hand (devices, advice on loaders) would come with every trial."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PossibleUserWarning)
        for category in (FutureWarning, DeprecationWarning):  # of torch, for Lightning to heed
            warnings.filterwarnings("ignore", category=category, module=_LIGHTNING)
        for logger in loggers:
            logger.setLevel(max(logger.getEffectiveLevel(), logging.WARNING))
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def own_signals() -> Iterator[None]:
    """Signals mean what they meant: Lightning makes SIGTERM a remark and Ctrl-C an exit with status 1.

    It calls a handler of SIGTERM that is there already, so the default becomes one. ``KeyboardInterrupt``
    leaves the block as it came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    if before[signal.SIGTERM] is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _die)
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            if handler is not None:  # it was set from C
                signal.signal(number, handler)


def _die(number: int, _: Any) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


class Threads(pl.Callback):  # type: ignore[misc]
    """Leaves cores of the slot to the processes of data loaders while a trial trains in a worker.

    A number of threads that was chosen by hand stays: only one for each core is taken for ours.
    """

    def __init__(self) -> None:
        super().__init__()
        self._before: int | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The loaders are known."""
        n_loading = sum(getattr(one, "num_workers", 0) for one in loaders_in(trainer.train_dataloader))
        threads = torch.get_num_threads()
        in_slot, counted_in = _threads_of_slot()
        if n_loading > counted_in and threads == max(1, in_slot - counted_in):
            self._before = threads
            torch.set_num_threads(max(1, in_slot - n_loading))

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """The training is over, whatever ended it."""
        self.restore()

    def restore(self) -> None:
        """As many threads as before."""
        if self._before is not None:
            torch.set_num_threads(self._before)
            self._before = None


def _threads_of_slot() -> tuple[int, int]:
    """How many threads this process was given, and how many of them are left to loaders already."""
    in_slot = os.environ.get(THREADS) or str(len(os.sched_getaffinity(0)))
    return int(in_slot), int(os.environ.get(DATALOADER_WORKERS) or 0)


@cache
def prepare_worker() -> None:
    """Once in a process of the search: one inter-op thread, and all that is loaded is no garbage.

    Torch has no variable for the threads and takes as many as the machine has cores.
    """
    with suppress(RuntimeError):  # it works with some already
        torch.set_num_interop_threads(1)
    gc.collect()
    gc.freeze()


def release(everywhere: bool) -> None:
    """A trainer and its model hold each other: memory comes back when garbage is collected.

    In a worker that takes little time, as what was there before the first trial is left out; in the caller's
    process tenths of a second, so it is done there ``everywhere`` alone.
    """
    if everywhere or gc.get_freeze_count():
        gc.collect()


def prepare_in_turn(run_dir: Path, *holders: Any) -> None:
    """Let ``prepare_data`` of these run in one process of the search at a time: it downloads and writes."""
    for holder in holders:
        if holder is not None and is_overridden("prepare_data", holder):
            holder.prepare_data = _in_turn(holder.prepare_data, run_dir / "prepare_data.lock")


def _in_turn(function: Callable[[], Any], lock: Path) -> Callable[[], Any]:
    @wraps(function)
    def called() -> Any:
        with lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed, or the process dies
            return function()

    return called
