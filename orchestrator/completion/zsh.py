"""The command line as a completion script for zsh: plain data in, a function for each verb out."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.completion.words import Command, Option, Value, short

_HEAD = "#compdef {program}\n# Completion of {program} for zsh, written by '{program} completion zsh'.\n"
_TAIL = """
if [ "$funcstack[1]" = "_{name}" ]; then
    _{name} "$@"
else
    compdef _{name} {program}
fi
"""
_ACTIONS = {"word": " ", "file": "_files", "folder": "_files -/", "command": "_normal"}


def render_zsh(command: Command) -> str:
    """The script, for a file _NAME in a folder of $fpath, or to be read by ``source``."""
    names = {"program": command.name, "name": _function(command)[1:]}
    functions = [function for one in command.walk() for function in _functions(one)]
    return "\n".join([_HEAD.format(**names), *functions]) + _TAIL.format(**names)


def _functions(command: Command) -> Iterator[str]:
    arguments = [text for option in command.options for text in _option(option)]
    if command.verbs:
        arguments += ["1: :->verb", "*:: :->rest"]
    elif command.hands_over:
        arguments.append("*:: :->again")
    arguments += _values(command)
    listed = " \\\n        ".join(map(_quoted, arguments))
    body = f"{_LOCALS}    _arguments -s -S -C \\\n        {listed}{_branches(command)}"
    yield f"{_function(command)}() {{\n{body}\n}}\n"


_LOCALS = """\
    local curcontext="$curcontext" state line
    typeset -A opt_args
"""
_AGAIN = """
    if [[ $state = again ]]; then
        words=({program} "${{words[@]}}")
        (( CURRENT += 1 ))
        _{name}
    fi"""


def _branches(command: Command) -> str:
    """What the first word says: which verbs there are, or whose the rest is."""
    if command.hands_over:
        program = command.words[0]
        return _AGAIN.format(program=program, name=program.replace("-", "_"))
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
    return "_" + "_".join(command.words).replace("-", "_")


def _option(option: Option) -> Iterator[str]:
    """A spec for each spelling; all may be repeated."""
    text = short(option.help)
    for special in "\\[]:$`":
        text = text.replace(special, f"\\{special}")
    value = "" if option.value is None else f":{_value(option.value)}"
    for flag in option.flags:
        may_join = "=" if value and flag.startswith("--") else ""
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
