"""``@hpo.plmodel()``: a LightningModule whose arguments may be spaces."""

import optuna
import pytest

import bigdl.nano.automl.hpo as hpo
import bigdl.nano.automl.hpo.space as space


class LightningModule:
    """Stands in for Lightning's class, which is not needed to make one: only its name is looked at."""

    def __init__(self):
        self.ready = True


@hpo.plmodel()
class Net(LightningModule):
    kind = "net"

    def __init__(self, width, rate=0.5):
        super().__init__()
        self.width, self.rate = width, rate


def test_with_values_alone_it_is_made_at_once():
    net = Net(8)
    assert (net.width, net.rate, net.ready) == (8, 0.5, True)
    assert isinstance(net, Net)
    assert Net.kind == "net"


def test_with_spaces_a_trial_makes_it():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    model = Net(width=space.Int(4, 16), rate=space.Real(0.1, 0.2))
    trial = study.ask()
    net = model.from_trial(trial)
    assert isinstance(net, Net)
    assert trial.params == {"width": net.width, "rate": net.rate}


def test_what_is_no_module_of_lightning_is_refused():
    with pytest.raises(TypeError, match=r"@hpo\.plmodel\(\) decorates a LightningModule, not Plain"):

        @hpo.plmodel()
        class Plain:
            """None."""
