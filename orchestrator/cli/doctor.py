"""``nano-hpo doctor``: its options in; what was found on standard output, and an exit code, out."""

from __future__ import annotations

import argparse
from typing import Any

_EPILOG = """\
signs: ✓ in order, ! it works and may cost something, ✗ a run would not work, - not for this machine

--json prints a list of checks in the same order, each with "area" (software, machine, launchers,
environment, storage), "topic", "verdict" ("good", "mind", "bad" or "none", for the signs above), "said"
(what was seen) and "step" (what to do; null where there is nothing).

examples:
  nano-hpo doctor
  nano-hpo doctor --storage mysql://user@host/db
  nano-hpo doctor --json"""


def add_doctor(subparsers: Any) -> None:
    """``nano-hpo doctor``."""
    parser = subparsers.add_parser(
        "doctor",
        help="look whether all is there for a run",
        description="Look at packages, this machine, launchers, environment and a storage, and say what to "
        "do about what is missing. Creates nothing. Exit code 1 when a run would not work.",
        epilog=_EPILOG,
    )
    parser.add_argument("--storage", metavar="URL", help="database URL; else NANO_HPO_STORAGE")
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")
    parser.set_defaults(handler=doctor)


def doctor(options: argparse.Namespace) -> int:
    """Examine and print; 0 when nothing is bad."""
    import json

    from orchestrator.doctor import Verdict, as_json, examine, render
    from orchestrator.storage_url import chosen_url

    checks = list(examine(chosen_url(options.storage)))
    print(json.dumps(as_json(checks), indent=2) if options.json else render(checks))
    return 1 if any(check.verdict is Verdict.BAD for check in checks) else 0
