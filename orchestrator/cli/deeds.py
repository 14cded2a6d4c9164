"""What a verb did, or would do: options and what became of each study in; lines or one JSON object out.

With ``--json`` a verb that changes something prints one object when it ends. Each study in it is a deed:
"study", "n_trials" and "n_runs", what else the verb knows of it, and "done".
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

Deed = dict[str, Any]


def deed(
    study: str, n_trials: int | None, n_runs: int | None, more: Mapping[str, Any], *, done: bool = True
) -> Deed:
    """One study as plain data; ``more`` are the keys that are the verb's own."""
    return {"study": study, "n_trials": n_trials, "n_runs": n_runs, **more, "done": done}


def say(options: argparse.Namespace, text: str) -> None:
    """A line for people, where there is one who reads."""
    if not (options.quiet or options.json):
        print(text)


def tell(options: argparse.Namespace, data: Mapping[str, Any]) -> None:
    """The object for a program, if one asked."""
    from orchestrator.results import dumps

    if options.json:
        print(dumps(dict(data)))


@contextmanager
def telling(options: argparse.Namespace, head: Mapping[str, Any], deeds: Sequence[Deed]) -> Iterator[None]:
    """Tell of all deeds when the work ends; where an error or Ctrl-C ends it, "done" says how far it came."""
    try:
        yield
    finally:
        tell(options, {**head, "studies": list(deeds)})
