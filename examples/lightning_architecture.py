"""How deep, how wide, and how should it learn? The arguments of a LightningModule, searched.

    python examples/lightning_architecture.py
    python examples/lightning_architecture.py --n-trials 40 --n-parallels 2

With `@hpo.plmodel()` the arguments of your own LightningModule may be search spaces. The class stays as it
is: it is given plain values, new ones in each trial, and uses them where it needs them: in its layers, in
`configure_optimizers`, in `train_dataloader`. Each trial trains on 1,077 of the 1,797 digits that
scikit-learn ships, and is judged by 360 others; hopeless ones are stopped early. `search` returns an
ordinary object of your class with the best values. It is trained for longer, and judged by 360 digits that
no trial has seen.

It takes half a minute. Torch first, in the CPU build that PyTorch's
"Get started" page offers (left alone, pip may bring gigabytes of CUDA); then Lightning and scikit-learn:
pip install -e ".[lightning,examples]"
"""

import argparse

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from bigdl.nano.automl import hpo
from bigdl.nano.automl.hpo import space
from bigdl.nano.pytorch import Trainer


def load_three_parts() -> list[TensorDataset]:
    """Images of 64 values 0 to 1, and their digits: for training, for validation, for the end."""
    images, digits = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16.0, dtype=torch.float32), torch.tensor(digits))
    rest, test = train_test_split(range(len(data)), test_size=360, random_state=0)
    train, validation = train_test_split(rest, test_size=360, random_state=0)
    return [TensorDataset(*data[part]) for part in (train, validation, test)]


TRAIN, VALIDATION, TEST = load_three_parts()


@hpo.plmodel()
class Network(pl.LightningModule):
    """As many hidden layers as asked for, and scores of the ten digits at the end."""

    def __init__(self, n_layers: int, width: int, activation: str, rate: float, lr: float, batch_size: int):
        super().__init__()
        self.save_hyperparameters()
        layers = []
        for n_inputs in [64, *[width] * (n_layers - 1)]:
            function = torch.nn.ReLU() if activation == "relu" else torch.nn.Tanh()
            layers += [torch.nn.Linear(n_inputs, width), function, torch.nn.Dropout(rate)]
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(width, 10))

    def forward(self, images):
        """Images of 64 numbers in, ten scores out."""
        return self.layers(images)

    def configure_optimizers(self):
        """With the learning rate of the trial."""
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)

    def train_dataloader(self):
        """With the batch size of the trial."""
        return DataLoader(TRAIN, batch_size=self.hparams.batch_size, shuffle=True)

    def val_dataloader(self):
        """All in one batch."""
        return DataLoader(VALIDATION, batch_size=len(VALIDATION))

    def training_step(self, batch, index):
        """The loss of a batch."""
        images, digits = batch
        return functional.cross_entropy(self(images), digits)

    def validation_step(self, batch, index):
        """What is logged can be what counts."""
        self.log("val_accuracy", self.accuracy(batch))

    def test_step(self, batch, index):
        """The same for other digits."""
        self.log("test_accuracy", self.accuracy(batch))

    def accuracy(self, batch):
        """The share of a batch that is read right."""
        images, digits = batch
        return (self(images).argmax(1) == digits).float().mean()


def main() -> None:
    arguments = read_arguments()
    model = Network(
        n_layers=space.Int(1, 3),
        width=space.Int(16, 128, log=True),
        activation=space.Categorical("relu", "tanh"),
        rate=space.Real(0.0, 0.5),
        lr=space.Real(1e-4, 1e-1, log=True),
        batch_size=space.Categorical(32, 64, 128),
    )
    trainer = Trainer(
        use_hpo=True,
        max_epochs=20,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    best_model = trainer.search(
        model,
        n_trials=arguments.n_trials,
        n_parallels=arguments.n_parallels,
        target_metric="val_accuracy",
        direction="maximize",
        pruner="median",  # stops a trial that is worse than half of the others were after as many epochs
        max_epochs=8,  # of a trial; `fit` has the 20 of the trainer
    )
    study = trainer.search_summary()  # an Optuna study
    n_pruned = sum(trial.state.name == "PRUNED" for trial in study.trials)
    print(f"\nBest of {len(study.trials)} trials ({n_pruned} stopped early), {study.best_value:.1%} right:")
    for name, value in study.best_params.items():
        print(f"    {name.removesuffix(space.SPLITTER + 'choice')} = {value}")

    trainer.fit(best_model)
    (result,) = trainer.test(best_model, DataLoader(TEST, batch_size=len(TEST)), verbose=False)
    print(f"Test accuracy: {result['test_accuracy']:.1%}, with {best_model.hparams.n_layers} hidden layer(s)")


def read_arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--n-trials", type=int, default=10, metavar="N", help="models to try (10)")
    parser.add_argument("--n-parallels", type=int, default=1, metavar="N", help="processes that try them (1)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
