"""Ways of making inference faster: a trained module in; the fastest way that keeps its metrics, out.

``METHODS`` is the registry: :func:`register` adds a way of one's own (in a module that the processes of a
search import too). What is not installed, or does not work for a model, is skipped, and the reason is kept.
"""

from __future__ import annotations

import copy
import logging
import math
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from bigdl.nano.automl.pytorch.latency import Latency, measure
from bigdl.nano.pytorch import ipex

__all__ = ["METHODS", "Method", "accelerated", "register"]

log = logging.getLogger("nano_hpo")

Forward = Callable[..., Any]
ORIGINAL = "original"
_TOLERANCE = 0.01  # of a metric's value


@dataclass(frozen=True, slots=True)
class Method:
    """A way: why it cannot be used here (None: it can), and what it makes of a module's ``forward``.

    ``accelerate`` gets the module in evaluation mode, inputs to call it with, and whether bfloat16 is wanted.
    """

    name: str
    problem: Callable[[], str | None]
    accelerate: Callable[[Any, tuple[Any, ...], bool], Forward]


METHODS: dict[str, Method] = {}


def register(method: Method) -> Method:
    """Add a way, or replace the one of that name."""
    METHODS[method.name] = method
    return method


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for a module, and its latency; by name, what came of all: milliseconds or a reason."""

    name: str
    latency: Latency
    tried: Mapping[str, float | str]


def accelerated(module: Any, inputs: tuple[Any, ...], name: str, is_bf16: bool = False) -> Forward:
    """What the way of that name makes of a module, for use after a search. ``KeyError``: there is none.

    ``is_bf16``: with autocast to bfloat16, as the trials of a trainer with ``precision="bf16"``.
    """

    def context() -> AbstractContextManager[Any]:
        return torch.autocast("cpu", torch.bfloat16, enabled=is_bf16)  # type: ignore[no-any-return]

    module.eval()
    if name == ORIGINAL:
        forward = module.forward
    else:
        with _without_warnings(), torch.inference_mode(), context():
            forward = METHODS[name].accelerate(module, inputs, is_bf16)

    def called(*args: Any) -> Any:
        with context():
            return forward(*args)

    return called if is_bf16 else forward


def choose(
    module: Any,
    inputs: tuple[Any, ...],
    evaluate: Callable[[], Mapping[str, float]],
    directions: Mapping[str, str],
    context: Callable[[], AbstractContextManager[Any]],
    is_bf16: bool,
) -> Choice:
    """Time every way and take the fastest whose metrics are at most 1 % worse than without it.

    ``evaluate`` validates the module as it is then; ``directions`` says which metrics count, and how. Where
    they do not depend on ``forward``, its outputs are compared.
    """
    module.eval()
    latencies, forwards, tried = _timed(module, inputs, context, is_bf16)
    best_first = sorted(forwards, key=lambda name: latencies[name].mean_ms)
    faster = [name for name in best_first if latencies[name].mean_ms < latencies[ORIGINAL].mean_ms]
    judge = _Judge(module, inputs, evaluate, directions, context)
    for name in faster:
        objection = judge.objection(forwards[name])
        if objection is None:
            return Choice(name, latencies[name], tried)
        tried[name] = objection
    return Choice(ORIGINAL, latencies[ORIGINAL], tried)


def _timed(
    module: Any, inputs: tuple[Any, ...], context: Callable[[], AbstractContextManager[Any]], is_bf16: bool
) -> tuple[dict[str, Latency], dict[str, Forward], dict[str, float | str]]:
    """By name: latencies, the original's among them; accelerated calls; milliseconds or a reason."""
    forwards: dict[str, Forward] = {}
    with context():
        latencies = {ORIGINAL: measure(lambda: module(*inputs))}
        tried: dict[str, float | str] = {ORIGINAL: _shown(latencies[ORIGINAL])}
        for method in METHODS.values():
            problem = method.problem()
            if problem is not None:
                tried[method.name] = f"skipped: {problem}"
                continue
            try:
                with _without_warnings(), torch.inference_mode():
                    forward = method.accelerate(module, inputs, is_bf16)
                    latencies[method.name] = measure(lambda forward=forward: forward(*inputs))  # type: ignore[misc]
            except Exception as error:  # each way fails in ways of its own
                tried[method.name] = f"failed: {type(error).__name__}: {_short(error)}"
            else:
                forwards[method.name] = forward
                tried[method.name] = _shown(latencies[method.name])
    return latencies, forwards, tried


@contextmanager
def _without_warnings() -> Iterator[None]:
    """``torch.jit`` is deprecated by torch 2.13 and still the fastest for small models."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _shown(latency: Latency) -> float:
    return float(f"{latency.mean_ms:.4g}")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


class _Judge:
    """Compares a module with what an accelerated ``forward`` makes of it."""

    def __init__(
        self,
        module: Any,
        inputs: tuple[Any, ...],
        evaluate: Callable[[], Mapping[str, float]],
        directions: Mapping[str, str],
        context: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._module, self._inputs, self._evaluate = module, inputs, evaluate
        self._directions, self._context = directions, context
        self._metrics: Mapping[str, float] | None = None  # without acceleration

    def objection(self, forward: Forward) -> str | None:
        """Why it is not to be taken, in a few words; None when it may."""
        if self._metrics is None:
            self._metrics = self._metrics_without()
        try:
            with _replaced(self._module, forward) as n_calls:
                metrics = self._evaluate()
        except Exception as error:
            return f"failed: {type(error).__name__}: {_short(error)}"
        known = [name for name in self._directions if name in self._metrics and name in metrics]
        for name in known:
            if _is_worse(metrics[name], self._metrics[name], self._directions[name]):
                return f"rejected: {name} {metrics[name]:.6g}, without it {self._metrics[name]:.6g}"
        if n_calls and len(known) == len(self._directions) > 0:
            return None
        return self._objection_to_outputs(forward)

    def _metrics_without(self) -> Mapping[str, float]:
        """None where the model cannot be validated by itself: the outputs tell then."""
        try:
            return self._evaluate()
        except Exception as error:
            log.warning(
                "Validation of the trained model failed (%s); its outputs are compared.", _short(error)
            )
            self._evaluate = dict
            return {}

    def _objection_to_outputs(self, forward: Forward) -> str | None:
        with torch.inference_mode(), self._context():
            theirs, ours = _tensors(forward(*self._inputs)), _tensors(self._module(*self._inputs))
        if len(theirs) != len(ours):
            return "rejected: other outputs"
        for one, other in zip(theirs, ours, strict=True):
            gap, size = (one.float() - other.float()).norm(), other.float().norm()
            if not gap <= _TOLERANCE * size + 1e-6:
                return f"rejected: outputs differ by {float(gap / (size + 1e-12)):.2%}"
        return None


@contextmanager
def _replaced(module: Any, forward: Forward) -> Iterator[list[None]]:
    """In the block calls of the module go to ``forward``; the list grows with each."""
    calls: list[None] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(None)
        return forward(*args, **kwargs)

    module.forward = counted
    try:
        yield calls
    finally:
        del module.forward


def _is_worse(value: float, before: float, direction: str) -> bool:
    """By more than 1 % of what it was; what is no number is worse than a number."""
    if math.isnan(value) or math.isnan(before):
        return math.isnan(value) and not math.isnan(before)
    loss = value - before if direction == "minimize" else before - value
    return loss > _TOLERANCE * abs(before) + 1e-9


def _tensors(outputs: Any) -> Sequence[torch.Tensor]:
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    parts = outputs.values() if isinstance(outputs, Mapping) else outputs
    if isinstance(outputs, Mapping | list | tuple):
        return [tensor for part in parts for tensor in _tensors(part)]
    return []


# The ways


def _none() -> str | None:
    return None


def _jit(module: Any, inputs: tuple[Any, ...], is_bf16: bool) -> Forward:
    traced = torch.jit.trace(_Plain(module), inputs, check_trace=False)
    return torch.jit.freeze(traced.eval())  # type: ignore[no-any-return]


class _Plain(torch.nn.Module):  # type: ignore[misc]
    """A module without what Lightning adds to one, for tracing."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        for name, child in module.named_children():
            self.add_module(name, child)
        for name, parameter in module.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in module.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        self.__dict__["_module"] = module  # no child: its attributes are not looked at

    def forward(self, *inputs: Any) -> Any:
        """As the module."""
        return self.__dict__["_module"](*inputs)


def _compiler_is_missing() -> str | None:
    return None if shutil.which("g++") or shutil.which("clang++") else "there is no C++ compiler (g++)"


def _compile(module: Any, inputs: tuple[Any, ...], is_bf16: bool) -> Forward:
    from torch._inductor import config

    config.compile_threads = 1  # else it starts a process for each core of the machine
    torch._dynamo.reset()  # the versions of other trials
    return torch.compile(module.forward)  # type: ignore[no-any-return]


def _ipex(module: Any, inputs: tuple[Any, ...], is_bf16: bool) -> Forward:
    return ipex.optimized_for_inference(copy.deepcopy(module), is_bf16)  # type: ignore[no-any-return]


register(Method("jit", _none, _jit))
register(Method("compile", _compiler_is_missing, _compile))
register(Method("ipex", lambda: f"Intel Extension for PyTorch {p}" if (p := ipex.problem()) else None, _ipex))
