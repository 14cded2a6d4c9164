"""``@hpo.plmodel()``: a LightningModule whose arguments may be spaces stays the class that it is."""

import copy
import inspect
import pickle

import cloudpickle
import optuna
import pytest
import pytorch_lightning as pl
import torch

import bigdl.nano.automl.hpo as hpo
import bigdl.nano.automl.hpo.space as space
from bigdl.nano.automl.pytorch.module import LazyModule
from tests.bigdl.lightning_models import Net, net, trainer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:pytorch_lightning")  # torch's, of a pytree


@hpo.plmodel()
class Line(pl.LightningModule):
    """One layer."""

    kind = "line"

    def __init__(self, width, depth=1, *, rate=0.5):
        super().__init__()
        self.save_hyperparameters()
        self.layers = torch.nn.Sequential(*[torch.nn.Linear(width, width) for _ in range(depth)])


class Child(Line):
    """A subclass that is not decorated, with an argument more."""

    def __init__(self, width, bias=True, **kwargs):
        super().__init__(width, **kwargs)
        self.save_hyperparameters()
        self.bias = bias


def made(model, seed=1):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    return model.from_trial(trial), trial


def test_the_class_stays_a_lightning_module():
    assert issubclass(Line, pl.LightningModule)
    assert (Line.__name__, Line.__doc__, Line.kind) == ("Line", "One layer.", "line")


def test_with_values_alone_it_is_made_at_once():
    line = Line(8, rate=0.1)
    assert type(line) is Line
    assert isinstance(line, pl.LightningModule)
    assert dict(line.hparams) == {"width": 8, "depth": 1, "rate": 0.1}


@pytest.mark.parametrize(
    "call", [lambda: Line(space.Int(4, 16), 2), lambda: Line(depth=2, width=space.Int(4, 16))]
)
def test_hyperparameters_hold_what_a_trial_has_sampled(call):
    line, trial = made(call())
    assert type(line) is Line
    assert trial.params == {"width": line.hparams.width}
    assert dict(line.hparams) == {"width": trial.params["width"], "depth": 2, "rate": 0.5}
    assert len(line.layers) == 2


def test_a_subclass_takes_spaces_for_its_own_arguments_and_those_above():
    child, trial = made(Child(space.Int(4, 16), bias=False, rate=space.Real(0.1, 0.2)))
    assert type(child) is Child
    width, rate = child.layers[0].in_features, trial.params["rate"]
    assert dict(child.hparams) == {"width": width, "bias": False, "rate": rate, "depth": 1}
    assert trial.params.keys() == {"width", "rate"}


def test_a_subclass_may_be_decorated_as_well():
    decorated = hpo.plmodel()(type("Decorated", (Child,), {}))
    child, _ = made(decorated(width=space.Categorical(4, 8)))
    assert type(child) is decorated
    assert child.hparams.width in (4, 8)


def test_arguments_that_do_not_fit_are_refused_at_once():
    with pytest.raises(TypeError, match=r"Line: got an unexpected keyword argument 'widht'\."):
        Line(4, widht=space.Int(4, 16))
    with pytest.raises(TypeError, match=r"Line: missing a required argument: 'width'\."):
        Line(rate=space.Real(0, 1))


def test_a_module_of_a_trial_is_loaded_from_its_checkpoint(tmp_path):
    model, _ = made(net(width=space.Int(4, 8)))
    by = trainer(max_epochs=1)
    by.fit(model)
    by.save_checkpoint(tmp_path / "one.ckpt")
    loaded = Net.load_from_checkpoint(tmp_path / "one.ckpt", weights_only=True)
    assert type(loaded) is Net
    assert loaded.hparams == model.hparams
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_modules_and_recipes_are_copied_and_pickled():
    for again in (copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        assert again(Line(4)).hparams == Line(4).hparams
        recipe = again(Line(width=space.Int(4, 16)))
        assert isinstance(recipe, LazyModule)
        assert type(made(recipe)[0]) is Line


def test_a_class_of_a_notebook_travels_by_value():
    class Here(Line):
        """It is in no module."""

    recipe = pickle.loads(cloudpickle.dumps(Here(width=space.Int(4, 16))))
    assert type(made(recipe)[0]).__name__ == "Here"


def test_what_is_not_made_says_so():
    line = Line(width=space.Int(4, 16), rate=space.Real(0, 1))
    says = "nothing has been chosen for rate, width of Line; trainer.search"
    with pytest.raises(AttributeError, match=f"parameters: {says}"):
        line.parameters()
    with pytest.raises(AttributeError, match="no attribute 'layer'"):
        line.layer  # noqa: B018
    with pytest.raises(TypeError, match=f"call: {says}"):
        line(torch.zeros(1))
    for method in (trainer().fit, trainer().validate, trainer().test, trainer().predict):
        with pytest.raises(ValueError, match=f"{method.__name__}: {says}"):
            method(line)
    assert repr(line) == "Line(width=Int(4, 16), rate=Real(0, 1))"


def test_its_signature_is_that_of_its_init():
    assert list(inspect.signature(Line).parameters) == ["width", "depth", "rate"]
    assert list(inspect.signature(Child).parameters) == ["width", "bias", "kwargs"]


def test_what_is_no_module_of_lightning_is_refused():
    with pytest.raises(TypeError, match=r"@hpo\.plmodel\(\) decorates a LightningModule, not Plain"):

        @hpo.plmodel()
        class Plain:
            """None."""
