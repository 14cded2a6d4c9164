"""Small kernel files: a path comes in, its text, number or CPU set goes out, None when it tells nothing.

Nothing here raises for a missing, unreadable or garbage file: sysfs differs between kernels and snapshots,
and what a file does not tell, another one may.
"""

from __future__ import annotations

import os

from affinity.cpuset import parse_list, parse_mask
from affinity.errors import CpusetError

_MOST_BYTES = 1 << 20


def read_text(path: str) -> str | None:
    """The file's text without NUL bytes and outer white space; None when there is no such file."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - Path.open costs twice as much, thousands of times
            return file.read(_MOST_BYTES).decode("ascii", "replace").replace("\0", "").strip()
    except (OSError, ValueError):
        return None


def read_int(path: str) -> int | None:
    """The decimal number in the file, if that is what it holds."""
    text = read_text(path)
    if text is None or not text.removeprefix("-").isdigit() or len(text) > 18:
        return None
    return int(text)


def read_cpus(list_path: str, mask_path: str) -> tuple[int, ...] | None:
    """The CPUs of the first of both files that has any; None when neither has.

    Kernels before 2.6.26 have masks only.
    """
    return read_list(list_path) or read_mask(mask_path) or None


def read_list(path: str) -> tuple[int, ...] | None:
    """The set in the file in list format; None when it is missing or garbage, () when it is empty."""
    text = read_text(path)
    try:
        return None if text is None else parse_list(text)
    except CpusetError:
        return None


def read_mask(path: str) -> tuple[int, ...] | None:
    """The set in the file in mask format; None when it is missing or garbage, () when it is empty."""
    text = read_text(path)
    try:
        return None if text is None else parse_mask(text)
    except CpusetError:
        return None


def numbered(folder: str, prefix: str) -> tuple[int, ...]:
    """The numbers N of the entries ``prefixN`` in the folder, ascending; none when there is no folder."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - as above
    except OSError:
        return ()
    tails = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
    return tuple(sorted(int(tail) for tail in tails if tail.isascii() and tail.isdigit() and len(tail) < 8))
