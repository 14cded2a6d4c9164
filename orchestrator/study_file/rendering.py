"""A study file to begin with: settings that were asked for in; commented TOML with all the others out.

Every line ``#key = value`` is a setting that the file does not set; without its # it does.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from orchestrator.study_file.reading import ONE_LAUNCH, OWN_KEYS
from orchestrator.study_file.setting import NUMBERS_TOO, Setting
from orchestrator.study_file.text import key_text, toml_text

_WIDTH = 100
EXAMPLES: Mapping[str, Any] = {  # of settings whose default is not to be set
    "n_trials": 100,
    "timeout": 3600.0,
    "trial_timeout": 600.0,
    "trial_memory": "4G",
    "trials_per_worker": 10,
    "keep_top": 5,
    "storage": "mysql://USER@HOST/DATABASE",
    "server": "/usr/sbin/mariadbd",
    "study_name": "my-study",
    "run_id": "night-1",
    "direction": "maximize",
    "sampler_arg": {"n_startup_trials": 20},
    "pruner_arg": {"n_warmup_steps": 5},
    "seed": 1,
    "cores_per_slot": 4,
    "exclude": "0-3,8",
    "omp_bind": "close",
    "dataloader_workers": 2,
    "run_dir": "results",
    "scratch": "$TMPDIR",
}
_SLURM = """\
# For 'nano-hpo submit -- run {name}': any flag of nano-hpo submit, and lines of slurm.toml.
[slurm]
#nodes = 2
#time = "02:00:00"
#cpus_per_task = 16
#cores_per_trial = 4
#account = "project"
#partition = "express"
#array = "8%2"
#setup = ["module load python/3.11"]
#profile = "short"
#database = true
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a file is to say. ``what``: an objective, or a command and maybe the path of its space.

    chosen: settings by name, as TOML has them. space: the tables of a command's space.
    """

    name: str
    what: Mapping[str, Any]
    chosen: Mapping[str, Any]
    space: Mapping[str, Any]


def rendered(draft: Draft, known: Iterable[Setting]) -> str:
    """The text of the file; the settings of ``known`` that it does not set are comments."""
    parts = [_head(draft.name), "".join(f"{key} = {toml_text(one)}\n" for key, one in draft.what.items())]
    settable = [one for one in known if one.name not in (*ONE_LAUNCH, *OWN_KEYS)]
    for group, settings in groupby(settable, key=lambda one: one.group):
        parts.append(f"# ---- {group} ----\n")
        parts += [_block(one, draft.chosen) for one in settings]
    if draft.space:
        parts.append("".join(_space_lines(draft.space)))
    return "\n".join([*parts, _SLURM.replace("{name}", draft.name)])


def _head(name: str) -> str:
    return (
        f"# A search, for 'nano-hpo run {name}'. Flags on the command line win over what is written here.\n"
        "# Lines as '#timeout = 3600.0' are settings that are not set: take the # away. Objective and space\n"
        "# are looked for beside this file; all other paths, and a command, are as if they were typed.\n"
    )


def _block(setting: Setting, chosen: Mapping[str, Any]) -> str:
    """What a setting is for, and its line."""
    note = textwrap.wrap(setting.help, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    lines = [f"# {line}" for line in note]
    is_chosen = setting.name in chosen
    value = chosen[setting.name] if is_chosen else _example(setting)
    if setting.name in NUMBERS_TOO and isinstance(value, str) and value.isdecimal():
        value = int(value)
    lines.append(f"{'' if is_chosen else '#'}{setting.name} = {toml_text(value)}")
    return "\n".join(lines) + "\n"


def _example(setting: Setting) -> Any:
    """The default where it says something, else a value as people may want it."""
    if setting.kind is bool:
        return True
    return EXAMPLES[setting.name] if setting.default in (None, "", []) else setting.default


def _space_lines(space: Mapping[str, Any]) -> Iterator[str]:
    yield "# What is searched: floats if a bound is one, else whole numbers; a list is a choice.\n[space]\n"
    for name, table in space.items():
        yield f"{key_text(name)} = {toml_text(table)} # EDIT\n"


def shown_path(path: str | Path, folder: Path) -> str:
    """A path as a file in ``folder`` names it, when it is typed in the current folder."""
    text = str(path)
    if text.startswith("~") or Path(text).is_absolute() or folder.resolve() == Path.cwd():
        return text
    place = Path(text)
    return os.path.relpath(place.parent.resolve() / place.name, folder.resolve())
