"""Keras's activations with searchable arguments, once ``hpo_config.enable_hpo_tf()`` was called."""

from typing import Any

from bigdl.nano.automl.tf.offer import keras_activations, names_offered, offered


def __getattr__(name: str) -> Any:
    return offered(__name__, name, keras_activations)


def __dir__() -> list[str]:
    return names_offered(keras_activations)
