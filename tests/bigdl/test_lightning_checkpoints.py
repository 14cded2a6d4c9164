"""Lightning trials that are cut off and go on at their last epoch."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import optuna
import pytest
import pytorch_lightning as pl
import torch
from optuna.trial import TrialState
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch.nn import functional

import bigdl.nano.automl.hpo as hpo
import bigdl.nano.automl.hpo.space as space
from bigdl.nano.automl.search.weights import file_name
from orchestrator import last_checkpoint, trial_dir
from orchestrator.sampling.streams import seed_libraries
from orchestrator.trial_folder import CHECKPOINT, FOLDER
from tests.bigdl.lightning_models import Small, loader, searched, trainer
from tests.orchestrator.waiting import wait_until

EPOCHS = 6

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:pytorch_lightning")  # torch's, of a pytree


@pytest.fixture(autouse=True)
def _a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Ordered(Small):
    """Trains on the same data in the same order, with a schedule by epoch."""

    def train_dataloader(self) -> Any:
        return loader(0, 256)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.7)]

    def on_train_epoch_start(self) -> None:
        self.log("rate", self.optimizers().param_groups[0]["lr"])

    def on_train_epoch_end(self) -> None:
        self.log("late", float(self.current_epoch))


@hpo.plmodel()
class OrderedNet(Ordered):
    pass


# In worker processes that are killed


class Diary(pl.Callback):
    """Writes a line for each epoch that begins, and one when an epoch is trained."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.number = trainer.trial.number
        self.path = self.folder / f"diary-{self.number}"
        self.path.touch()
        self.is_first_attempt = not self.path.read_text()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.write("begin", trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        state = trainer.optimizers[0].state_dict()["state"]
        self.write("end", trainer.current_epoch, int(state[0]["step"]))

    def write(self, *words: object) -> None:
        with self.path.open("a") as file:
            print(*words, file=file)


class Fate(Diary):
    """By its number a trial is killed in the fourth epoch, between file and mark, or cut short."""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        import bigdl.nano.automl.search.checkpoints as shared

        super().setup(trainer, pl_module, stage)
        self.trial = trainer.trial
        if self.is_first_attempt and self.number == 1:
            shared.mark_checkpoint = self.dies_before_mark  # type: ignore[assignment]

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *about: Any) -> None:
        if self.is_first_attempt and self.number in (0, 2) and trainer.current_epoch == 3:
            if self.number == 2:
                path = trial_dir(self.trial) / "checkpoint"
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            die()

    def dies_before_mark(self, trial: Any, step: int) -> None:
        from orchestrator import mark_checkpoint

        if step == 3:
            die()
        mark_checkpoint(trial, step)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_trials_go_on_where_they_were(tmp_path: Path) -> None:
    keeping = ModelCheckpoint("mine", monitor="val_loss")
    by = trainer(callbacks=[Fate(tmp_path), keeping], enable_checkpointing=True)
    given = {"seed": 1, "max_epochs": EPOCHS, "n_parallels": 2, "checkpoint": True}
    study = searched(OrderedNet(width=space.Int(8, 8), learning_rate=0.02), 4, by, **given)
    diaries = [(tmp_path / f"diary-{number}").read_text().splitlines() for number in range(4)]
    begun = [[int(line.split()[1]) for line in diary if "begin" in line] for diary in diaries]
    assert begun[0] == [0, 1, 2, 3, 3, 4, 5], "killed in its fourth epoch"
    assert begun[1] == [0, 1, 2, 3, 4, 5], "killed when the fourth was written, and not marked"
    assert begun[2] == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5], "its checkpoint was cut short"
    assert begun[3] == [0, 1, 2, 3, 4, 5]
    rates = [0.02 * 0.7**epoch for epoch in range(EPOCHS)]
    for trial, diary in zip(study.trials, diaries, strict=True):
        assert diary[-1] == f"end 5 {EPOCHS * 8}", "the optimizer has counted all steps"
        assert trial.state is TrialState.COMPLETE
        assert trial.user_attrs["epochs"] == EPOCHS
        history = trial.user_attrs["history"]
        assert history["rate"] == pytest.approx(rates)
        assert history["late"] == list(range(EPOCHS))
        assert trial.value == pytest.approx(min(history["val_loss"]), rel=1e-5)
        reported = [trial.intermediate_values[step] for step in range(EPOCHS)]
        assert reported == pytest.approx(history["val_loss"], rel=1e-5)
        assert len(trial.intermediate_values) == EPOCHS
    run = Path("nano-hpo-runs/orderednet/run-001")
    assert not list(run.rglob("checkpoint")), "nothing is left"
    for trial in study.trials:  # but the user's own
        kept = list(run.glob(f"trials/trial-{trial.number:05d}*/mine/*.ckpt"))
        assert len(kept) == 1 + (trial.number == 2), "of the attempt that was no beginning there is one more"
    logs = "".join(path.read_text() for path in (run / "logs").iterdir())
    assert re.findall(r"WARNING (Trial \d.*checkpoint.*)", logs) == [
        "Trial 2: its checkpoint cannot be used (it is damaged); it starts again from its first epoch."
    ]


class Waits(Diary):
    """Stays in the third epoch, the first time."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *about: Any) -> None:
        while self.is_first_attempt and trainer.current_epoch == 2:
            time.sleep(0.1)


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import bigdl.nano.automl.hpo.space as space
from tests.bigdl.lightning_models import net, trainer
from tests.bigdl.test_lightning_checkpoints import Waits

trainer(callbacks=Waits(Path("."))).search(
    net(width=space.Int(8, 8)), n_trials=1, storage="sqlite:///study.db", max_epochs=4, draw="none",
    checkpoint=True,
)
"""


@pytest.mark.long
def test_a_run_that_was_interrupted_goes_on_at_the_trials_last_epoch() -> None:
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parents[2])]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        diary = Path("diary-0")
        wait_until(lambda: diary.exists() and "begin 2" in diary.read_text(), process)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    subprocess.run(command, check=True, timeout=60)
    begun = [line.split()[1] for line in diary.read_text().splitlines() if "begin" in line]
    assert begun == ["0", "1", "2", "2", "3"]
    (trial,) = optuna.load_study(study_name="net", storage="sqlite:///study.db").trials
    assert (trial.state, trial.user_attrs["epochs"]) == (TrialState.COMPLETE, 4)
    assert list(trial.intermediate_values) == [0, 1, 2, 3]
    assert not list(Path("nano-hpo-runs").rglob("checkpoint"))


# In this process: attempts one after the other


class Cut(BaseException):
    """A worker's end, as an objective sees it."""


class CutOff(pl.Callback):
    """Ends the first attempt in an epoch, or by "end" when all are trained."""

    def __init__(self, when: Any, by: type[BaseException] = Cut) -> None:
        self.when, self.by = when, by

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        trial = trainer.trial
        trial.set_user_attr("begun", [*trial.user_attrs.get("begun", []), trainer.current_epoch])

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, index: int) -> None:
        self.cut(trainer, trainer.current_epoch)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.cut(trainer, "end")

    def cut(self, trainer: Any, now: Any) -> None:
        if now == self.when and "cut" not in trainer.trial.user_attrs:
            trainer.trial.set_user_attr("cut", True)
            raise self.by


class Attempts:
    """An objective as ``search`` makes it, tried by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, run_dir: Path) -> None:
        self.objective: Any = None
        self.study: Any = optuna.create_study()
        self.study.run_dir = run_dir
        run_dir.mkdir()
        monkeypatch.setattr("orchestrator.search", self.take)

    def take(self, objective: Any, **kwargs: Any) -> None:
        self.objective = objective
        raise Cut

    def prepare(
        self, model: Any, cut: Any = None, by: Any = Cut, arguments: Any = None, **kwargs: Any
    ) -> None:
        """Take the objective of a search; ``arguments`` are those of the trainer."""
        arguments = dict(arguments or {})
        arguments["callbacks"] = [*arguments.get("callbacks", ()), CutOff(cut, by)]
        given = {"max_epochs": EPOCHS, "checkpoint": True, **kwargs}
        with pytest.raises(Cut):
            searched(model, 1, trainer(**arguments), **given)

    def attempt(self, trial: Any) -> Any:
        seed_libraries(1)
        return self.objective(trial)

    def of(self, model: Any, cut: Any = None, **kwargs: Any) -> Any:
        """A trial and its value, after a second attempt where the first one is cut off."""
        self.prepare(model, cut, **kwargs)
        trial = self.study.ask()
        if cut is not None:
            with pytest.raises(Cut):
                self.attempt(trial)
            assert (trial_dir(trial) / "checkpoint").exists()
        value = self.attempt(trial)
        assert not list(self.study.run_dir.glob("trials/*/*checkpoint"))
        return trial, value


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Attempts:
    return Attempts(monkeypatch, tmp_path / "run")


class TwoOptimizers(Ordered):
    """Steps by hand, with an optimizer for each half."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.automatic_optimization = False

    def training_step(self, batch: Any, index: int) -> None:
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(functional.cross_entropy(self(batch[0]), batch[1]))
        for optimizer in self.optimizers():
            optimizer.step()

    def configure_optimizers(self) -> Any:
        first, last = self.layers[0].parameters(), self.layers[-1].parameters()
        return [torch.optim.Adam(first, 0.01), torch.optim.SGD(last, 0.1, momentum=0.9)]

    def on_train_epoch_start(self) -> None:
        pass


class Plateau(Ordered):
    """A schedule by metric."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.02)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", patience=0)
        by_value = {"scheduler": scheduler, "monitor": "val_loss", "frequency": 2}
        return {"optimizer": optimizer, "lr_scheduler": by_value}


MODELS = {"ordered": OrderedNet, "two": hpo.plmodel()(TwoOptimizers), "plateau": hpo.plmodel()(Plateau)}


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("ordered", {"val_check_interval": 0.5}),
        ("ordered", {"max_steps": 44}),
        ("ordered", {"check_val_every_n_epoch": None, "val_check_interval": 12}),
        ("ordered", {"limit_val_batches": 0}),
        ("two", {}),
        ("plateau", {"check_val_every_n_epoch": 2, "max_steps": 44}),
    ],
)
def test_a_training_that_was_cut_off_ends_as_the_whole_one(
    attempts: Attempts, model: str, arguments: Any
) -> None:
    metric = "train_loss_epoch" if "limit_val_batches" in arguments else "val_loss"
    metric = "late" if model == "two" else metric
    given = {"arguments": arguments, "target_metric": metric, "direction": "minimize"}
    whole, value = attempts.of(MODELS[model](width=space.Int(8, 8)), **given)
    other, again = attempts.of(MODELS[model](width=space.Int(8, 8)), cut=3, **given)
    assert other.user_attrs["begun"] == [0, 1, 2, 3, 3, 4, 5]
    assert again == pytest.approx(value, rel=1e-5)
    assert other.user_attrs["epochs"] == whole.user_attrs["epochs"] == EPOCHS
    for name, values in whole.user_attrs["history"].items():
        assert other.user_attrs["history"][name] == pytest.approx(values, rel=1e-5), name
    reported = [one.storage.get_trial(one._trial_id).intermediate_values for one in (whole, other)]
    assert reported[1] == pytest.approx(reported[0], rel=1e-5)


class Falling(pl.Callback):
    """Says that it gets worse from the third epoch on."""

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        epoch = trainer.current_epoch
        self.log("score", [1.0, 0.5][min(epoch, 1)] + epoch / 10)


def test_early_stopping_checkpoints_and_the_epoch_that_counts_are_carried(attempts: Attempts) -> None:
    def given(name: str) -> dict[str, Any]:
        stop = EarlyStopping("score", patience=3, check_on_train_epoch_end=True)
        keeping = ModelCheckpoint(name, monitor="score", save_last=True, save_on_train_epoch_end=True)
        arguments = {"callbacks": [Falling(), stop, keeping], "enable_checkpointing": True}
        return {"arguments": arguments, "target_metric": "score", "direction": "minimize", "keep_best": True}

    whole, value = attempts.of(OrderedNet(width=space.Int(8, 8)), **given("mine"))
    files = [path.name for path in files_of(whole)]
    assert files == ["epoch=1-step=16.ckpt", "last.ckpt"]
    for cut in (3, 4, "end"):
        other, again = attempts.of(OrderedNet(width=space.Int(8, 8)), cut=cut, **given("mine"))
        assert again == value
        assert other.user_attrs["epochs"] == whole.user_attrs["epochs"] == 5
        assert [path.name for path in files_of(other)] == files
        assert all(
            torch.allclose(one, two)
            for one, two in zip(kept_weights(whole), kept_weights(other), strict=True)
        )


def files_of(trial: Any) -> list[Path]:
    return sorted(trial.study.run_dir.glob(f"trials/trial-{trial.number:05d}*/mine/*"))


def kept_weights(trial: Any) -> list[torch.Tensor]:
    with np.load(trial.study.run_dir / "weights" / file_name(trial.number)) as stored:
        state = torch.load(io.BytesIO(stored["weight_0"].tobytes()), weights_only=True)
    return list(state.values())


class Shuffled(Small):
    """Writes down what is in its first batch of each epoch."""

    seen: ClassVar[list[float]] = []

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        if index == 0:
            self.seen.append(float((batch[0] * torch.arange(1, 65)).sum(1)[0]))
        return super().training_step(batch, index)


def test_the_first_epochs_order_is_not_repeated(attempts: Attempts) -> None:
    model = hpo.plmodel()(Shuffled)(width=space.Int(8, 8))
    attempts.of(model, cut=1, max_epochs=2)
    first, cut, second = Shuffled.seen
    assert first not in (cut, second)


@pytest.mark.parametrize("error", [optuna.TrialPruned, ValueError])
def test_the_file_of_a_trial_that_is_over_goes(attempts: Attempts, error: type[Exception]) -> None:
    attempts.prepare(OrderedNet(width=space.Int(8, 8)), cut=1, by=error)
    trial = attempts.study.ask()
    with pytest.raises(error):
        attempts.attempt(trial)
    assert trial.storage.get_trial_system_attrs(trial._trial_id)[CHECKPOINT] == 0  # one was written
    assert last_checkpoint(trial) is None
    assert not list(attempts.study.run_dir.rglob("trial-*"))


def test_an_interrupted_trial_keeps_its_file(attempts: Attempts) -> None:
    attempts.prepare(OrderedNet(width=space.Int(8, 8)), cut=1, by=KeyboardInterrupt)
    trial = attempts.study.ask()
    with pytest.raises(KeyboardInterrupt):
        attempts.attempt(trial)
    assert (trial_dir(trial) / "checkpoint").exists()


def test_a_model_that_was_changed_meanwhile_starts_again(attempts: Attempts, caplog: Any) -> None:
    attempts.prepare(OrderedNet(width=space.Int(8, 8)), cut=2)
    trial = attempts.study.ask()
    with pytest.raises(Cut):
        attempts.attempt(trial)
    attempts.prepare(
        MODELS["two"](width=space.Int(8, 8)), max_epochs=3, target_metric="late", direction="minimize"
    )
    attempts.attempt(trial)
    assert trial.user_attrs["begun"] == [0, 1, 2, 0, 1, 2]
    assert "Trial 0: its checkpoint cannot be used (ValueError: " in caplog.text


def test_latency_is_measured_of_a_trial_that_had_nothing_left_to_train(attempts: Attempts) -> None:
    metrics = ["val_loss", "latency"]
    attempts.study = optuna.create_study(directions=["minimize"] * 2)
    attempts.study.run_dir = Path("run").absolute()
    model = OrderedNet(width=space.Int(8, 8))
    trial, (loss, latency) = attempts.of(model, cut="end", target_metric=metrics, max_epochs=2)
    assert trial.user_attrs["begun"] == [0, 1]
    assert loss == pytest.approx(min(trial.user_attrs["history"]["val_loss"]))
    assert latency > 0


def test_no_file_is_written_unasked_or_in_memory(attempts: Attempts, monkeypatch: Any) -> None:
    attempts.prepare(OrderedNet(width=space.Int(8, 8)), checkpoint=False, max_epochs=1)
    trial = attempts.study.ask()
    attempts.attempt(trial)
    assert not list(attempts.study.run_dir.rglob("trial-*"))
    assert last_checkpoint(trial) is None
    monkeypatch.undo()
    study = searched(n_trials=1, max_epochs=1, checkpoint=True)
    assert study.trials[0].system_attrs.keys() & {FOLDER, CHECKPOINT} == set()


def test_the_users_own_checkpoints_hold_nothing_of_ours(attempts: Attempts) -> None:
    keeping = ModelCheckpoint("mine")
    arguments = {"callbacks": [keeping], "enable_checkpointing": True}
    trial, _ = attempts.of(OrderedNet(width=space.Int(8, 8)), arguments=arguments, max_epochs=1)
    (path,) = files_of(trial)
    assert "nano_hpo" not in torch.load(path, weights_only=False)


def test_the_argument_is_a_bool() -> None:
    with pytest.raises(TypeError, match=r"checkpoint is 'yes'; it must be True or False"):
        searched(checkpoint="yes")
