"""Python packages against each other: their metadata in, checks out. None of them is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import requires

from orchestrator.doctor.check import Check, bad, good, mind, none
from orchestrator.versions import version_of as installed

_OURS = "nano-hpo"
_LOOKED_AT = (
    *("optuna", "sqlalchemy", "plotly", "kaleido", "pandas", "torch", "pytorch-lightning", "torchmetrics"),
    *("tensorflow", "tensorflow-cpu", "keras", "scipy", "scikit-learn", "optuna-dashboard"),
)
_TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tf-nightly")
_TWINS = (("openmpi", "mpich"), _TENSORFLOWS)
"""Packages that install files of the same names over each other's."""


def package_checks() -> Iterator[Check]:
    """Versions that we and the libraries ask for, and what is known not to go together."""
    yield _versions()
    yield _conflicts()
    yield _torch()
    yield _ipex()
    yield _tensorflow()
    yield from _twins()
    yield _dashboard()


def _versions() -> Check:
    wrong = list(unmet(_OURS))
    if wrong:
        return bad("versions", "; ".join(wrong), f"pip install --upgrade {_OURS}, in this environment")
    return good("versions", f"all that {_OURS} asks for")


def _conflicts() -> Check:
    """What ``pip check`` would say of the packages that a search may use."""
    wrong = [
        f"{name} {installed(name)}: {one}" for name in _LOOKED_AT if installed(name) for one in unmet(name)
    ]
    if wrong:
        return mind(
            "conflicts", "; ".join(wrong), "install them together, so that pip may choose: see pip check"
        )
    return good("conflicts", "none between the libraries that are installed")


def unmet(name: str) -> Iterator[str]:
    """What a package asks for and does not find, as «torch 2.13.0, not >=2.8,<2.9»."""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in requires(name) or ():
        try:
            asked = Requirement(text)
        except InvalidRequirement:
            continue
        if asked.marker is not None and not asked.marker.evaluate({"extra": ""}):
            continue
        found = installed(asked.name)
        if found is None or not asked.specifier.contains(found, prereleases=True):
            yield f"{asked.name} {found or 'missing'}, not {asked.specifier or 'any version'}"


def _torch() -> Check:
    torch, lightning = installed("torch"), installed("pytorch-lightning")
    if torch is None and lightning is None:
        return none("Lightning", "not installed (pip install 'nano-hpo[lightning]')")
    if torch is None or lightning is None:
        has, lacks = ("torch", "pytorch-lightning") if torch else ("pytorch-lightning", "torch")
        return mind("Lightning", f"{has} is there, {lacks} is not", f"to search models: pip install {lacks}")
    return good("Lightning", f"pytorch-lightning {lightning} with torch {torch}")


def _ipex() -> Check:
    """Each release is built for the torch of the same number; with another one its import raises."""
    ipex, torch = installed("intel-extension-for-pytorch"), installed("torch")
    if ipex is None:
        return none("IPEX", "not installed; use_ipex=True would be plain torch")
    wanted = ".".join(ipex.split(".")[:2])
    if torch is None or ".".join(torch.split(".")[:2]) != wanted:
        step = f"pip install 'torch=={wanted}.*', or pip uninstall intel-extension-for-pytorch"
        return mind(
            "IPEX", f"{ipex} needs torch {wanted}, there is {torch or 'none'}: it will not load", step
        )
    return good("IPEX", f"{ipex} with torch {torch}")


def _tensorflow() -> Check:
    name = next((name for name in _TENSORFLOWS if installed(name)), None)
    if name is None:
        return none("TensorFlow", "not installed (pip install 'nano-hpo[tensorflow]')")
    keras = installed("keras")
    said = f"{name} {installed(name)} with keras {keras or 'missing'}"
    if keras is None or _major(keras) < 3:
        return mind("TensorFlow", said, "models need Keras 3: pip install --upgrade tensorflow keras")
    if os.environ.get("TF_USE_LEGACY_KERAS", "") in ("1", "true", "True"):
        return mind(
            "TensorFlow", f"{said}, but TF_USE_LEGACY_KERAS asks for Keras 2", "unset TF_USE_LEGACY_KERAS"
        )
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        backend = os.environ["KERAS_BACKEND"]
        return mind(
            "TensorFlow", f"{said}, but KERAS_BACKEND is {backend}", "unset KERAS_BACKEND to search models"
        )
    return good("TensorFlow", said)


def _major(number: str) -> int:
    first = number.partition(".")[0]
    return int(first) if first.isdigit() else 0


def _twins() -> Iterator[Check]:
    for twins in _TWINS:
        both = [name for name in twins if installed(name)]
        if len(both) > 1:
            step = f"pip uninstall {' '.join(both)}, then install one of them again"
            yield mind("twins", f"{' and '.join(both)} overwrite each other's files", step)


def _dashboard() -> Check:
    found = installed("optuna-dashboard")
    if found is None:
        return none("dashboard", "not installed (pip install optuna-dashboard)")
    return good("dashboard", f"optuna-dashboard {found}: nano-hpo dashboard")
