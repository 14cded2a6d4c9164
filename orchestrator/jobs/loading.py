"""``python -m orchestrator.jobs.loading``: an objective's reference on standard input; 0: it loads, else 2.

The last line of standard error says why it does not.
"""

from __future__ import annotations

import json
import os
import sys

from orchestrator.errors import UserError
from orchestrator.objective import ObjectiveRef


def main() -> int:
    """Load it; what it prints, and threads that it leaves, are of no interest."""
    try:
        ObjectiveRef.from_json(json.loads(sys.stdin.read())).load()
    except UserError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)
