"""`python guard.py PARENT_PID COMMAND ARGS…`: dies with its parent, then becomes the command.

The way in for workers without a binding; a bound worker gets the same from the bind shim. Started by its file
name and standard library only, so nothing of the user's can hide it.
"""

import os
import signal
import sys

__all__ = ["main"]

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>; kept over exec, not handed to children


def main(arguments: list[str]) -> int:
    """Become the command; 1 when the parent has gone meanwhile, 127 when the command cannot be started."""
    parent_pid, *command = arguments
    _die_with_parent()
    if os.getppid() != int(parent_pid):
        print(f"The parent {parent_pid} has gone; nothing was started.", file=sys.stderr)
        return 1
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it for itself, and exec hands that on
    try:
        os.execvp(command[0], command)
    except (OSError, ValueError) as error:
        print(f"{command[0]} cannot be started: {error}. Check the path.", file=sys.stderr)
        return 127


def _die_with_parent() -> None:
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
