"""Keras's layers with searchable arguments, once ``hpo_config.enable_hpo_tf()`` was called."""

from typing import Any

from bigdl.nano.automl.tf.offer import keras_layers, names_offered, offered


def __getattr__(name: str) -> Any:
    return offered(__name__, name, keras_layers)


def __dir__() -> list[str]:
    return names_offered(keras_layers)
