"""Names that will go: the old one and the new one in; a warning that says both out.

A name is deprecated in one release and removed no sooner than two releases later. Until then it works as
before, and who uses it reads once what stands in its place::

    warn_deprecated("search(old=…)", "search(new=…)", since="0.2")
"""

from __future__ import annotations

import warnings


class NanoHPODeprecationWarning(FutureWarning):
    """Something of nano-hpo is used that will go. Shown by default, unlike a ``DeprecationWarning``."""


def warn_deprecated(old: str, new: str, since: str, stacklevel: int = 2) -> None:
    """Say that ``old`` is deprecated since a version, and that ``new`` stands in its place.

    ``stacklevel`` is as in ``warnings.warn``, counted from the caller: 2 names the line that called it.
    """
    text = f"{old} is deprecated since nano-hpo {since} and will be removed; use {new}."
    warnings.warn(text, NanoHPODeprecationWarning, stacklevel=stacklevel + 1)
