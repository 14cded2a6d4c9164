"""What tests of both frameworks share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def run_cell(folder: Path) -> Iterator[Callable[[str], None]]:
    """Runs a cell in a real Jupyter kernel; fails with what the cell has raised."""
    pytest.importorskip("ipykernel", reason="Jupyter: ipykernel is not installed")
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(startup_timeout=120, cwd=str(folder), env=dict(os.environ))

    def run(code: str) -> None:
        content = client.execute_interactive(code, output_hook=str, timeout=240)["content"]
        assert content["status"] == "ok", content["evalue"]

    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)
