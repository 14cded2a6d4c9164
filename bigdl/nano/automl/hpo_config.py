"""The switch for searchable Keras objects: on, ``bigdl.nano.tf`` offers them; off, it has none."""

from __future__ import annotations

__all__ = ["disable_hpo_tf", "enable_hpo_tf", "is_hpo_tf_enabled"]

_is_on = False


def enable_hpo_tf() -> None:
    """Offer searchable layers, activations, functions and optimizers in ``bigdl.nano.tf``.

    Raises ``ImportError`` where TensorFlow is not installed or is too old. Calling it again changes nothing.
    """
    from bigdl.nano.automl.tf import require_tensorflow

    global _is_on
    require_tensorflow()
    _is_on = True


def disable_hpo_tf() -> None:
    """Take them back: importing them raises ``ImportError``. Objects that were made stay as they are."""
    global _is_on
    _is_on = False


def is_hpo_tf_enabled() -> bool:
    """Whether searchable objects are offered."""
    return _is_on
