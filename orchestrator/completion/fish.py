"""The command line as a completion script for fish (3.4 or newer): plain data in, the script out."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.completion.words import Command, Option, Value, short

_HEAD = """\
# Completion of {program} for fish, written by '{program} completion fish'.

# The words behind the program that are no options.
function __{name}_verbs
    set -l words (commandline -opc)
    string match -r -v -- '^-' $words[2..-1]
end

# Whether these words begin with $argv.
function __{name}_at
    set -l verbs (__{name}_verbs)
    test (count $verbs) -ge (count $argv); or return 1
    for i in (seq (count $argv))
        test "$verbs[$i]" = "$argv[$i]"; or return 1
    end
end

# Whether they are $argv and no more: a verb may follow.
function __{name}_before
    test (count (__{name}_verbs)) -eq (count $argv); and __{name}_at $argv
end

complete -c {program} -f
"""


def render_fish(command: Command) -> str:
    """The script, for ~/.config/fish/completions."""
    name = command.name.replace("-", "_")
    lines = [line for one in command.walk() for line in _lines(one, command.name, name)]
    return _HEAD.format(program=command.name, name=name) + "\n".join(lines) + "\n"


def _lines(command: Command, program: str, name: str) -> Iterator[str]:
    verbs = " ".join(command.words[1:])
    before = f"complete -c {program} -n {_quoted(f'__{name}_before {verbs}'.strip())}"
    at = f"complete -c {program} -n {_quoted(f'__{name}_at {verbs}'.strip())}" if verbs else before
    for verb in command.verbs:
        yield f"{before} -a {_quoted(verb.name)} -d {_quoted(short(verb.help))}"
    for value in command.values:
        yield f"{at} {_offered(value)}".rstrip()
    for option in command.options:
        yield f"{at} {_flags(option)} -d {_quoted(short(option.help))}{_value(option)}"


def _flags(option: Option) -> str:
    return " ".join(
        f"-l {flag.removeprefix('--')}" if flag.startswith("--") else f"-s {flag.removeprefix('-')}"
        for flag in option.flags
    )


def _value(option: Option) -> str:
    return "" if option.value is None else f" -r {_offered(option.value)}".rstrip()


def _offered(value: Value) -> str:
    offers = {
        "word": "-f",
        "choice": f"-f -a {_quoted(' '.join(value.choices))}",
        "file": "-F",
        "folder": "-f -a '(__fish_complete_directories)'",
        "command": "-F",
    }
    return offers[value.kind]


def _quoted(text: str) -> str:
    """Within single quotes fish reads \\\\ and \\' alone."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
