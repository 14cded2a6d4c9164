"""The top room: hyperparameter search for Keras and Lightning models (`automl`) and the command `nano-hpo`.

`bigdl` itself is a namespace package, so that other packages of that name can live beside this one.
"""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

__all__ = ["require_rooms"]


def require_rooms() -> None:
    """Raise an ImportError of one line when something hides `affinity`, `launchers` or `orchestrator`.

    Call it before importing any of them. Importing `bigdl.nano` does not call it, so that the command can
    turn the error into an exit status.
    """
    siblings = _load_siblings()
    siblings.require_ours(siblings.OUR_NAMES)


def _load_siblings() -> ModuleType:
    """`orchestrator/siblings.py` beside us, by its file: the name `orchestrator` may be hidden."""
    file = Path(__file__).resolve().parents[2] / "orchestrator" / "siblings.py"
    spec = spec_from_file_location("_nano_hpo_siblings", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
