"""A person is asked before something goes: what is to be done in; yes or no out."""

from __future__ import annotations

import sys


def agreed(question: str, what: str, as_json: bool = False) -> bool:
    """Ask ``question`` on the terminal; ``UserError`` (``what`` may be done) where nobody sits at one.

    A program that reads JSON is nobody, whatever terminal it has.
    """
    from orchestrator.errors import UserError

    if as_json:
        raise UserError(f"With --json nobody is asked whether {what}; add --yes.")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError(f"Nobody can be asked whether {what}; add --yes.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
