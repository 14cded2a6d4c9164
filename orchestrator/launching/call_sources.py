"""The sources of settings in a call from Python: a function and its arguments in, ``Sources`` out."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

from affinity.threads import DATALOADER_WORKERS
from orchestrator.server.choice import ENVIRONMENT as SERVER
from orchestrator.sources import Source, Sources
from orchestrator.storage_url import ENVIRONMENT as STORAGE

_SPEC_NAMES = {"storage": "storage_url", "direction": "directions", "isolate": "trials_per_worker"}
_VARIABLES = {"storage_url": STORAGE, "server": SERVER, "dataloader_workers": DATALOADER_WORKERS}
_PLAIN = (str, int, float, tuple, type(None))  # others may be compared in ways of their own


def call_sources(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Sources:
    """What differs from its default is an argument; an equal value cannot be told from none."""
    defaults = {name: one.default for name, one in inspect.signature(function).parameters.items()}
    named: dict[str, Any] = {name: "environment" for name, one in _VARIABLES.items() if os.environ.get(one)}
    for name, value in arguments.items():
        if not _is_default(value, defaults[name]):
            named[_SPEC_NAMES.get(name, name)] = "argument"
    choices: Mapping[str, Source] = dict(named)
    return Sources({**named, "choices": choices})


def _is_default(value: Any, default: Any) -> bool:
    is_like = isinstance(value, _PLAIN) and type(value) is type(default)
    return value is default or (is_like and bool(value == default))
