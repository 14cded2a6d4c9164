"""``nano-hpo init study``: a search, in the words of ``nano-hpo run``, in; a commented study file out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.cli.run_options import add_settings

_OWN = ("force", "json", "space")  # flags that say nothing of the search, or are written otherwise
_N_TRIALS = 100  # of a file for which nobody has said when the search ends
_EPILOG = """\
The file has what was asked for and, as comments, every other setting with its meaning.

examples:
  nano-hpo init study train.py:objective                     # writes study.toml
  nano-hpo init study train.py:objective -n 400 -p 4 --storage mysql://user@host/db night.toml
  nano-hpo init study -n 100 -- ./train.sh --lr {lr}         # with a space to edit
  nano-hpo run study.toml
  nano-hpo submit -- run study.toml"""


def add_init_study(verbs: Any) -> None:
    """The verb and its options: all of ``nano-hpo run``."""
    parser = verbs.add_parser(
        "study",
        help="a study file, for nano-hpo run STUDY.toml",
        usage="%(prog)s [options] FILE.py:FUNCTION [STUDY.toml]\n"
        "       %(prog)s [options] [STUDY.toml] -- COMMAND …",
        description="Write a study file: all settings of a search in one place, as TOML with comments "
        "(default study.toml). Flags are those of nano-hpo run.",
        epilog=_EPILOG,
    )
    add_settings(parser)
    parser.add_argument("--force", action="store_true", help="overwrite a file that is there")
    _say_what_json_is(parser)
    _keep_names(parser)
    parser.set_defaults(handler=init_study)


def _say_what_json_is(parser: Any) -> None:
    """The flag is that of ``nano-hpo run``; here it is about this command, and goes into no file."""
    for action in parser._actions:
        if action.dest == "json":
            action.help = 'print JSON: "files", the paths, and "done" (true)'


def _keep_names(parser: Any) -> None:
    """Objective and file may stand before, between and behind flags, where argparse would lose one."""
    parser.keeps_names = True
    parse = parser.parse_known_args

    def parse_known_args(args: Any = None, namespace: Any = None) -> Any:
        options, names = parse(args, namespace)
        options.names = names
        return options, []

    parser.parse_known_args = parse_known_args


def init_study(options: argparse.Namespace) -> int:
    """Check the search as ``nano-hpo run`` will, then write its file; none is overwritten without --force."""
    from orchestrator.cli.run import asked_for
    from orchestrator.study_file.rendering import Draft, rendered

    objective, file = _names(options.names)
    _require_objective(objective, options.command)
    space = _space_to_edit(options)
    chosen = _chosen(options)
    _require_new(file, options.force)
    asked_for(_as_typed(options, objective, space, chosen))
    draft = Draft(file.name, _what(options, objective, file.parent), _written(chosen, file.parent), space)
    _write(file, rendered(draft, [setting for setting in options.settings if setting.name != "force"]))
    print_files([file], options.json)
    return 0


def print_files(files: Sequence[Path], as_json: bool) -> None:
    """What was written: a path a line, or an object for a program."""
    from orchestrator.results import dumps

    if as_json:
        print(dumps({"files": [str(file.resolve()) for file in files], "done": True}))
    else:
        print(*files, sep="\n")


def _names(words: list[str]) -> tuple[str | None, Path]:
    """The objective, if any, and the file, which is the word that ends as one."""
    from orchestrator.errors import SpecError
    from orchestrator.study_file.reading import is_study_file

    files = [word for word in words if is_study_file(word)]
    others = [word for word in words if not is_study_file(word)]
    if len(files) > 1 or len(others) > 1:
        extra = files[1] if len(files) > 1 else others[1]
        raise SpecError(f"'{extra}' is one too many; give FILE.py:FUNCTION and a file that ends in .toml.")
    return (others[0] if others else None), Path(files[0] if files else "study.toml")


def _require_objective(objective: str | None, command: list[str] | None) -> None:
    from orchestrator.errors import SpecError

    if objective is None and command is None:
        raise SpecError("Name what to optimise: FILE.py:FUNCTION, or a command at the end, after '--'.")


def _space_to_edit(options: argparse.Namespace) -> dict[str, Any]:
    """A table for each {NAME} of a command that comes without its space."""
    from orchestrator.errors import SpecError

    if options.command is None or options.space is not None:
        return {}
    from orchestrator.command.facts import NAMES
    from orchestrator.command.template import names_in

    names = [name for name in names_in(options.command) if name not in NAMES]
    if options.command and not names:
        raise SpecError("The command has no {NAME} of a parameter: write one, or give --space FILE.")
    return {name: {"low": 0.0, "high": 1.0} for name in names}


def _chosen(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were typed, and an end of the search."""
    from orchestrator.errors import SpecError
    from orchestrator.study_file.reading import ONE_LAUNCH

    chosen = {name: value for name, value in options.given.items() if name not in _OWN}
    for name in ONE_LAUNCH:
        if name in chosen:
            raise SpecError(f"--{name} is for one launch; give it to nano-hpo run.")
    if "n_trials" not in chosen and "timeout" not in chosen:
        chosen["n_trials"] = _N_TRIALS
    _require_no_secret([*(options.command or []), *map(str, chosen.values())])
    return chosen


def _require_no_secret(texts: list[str]) -> None:
    from orchestrator.errors import SpecError
    from orchestrator.storage_url import ENVIRONMENT, masked

    for text in texts:
        if masked(text) != text:
            raise SpecError(
                f"'{masked(text)}' holds a password, which would stand in the file. Leave it out: set "
                f"{ENVIRONMENT} to the whole URL, or name an option file, as "
                "mysql://USER@HOST/DATABASE?read_default_file=/home/USER/.my.cnf."
            )


def _require_new(file: Path, is_forced: bool) -> None:
    from orchestrator.errors import SpecError

    if file.is_dir() or (file.exists() and not is_forced):
        raise SpecError(f"{file} is there already; choose another name, or give --force.")


def _as_typed(
    options: argparse.Namespace, objective: str | None, space: dict[str, Any], chosen: Mapping[str, Any]
) -> argparse.Namespace:
    """What ``nano-hpo run`` would be given."""
    from orchestrator.command.space_file import space_of_tables

    made = space_of_tables(space, "the command") if space else options.space
    return argparse.Namespace(**{**vars(options), **chosen, "objective": objective, "space": made})


def _what(options: argparse.Namespace, objective: str | None, folder: Path) -> dict[str, Any]:
    """What the file says first."""
    from orchestrator.study_file.rendering import shown_path

    if objective is not None:
        return {"objective": shown_path(objective, folder)}
    found: dict[str, Any] = {"command": list(options.command)}
    return found if options.space is None else {**found, "space": shown_path(options.space, folder)}


def _written(chosen: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The settings as the file has them: arguments as tables where TOML can, a server from its folder."""
    from orchestrator.study_file.rendering import shown_path

    found = dict(chosen)
    for name in ("sampler_arg", "pruner_arg"):
        if name in found:
            found[name] = _table(found[name], f"--{name.replace('_', '-')}")
    if "server" in found:
        found["server"] = shown_path(found["server"], folder)
    return found


def _table(pairs: list[str], flag: str) -> Any:
    """KEY=VALUE words as a table; as they are where a value is none, for which TOML has no word."""
    from orchestrator.cli.run import named_values
    from orchestrator.errors import SpecError
    from orchestrator.study_file.text import toml_text

    table = named_values(pairs, flag)
    try:
        toml_text(table)
    except SpecError:
        return pairs
    return table


def _write(file: Path, text: str) -> None:
    from orchestrator.errors import SpecError
    from orchestrator.paths import write_whole

    try:
        write_whole(file, text)
    except OSError as error:
        raise SpecError(f"{file} cannot be written ({error.strerror}); choose another name.") from None
