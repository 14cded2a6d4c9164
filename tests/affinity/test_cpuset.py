"""Kernel texts of CPU sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affinity import AffinityError, CpusetError, format_list, parse_list, parse_mask


@given(st.sets(st.integers(0, 5000)))
def test_a_set_written_as_list_or_mask_is_read_back(numbers: set[int]) -> None:
    assert parse_list(format_list(numbers)) == tuple(sorted(numbers))
    bits = sum(1 << number for number in numbers)
    words = [f"{bits >> 32 * place & 0xFFFFFFFF:08x}" for place in range(bits.bit_length() // 32 + 1)]
    assert parse_mask(",".join(reversed(words))) == tuple(sorted(numbers))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0-3,8\n", (0, 1, 2, 3, 8)), ("", ()), ("\n", ()), ("5\n\0", (5,)), ("8,0-1, 1", (0, 1, 8)), (",", ())],
)
def test_lists_are_read_whatever_stands_around_them(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_list(text) == numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("3\n", (0, 1)), ("1,00000001", (0, 32)), ("00000000,0000000a\0", (1, 3)), ("", ()), ("0", ())],
)
def test_masks_are_read_whatever_stands_around_them(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_mask(text) == numbers


@pytest.mark.parametrize("text", ["a", "3-1", "1-", "-1", "1--2", "0-99999999999", "٣", "1.5"])
def test_garbage_lists_are_refused(text: str) -> None:
    with pytest.raises(CpusetError) as error:
        parse_list(text)
    assert isinstance(error.value, AffinityError)
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize("text", ["g", "-1", "1,123456789", "f" * 300000, "+1"])
def test_garbage_masks_are_refused(text: str) -> None:
    with pytest.raises(CpusetError):
        parse_mask(text)


def test_ranges_are_written_short() -> None:
    assert format_list([8, 3, 2, 1, 0, 3]) == "0-3,8"
    assert format_list([]) == ""
