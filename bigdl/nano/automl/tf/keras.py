"""Keras models with ``search``: ``Sequential`` and ``Model``, used as those of ``tensorflow.keras``."""

from bigdl.nano.automl.tf import require_tensorflow

require_tensorflow()

import bigdl.nano.automl.tf.function_layer  # noqa: E402,F401 - Keras finds it when it loads a model
from bigdl.nano.automl.tf.model import Model, Sequential  # noqa: E402

__all__ = ["Model", "Sequential"]
