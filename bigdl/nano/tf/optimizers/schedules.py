"""Keras's learning rate schedules with searchable arguments, once they are enabled."""

from typing import Any

from bigdl.nano.automl.tf.offer import keras_schedules, names_offered, offered


def __getattr__(name: str) -> Any:
    return offered(__name__, name, keras_schedules)


def __dir__() -> list[str]:
    return names_offered(keras_schedules)
