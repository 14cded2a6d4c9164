"""What a command prints, understood: lines of any kind, numbers, messages, in bounded memory."""

from __future__ import annotations

import math
import time

import pytest

from orchestrator.command.lines import Lines, shown_line
from orchestrator.command.message import MAX_TEXT, Message, message_in, numbers_in

NUMBERS = [
    (b"0.25", (0.25,)),
    (b"  -1e-3\r", (-0.001,)),
    (b"3", (3.0,)),
    (b".5", (0.5,)),
    (b"5.", (5.0,)),
    (b"inf", (math.inf,)),
    (b"-Infinity", (-math.inf,)),
    (b"0.1 2", (0.1, 2.0)),
    (b"0.1,2", (0.1, 2.0)),
    (b"0.1, 2\t-3", (0.1, 2.0, -3.0)),
    (b"[0.1 0.2]", (0.1, 0.2)),
    (b"[0.1, 0.2]\n", (0.1, 0.2)),
    (b"(0.1, 0.2)", (0.1, 0.2)),
    (b"[np.float64(0.1), np.float32(0.2)]", (0.1, 0.2)),
    (b"", None),
    (b"[]", None),
    (b"accuracy 0.25", None),
    (b"0.25 done", None),
    (b"loss=0.25", None),
    (b"0.25%", None),
    (b"1_000", None),
    (b"0x10", None),
    (b"2024-01-01", None),
    (b"1.2.3", None),
    (b"[[0.1]]", None),
    (b"[0.1", None),
    (b"tensor(0.25, device='cuda:0')", None),
    ("٣".encode(), None),
    (b"\xff0.25", None),
    (b"0" * (MAX_TEXT + 1), None),
]


@pytest.mark.parametrize(("text", "expected"), NUMBERS, ids=lambda value: repr(value)[:30])
def test_a_line_of_numbers_alone_has_numbers(text, expected):
    assert numbers_in(text) == expected


def test_nan_is_a_number_here_and_the_trial_loop_refuses_it():
    (value,) = numbers_in(b"nan") or ()
    assert math.isnan(value)


def test_a_long_line_that_is_almost_a_number_takes_no_time():
    start_s = time.process_time()
    assert numbers_in(b"1" * (MAX_TEXT - 1) + b"x") is None
    assert numbers_in(b"np.float64(" * (MAX_TEXT // 11)) is None
    assert message_in(b'{"value": ' + b"[" * (MAX_TEXT // 2)) is None
    assert message_in(b'{"value": ' + b"1" * 100_000 + b"}") is None
    assert time.process_time() - start_s < 5


REPORT = Message(is_report=True, step=3, values=(0.4,))
MESSAGES = [
    ('{"step": 3, "value": 0.4}', REPORT),
    ('  {"value": 0.4, "step": 3.0, "other": [1]}  ', REPORT),
    ('{"value": 0.4}', Message(is_report=False, values=(0.4,))),
    ('{"value": 1}', Message(is_report=False, values=(1.0,))),
    ('{"values": [0.4, 2]}', Message(is_report=False, values=(0.4, 2.0))),
    ('{"value": [0.4, 2]}', Message(is_report=False, values=(0.4, 2.0))),
    ('{"value": Infinity}', Message(is_report=False, values=(math.inf,))),
    ('{"checkpoint": 3}', Message(is_report=False, checkpoint=3)),
    ('{"step": 3, "checkpoint": 2}', Message(is_report=True, step=3, checkpoint=2)),
    ('{"user_attrs": {"a": [1]}}', Message(is_report=False, user_attrs={"a": [1]})),
    ('{"value": null, "user_attrs": {"a": 1}}', Message(is_report=False, user_attrs={"a": 1})),
    ('{"step": 3, "loss": 0.4}', None),  # somebody's log
    ("{}", None),
    ('{"value": 0.4', None),
    ('{"value": 0.4} done', None),
    ('done {"value": 0.4}', None),
    ('[{"value": 0.4}]', None),
    ("0.4", None),
]


@pytest.mark.parametrize(("text", "expected"), MESSAGES)
def test_a_json_object_with_our_keys_is_a_message(text, expected):
    assert message_in(text.encode()) == expected


@pytest.mark.parametrize(
    ("text", "problem", "step", "values", "checkpoint"),
    [
        ('{"step": 3, "value": "n/a"}', "value", 3, None, None),
        ('{"step": 3, "value": true}', "value", 3, None, None),
        ('{"step": 3, "value": []}', "value", 3, None, None),
        ('{"step": "three", "value": 0.4}', "step", None, (0.4,), None),
        ('{"step": -1, "value": 0.4}', "step", None, (0.4,), None),
        ('{"step": 1.5, "value": 0.4}', "step", None, (0.4,), None),
        ('{"step": NaN, "value": 0.4}', "step", None, (0.4,), None),
        ('{"step": true, "value": 0.4}', "step", None, (0.4,), None),
        ('{"step": 2147483648, "value": 0.4}', "step", None, (0.4,), None),
        ('{"step": 3, "value": 0.4, "checkpoint": "last.pt"}', "checkpoint", 3, (0.4,), None),
        ('{"value": 0.4, "user_attrs": 3}', "user_attrs", None, (0.4,), None),
        (f'{{"value": 1{"0" * 400}}}', "value", None, None, None),
    ],
)
def test_what_of_a_message_is_wrong_is_left_out_and_said(text, problem, step, values, checkpoint):
    message = message_in(text.encode())
    assert message is not None
    assert problem in message.problem
    assert (message.step, message.values, message.checkpoint) == (step, values, checkpoint)
    assert message.is_report is ("step" in text)


def test_lines_are_whole_however_the_chunks_are_cut():
    text = b'epoch 1\repoch 2\r\n{"step": 0, "value": 1}\n\n \nlast'
    for size in (1, 2, 3, 7, 100):
        lines = Lines()
        cut = [line for at in range(0, len(text), size) for line in lines.feed(text[at : at + size])]
        said = [line for line in [*cut, *lines.finish()] if line.strip()]
        assert said == [b"epoch 1", b"epoch 2", b'{"step": 0, "value": 1}', b"last"]
        assert lines.last == b"last"
    assert lines.finish() == []
    assert lines.last == b"last"


def test_a_line_without_an_end_keeps_little_and_is_no_number():
    lines = Lines()
    for _ in range(100):
        assert lines.feed(b"1" * 2**16) == []
    assert lines.finish() == [b"1" * (MAX_TEXT + 1)]
    assert numbers_in(lines.last) is None
    assert lines.feed(b"0.5\n") == [b"0.5"]
    assert lines.last == b"0.5"


def test_a_line_is_shown_short_and_printable():
    assert shown_line(b" a\tb\x1b[0m\xff ") == "a b [0m\ufffd"
    assert shown_line(b"x" * 5000) == "x" * 300 + "…"
