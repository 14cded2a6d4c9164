"""``python -m affinity bind|show``: arguments come in, a bound program or a description goes out.

``bind`` is the shim between an agent and its worker: it binds itself, then becomes the worker. It may be
started by its file name, so that no other module called ``affinity`` can be meant.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType


def _be_the_package() -> None:
    """Started by file name: makes the folder this file lies in the package, without touching sys.path."""
    package = ModuleType("affinity")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]  # noqa: PTH100, PTH120 - pathlib is slow
    sys.modules["affinity"] = package


if not __package__:
    _be_the_package()

from affinity.shim import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
