"""The command line as a completion script for fish (3.4 or newer): plain data in, the script out."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.completion.words import Command, Option, Value, short

_HEAD = """\
# Completion of {program} for fish, written by '{program} completion fish'.

# The words behind the program that are neither options nor their values; behind -- all are.
function __{name}_words
    set -l said (commandline -opc)[2..-1]
    set -l is_value no
    while set -q said[1]
        set -l word $said[1]
        set -e said[1]
        if test "$word" = --
            printf '%s\\n' -- $said
            return
        end
        if string match -q -- '-*' $word
            set is_value no
            contains -- $word $__{name}_takers; and set is_value yes
        else if test $is_value = yes
            set is_value no
        else
            printf '%s\\n' $word
        end
    end
end

# Whether these words begin with $argv.
function __{name}_at
    set -l words (__{name}_words)
    test (count $words) -ge (count $argv); or return 1
    for i in (seq (count $argv))
        test "$words[$i]" = "$argv[$i]"; or return 1
    end
end

# Whether they are $argv and no more: a verb may follow.
function __{name}_before
    test (count (__{name}_words)) -eq (count $argv); and __{name}_at $argv
end

# Whether -- is the last of them: a command may follow.
function __{name}_opens
    set -l words (__{name}_words)
    test "$words[-1]" = --
end

# What may stand behind --, where a command line of this program begins again.
function __{name}_again
    set -l words (commandline -opc)
    set -l behind (math (contains -i -- -- $words) + 1)
    set -l begun {program} (string escape -- $words[$behind..-1]) (commandline -ct)
    complete -C "$begun"
end

# The options that take a value.
set -g __{name}_takers {takers}

complete -c {program} -f
"""


def render_fish(command: Command) -> str:
    """The script, for ~/.config/fish/completions."""
    name = command.name.replace("-", "_")
    commands = list(command.walk())
    lines = [line for one in commands for line in _lines(one, command.name, name)]
    head = _HEAD.format(program=command.name, name=name, takers=" ".join(_takers(commands)))
    return head + "\n".join(lines) + "\n"


def _takers(commands: list[Command]) -> list[str]:
    """Flags that take a value wherever they may stand; one that is a switch of some verb is none."""
    options = [option for command in commands for option in command.options]
    switches = {flag for option in options if option.value is None for flag in option.flags}
    takers = (flag for option in options if option.value is not None for flag in option.flags)
    return [flag for flag in dict.fromkeys(takers) if flag not in switches]


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
    if command.hands_over:
        yield f"complete -c {program} -n {_quoted(f'__{name}_at {verbs} --')} -a '(__{name}_again)'"
    elif verbs and not command.verbs:
        opens = _quoted(f"__{name}_opens; and __{name}_at {verbs}")
        yield f"complete -c {program} -n {opens} -F -a '(__fish_complete_command)'"


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
