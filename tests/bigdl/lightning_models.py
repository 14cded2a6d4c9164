"""Small searchable Lightning models over the digits, for the tests of searches."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytorch_lightning as pl
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import bigdl.nano.automl.hpo as hpo
import bigdl.nano.automl.hpo.space as space
from bigdl.nano.pytorch import Trainer


@cache
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Images of 64 numbers between 0 and 1, and their digits."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)


def loader(first: int, last: int, **kwargs: Any) -> DataLoader:
    """Some of the digits, in batches of 32."""
    images, labels = digits()
    return DataLoader(TensorDataset(images[first:last], labels[first:last]), **{"batch_size": 32, **kwargs})


class Bare(pl.LightningModule):
    """One hidden layer; it logs losses and accuracy, and brings no data."""

    def __init__(self, width: int, rate: float = 0.0, learning_rate: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Dropout(rate), torch.nn.Linear(width, 10)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss = functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        scores = self(batch[0])
        self.log("val_loss", functional.cross_entropy(scores, batch[1]))
        self.log("val_acc", (scores.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)


class Small(Bare):
    """The same with 256 digits to train on and 128 to validate."""

    def train_dataloader(self) -> DataLoader:
        return loader(0, 256, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return loader(256, 384, batch_size=64)


@hpo.plmodel()
class Net(Small):
    """What most tests search."""


def net(**kwargs: Any) -> Any:
    """A searchable Net; its width and learning rate are searched where nothing else is given."""
    given = {"width": space.Int(4, 32), "learning_rate": space.Real(1e-3, 1e-1, log=True)}
    return Net(**{**given, **kwargs})


def trainer(**kwargs: Any) -> Trainer:
    """A quiet trainer that may search."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    quiet["enable_checkpointing"] = False
    return Trainer(use_hpo=True, **{**quiet, "accelerator": "cpu", **kwargs})


def searched(model: Any = None, n_trials: int = 2, by: Trainer | None = None, **kwargs: Any) -> Any:
    """The study after a short search; ``by`` is the trainer."""
    by = by or trainer()
    given = {"max_epochs": 2, "draw": "none", "show_progress_bar": False, **kwargs}
    by.search(net() if model is None else model, n_trials=n_trials, **given)
    return by.search_summary()
