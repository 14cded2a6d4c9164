"""TensorFlow's functions (``cast`` …) with searchable arguments, once they are enabled by ``hpo_config``.

Importing it imports no TensorFlow.
"""

from typing import Any

from bigdl.nano.automl.tf.offer import names_offered, offered, tensorflow


def __getattr__(name: str) -> Any:
    return offered(__name__, name, tensorflow)


def __dir__() -> list[str]:
    return names_offered(tensorflow)
