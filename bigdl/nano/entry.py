"""The command `nano-hpo`: arguments in, exit status out.

It makes sure that nothing hides our packages and hands over to `orchestrator.cli`.
"""

import sys

from bigdl.nano import require_rooms

__all__ = ["main"]


def main() -> int:
    """Run the command line; 2 and one line on stderr when another file hides one of our packages."""
    try:
        require_rooms()
    except ImportError as error:
        print(f"nano-hpo: {error}", file=sys.stderr)
        return 2
    from orchestrator.cli import main as run_command_line  # only now is it known to be ours

    return run_command_line()


if __name__ == "__main__":
    sys.exit(main())
