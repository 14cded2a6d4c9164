"""The command line as a completion script for bash (4 or newer): plain data in, the script out.

The script looks up in tables what may follow, so that it needs neither this program nor bash-completion.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from orchestrator.completion.words import Command, Value

_SCRIPT = """\
# Completion of {program} for bash, written by '{program} completion bash'.

# What may follow the words of a verb ($1): verbs and values, or where --options stands behind, its options.
_{name}_words() {{
    case $1 in
{words}
    esac
}}

# What may follow the option $2 of the verb $1; fails for words that take nothing.
_{name}_value() {{
    case "$1 $2" in
{values}
        *) return 1 ;;
    esac
}}

# Completes $2 with the words in $1; :file, :folder and :command stand for all of these.
_{name}_reply() {{
    local word
    for word in $1; do
        case $word in
            :file) mapfile -t -O "${{#COMPREPLY[@]}}" COMPREPLY < <(compgen -f -- "$2") ;;
            :folder) mapfile -t -O "${{#COMPREPLY[@]}}" COMPREPLY < <(compgen -d -- "$2") ;;
            :command) mapfile -t -O "${{#COMPREPLY[@]}}" COMPREPLY < <(compgen -c -- "$2") ;;
            "$2"*) COMPREPLY+=("$word") ;;
        esac
        case $word in :*) compopt -o filenames 2>/dev/null ;; esac
    done
}}

_{name}() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} verb={program} possible i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$verb ${{COMP_WORDS[i]}}" in
{verbs}
            *" --") _{name}_reply ":file$( ((i == COMP_CWORD - 1)) && echo ' :command')" "$word"; return ;;
            *) if _{name}_value "$verb" "${{COMP_WORDS[i]}}" >/dev/null; then # its value is no verb
                    [[ ${{COMP_WORDS[i + 1]}} = "=" ]] && ((i++))
                    [[ ${{COMP_WORDS[i + 1]}} = -* ]] || ((i++))
                fi ;;
        esac
    done
    # bash takes --option=value for three words.
    if [[ $word = "=" ]]; then word=
    elif [[ $before = "=" ]]; then before=${{COMP_WORDS[COMP_CWORD - 2]}}; fi
    if [[ $word = -* ]]; then _{name}_reply "$(_{name}_words "$verb --options")" "$word"
    elif possible=$(_{name}_value "$verb" "$before"); then _{name}_reply "$possible" "$word"
    else _{name}_reply "$(_{name}_words "$verb")" "$word"; fi
}}
complete -F _{name} {program}
"""


def render_bash(command: Command) -> str:
    """The script; the shell reads it by ``source``, or finds it by its name (see the verb's help)."""
    commands = list(command.walk())
    return _SCRIPT.format(
        program=command.name,
        name=command.name.replace("-", "_"),
        words=_cases(line for one in commands for line in _words(one)),
        values=_cases(line for one in commands for line in _values(one)),
        verbs=_indented((line for one in commands for line in _verbs(one, command)), 12),
    )


def _words(command: Command) -> Iterator[tuple[str, str]]:
    path = " ".join(command.words)
    values = [one for value in command.values for one in _offered(value)]
    yield path, " ".join([*(verb.name for verb in command.verbs), *dict.fromkeys(values)])
    yield f"{path} --options", " ".join(flag for option in command.options for flag in option.flags)


def _values(command: Command) -> Iterator[tuple[str, str]]:
    path = " ".join(command.words)
    for option in command.options:
        for flag in option.flags if option.value is not None else ():
            yield f"{path} {flag}", " ".join(_offered(option.value))


def _offered(value: Value | None) -> tuple[str, ...]:
    """Words, and signs that the script reads."""
    if value is None or value.kind == "word":
        return ()
    return value.choices if value.kind == "choice" else (f":{value.kind}",)


def _verbs(command: Command, whole: Command) -> Iterator[str]:
    path = " ".join(command.words)
    for verb in command.verbs:
        words = shlex.quote(" ".join(verb.words))
        yield f"{words}) verb={words} ;;"
    if command.hands_over:
        yield f"{shlex.quote(f'{path} --')}) verb={whole.name} ;;"


def _cases(pairs: Iterator[tuple[str, str]]) -> str:
    return _indented((f"{shlex.quote(key)}) echo {shlex.quote(text)} ;;" for key, text in pairs), 8)


def _indented(lines: Iterator[str], by: int) -> str:
    return "\n".join(f"{' ' * by}{line}" for line in lines)
