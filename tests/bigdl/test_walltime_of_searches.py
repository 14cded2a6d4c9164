"""Searches of Keras and Lightning whose time ends: they say so, and come to their budget later."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator import RunFailed

N_TRIALS, NAP_S = 5, 1.5
TOO_SHORT_S = 6.0  # of which trials have 3.5

Search = Callable[..., Any]  # gives the study; the second call is of the same model

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning:pytorch_lightning",  # torch's, of a pytree
    "ignore::pytorch_lightning.utilities.warnings.PossibleUserWarning",
)


def keras_search() -> Search:
    pytest.importorskip("tensorflow", reason="tensorflow: not installed")
    from tests.bigdl.keras_models import dense, searched

    model = dense()
    return lambda n_trials, **given: searched(model, n_trials, epochs=1, **given)


def lightning_search() -> Search:
    pytest.importorskip("pytorch_lightning", reason="pytorch_lightning: not installed")
    from tests.bigdl.lightning_models import net, searched, trainer

    model, by = net(), trainer()
    return lambda n_trials, **given: searched(model, n_trials, by, max_epochs=1, **given)


@pytest.fixture(params=[keras_search, lightning_search])
def search(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    monkeypatch.chdir(tmp_path)
    made: Search = request.param()
    return made


def nap(study: Any, trial: Any) -> None:
    time.sleep(NAP_S)


def test_a_search_whose_time_ends_says_so_and_a_resumed_one_does_the_rest(
    search: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    first = search(N_TRIALS, walltime=TOO_SHORT_S, tune_callbacks=[nap], show_progress_bar=True)
    done = len(first.trials)
    assert 1 <= done < N_TRIALS
    end = rf"Stopped after {done} of {N_TRIALS} trials: the allocation ends at .* \(--walltime\)"
    assert re.search(end, capsys.readouterr().err)
    study = search(N_TRIALS - done, resume=True)
    assert [trial.number for trial in study.trials] == list(range(N_TRIALS))
    assert {trial.state.name for trial in study.trials} == {"COMPLETE"}


@pytest.mark.long
def test_the_same_call_goes_on_with_workers_whose_time_has_ended(
    search: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"n_parallels": 2, "tune_callbacks": [nap], "show_progress_bar": True}
    with suppress(RunFailed):  # a busy machine has not begun by then
        search(40, walltime=25.0, **given)
    assert re.search(r"the allocation ends at .* \(--walltime\)", capsys.readouterr().err)
    study = search(40, **given)
    assert [trial.number for trial in study.trials] == list(range(40))
    assert {trial.state.name for trial in study.trials} == {"COMPLETE"}
