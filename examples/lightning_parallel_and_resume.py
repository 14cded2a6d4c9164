"""A search by several processes that goes on tomorrow.

    python examples/lightning_parallel_and_resume.py             # six trials by two processes
    python examples/lightning_parallel_and_resume.py --resume    # tomorrow: six more, with the first in mind
    python examples/lightning_parallel_and_resume.py --storage mysql://user@localhost/db

All trials are in one study in a database. Here that is a SQLite file; for many processes name a MySQL or
MariaDB server (`nano-hpo db start DIR` makes one of your own). Each process has cores of its own. One that
dies is replaced and its trial is tried again, so a search for six trials ends with six finished ones. The
loaders are given to `search` as they would be to `fit`; their digits are written once, and all processes read
them from the same memory.

`keep_best=True` keeps the weights of the best trial: the model that `search` returns is trained, and the
training at the end goes on with it. A report of the search, one HTML file, is in the folder that is named
when it is over.

It takes half a minute. Torch first, in the CPU build that PyTorch's
"Get started" page offers (left alone, pip may bring gigabytes of CUDA); then Lightning and scikit-learn:
pip install -e ".[lightning,examples]"
"""

import argparse

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split

from bigdl.nano.automl import hpo
from bigdl.nano.automl.hpo import space
from bigdl.nano.pytorch import Trainer


@hpo.plmodel()
class Network(pl.LightningModule):
    """One hidden layer, and scores of the ten digits."""

    def __init__(self, width: int, rate: float, learning_rate: float):
        super().__init__()
        self.save_hyperparameters()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Dropout(rate), torch.nn.Linear(width, 10)
        )

    def forward(self, images):
        """Images of 64 numbers in, ten scores out."""
        return self.layers(images)

    def configure_optimizers(self):
        """With the learning rate of the trial."""
        return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)

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
    train_loader, validation_loader, test_loader = make_loaders()
    model = Network(
        width=space.Int(32, 128, log=True),
        rate=space.Real(0.0, 0.5),
        learning_rate=space.Real(1e-3, 1e-1, log=True),
    )
    trainer = Trainer(
        use_hpo=True,
        max_epochs=8,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    best_model = trainer.search(
        model,
        storage=arguments.storage,
        study_name="lightning-digits",  # storage and name say which search it is that goes on
        resume=arguments.resume,  # False begins from scratch; a study of that name is renamed, not deleted
        n_trials=arguments.n_trials,
        n_parallels=arguments.n_parallels,
        target_metric="val_accuracy",
        direction="maximize",
        keep_best=True,
        train_dataloaders=train_loader,
        val_dataloaders=validation_loader,
    )
    study = trainer.search_summary()  # an Optuna study
    print(f"\nBest of {len(study.trials)} trials, {study.best_value:.1%} of the validation digits right:")
    for name, value in study.best_params.items():
        print(f"    {name} = {value}")

    trainer.fit(best_model, train_loader, validation_loader)  # on from the weights that were kept
    (result,) = trainer.test(best_model, test_loader, verbose=False)
    print(f"Test accuracy: {result['test_accuracy']:.1%}")


def make_loaders() -> list[DataLoader]:
    """Of images of 64 values 0 to 1, and their digits: for training, for validation, for the end."""
    images, digits = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16.0, dtype=torch.float32), torch.tensor(digits))
    parts = random_split(data, [1077, 360, 360], generator=torch.Generator().manual_seed(0))
    return [DataLoader(part, batch_size=32, shuffle=part is parts[0]) for part in parts]


def read_arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--n-trials", type=int, default=6, metavar="N", help="models to try (6)")
    parser.add_argument("--n-parallels", type=int, default=2, metavar="N", help="processes that try them (2)")
    parser.add_argument(
        "--storage", default="sqlite:///lightning-digits.db", metavar="URL", help="the database"
    )
    parser.add_argument("--resume", action="store_true", help="add the trials to those that are stored")
    return parser.parse_args()


if __name__ == "__main__":
    main()
