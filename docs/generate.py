"""Pages that the code writes: settings.md and api.md, and with ``--html`` all docstrings as web pages.

``make docs`` calls it; a test compares the two pages with what stands in docs/.
"""

from __future__ import annotations

import argparse
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from bigdl.nano.automl.search.options import SearchOptions
from orchestrator import search
from orchestrator.cli.main import _parser

HEAD = "<!-- Written by docs/generate.py (`make docs`) from the code; edit the code. -->\n\n"
_TITLES = {"positional arguments": "what to optimise"}
SUFFIXES = ("", "_s", "_mib", "s")  # of a keyword that says its unit, or takes several

ENVIRONMENT = """\
## Environment variables

| variable | what it is |
|---|---|
| `NANO_HPO_STORAGE` | read: the database URL where no `--storage` is given; the place for a password |
| `NANO_HPO_SERVER` | read: the program of a private server, as `--server` |
| `NANO_HPO_MPI` | read: `no` leaves MPI alone; ranks come from the launcher's environment then |
| `NANO_HPO_DATALOADER_WORKERS` | read, and set for trials: see `--dataloader-workers` |
| `NANO_HPO_THREADS` | set for trials: threads of the slot |
| `NANO_HPO_WORKER` | set for workers and all that they start: a mark by which they are found and ended |
| `NANO_HPO_PARAM_…`, `NANO_HPO_TRIAL`, `NANO_HPO_TRIAL_DIR`, `NANO_HPO_SEED`, `NANO_HPO_STUDY`, \
`NANO_HPO_RESULT`, `NANO_HPO_CHECKPOINT` | set for [commands](any-command.md) |
| `SLURM_JOB_END_TIME` and others of Slurm, Open MPI, MPICH, Intel MPI, PMI, PMIx | \
read: job, ranks, end of the job |
| `OMP_NUM_THREADS`, `MKL_NUM_THREADS`, … | set for workers; yours are kept, see [binding](binding.md) |
| `TMPDIR` | read: where the run's SQLite file works when the run directory is on a network file system |
"""

PUBLIC = {
    "orchestrator": "searches, storage, checkpoints",
    "bigdl.nano.automl.hpo": "what makes classes, functions and models searchable",
    "bigdl.nano.automl.hpo.backend": "samplers and pruners by the old names",
    "bigdl.nano.automl.hpo.space": "search spaces",
    "bigdl.nano.automl.hpo.visualization": "plots of a study",
    "bigdl.nano.automl.hpo_config": "whether layers and optimizers are searchable",
    "bigdl.nano.pytorch": "Lightning models",
    "bigdl.nano.automl.pytorch.acceleration": "faster inference",
    "bigdl.nano.automl.tf.keras": "Keras models",
    "affinity": "a machine's cores: read, divided, bound; useful by itself",
    "launchers": "ranks, workers, job scripts",
}


def settings() -> str:
    """All options of all verbs, those of ``run`` with the keywords of ``search`` and of a model's."""
    verbs = dict(_verbs(_parser()))
    run = verbs.pop(("run",))
    parts = [
        f"{HEAD}# All settings\n",
        "`nano-hpo VERB --help` says the same in a terminal. What they mean together is on other pages:\n"
        "[storage](storage.md), [binding](binding.md), [failures](failures.md), [Slurm](slurm.md). A\n"
        "[study file](study-file.md) takes the names of the options of `nano-hpo run`, with `_` for `-`.\n",
        "## nano-hpo run\n",
        "`search()` of `orchestrator` takes the keyword of the second column; `model.search()` of Keras and\n"
        "`trainer.search()` of Lightning models that of the third.\n",
        *_run_tables(run),
        ENVIRONMENT,
        *_verb_tables(
            verbs, {_named(action): _help(action) for action in run._actions if _is_setting(action)}
        ),
    ]
    return "\n".join(parts)


def _verbs(one: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    below = [action for action in one._actions if isinstance(action, argparse._SubParsersAction)]
    if path and not below:
        yield path, one
    for action in below:
        for name, parser in action.choices.items():
            yield from _verbs(parser, (*path, name))


def _run_tables(run: argparse.ArgumentParser) -> Iterator[str]:
    keywords = set(inspect.signature(search).parameters)
    of_models = {field.name for field in fields(SearchOptions)} | {"resume", "n_parallels"}
    for group in run._action_groups:
        rows = [
            (_named(action), _keyword(action.dest, keywords), _keyword(action.dest, of_models), _help(action))
            for action in group._group_actions
            if _is_setting(action)
        ]
        if rows:
            yield f"### {_TITLES.get(str(group.title), group.title)}\n"
            yield _table(("option", "`search()`", "models", "what it does"), rows)


def _verb_tables(
    verbs: dict[tuple[str, ...], argparse.ArgumentParser], known: dict[str, str]
) -> Iterator[str]:
    """A table for each verb; of options that are those of ``run`` the names alone."""
    for path, parser in verbs.items():
        yield f"## nano-hpo {' '.join(path)}\n"
        yield _sentence(parser)
        settings = [(_named(action), _help(action)) for action in parser._actions if _is_setting(action)]
        rows = [row for row in settings if known.get(row[0]) != row[1]]
        same = [re.findall(r"`--?[a-z-]+`", name)[-1] for name, text in settings if known.get(name) == text]
        if rows:
            yield _table(("option", "what it does"), rows)
        if same:
            yield f"As in `nano-hpo run`: {', '.join(same)}.\n"


def _is_setting(action: argparse.Action) -> bool:
    return not isinstance(action, argparse._HelpAction) and action.help is not argparse.SUPPRESS


def _named(action: argparse.Action) -> str:
    metavar = action.metavar or (
        "" if action.nargs == 0 or not action.option_strings else action.dest.upper()
    )
    choices = f"{{{','.join(map(str, action.choices))}}}" if action.choices else str(metavar)
    names = " ".join(f"`{name}`" for name in action.option_strings[:2] if not name.startswith("--no-"))
    if not action.option_strings:
        return f"`{choices}`"
    return f"{names} `{_cell(choices)}`" if choices else names


def _keyword(dest: str, keywords: set[str]) -> str:
    """The keyword of Python for an option; nothing where there is none."""
    stem = dest.removesuffix("_arg")
    endings = ("_args", "_kwargs") if dest.endswith("_arg") else SUFFIXES
    return next((f"`{stem}{ending}`" for ending in endings if f"{stem}{ending}" in keywords), "")


def _help(action: argparse.Action) -> str:
    return _cell((action.help or "") % {"default": action.default, "prog": "nano-hpo"})


def _sentence(parser: argparse.ArgumentParser) -> str:
    return _words((parser.description or "").partition("\n\n")[0]) + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return _words(text).replace("|", "\\|")


def _words(text: str) -> str:
    """One line of Markdown: code of docstrings in single backquotes, and outside of it no markup."""
    line = re.sub(r":\w+:`", "`", " ".join(text.split()).replace("``", "`"))
    spans = line.split("`")
    return "`".join(span if i % 2 else re.sub(r"([*<])", r"\\\1", span) for i, span in enumerate(spans))


def api() -> str:
    """What may be imported, a line each."""
    parts = [
        f"{HEAD}# Python reference\n",
        "What may be imported, with the first line of its docstring. `make docs` renders all docstrings as\n"
        "web pages in `build/docs/`; `help(search)` in Python shows one. Names that do not stand here may\n"
        "change. One of these is deprecated in a release, with a warning that says what to use instead,\n"
        "and removed no sooner than two releases later.\n",
    ]
    for module, what in PUBLIC.items():
        rows = [
            (f"`{name}`", _cell(_first_line(getattr(import_module(module), name))))
            for name in _public(module)
        ]
        parts += [f"## {module}\n", f"{what[0].upper()}{what[1:]}.\n", _table(("name", "what it is"), rows)]
    return "\n".join(parts)


def _public(module: str) -> list[str]:
    return sorted(import_module(module).__all__, key=str.lower)


def _first_line(thing: Any) -> str:
    own = inspect.getdoc(thing) if callable(thing) or inspect.ismodule(thing) else None
    value = f"a table of {', '.join(thing)}" if isinstance(thing, dict) else f"`{thing!r}`"
    return (own or "").partition("\n\n")[0] or value


PAGES: dict[str, Callable[[], str]] = {"settings.md": settings, "api.md": api}


def html(folder: Path) -> None:
    """The docstrings of all that may be imported, as web pages with a search box."""
    below = (
        "bigdl.nano.automl.hpo.space",
        "bigdl.nano.automl.hpo.visualization",
    )  # pdoc finds them by itself
    modules = [module for module in PUBLIC if module not in below]
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "pdoc",
        "--docformat",
        "google",
        "--output-directory",
        folder,
    ]
    subprocess.run([*command, *modules, *below[1:]], check=True)


def main() -> None:
    """Write the pages into the folder that is named, or beside this file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent)
    parser.add_argument("--html", type=Path, metavar="FOLDER", help="render all docstrings into it as well")
    options = parser.parse_args()
    for name, write in PAGES.items():
        (options.folder / name).write_text(write().rstrip("\n") + "\n", encoding="utf-8")
    if options.html is not None:
        html(options.html)


if __name__ == "__main__":
    main()
