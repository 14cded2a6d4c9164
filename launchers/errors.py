"""What can go wrong when processes start.

Every error of this package is a `LauncherError`, so one `except` is enough:

    LauncherError
    ├── RankError      the launcher's variables are incomplete or contradict each other
    └── SpawnError     a process could not be started
"""

__all__ = ["LauncherError", "RankError", "SpawnError"]


class LauncherError(Exception):
    """Base of every error that `launchers` raises on purpose; its text is one line for the user."""


class RankError(LauncherError):
    """The environment does not say which rank this process is; the text names variable and value."""


class SpawnError(LauncherError):
    """A process could not be started; the text names the command and the fix."""
