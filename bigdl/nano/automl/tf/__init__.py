"""Hyperparameter search for Keras models."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

__all__ = ["require_tensorflow"]

_OLDEST_KERAS = 3


def require_tensorflow() -> None:
    """Raise ``ImportError`` in one line where TensorFlow with Keras 3 is not installed. Imports neither."""
    missing = [name for name in ("tensorflow", "keras") if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"To search Keras models install {' and '.join(missing)}: pip install 'nano-hpo[tensorflow]'."
        )
    try:
        found = version("keras")
    except PackageNotFoundError:  # a build of one's own: it will show
        return
    if int(found.split(".")[0]) < _OLDEST_KERAS:
        raise ImportError(
            f"keras {found} is too old: nano-hpo needs {_OLDEST_KERAS} or newer, as TensorFlow 2.16 and "
            "later bring it: pip install --upgrade 'nano-hpo[tensorflow]'."
        )
