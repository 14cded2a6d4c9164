"""Hyperparameter search: spaces, decorators, plots."""

from bigdl.nano.automl.hpo import space
from bigdl.nano.automl.hpo.decorators import args, func, obj, plmodel, tfmodel

__all__ = ["args", "func", "obj", "plmodel", "space", "tfmodel"]
