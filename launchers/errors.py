"""What can go wrong when processes start.

Every error of this package is a `LauncherError`, so one `except` is enough:

    LauncherError
    ├── JobScriptError what a job script is asked to say is not possible
    ├── RankError      the launcher's variables are incomplete or contradict each other
    ├── SlurmError     a command of Slurm is missing, fails or does not answer
    └── SpawnError     a process could not be started
"""

__all__ = ["JobScriptError", "LauncherError", "RankError", "SlurmError", "SpawnError"]


class LauncherError(Exception):
    """Base of every error that `launchers` raises on purpose; its text is one line for the user."""


class JobScriptError(LauncherError):
    """A setting of a job script, or a combination of settings; the text names value and rule."""


class RankError(LauncherError):
    """The environment does not say which rank this process is; the text names variable and value."""


class SlurmError(LauncherError):
    """A command of Slurm is missing, fails or does not answer; the text says what it said, on one line."""


class SpawnError(LauncherError):
    """A process could not be started; the text names the command and the fix."""
