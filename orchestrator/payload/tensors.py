"""Tensors of torch as arrays: a tensor in; an array on its memory out, or None where there can be none."""

from __future__ import annotations

import sys
from typing import Any

from orchestrator.payload.contents import Array


def is_tensor(thing: Any) -> bool:
    """Whether it is a plain tensor; torch is not loaded for that. Parameters hold one."""
    torch = sys.modules.get("torch")
    return torch is not None and type(thing) is getattr(torch, "Tensor", None)


def array_of(tensor: Any) -> Array | None:
    """An array on the memory of a dense tensor on the CPU with nothing but values and ``requires_grad``."""
    torch = sys.modules["torch"]
    is_plain = tensor.device.type == "cpu" and tensor.layout is torch.strided and not tensor.is_quantized
    is_named = any(getattr(tensor, "names", ()))  # torch 2.13 has none
    has_more = tensor.is_conj() or tensor.is_neg() or is_named or tensor._backward_hooks
    if not is_plain or has_more or tensor.__dict__:
        return None
    try:
        array: Array = tensor.detach().numpy()
    except TypeError:  # numpy has no such type: bfloat16
        return None
    return array


def view_key(tensor: Any) -> tuple[Any, ...]:
    """What tensors on the very same memory have in common."""
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype
