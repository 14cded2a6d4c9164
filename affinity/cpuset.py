"""Sets of CPU or node numbers: kernel texts come in, sorted tuples go out, and back.

The formats are those of cpuset(7): "List format" (``0-3,8``) and "Mask format" (``ffff,00000001``,
words of 32 bits, most significant first). NUL bytes (old sysfs files end with one), newlines and
spaces at the ends are nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from affinity.errors import CpusetError

_LIMIT = 1 << 20
"""No kernel counts that far; a garbage file must not make us fill the memory."""


def parse_list(text: str) -> tuple[int, ...]:
    """The numbers of ``0-3,8``, ascending and each once; empty text is the empty set.

    Raises CpusetError for anything else.
    """
    numbers: set[int] = set()
    for token in _clean(text).split(","):
        if token.strip():
            numbers.update(_range(token.strip()))
    return tuple(sorted(numbers))


def parse_mask(text: str) -> tuple[int, ...]:
    """The positions of the bits set in ``ffff,00000001``, ascending; empty text is the empty set.

    Raises CpusetError for anything else.
    """
    words = [word.strip().removeprefix("0x") for word in _clean(text).split(",")]
    if not any(words):
        return ()
    try:
        if any(len(word) > 8 for word in words[1:]) or any(set(word) & set("+-_ ") for word in words):
            raise ValueError
        bits = int("".join([words[0], *(word.zfill(8) for word in words[1:])]) or "0", 16)
    except ValueError:
        raise CpusetError(f"{text!r} is no CPU mask; masks are hex words like 'ffff,00000001'.") from None
    if bits.bit_length() > _LIMIT:
        raise CpusetError(f"a CPU mask of {bits.bit_length()} bits; at most {_LIMIT} can be.")
    return tuple(number for number in range(bits.bit_length()) if bits >> number & 1)


def format_list(numbers: Iterable[int]) -> str:
    """The shortest ``0-3,8`` for these numbers, in any order; the empty set is empty text."""
    return ",".join(
        f"{first}" if first == last else f"{first}-{last}" for first, last in _runs(sorted(set(numbers)))
    )


def _clean(text: str) -> str:
    return text.replace("\0", "").strip()


def _range(token: str) -> range:
    first, dash, last = token.partition("-")
    if not (first.isascii() and first.isdigit() and (not dash or (last.isascii() and last.isdigit()))):
        raise CpusetError(f"{token!r} is no CPU range; lists look like '0-3,8'.")
    if max(len(first), len(last)) > 7 or int(last or first) >= _LIMIT:
        raise CpusetError(f"{token!r} is beyond any CPU number; the highest is {_LIMIT - 1}.")
    if dash and int(last) < int(first):
        raise CpusetError(f"{token!r} counts downwards; write '{last}-{first}'.")
    return range(int(first), int(last or first) + 1)


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for end in range(1, len(numbers) + 1):
        if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
            yield numbers[start], numbers[end - 1]
            start = end
