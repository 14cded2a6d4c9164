"""Tables as text: whole for a program, cut to the width of a terminal."""

from __future__ import annotations

import io
import sys

from orchestrator.cli.columns import columns, for_screen

ROWS = [("trial", "parameters"), ("0", "x=0.25 kind=\nlong")]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_that_go_to_a_terminal_are_cut_to_its_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "16")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert for_screen(columns(ROWS)) == "trial  paramete…\n0      x=0.25 k…"


def test_lines_that_go_to_a_program_are_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "16")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert for_screen(columns(ROWS)) == "trial  parameters\n0      x=0.25 kind=\\nlong"
