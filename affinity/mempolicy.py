"""This thread's NUMA memory policy: a mode and node numbers go to the kernel, or come back from it.

set_mempolicy(2) and get_mempolicy(2) by their system call numbers, without libnuma. The policy is inherited
by threads and children and survives execve(2), which is why the shim can set it for the program it starts.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, Literal

Policy = Literal["preferred", "bind", "interleave", "default", "none"]

_NUMBERS = {  # machine: (set_mempolicy, get_mempolicy); arch/*/syscalls, include/uapi/asm-generic/unistd.h
    "x86_64": (238, 239),
    "aarch64": (237, 236),
    "riscv64": (237, 236),
    "loongarch64": (237, 236),
    "ppc64le": (261, 260),
    "ppc64": (261, 260),
    "s390x": (270, 269),
}

_MODES = ("default", "preferred", "bind", "interleave", "local", "preferred many", "weighted interleave")
"""Names by their number in include/uapi/linux/mempolicy.h."""

_FLAGS = 0xE000  # MPOL_F_STATIC_NODES, RELATIVE_NODES, NUMA_BALANCING are ored to the mode

_BITS = 1024
"""The most nodes a kernel can be built for (CONFIG_NODES_SHIFT is 10 at most)."""


def set_policy(policy: Policy, nodes: tuple[int, ...]) -> str:
    """Sets this thread's policy; '' when all is well, else the one line why memory comes from elsewhere.

    "preferred" takes memory from these nodes while they have any (several: Linux 5.15), "bind" from these
    alone, "interleave" page by page from all of them, "default" from the node each thread runs on; "none",
    and no nodes at all, leave the policy as it is. Nothing is raised: EPERM (containers), ENOSYS and EINVAL
    cost some speed, never the work. Elsewhere than on Linux nothing is done.
    """
    if policy == "none" or sys.platform != "linux":
        return ""
    if policy == "default":
        _set(_MODES.index("default"), ())  # a kernel that refuses this has nothing else set
        return ""
    if not nodes:
        return "" if policy == "preferred" else f"memory policy {policy} was not set: no node may be used."
    several = policy == "preferred" and len(nodes) > 1
    code = _set(_MODES.index("preferred many" if several else policy), nodes)
    return "" if code == 0 else _explain(policy, nodes, code)


def get_policy() -> tuple[str, tuple[int, ...]]:
    """This thread's policy and nodes as the kernel has them; ("unknown", ()) where it does not tell."""
    call = _system_call(1)
    if call is None:
        return "unknown", ()
    import ctypes

    mode, mask = ctypes.c_int(), _mask(())
    if call(ctypes.byref(mode), mask, ctypes.c_ulong(_BITS + 1), None, ctypes.c_ulong(0)) != 0:
        return "unknown", ()
    number = mode.value & ~_FLAGS
    name = _MODES[number] if 0 <= number < len(_MODES) else "unknown"
    size = 8 * ctypes.sizeof(ctypes.c_ulong)
    return name, tuple(node for node in range(_BITS) if mask[node // size] >> node % size & 1)


def _set(mode: int, nodes: tuple[int, ...]) -> int:
    """0 or the errno."""
    call = _system_call(0)
    if call is None:
        return errno.ENOSYS
    if any(not 0 <= node < _BITS for node in nodes):
        return errno.EINVAL
    import ctypes

    mask = _mask(nodes) if nodes else None
    failed = call(ctypes.c_int(mode), mask, ctypes.c_ulong(_BITS + 1 if nodes else 0)) != 0
    return ctypes.get_errno() if failed else 0


def _system_call(which: int) -> Any | None:
    numbers = _NUMBERS.get(os.uname().machine) if sys.platform == "linux" else None
    if numbers is None or sys.maxsize < 2**32:  # a 32-bit process on a 64-bit kernel has other numbers
        return None
    import ctypes

    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    return lambda *arguments: syscall(ctypes.c_long(numbers[which]), *arguments)


def _mask(nodes: tuple[int, ...]) -> Any:
    import ctypes

    size = 8 * ctypes.sizeof(ctypes.c_ulong)
    words = [0] * (_BITS // size + 1)  # the kernel reads and writes whole words
    for node in nodes:
        words[node // size] |= 1 << node % size
    return (ctypes.c_ulong * len(words))(*words)


def _explain(policy: str, nodes: tuple[int, ...], code: int) -> str:
    listed = ",".join(map(str, nodes))
    reason = {
        errno.EPERM: "the kernel forbids it (usual in containers)",
        errno.ENOSYS: "this system has no memory policies",
        errno.EINVAL: "a node does not exist or is not allowed, or several need Linux 5.15",
    }.get(code, os.strerror(code))
    return f"memory policy {policy}:{listed} was not set: {reason}; memory comes from where threads run."
