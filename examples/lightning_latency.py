"""Right, and fast as well: models that are searched by their loss and by how long a call of them takes.

    python examples/lightning_latency.py
    python examples/lightning_latency.py --n-trials 40 --n-parallels 2
    python examples/lightning_latency.py --n-trials 4 --acceleration

No model is the best in both. What a search of two metrics finds is the Pareto front: the models that no other
beats in one metric without being worse in the other. `search` returns all of them, and you choose. Latency
is the milliseconds of one call with one image, on the cores of the trial, when its training is over: calls
until it is warm, then at least twenty by the clock, of which the middle ones count. Behind ± stands the
distance of their quartiles.

Two plots are written to the working directory, to be opened in a browser: `pareto_front.html`, and
`importances_for_duration.html`, which shows what makes a trial last long.

With `--acceleration` each trained model is also tried with `torch.jit`, `torch.compile` (it needs a C++
compiler, g++) and Intel Extension for PyTorch (where it is installed). The fastest way whose loss is within
1 % is the one that counts, and the table names it. Compiling takes some five seconds more for each trial.

Without it all takes half a minute. Torch first, in the CPU build that PyTorch's
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
from bigdl.nano.automl.hpo.visualization import plot_param_importances, plot_pareto_front
from bigdl.nano.pytorch import Trainer


@hpo.plmodel()
class Network(pl.LightningModule):
    """As many hidden layers as asked for, and scores of the ten digits at the end."""

    def __init__(self, n_layers: int, width: int, learning_rate: float):
        super().__init__()
        self.save_hyperparameters()
        layers = []
        for n_inputs in [64, *[width] * (n_layers - 1)]:
            layers += [torch.nn.Linear(n_inputs, width), torch.nn.ReLU()]
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(width, 10))

    def forward(self, images):
        """Images of 64 numbers in, ten scores out. This is the call that is timed."""
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
        images, digits = batch
        self.log("val_loss", functional.cross_entropy(self(images), digits))

    def test_step(self, batch, index):
        """The share of a batch that is read right."""
        images, digits = batch
        self.log("test_accuracy", (self(images).argmax(1) == digits).float().mean())


def main() -> None:
    arguments = read_arguments()
    train, validation, test = load_three_parts()
    model = Network(
        n_layers=space.Int(1, 3),
        width=space.Int(8, 512, log=True),
        learning_rate=space.Real(1e-3, 1e-2, log=True),
    )
    trainer = Trainer(
        use_hpo=True,
        max_epochs=6,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    models = trainer.search(
        model,
        n_trials=arguments.n_trials,
        n_parallels=arguments.n_parallels,
        target_metric=["val_loss", "latency"],
        directions=["minimize", "minimize"],
        acceleration=arguments.acceleration,
        keep_best=True,  # the models that are returned are trained
        train_dataloaders=DataLoader(train, batch_size=64, shuffle=True),
        val_dataloaders=DataLoader(validation, batch_size=360),
    )
    study = trainer.search_summary()  # an Optuna study
    front = sorted(zip(study.best_trials, models, strict=True), key=latency_ms)
    print(f"\nPareto front of {len(study.trials)} trials, the fastest first:\n")
    print_table(front)

    trial, chosen = choose(front)
    print(f"\nTrial {trial.number} is the fastest whose loss is at most a tenth above the lowest:")
    for name, value in trial.params.items():
        print(f"    {name} = {value}")
    (result,) = trainer.test(chosen, DataLoader(test, batch_size=360), verbose=False)
    print(f"Test accuracy: {result['test_accuracy']:.1%}")
    write_plots(study)


def latency_ms(trial_and_model) -> float:
    """The second of the two values."""
    return trial_and_model[0].values[1]


def print_table(front) -> None:
    """A line for each model of the front."""
    print("trial  val_loss       latency in ms  parameters  optimization")
    for trial, model in front:
        loss, mean_ms = trial.values
        spread_ms = trial.user_attrs["latency"]["spread_ms"]
        n_parameters = sum(weights.numel() for weights in model.parameters())
        optimization = trial.user_attrs.get("optimization", "not tried")
        cells = f"{trial.number:>5}  {loss:>8.4f}  {mean_ms:>8.4f} ± {spread_ms:.4f}  {n_parameters:>10,}"
        print(f"{cells}  {optimization}")
    busy = [trial.user_attrs["latency"]["others_busy"] for trial, _ in front]
    if None not in busy:
        print(f"While they were timed, the other CPUs were busy up to {max(busy):.0%} of the time.")


def choose(front):
    """The fastest model that is nearly as good as the best one."""
    lowest = min(trial.values[0] for trial, _ in front)
    return next((trial, model) for trial, model in front if trial.values[0] <= 1.1 * lowest)


def write_plots(study) -> None:
    """Both plots, each as an HTML file."""
    pareto_front = plot_pareto_front(study, target_names=["val_loss", "latency in ms"])
    pareto_front.write_html("pareto_front.html")
    importances = plot_param_importances(
        study, target=lambda trial: trial.duration.total_seconds(), target_name="duration"
    )
    importances.write_html("importances_for_duration.html")
    print("Plots: pareto_front.html, importances_for_duration.html")


def load_three_parts():
    """Images of 64 values 0 to 1, and their digits: for training, for validation, for the end."""
    images, digits = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16.0, dtype=torch.float32), torch.tensor(digits))
    return random_split(data, [1077, 360, 360], generator=torch.Generator().manual_seed(0))


def read_arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--n-trials", type=int, default=12, metavar="N", help="models to try (12)")
    parser.add_argument("--n-parallels", type=int, default=1, metavar="N", help="processes that try them (1)")
    parser.add_argument("--acceleration", action="store_true", help="try what makes inference faster")
    return parser.parse_args()


if __name__ == "__main__":
    main()
