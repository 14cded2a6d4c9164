"""What can go wrong, as a tree; the command line turns it into one line and an exit code.

::

    OrchestratorError
    ├── UserError            bad input: exit code 2, nothing written
    │   ├── SpecError        a setting or a combination of settings
    │   ├── ObjectiveError   the objective is missing, not callable or does not import
    │   ├── StorageError     the database cannot be reached, refuses us, or its URL is wrong
    │   ├── StudyError       the study exists, is missing or does not match
    │   ├── RunDirError      the run directory cannot be used
    │   └── StudyFileError   the file of an exported study cannot be read or written
    ├── RunFailed            the run stopped early: exit code 1
    └── BudgetSpent          no ticket is left: the normal end of a trial loop
"""

from __future__ import annotations


class OrchestratorError(Exception):
    """Base of every error of this package."""


class UserError(OrchestratorError):
    """Bad input: the message gives the value, the rule and the next step in one line."""


class SpecError(UserError):
    """A setting of the run, or a combination of settings, is not possible."""


class ObjectiveError(UserError):
    """The objective cannot be found, imported or called."""


class StorageError(UserError):
    """The storage cannot be opened. The message never holds a password.

    ``is_passing``: the server does not answer, or not now; it may a little later.
    """

    def __init__(self, message: str, is_passing: bool = False) -> None:
        super().__init__(message)
        self.is_passing = is_passing


class StudyError(UserError):
    """The study exists although it should not, is missing, or does not match the run."""


class RunDirError(UserError):
    """The run directory cannot be written or belongs to another run."""


class StudyFileError(UserError):
    """The file of an exported study cannot be read or written, or is not whole."""


class RunFailed(OrchestratorError):
    """The run stopped before its budget was spent; the message says why."""


class BudgetSpent(OrchestratorError):
    """The run has no ticket left for another trial."""
