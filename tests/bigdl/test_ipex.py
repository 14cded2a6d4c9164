"""``use_ipex``: Intel Extension for PyTorch where it is, else plain torch with the same settings."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import bigdl.nano.automl.hpo as hpo
import bigdl.nano.automl.hpo.space as space
from bigdl.nano.pytorch import Trainer, ipex
from tests.bigdl.lightning_models import Small, digits, searched, trainer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:pytorch_lightning")  # torch's, of a pytree
installed = pytest.mark.skipif(
    find_spec("intel_extension_for_pytorch") is None or ipex.problem() is not None,
    reason="IPEX: not installed, or for another torch",
)


@pytest.fixture(autouse=True)
def _a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extension is not installed."""
    monkeypatch.setattr(ipex, "problem", lambda: "is not installed (pip install 'nano-hpo[ipex]')")


@hpo.plmodel()
class Convolutions(Small):
    """It looks at the digits as four small images each, and notes how it computes."""

    def __init__(self, width: int, learning_rate: float = 0.01) -> None:
        super().__init__(width)
        self.first = torch.nn.Conv2d(4, width, 3)
        self.last = torch.nn.Linear(width * 4, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = self.first(images.view(-1, 4, 4, 4))
        SEEN.append((seen.dtype, self.first.weight.is_contiguous(memory_format=torch.channels_last)))
        return self.last(seen.relu().flatten(1))


SEEN: list[tuple[Any, bool]] = []


def test_where_it_is_absent_one_line_says_so_and_what_runs(absent: None) -> None:
    with pytest.warns(UserWarning, match=r"plain torch runs with the same settings") as said:
        trainer(use_ipex=True, precision="bf16")
    (line,) = said
    assert str(line.message) == (
        "use_ipex=True: Intel Extension for PyTorch is not installed (pip install 'nano-hpo[ipex]'); plain "
        "torch runs with the same settings (bf16 autocast, channels_last)."
    )


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), (32, torch.float32)])
@pytest.mark.filterwarnings("ignore:use_ipex=True")
def test_plain_torch_runs_with_the_same_settings(absent: None, precision: Any, dtype: Any) -> None:
    SEEN.clear()
    by = trainer(use_ipex=True, precision=precision, max_epochs=1)
    by.fit(Convolutions(4))
    assert set(SEEN) == {(dtype, True)}
    SEEN.clear()
    searched(Convolutions(width=space.Int(2, 4)), 1, by=by)
    assert set(SEEN) == {(dtype, True)}


def test_trials_do_not_say_it_again(absent: None) -> None:
    with pytest.warns(UserWarning, match="use_ipex=True") as said:
        searched(n_trials=3, by=trainer(use_ipex=True))
    assert len([one for one in said if "use_ipex" in str(one.message)]) == 1


def test_channels_last_may_be_had_alone_or_not_at_all(absent: None) -> None:
    for given, is_last in [
        ({"channels_last": True}, True),
        ({"use_ipex": True, "channels_last": False}, False),
    ]:
        SEEN.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            by = trainer(max_epochs=1, **given)
            by.fit(Convolutions(4))
        assert {last for _, last in SEEN} == {is_last}


def test_an_extension_for_another_torch_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imported, it prints a line and raises AttributeError."""
    monkeypatch.setattr(ipex, "find_spec", lambda name: object())
    monkeypatch.setattr(ipex, "version", lambda name: "1.2.3")
    ipex.problem.cache_clear()
    try:
        assert ipex.problem() == f"1.2.3 does not go with torch {torch.__version__}"
    finally:
        monkeypatch.undo()
        ipex.problem.cache_clear()


def test_an_extension_that_cannot_be_imported_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise AttributeError("module 'torch' has\n no attribute 'jit'")

    monkeypatch.setattr(ipex, "find_spec", lambda name: object())
    monkeypatch.setattr(ipex, "version", lambda name: torch.__version__)
    monkeypatch.setattr(ipex, "_load", broken)
    ipex.problem.cache_clear()
    try:
        says = "cannot be imported (AttributeError: module 'torch' has no attribute 'jit')"
        assert ipex.problem() == says
    finally:
        monkeypatch.undo()
        ipex.problem.cache_clear()


# Where it is installed


@installed
@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), (32, torch.float32)])
def test_the_extension_optimises_model_and_optimizer(precision: Any, dtype: Any) -> None:
    SEEN.clear()
    by = Trainer(
        use_ipex=True,
        precision=precision,
        max_epochs=3,
        use_hpo=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    model = Convolutions(8)
    by.fit(model)
    assert {one for one, _ in SEEN} == {dtype}
    assert "ipex" in type(model.first).__module__ or "intel_extension" in type(model.first).__module__
    assert by.validate(model, verbose=False)[0]["val_acc"] > 0.5
    by.fit_loop.max_epochs = 4
    with pytest.warns(UserWarning, match="optimised for an earlier fit"):
        by.fit(model)
    assert by.validate(model, verbose=False)[0]["val_acc"] > 0.5
    study = searched(Convolutions(width=space.Int(2, 8)), 2, by=by, keep_best=True)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2


@installed
def test_the_extension_is_among_the_ways_of_acceleration() -> None:
    sample = digits()[0][:1]
    (trial,) = searched(
        Convolutions(width=space.Int(2, 8)),
        1,
        target_metric="latency",
        acceleration=True,
        input_sample=sample,
    ).trials
    assert isinstance(trial.user_attrs["optimizations"]["ipex"], float)
