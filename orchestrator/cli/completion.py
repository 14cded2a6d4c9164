"""``nano-hpo completion SHELL``: the command line's own parser in; a script for the shell out."""

from __future__ import annotations

import argparse
from typing import Any

_EPILOG = """\
Where a shell looks for it by itself:
  bash: ~/.local/share/bash-completion/completions/nano-hpo   (with the package bash-completion)
  zsh:  a file _nano-hpo in a folder of $fpath, before compinit
  fish: ~/.config/fish/completions/nano-hpo.fish

examples:
  nano-hpo completion bash > ~/.local/share/bash-completion/completions/nano-hpo
  nano-hpo completion fish > ~/.config/fish/completions/nano-hpo.fish"""


def add_completion(subparsers: Any, parser: argparse.ArgumentParser) -> None:
    """The verb; ``parser`` is the whole command line's."""
    verb = subparsers.add_parser(
        "completion",
        help="print a script that completes the words of a command line",
        description="Print a script with which a shell completes verbs, options and their values. For the "
        'bash at hand: eval "$(nano-hpo completion bash)"',
        epilog=_EPILOG,
    )
    verb.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")
    verb.set_defaults(handler=lambda options: completion(options, parser))


def completion(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Render what the parser knows now."""
    from orchestrator.completion import RENDERERS, command_of

    print(RENDERERS[options.shell](command_of(parser)), end="")
    return 0
