"""Names of our root packages in, nothing or one clear error out: is `import affinity` really our `affinity`?

Our root packages have plain names, so a file `affinity.py` beside the user's script, a folder `launchers/` on
PYTHONPATH or another package from PyPI may answer instead. Nothing is imported to find out. This module uses
the standard library only and may be loaded by its file name, as `bigdl.nano` does: `orchestrator` itself may
be the hidden one.
"""

import sys
from collections.abc import Iterable
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ModuleSpec
from importlib.util import find_spec
from pathlib import Path

__all__ = ["OUR_NAMES", "HiddenPackageError", "names_hidden_in", "require_ours"]

OUR_NAMES = ("affinity", "launchers", "orchestrator")
LANDMARKS = {"affinity": b"bind_command", "launchers": b"start_worker", "orchestrator": b"search"}
REINSTALL = "pip install --force-reinstall --no-deps nano-hpo"
ROOT = Path(__file__).resolve().parent.parent  # where our packages lie side by side


class HiddenPackageError(ImportError):
    """Another module answers to the name of one of our packages; one line: the file and the way out."""


def require_ours(names: tuple[str, ...]) -> None:
    """Return when importing each of `names` gives our package, else raise `HiddenPackageError` for the first.

    Costs a look at the import path (and at an imported module's origin), well under a millisecond a name.
    """
    for name in names:
        location = _location(name)
        if location is None:
            raise HiddenPackageError(
                f"nano-hpo's package {name!r} is missing; reinstall it: {REINSTALL}", name=name
            )
        if location != ROOT / name:
            raise HiddenPackageError(_hidden(name, location), name=name, path=str(location))
        if not _has_landmark(name):
            raise HiddenPackageError(_overwritten(name), name=name, path=str(location))


def names_hidden_in(folder: Path) -> list[Path]:
    """Files and folders in `folder` that would hide our packages if it came first on the path."""
    candidates = (path for name in OUR_NAMES for path in _candidates(folder, name))
    return [path for path in candidates if path.exists() and path.resolve() != ROOT / path.name]


def _candidates(folder: Path, name: str) -> Iterable[Path]:
    yield folder / name
    for suffix in (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES):
        yield folder / f"{name}{suffix}"


def _location(name: str) -> Path | None:
    """The package's folder or the module's file that `import name` gives, `None` when there is none."""
    try:
        spec = find_spec(name)
    except ValueError:  # already imported, by somebody who made it without a spec
        file = getattr(sys.modules[name], "__file__", None)
        return Path(file).resolve() if file else Path(f"<{name} made at run time>")
    return None if spec is None else _spec_location(spec)


def _spec_location(spec: ModuleSpec) -> Path:
    if spec.submodule_search_locations is not None:  # a package, or a folder without __init__.py
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    return Path(spec.origin or spec.name).resolve()


def _has_landmark(name: str) -> bool:
    """Whether our folder still holds our package: two distributions may install files of the same name."""
    try:
        return LANDMARKS[name] in (ROOT / name / "__init__.py").read_bytes()
    except OSError:
        return False


def _hidden(name: str, location: Path) -> str:
    if {"site-packages", "dist-packages"} & set(location.parts):
        way_out = "Uninstall the package it belongs to, or install nano-hpo in an environment of its own."
    else:
        way_out = f"Rename it, or take {location.parent} out of PYTHONPATH and of the script's folder."
    return f"{location} hides nano-hpo's package {name!r}. {way_out}"


def _overwritten(name: str) -> str:
    file = ROOT / name / "__init__.py"
    return f"{file} is another package's, which overwrote nano-hpo's. Uninstall that one, then: {REINSTALL}"
