"""What `bigdl.nano.tf` offers, when, and how fast; each question is asked in a process of its own or here."""

import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bigdl.nano.automl import hpo_config

ROOM = Path(__file__).resolve().parents[2]
HEAVY = ("tensorflow", "keras", "torch", "optuna", "pytorch_lightning", "pandas", "sqlalchemy", "numpy")
MODULES = [
    "bigdl.nano.tf.keras.layers",
    "bigdl.nano.tf.keras.activations",
    "bigdl.nano.tf.optimizers",
    "bigdl.nano.tf.optimizers.schedules",
    "bigdl.nano.tf.keras",
    "bigdl.nano.tf",
]
NAMES = ["Dense", "relu", "Adam", "ExponentialDecay", "Input", "cast"]
PAIRS = list(zip(MODULES, NAMES, strict=True))


@pytest.fixture(autouse=True)
def _left_off() -> Any:
    hpo_config.disable_hpo_tf()
    yield
    hpo_config.disable_hpo_tf()


def python(code: str, *, check: bool = True, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOM,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environ},
        capture_output=True,
        text=True,
        check=check,
    )


def imported(statement: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(statement, names)
    return {name: thing for name, thing in names.items() if not name.startswith("__")}


# Nothing heavy


@pytest.mark.parametrize(
    "statement",
    [
        "import bigdl.nano.automl",
        "import bigdl.nano.automl.hpo as hpo, bigdl.nano.automl.hpo.space as space",
        "import bigdl.nano.tf, bigdl.nano.tf.keras.layers, bigdl.nano.tf.optimizers.schedules",
        "import bigdl.nano.automl as a; a.hpo_config.enable_hpo_tf(); import bigdl.nano.tf.keras.layers",
        "import bigdl.nano.automl.hpo as hpo; hpo.obj()(int)(x=hpo.space.Int(1, 2)); hpo.func()(len)",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(statement: str) -> None:
    done = python(f"{statement}\nimport sys; print([name for name in {HEAVY!r} if name in sys.modules])")
    assert done.stdout == "[]\n"


# Off and on


@pytest.mark.parametrize(("module", "name"), PAIRS)
def test_while_it_is_off_an_import_says_how_to_enable_it(module: str, name: str) -> None:
    with pytest.raises(ImportError) as raised:
        imported(f"from {module} import {name}")
    assert str(raised.value) == (
        f"cannot import '{name}' from '{module}': searchable objects are not enabled; call "
        "bigdl.nano.automl.hpo_config.enable_hpo_tf() before."
    )
    assert raised.value.name == module


@pytest.mark.parametrize("module", MODULES)
def test_while_it_is_off_importing_all_says_so_too(module: str) -> None:
    with pytest.raises(ImportError, match="searchable objects are not enabled"):
        imported(f"from {module} import *")


@pytest.mark.parametrize(("module", "name"), PAIRS)
def test_while_it_is_off_modules_have_no_such_attribute(module: str, name: str) -> None:
    here = imported(f"import {module} as here")["here"]
    assert not hasattr(here, name)
    with pytest.raises(AttributeError, match="searchable objects are not enabled"):
        getattr(here, name)


@pytest.mark.parametrize(("module", "name"), PAIRS)
def test_enabling_and_disabling_work_in_any_order_and_often(module: str, name: str) -> None:
    steps = [hpo_config.enable_hpo_tf, hpo_config.disable_hpo_tf]
    found = []
    for step in (1, 0, 0, 1, 1, 0, 1, 0):
        steps[step]()
        assert hpo_config.is_hpo_tf_enabled() == (step == 0)
        if step == 0:
            found.append(imported(f"from {module} import {name}")[name])
        else:
            with pytest.raises(ImportError):
                imported(f"from {module} import {name}")
    assert all(one is found[0] for one in found)


def test_objects_that_were_made_stay_as_they_are_when_it_is_disabled() -> None:
    hpo_config.enable_hpo_tf()
    dense = imported("from bigdl.nano.tf.keras.layers import Dense")["Dense"]
    hpo_config.disable_hpo_tf()
    assert dense(units=3).default.units == 3


def test_pickle_may_ask_our_modules_for_any_name_while_it_is_off() -> None:
    """Of what does not say its module, pickle asks every module whether it is there."""
    from scipy.special import expit

    for module in MODULES:
        imported(f"import {module}")
    assert getattr(expit, "__module__", None) is None
    assert pickle.loads(pickle.dumps(expit)) is expit


# What is offered


def keras_modules() -> list[tuple[str, Any]]:
    import keras

    return [
        ("bigdl.nano.tf.keras.layers", keras.layers),
        ("bigdl.nano.tf.keras.activations", keras.activations),
        ("bigdl.nano.tf.optimizers", keras.optimizers),
        ("bigdl.nano.tf.optimizers.schedules", keras.optimizers.schedules),
    ]


def test_every_public_name_of_keras_is_offered() -> None:
    from bigdl.nano.automl.hpo.objects import Searchable, SearchableFunction

    hpo_config.enable_hpo_tf()
    for module, theirs in keras_modules():
        here = imported(f"import {module} as here")["here"]
        public = [name for name in dir(theirs) if not name.startswith("_")]
        assert len(public) > 5
        for name in public:
            thing, original = getattr(here, name), getattr(theirs, name)
            if name == "Input" or inspect.ismodule(original):
                continue
            kind = Searchable if inspect.isclass(original) else SearchableFunction
            assert isinstance(thing, kind) if callable(original) else thing is original, name
        assert set(public) <= set(dir(here))


@pytest.mark.parametrize("module", MODULES)
def test_importing_all_gives_what_is_offered(module: str) -> None:
    hpo_config.enable_hpo_tf()
    names = imported(f"from {module} import *")
    assert {"bigdl.nano.tf.keras": "Input"}.get(module, NAMES[MODULES.index(module)]) in names
    assert "offered" not in names
    assert "names_offered" not in names


def test_importing_all_from_layers_gives_searchable_ones() -> None:
    hpo_config.enable_hpo_tf()
    names = imported("from bigdl.nano.tf.keras.layers import *")
    layers = [name for name in names if name[0].isupper()]
    assert len(layers) > 80
    assert repr(names["Dense"]).startswith("<searchable keras.")


OURS = [
    ("from bigdl.nano.tf import keras as here", "layers"),
    ("from bigdl.nano.tf import optimizers as here", "schedules"),
    ("from bigdl.nano.tf.keras import layers as here", "Dense"),
    ("from bigdl.nano.tf.keras import activations as here", "relu"),
    ("from bigdl.nano.tf.optimizers import schedules as here", "ExponentialDecay"),
    ("import bigdl.nano.tf; here = bigdl.nano.tf.keras.layers", "LSTM"),
    ("import bigdl.nano.tf; here = bigdl.nano.tf.optimizers.schedules", "CosineDecay"),
]


def test_our_own_modules_come_before_those_of_tensorflow() -> None:
    """Each import as the first one of its process; one process does for all: TensorFlow is slow to come."""
    code = (
        "import sys, bigdl.nano.automl as a\na.hpo_config.enable_hpo_tf()\n"
        f"for statement, name in {OURS!r}:\n"
        "    for module in [one for one in sys.modules if one.startswith('bigdl.nano.tf')]:\n"
        "        del sys.modules[module]\n"
        "    vars(sys.modules['bigdl.nano']).pop('tf', None)\n"
        "    exec(statement)\n"
        "    assert here.__name__.startswith('bigdl.nano.tf'), (statement, here)\n"
        "    getattr(here, name)\n"
    )
    done = python(code, check=False)
    assert done.returncode == 0, done.stderr


def test_what_keras_does_not_have_is_not_there() -> None:
    hpo_config.enable_hpo_tf()
    import bigdl.nano.tf.keras.layers as layers

    with pytest.raises(AttributeError, match=r"'bigdl\.nano\.tf\.keras\.layers' has no attribute 'Dence'"):
        _ = layers.Dence
    with pytest.raises(ImportError, match="cannot import name 'Dence'"):
        imported("from bigdl.nano.tf.keras.layers import Dence")
    with pytest.raises(ImportError, match="cannot import name 'Model'"):
        imported("from bigdl.nano.tf.keras import Model")


def test_a_searchable_layer_stands_for_that_of_keras() -> None:
    import keras

    hpo_config.enable_hpo_tf()
    from bigdl.nano.tf.keras import layers
    from bigdl.nano.tf.optimizers import Adam

    class Mine(layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

    assert issubclass(Mine, keras.layers.Layer)
    assert isinstance(Mine(), layers.Layer)
    assert isinstance(keras.layers.Dense(3), layers.Dense)
    assert isinstance(Adam(learning_rate=0.1).default, Adam)
    assert layers.Dense.from_config({"units": 3}).units == 3


# Without TensorFlow


def _one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0].startswith("Traceback")
    return lines[-1]


@pytest.mark.parametrize(
    "statement",
    [
        "import bigdl.nano.automl as a; a.hpo_config.enable_hpo_tf()",
        "from bigdl.nano.automl.tf.keras import Sequential",
    ],
)
@pytest.mark.parametrize(
    ("hidden", "names"), [(("tensorflow", "keras"), "tensorflow and keras"), (("tensorflow",), "tensorflow")]
)
def test_without_tensorflow_one_line_names_the_extra(
    tmp_path: Path, statement: str, hidden: tuple[str, ...], names: str
) -> None:
    """A folder of links to all that is installed but these: what Python finds is what there is."""
    packages = tmp_path / "site-packages"
    packages.mkdir()
    for folder in {Path(path) for path in sys.path if path.endswith("site-packages")}:
        for entry in folder.iterdir():
            if not entry.name.lower().startswith(hidden) and entry.suffix != ".pth":
                (packages / entry.name).symlink_to(entry)
    code = "import sys; sys.path[:] = [one for one in sys.path if not one.endswith('site-packages')]"
    done = python(f"{code}\nsys.path.append({str(packages)!r})\n{statement}", check=False)
    line = _one_line(done)
    assert line.startswith("ImportError: ")
    assert f" {names}" in line
    assert "pip install 'nano-hpo[tensorflow]'" in line


def test_an_old_keras_is_refused_in_one_line(tmp_path: Path) -> None:
    info = tmp_path / "keras-2.15.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: keras\nVersion: 2.15.0\n")
    code = "import bigdl.nano.automl as a; a.hpo_config.enable_hpo_tf()"
    done = python(code, check=False, PYTHONPATH=str(tmp_path))
    assert _one_line(done).startswith("ImportError: keras 2.15.0 is too old: nano-hpo needs 3 or newer")


def test_after_a_refusal_it_is_still_off() -> None:
    code = (
        "import bigdl.nano.automl as a, sys; sys.modules['tensorflow'] = None\n"
        "try: a.hpo_config.enable_hpo_tf()\n"
        "except ImportError as error: print(error, a.hpo_config.is_hpo_tf_enabled())"
    )
    assert python(code).stdout.endswith("'nano-hpo[tensorflow]'. False\n")
