"""The command line as a completion script for zsh: plain data in, a function for each verb out."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.completion.words import Command, Option, Value, short

_HEAD = "#compdef {program}\n# Completion of {program} for zsh, written by '{program} completion zsh'.\n"
_TAIL = """
if [ "${{funcstack[1]-}}" = "_{program}" ]; then
    _{program} "$@"
else
    (( ${{+functions[compdef]}} )) || {{ autoload -Uz compinit; compinit -i -D; }}
    compdef _{program} {program}
fi
"""
_ACTIONS = {"word": " ", "file": "_files", "folder": "_files -/", "command": "_normal"}


def render_zsh(command: Command) -> str:
    """The script, for a file _NAME in a folder of $fpath, or to be read by ``source``."""
    program = command.name
    functions = [function for one in command.walk() for function in _functions(one)]
    return "\n".join([_HEAD.format(program=program), *functions]) + _TAIL.format(program=program)


def _functions(command: Command) -> Iterator[str]:
    arguments = [text for option in command.options for text in _option(option)]
    if command.verbs:
        arguments += ["1: :->verb", "*:: :->rest"]
    arguments += _values(command)
    listed = " \\\n        ".join(map(_quoted, arguments))
    body = f"{_behind(command)}{_LOCALS}    _arguments -s -S -C \\\n        {listed}{_branches(command)}"
    yield f"{_function(command)}() {{\n{body}\n}}\n"


_LOCALS = """\
    local curcontext="$curcontext" state line
    typeset -A opt_args
"""
_BEHIND = """\
    local -i dashes=${{words[(i)--]}}
    if (( dashes < CURRENT )); then
        words=({begun}"${{(@)words[dashes + 1, -1]}}")
        (( CURRENT -= {shift} ))
        {complete}
        return
    fi
"""


def _behind(command: Command) -> str:
    """Behind ``--`` stands a command, or a command line of this program."""
    if command.verbs:
        return ""
    program = command.words[0]
    if command.hands_over:
        return _BEHIND.format(begun=f"{program} ", shift="dashes - 1", complete=f"_{program}")
    return _BEHIND.format(begun="", shift="dashes", complete="_normal")


def _branches(command: Command) -> str:
    """What the first word says: which verbs there are, or whose the rest is."""
    if not command.verbs:
        return ""
    verbs = "\n".join(
        f"                {_quoted(f'{verb.name}:{short(verb.help)}')}" for verb in command.verbs
    )
    cases = "\n".join(f"                {verb.name}) {_function(verb)} ;;" for verb in command.verbs)
    return f"""
    case $state in
        verb)
            local -a verbs=(
{verbs}
            )
            _describe verb verbs ;;
        rest)
            curcontext="${{curcontext%:*:*}}:{command.name}-$line[1]:"
            case $line[1] in
{cases}
            esac ;;
    esac"""


def _function(command: Command) -> str:
    """The first one is called as a file of the script must be, for zsh to find it in $fpath."""
    return "_" + "_".join(command.words)


def _option(option: Option) -> Iterator[str]:
    """A spec for each spelling; all may be repeated."""
    text = short(option.help)
    for special in "\\[]:$`":
        text = text.replace(special, f"\\{special}")
    value = "" if option.value is None else f"{':' * (1 + option.value.optional)}{_value(option.value)}"
    for flag in option.flags:
        may_join = "" if not value else "=" if flag.startswith("--") else "+"
        yield f"*{flag}{may_join}[{text}]{value}"


def _values(command: Command) -> Iterator[str]:
    for number, value in enumerate(command.values):
        if value.kind == "command":
            yield f"*::{value.name}:_normal"
        else:
            yield f"{number + 1}::{_value(value)}"


def _value(value: Value) -> str:
    name = value.name.replace(":", " ")
    if value.kind == "choice":
        return f"{name}:({' '.join(value.choices)})"
    return f"{name}:{_ACTIONS[value.kind]}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
