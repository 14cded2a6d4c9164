"""Options that have a new name: the old one in; its value below the new one, and a line on stderr, out."""

from __future__ import annotations

import argparse
import sys
import warnings
from typing import Any

from orchestrator.deprecation import warn_deprecated


class Renamed(argparse.Action):
    """An option that is another one by now: ``add_argument("--old", action=Renamed, new="--new", since=…)``.

    ``dest`` is that of the new option. It is left out of the help.
    """

    def __init__(self, option_strings: Any, dest: str, new: str, since: str, **more: Any) -> None:
        super().__init__(option_strings, dest, help=argparse.SUPPRESS, default=argparse.SUPPRESS, **more)
        self._new, self._since = new, since

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Take the value, and say in one line what to write instead."""
        with warnings.catch_warnings():
            warnings.showwarning = _on_one_line
            warn_deprecated(f"'{parser.prog} {option_string}'", self._new, self._since)
        setattr(namespace, self.dest, values)


def _on_one_line(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"nano-hpo: Warning: {message}", file=sys.stderr)
