"""Keras's optimizers with searchable arguments, once ``hpo_config.enable_hpo_tf()`` was called."""

from typing import Any

from bigdl.nano.automl.tf.offer import keras_optimizers, names_offered, offered


def __getattr__(name: str) -> Any:
    return offered(__name__, name, keras_optimizers)


def __dir__() -> list[str]:
    return names_offered(keras_optimizers)
