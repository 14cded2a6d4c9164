"""The weights of the best trial while several workers write and remove them."""

from pathlib import Path

import numpy as np
import optuna
import pytest

from bigdl.nano.automl.search import weights


def test_a_worse_trial_leaves_a_better_one_alone_that_ends_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = optuna.create_study(direction="maximize")
    worse, better = study.ask(), study.ask()
    write = weights._write

    def write_while_the_other_is_told(*arguments) -> None:
        write(*arguments)
        study.tell(better, 0.9)

    weights.keep_if_best(tmp_path, better, [0.9], [np.ones(3)])
    monkeypatch.setattr(weights, "_write", write_while_the_other_is_told)
    weights.keep_if_best(tmp_path, worse, [0.1], [np.zeros(3)])
    study.tell(worse, 0.1)
    (kept,) = weights.load([tmp_path], study.best_trial) or [None]
    assert kept is not None
    assert kept.tolist() == [1, 1, 1]
