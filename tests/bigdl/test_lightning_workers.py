"""Searches over Lightning models in worker processes: bound, supervised, exact, and lean."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import pytorch_lightning as pl
import torch
from optuna.trial import TrialState
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader, Dataset, TensorDataset

import bigdl.nano.automl.hpo as hpo
import bigdl.nano.automl.hpo.space as space
from orchestrator.payload import ArrayFolder, dump, load
from tests.bigdl.lightning_models import Bare, Small, loader, net, searched, trainer
from tests.orchestrator.waiting import wait_until

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:pytorch_lightning")  # torch's, of a pytree


@pytest.fixture(autouse=True)
def _a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class InTheWorker(pl.Callback):
    """Writes down where a trial was trained, and with what."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        loaded = sorted({"tensorflow", "keras"} & sys.modules.keys())
        found = {"pid": os.getpid(), "cpus": sorted(os.sched_getaffinity(0)), "loaded": loaded}
        found |= {"threads": torch.get_num_threads(), "interop": torch.get_num_interop_threads()}
        for name, value in found.items():
            trainer.trial.set_user_attr(name, value)


def test_two_workers_share_a_search(capfd: Any) -> None:
    by = trainer(callbacks=InTheWorker())
    best = by.search(net(), n_trials=6, n_parallels=2, max_epochs=2, draw="html")
    study = by.search_summary()
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 6
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 6
    found = [trial.user_attrs for trial in study.trials]
    seats = {(one["pid"], *one["cpus"]) for one in found}
    assert len(seats) == 2
    assert os.getpid() not in {pid for pid, *_ in seats}
    if len(os.sched_getaffinity(0)) >= 2:
        assert not set.intersection(*({*cpus} for _, *cpus in seats)), "each worker has cores of its own"
    assert {tuple(one["loaded"]) for one in found} == {()}, "a Lightning worker needs no TensorFlow"
    assert all(one["threads"] == len(one["cpus"]) and one["interop"] == 1 for one in found)
    assert "No storage is named: the study goes into an SQLite file" in capfd.readouterr().err
    run = Path("nano-hpo-runs/net/run-001")
    assert (run / "report.html").exists()
    logs = "".join(path.read_text() for path in (run / "logs").iterdir())
    assert "GPU available" not in logs
    assert "does not have many workers" not in logs
    assert best.hparams.width == study.best_params["width"]


def test_trials_of_one_process_and_of_two_are_the_same_with_a_seed() -> None:
    """Parameters of a random sampler, weights and batches depend on the seed and the trial's number alone."""
    given = {"seed": 7, "sampler": "random", "max_epochs": 1}
    alone, together = (searched(n_trials=4, n_parallels=n, **given) for n in (1, 2))
    assert [trial.params for trial in alone.trials] == [trial.params for trial in together.trials]
    assert [trial.value for trial in alone.trials] == pytest.approx(
        [trial.value for trial in together.trials], rel=1e-3
    )


def test_the_best_weights_are_kept_beside_the_run() -> None:
    by = trainer()
    best = by.search(
        net(), n_trials=4, n_parallels=2, max_epochs=2, keep_best=True, draw="none", show_progress_bar=False
    )
    study = by.search_summary()
    kept = list(Path("nano-hpo-runs/net/run-001/weights").iterdir())
    assert [path.name for path in kept] == [f"trial-{study.best_trial.number:05d}.npz"]
    assert by.validate(best, verbose=False)[0]["val_loss"] == pytest.approx(study.best_value, rel=1e-4)


class DiesOnce(pl.Callback):
    """Kills its process in the first epoch of trial 1, the first time."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.trial.number == 1 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_costs_no_trial_and_its_second_attempt_has_a_folder_of_its_own(
    tmp_path: Path,
) -> None:
    by = trainer(callbacks=DiesOnce(tmp_path / "died"), logger=CSVLogger("mine"))
    study = searched(by=by, n_trials=4, n_parallels=2)
    assert (tmp_path / "died").exists()
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    folders = sorted(path.name for path in Path("nano-hpo-runs/net/run-001/trials").iterdir())
    assert folders == [f"trial-{name}" for name in ("00000", "00001", "00001-2", "00002", "00003")]


class Scripted(Small):
    """Later trials are worse, whatever they learn."""

    def on_validation_epoch_end(self) -> None:
        trial = getattr(self.trainer, "trial", None)
        bad = 9.0 if trial is not None and trial.number >= 2 else 1.0
        self.log("score", bad - 0.1 * self.current_epoch)


scripted = hpo.plmodel()(Scripted)


def test_trials_are_pruned_by_what_other_workers_reported() -> None:
    given = {"target_metric": "score", "direction": "minimize", "max_epochs": 4}
    given |= {"pruner": "median", "pruner_kwargs": {"n_startup_trials": 2}}
    study = searched(scripted(width=space.Int(4, 8)), 6, n_parallels=2, **given)
    states = {trial.number: trial.state for trial in study.trials}
    assert states[0] is states[1] is TrialState.COMPLETE
    pruned = [trial for trial in study.trials if trial.state is TrialState.PRUNED]
    assert pruned
    assert all(trial.number >= 2 and len(trial.intermediate_values) < 4 for trial in pruned)


# Data


class Where(Dataset):
    """Says on which CPUs the process may run that asks for an item, and how many threads torch has there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        (self.folder / f"{os.getpid()} {os.getppid()} {cpus} {torch.get_num_threads()}").touch()
        return torch.zeros(64), 0


given_data = hpo.plmodel()(type("GivenData", (Bare,), {"__module__": __name__}))
GivenData = given_data


def test_processes_of_loaders_stay_in_the_slot(tmp_path: Path) -> None:
    where = tmp_path / "where"
    where.mkdir()
    by = trainer(callbacks=InTheWorker())
    loaders = {
        "train_dataloaders": DataLoader(Where(where), batch_size=32, num_workers=1),
        "val_dataloaders": loader(0, 64),
    }
    study = searched(GivenData(width=space.Int(4, 8)), 4, by, n_parallels=2, **loaders)
    seats = {(one.user_attrs["pid"], tuple(one.user_attrs["cpus"])) for one in study.trials}
    loading = [path.name.split(" ") for path in where.iterdir()]
    assert {int(parent) for _, parent, _, _ in loading} == {pid for pid, _ in seats}
    for _, parent, cpus, threads in loading:
        assert (int(parent), tuple(map(int, cpus.split(",")))) in seats
        assert threads == "1"


def test_threads_are_left_to_the_processes_of_loaders() -> None:
    from bigdl.nano.automl.pytorch.conditions import Threads

    class Fitting:
        train_dataloader = DataLoader(TensorDataset(torch.zeros(2)), num_workers=1)

    before = torch.get_num_threads()
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    try:
        threads = Threads()
        threads.on_train_start(Fitting(), None)
        assert torch.get_num_threads() == max(1, cores - 1)
        threads.teardown(Fitting(), None, "fit")
        assert torch.get_num_threads() == cores
        torch.set_num_threads(cores + 1)  # chosen by hand
        threads.on_train_start(Fitting(), None)
        assert torch.get_num_threads() == cores + 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("given", "at_first", "left"), [("0", 6, 5), ("1", 5, 5), ("3", 3, 3)])
def test_loaders_that_were_counted_in_before_are_not_counted_twice(
    monkeypatch: pytest.MonkeyPatch, given: str, at_first: int, left: int
) -> None:
    """A slot of 6 threads on hardware threads of as many cores: the number of CPUs says nothing."""
    from bigdl.nano.automl.pytorch.conditions import Threads

    class Fitting:
        train_dataloader = DataLoader(TensorDataset(torch.zeros(2)), num_workers=1)

    monkeypatch.setenv("NANO_HPO_THREADS", "6")
    monkeypatch.setenv("NANO_HPO_DATALOADER_WORKERS", given)
    before = torch.get_num_threads()
    torch.set_num_threads(at_first)
    try:
        threads = Threads()
        threads.on_train_start(Fitting(), None)
        assert torch.get_num_threads() == left
        threads.restore()
        assert torch.get_num_threads() == at_first
    finally:
        torch.set_num_threads(before)


class Mapped(pl.Callback):
    """Writes down what kind of memory the training data are in, and how much the process has of its own."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        address = trainer.train_dataloader.dataset.tensors[0].data_ptr()
        lines = Path("/proc/self/maps").read_text().splitlines()
        spans = [(line.split()[0].split("-"), line) for line in lines]
        (line,) = [text for (start, end), text in spans if int(start, 16) <= address < int(end, 16)]
        trainer.trial.set_user_attr("file", line.split(maxsplit=5)[-1])
        trainer.trial.set_user_attr("pid", os.getpid())


def test_tensors_are_mapped_and_not_copied() -> None:
    images, labels = torch.rand(50_000, 64), torch.randint(10, (50_000,))
    loaders = {
        "train_dataloaders": DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True),
        "val_dataloaders": loader(0, 64),
    }
    by = trainer(callbacks=Mapped(), limit_train_batches=300)
    study = searched(GivenData(width=space.Int(4, 8)), 4, by, n_parallels=2, **loaders)
    files = {trial.user_attrs["file"] for trial in study.trials}
    assert len({trial.user_attrs["pid"] for trial in study.trials}) == 2
    assert len(files) == 1
    assert files.pop().startswith("/")
    pickled = Path("nano-hpo-runs/givendata/run-001/objective.pkl").stat().st_size
    assert pickled < images.nbytes / 10


def test_tensors_of_every_kind_arrive_as_they_were(tmp_path: Path) -> None:
    large = torch.rand(300, 300)
    sent = {
        "plain": large,
        "the same": large,
        "part": large[10:, ::2],
        "turned": large.t(),
        "with gradient": torch.rand(200, 200, requires_grad=True),
        "parameter": torch.nn.Parameter(torch.rand(200, 200)),
        "bfloat16": torch.rand(300, 300).bfloat16(),
        "conjugate": torch.rand(200, 200, dtype=torch.complex64).conj(),
        "sparse": torch.eye(300).to_sparse(),
        "whole": torch.arange(20_000),
        "empty": torch.empty(0, 7),
    }
    with ArrayFolder(tmp_path / "arrays") as arrays:
        dump(sent, tmp_path / "pickle", arrays)
        came = load(tmp_path / "pickle", arrays.path)
        for name, tensor in sent.items():
            assert type(came[name]) is type(tensor), name
            assert came[name].requires_grad == tensor.requires_grad
            assert torch.equal(came[name].to_dense(), tensor.to_dense()), name
        assert came["plain"] is came["the same"]
        came["plain"][0, 0] = 7.0
        assert large[0, 0] != 7.0
        again = load(tmp_path / "pickle", arrays.path)
        assert again["plain"][0, 0] == large[0, 0], "what a process changes is its own"
        assert (tmp_path / "pickle").stat().st_size < 2_000_000


# Scripts and notebooks

MODULE = """
import pytorch_lightning as pl
import torch
from torch.nn import functional

import bigdl.nano.automl.hpo as hpo


@hpo.plmodel()
class Network(pl.LightningModule):
    def __init__(self, first, width, learning_rate=0.05):
        super().__init__()
        self.save_hyperparameters(ignore=["first"])
        self.layers = torch.nn.Sequential(first, torch.nn.Linear(64, width), torch.nn.ReLU())
        self.last = torch.nn.Linear(width, 10)

    def forward(self, x):
        return self.last(self.layers(x))

    def training_step(self, batch, index):
        return functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, index):
        self.log("val_acc", (self(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)
"""

# A class, a data set, a callback and a collation of its own, and no `if __name__ == "__main__"`.
SCRIPT = """
import os
from pathlib import Path

import pytorch_lightning as pl
import torch
from my_models import Network
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset

import bigdl.nano.automl.hpo as hpo
import bigdl.nano.automl.hpo.space as space
from bigdl.nano.pytorch import Trainer

HERE = Path.cwd()
with (HERE / "scripts").open("a") as file:
    print(os.getpid(), file=file)


class Centre(torch.nn.Module):
    def forward(self, x):
        return x - x.mean(dim=-1, keepdim=True)


@hpo.plmodel()
class Mine(Network):
    pass


class Digits(Dataset):
    def __init__(self):
        images, self.labels = load_digits(return_X_y=True)
        self.images = (images / 16).astype("float32")

    def __len__(self):
        return 1024

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


class Tell(pl.Callback):
    def on_train_end(self, trainer, pl_module):
        with (HERE / "trainings").open("a") as file:
            print(os.getpid(), trainer.current_epoch, file=file)


data = {
    "train_dataloaders": DataLoader(Digits(), batch_size=64, shuffle=True),
    "val_dataloaders": DataLoader(
        Digits(), batch_size=256, collate_fn=lambda batch: torch.utils.data.default_collate(batch)
    ),
}
quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
quiet["enable_checkpointing"] = False
trainer = Trainer(max_epochs=5, use_hpo=True, callbacks=[Tell()], **quiet)
best = trainer.search(
    Mine(first=Centre(), width=space.Int(8, 64)),
    target_metric="val_acc",
    direction="maximize",
    n_trials=4,
    n_parallels=2,
    max_epochs=1,
    draw="none",
    **data,
)
study = trainer.search_summary()
print("trials:", [trial.state.name for trial in study.trials])
print("width:", best.hparams.width == study.best_params["width"])
trainer.fit(best, **data)
print("accuracy:", trainer.validate(best, data["val_dataloaders"], verbose=False)[0]["val_acc"])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder, with spaces in its name and a module in it."""
    folder = tmp_path / "my new searches"
    folder.mkdir()
    (folder / "my_models.py").write_text(MODULE)
    return folder


def test_what_a_script_and_the_module_beside_it_define_reaches_the_processes(folder: Path) -> None:
    (folder / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = dict(line.split(": ") for line in done.stdout.splitlines())
    assert said["trials"] == str(["COMPLETE"] * 4)
    assert said["width"] == "True"
    assert float(said["accuracy"]) > 0.7
    scripts = (folder / "scripts").read_text().split()
    assert len(scripts) == 1, "a worker has run the script"
    trainings = [line.split() for line in (folder / "trainings").read_text().splitlines()]
    assert [epochs for _, epochs in trainings] == ["1"] * 4 + ["5"]
    assert scripts[0] not in {process for process, _ in trainings[:4]}


CELLS = [
    "import torch\nfrom torch.utils.data import DataLoader, TensorDataset\n"
    "import bigdl.nano.automl.hpo as hpo\nfrom sklearn.datasets import load_digits\n"
    "from bigdl.nano.pytorch import Trainer",
    MODULE,
    "class Scale(torch.nn.Module):\n    def forward(self, x):\n        return x / 16 - 0.3",
    "images, digits = load_digits(return_X_y=True)\n"
    "data = TensorDataset(torch.tensor(images, dtype=torch.float32), torch.tensor(digits))\n"
    "loaders = dict(train_dataloaders=DataLoader(data, 64, shuffle=True))\n"
    "loaders['val_dataloaders'] = DataLoader(data, 256)",
    "trainer = Trainer(max_epochs=5, use_hpo=True, logger=False, enable_checkpointing=False)\n"
    "model = Network(first=Scale(), width=hpo.space.Int(8, 64))\n"
    "how = dict(target_metric='val_acc', max_epochs=1, draw='none', **loaders)",
    "trainer.search(model, n_trials=2, n_parallels=2, **how)",
    "best = trainer.search(model, n_trials=2, n_parallels=2, resume=True, **how)",
    "trainer.fit(best, **loaders)\n"
    "assert trainer.validate(best, loaders['val_dataloaders'])[0]['val_acc'] > 0.7",
]


@pytest.mark.long
def test_what_a_notebook_defines_reaches_the_processes_and_its_search_goes_on(
    run_cell: Any, folder: Path
) -> None:
    for cell in CELLS:
        run_cell(cell)
    (file,) = folder.glob("nano-hpo-runs/network/run-001/study.db")
    study = optuna.load_study(study_name="network", storage=f"sqlite:///{file}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4


# Ends

LONG = """
import sys
sys.path.insert(0, sys.argv[1])
import bigdl.nano.automl.hpo.space as space
from tests.bigdl.lightning_models import net, trainer

net = net(learning_rate=space.Real(1e-3, 1e-1, log=True))
trainer(limit_val_batches=1).search(
    net, n_trials=8, n_parallels=2, max_epochs=int(sys.argv[3]), storage=sys.argv[2], study_name="long",
    draw="none",
)
"""


def started(*words: object) -> subprocess.Popen[str]:
    """The script in a process of its own."""
    command = [sys.executable, "-c", LONG, str(ROOT), *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def states(storage: str) -> list[str]:
    """By number, the states of the trials; none while there is no study."""
    try:
        study = optuna.load_study(study_name="long", storage=storage)
    except Exception:  # there is no table, or no study yet
        return []
    return [trial.state.name for trial in study.trials]


def end(process: subprocess.Popen[str]) -> None:
    """The process and all that it started."""
    import psutil

    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        one.kill()
    psutil.wait_procs(family, timeout=30)
    process.communicate()


@pytest.mark.parametrize(
    "storage_url", [pytest.param("sqlite", marks=pytest.mark.long), "mariadb"], indirect=True
)
def test_a_run_that_was_killed_is_finished_by_the_same_script(storage_url: str, tmp_path: Path) -> None:
    process = started(storage_url, 40)
    try:
        wait_until(lambda: states(storage_url).count("COMPLETE") >= 3)
    finally:
        end(process)
    before = states(storage_url)
    assert before.count("COMPLETE") < 8
    process = started(storage_url, 40)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    study = optuna.load_study(study_name="long", storage=storage_url)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 8
    assert [trial.number for trial in study.trials] == list(range(8))
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 8
    assert len(optuna.get_all_study_names(storage_url)) == 1


def test_trials_that_are_cut_off_did_not_fail(tmp_path: Path) -> None:
    """Lightning would take SIGTERM for the end of a training that has failed."""
    storage = f"sqlite:///{tmp_path}/study.db"
    process = started(storage, 100_000)
    try:
        wait_until(lambda: states(storage).count("RUNNING") == 2)
        time.sleep(1.0)  # they train
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
        process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            end(process)
    assert "FAIL" not in states(storage)


# Without torch or Lightning


@pytest.mark.parametrize(
    ("absent", "says"),
    [
        (("torch",), "install torch: pip install 'nano-hpo[lightning]'"),
        (("pytorch_lightning",), "install pytorch-lightning: pip"),
        (("torch", "pytorch_lightning"), "install torch and pytorch-lightning: pip"),
    ],
)
def test_without_torch_or_lightning_a_line_names_the_extra(
    absent: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bigdl.nano.automl.pytorch as half

    monkeypatch.setattr(half, "find_spec", lambda name: None if name in absent else object())
    for line in (
        "from bigdl.nano.pytorch import Trainer",
        "from bigdl.nano.automl.pytorch import HPOSearcher",
    ):
        with pytest.raises(
            ImportError, match=f"To search PyTorch Lightning models {says}".replace("[", r"\[")
        ):
            exec(line, {})


def test_importing_the_packages_imports_no_framework() -> None:
    code = "import sys, bigdl.nano.pytorch, bigdl.nano.automl.pytorch, bigdl.nano.automl.hpo as hpo\n"
    code += "print({'torch', 'pytorch_lightning', 'tensorflow'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "set()\n"
