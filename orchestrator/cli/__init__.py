"""The command line: words in; a verb's function called; one line and an exit code out."""

from orchestrator.cli.main import main

__all__ = ["main"]
