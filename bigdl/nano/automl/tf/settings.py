"""Keras's settings of a whole program: as the caller has them, for every trial wherever it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class KerasSettings:
    """What ``keras.config`` says, and the global policy, which ``clear_session`` resets."""

    floatx: str
    epsilon: float
    image_data_format: str
    dtype_policy: Any  # as Keras serialises it

    @classmethod
    def now(cls) -> Self:
        """Those of this process."""
        import keras

        policy = keras.saving.serialize_keras_object(keras.config.dtype_policy())
        config = keras.config
        return cls(config.floatx(), config.epsilon(), config.image_data_format(), policy)

    def apply(self) -> None:
        """Make them those of this process."""
        import keras

        keras.config.set_floatx(self.floatx)
        keras.config.set_epsilon(self.epsilon)
        keras.config.set_image_data_format(self.image_data_format)
        keras.config.set_dtype_policy(keras.saving.deserialize_keras_object(self.dtype_policy))
