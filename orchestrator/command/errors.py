"""What a command can do wrong while a trial runs it.

::

    OrchestratorError (orchestrator.errors)
    └── CommandFailed        the trial's own fault: the trial fails, the search goes on
"""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class CommandFailed(OrchestratorError):
    """The command did not start, ended badly or gave no value; the message says which, in one line."""
