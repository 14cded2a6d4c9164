"""`python warden.py`: outlives an agent that is killed outright, and kills what its workers have started.

It reads marks from its input, a line each, «+MARK» for a worker that has started and «-MARK» for one that is
gone with all that it had started. At the end of the input the agent has gone too; what is left is killed. It
is started by its file name and uses the standard library only, so nothing of the user's can hide it.
"""

import signal
import sys

from descent import kill_marked  # type: ignore[import-not-found]  # beside this file

__all__ = ["main"]


def main() -> int:
    """Wait for the end of the agent."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # meant for the agent; it will end us by ending
    marks: set[str] = set()
    for line in sys.stdin:
        change = marks.add if line.startswith("+") else marks.discard
        change(line[1:].strip())
    for mark in marks:
        kill_marked(mark)
    return 0


if __name__ == "__main__":
    sys.exit(main())
