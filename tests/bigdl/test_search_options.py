"""The arguments of ``search``: what belongs to the search, what to ``fit``, and what to nobody."""

import optuna
import pytest

from bigdl.nano.automl.hpo.backend import PrunerType, SamplerType
from bigdl.nano.automl.search.options import SearchOptions, split_arguments
from orchestrator.errors import SpecError

OWN = ("resume", "target_metric", "n_parallels")
SEE = "See help(model.search)."


def fit(self, x=None, y=None, batch_size=None, epochs=1):
    """As Keras's."""


def test_arguments_of_the_search_and_of_fit_are_told_apart():
    options, rest = split_arguments({"n_trials": 3, "x": 1, "epochs": 2, "pruner": None}, fit, OWN, SEE)
    assert (options.n_trials, options.pruner) == (3, None)
    assert rest == {"x": 1, "epochs": 2}


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("n_trails", "n_trials"),
        ("epoch", "epochs"),
        ("n_jobs", "n_parallels"),
        ("target_metrics", "target_metric"),
    ],
)
def test_an_unknown_argument_is_refused_with_the_nearest_legal_one(word, nearest):
    with pytest.raises(TypeError, match=f"no argument '{word}'. Did you mean {nearest}\\?"):
        split_arguments({"n_trials": 1, word: 1}, fit, OWN, SEE)


def test_a_fit_of_ones_own_that_takes_everything_gets_it():
    def own_fit(self, x, **kwargs):
        """Takes more."""

    assert split_arguments({"n_trials": 1, "augment": True}, own_fit, OWN, SEE)[1] == {"augment": True}


def test_a_search_needs_an_end():
    with pytest.raises(ValueError, match="needs an end: give n_trials, timeout"):
        SearchOptions()


@pytest.mark.parametrize("given", ["random", SamplerType.Random, "RandomSampler"])
def test_samplers_go_by_name_and_by_the_old_type(given):
    keywords = SearchOptions(n_trials=1, sampler=given).for_orchestrator(1, [])
    assert keywords["sampler"] in ("random", "RandomSampler")


@pytest.mark.parametrize("kind", [*SamplerType, *PrunerType])
def test_every_old_type_names_something_that_the_orchestrator_has(kind):
    from orchestrator.sampling.named import PRUNERS, SAMPLERS

    assert kind.value in (SAMPLERS if isinstance(kind, SamplerType) else PRUNERS)


def test_optuna_objects_and_classes_are_taken():
    sampler = optuna.samplers.RandomSampler(seed=1)
    assert SearchOptions(n_trials=1, sampler=sampler).for_orchestrator(1, [])["sampler"] is sampler
    options = SearchOptions(n_trials=1, pruner=optuna.pruners.ThresholdPruner, pruner_kwargs={"lower": 0.1})
    assert isinstance(options.for_orchestrator(1, [])["pruner"], optuna.pruners.ThresholdPruner)


def test_arguments_beside_an_object_are_refused():
    options = SearchOptions(n_trials=1, sampler=optuna.samplers.RandomSampler(), sampler_kwargs={"seed": 1})
    with pytest.raises(ValueError, match="sampler is an object already"):
        options.for_orchestrator(1, [])


def test_nothing_is_pruned_unasked():
    assert not SearchOptions(n_trials=1).prunes
    assert not SearchOptions(n_trials=1, pruner=PrunerType.Nop).prunes
    assert not SearchOptions(n_trials=1, pruner="NopPruner").prunes
    assert not SearchOptions(n_trials=1, pruner=optuna.pruners.NopPruner()).prunes
    for pruner in (PrunerType.Median, "median", optuna.pruners.MedianPruner, optuna.pruners.MedianPruner()):
        assert SearchOptions(n_trials=1, pruner=pruner).prunes


def test_a_grid_may_name_choices_without_their_suffix():
    options = SearchOptions(
        n_trials=1, sampler=SamplerType.Grid, sampler_kwargs={"search_space": {"units": [1], "rate": [2]}}
    )
    keywords = options.for_orchestrator(1, ["units\u2581choice", "rate"])
    assert keywords["sampler_args"] == {"search_space": {"units\u2581choice": [1], "rate": [2]}}


def test_more_processes_than_cores_are_a_request_and_not_a_mistake():
    assert SearchOptions(n_trials=1).for_orchestrator(1000, [])["oversubscribe"]
    assert not SearchOptions(n_trials=1).for_orchestrator(1, [])["oversubscribe"]


@pytest.mark.parametrize("n_parallels", [1, "auto"])
def test_more_ranks_than_cores_are_a_request_as_well(monkeypatch, n_parallels):
    step = {"SLURM_STEP_ID": "0", "SLURM_NODEID": "0", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"}
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    for name in ("SLURM_NTASKS", "SLURM_STEP_TASKS_PER_NODE"):
        monkeypatch.setenv(name, "1000")
    assert SearchOptions(n_trials=1).for_orchestrator(n_parallels, [])["oversubscribe"]


@pytest.mark.parametrize(
    ("given", "keywords"),
    [
        ({"trial_timeout": 5}, {"trial_timeout_s": 5}),
        ({"trial_memory": 800}, {"trial_memory_mib": 800}),
        ({"isolate": True}, {"isolate": True}),
        ({"trials_per_worker": 4}, {"trials_per_worker": 4}),
    ],
)
def test_limits_of_a_trial_go_to_the_orchestrator_and_need_processes(given, keywords):
    options = SearchOptions(n_trials=1, **given)
    assert options.needs_processes
    assert options.for_orchestrator(1, []).items() >= keywords.items()
    assert not SearchOptions(n_trials=1).needs_processes


def test_wishes_for_cores_and_memory_go_to_the_orchestrator_and_need_processes():
    wishes = {
        "cores_per_slot": 2,
        "smt": False,
        "reserve": 1,
        "exclude": "0-1",
        "core_kind": "performance",
        "mem_policy": "bind",
        "omp_bind": "close",
        "threads_per": "pu",
    }
    for name, value in wishes.items():
        options = SearchOptions(n_trials=1, **{name: value})
        assert options.needs_processes, name
        assert options.for_orchestrator(2, [])[name] == value
    free = {"policy": "local", "dataloader_workers": 2, "explain": True, "keep_binding": True, "scratch": "x"}
    options = SearchOptions(n_trials=1, **free)
    assert not options.needs_processes  # they say something of processes that there may be
    assert options.for_orchestrator(2, []).items() >= free.items()


def test_a_wish_that_cannot_be_is_refused_by_name():
    with pytest.raises(SpecError, match="mem_policy is 'bond'"):
        assert SearchOptions(n_trials=1, mem_policy="bond").needs_processes
