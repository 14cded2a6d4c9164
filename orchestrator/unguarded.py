"""A script that searches when it is imported: refused with what to write, instead of run in every worker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class SearchOnImport(Exception):
    """The file calls ``study.optimize()`` outside ``if __name__ == "__main__":``."""


@contextmanager
def refuse_to_optimize(file: Path) -> Iterator[None]:
    """While ``file`` is imported, its own calls of ``study.optimize()`` raise ``SearchOnImport``.

    Each worker imports the file for its objective: a plain Optuna script without a guard would run its
    whole search in every one of them, before the first trial of the run.
    """
    from optuna import Study

    optimize = Study.optimize

    def guarded(study: Study, *args: Any, **settings: Any) -> None:
        if sys._getframe(1).f_code.co_filename == str(file):
            raise SearchOnImport(
                "study.optimize() would run in every worker that imports the file; put it under "
                'if __name__ == "__main__":'
            )
        optimize(study, *args, **settings)

    Study.optimize = guarded  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Study.optimize = optimize  # type: ignore[method-assign]
