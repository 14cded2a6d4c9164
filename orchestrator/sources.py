"""Where the settings of a run came from: said by those who read them; a part of ``run.json`` out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Source = Literal["flag", "file", "environment", "argument", "default"]
Named = Mapping[str, "Source | Mapping[str, Source]"]


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of settings, by their names in ``RunSpec``; what is not named is a default.

    "flag" of the command line, "file": the ``study_file``, "environment": a variable, "argument" of a call
    from Python. Settings that are mappings (``choices``, ``sampler_args``) have a source for each key.
    """

    named: Named = field(default_factory=dict)
    study_file: Path | None = None

    def as_json(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """A source for every setting in ``spec`` (``RunSpec.as_json``), in the same shape. No values."""
        return {name: _of(self.named.get(name, "default"), value) for name, value in spec.items()}


def _of(source: Source | Mapping[str, Source], value: Any) -> Any:
    if not isinstance(value, Mapping):
        return "default" if source == "environment" and value is None else source  # it was not for this run
    if isinstance(source, str):
        return dict.fromkeys(value, source)
    return {key: source.get(key, "default") for key in value}
