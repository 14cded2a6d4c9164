"""What is released, built from this tree in a folder: the wheel and the source distribution."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_LEFT_OUT = (".venv", ".git", "__pycache__", "*.egg-info", "build", "dist", ".*_cache", ".hypothesis")
_LEFT_OUT += ("nano-hpo-*",)  # what runs in this folder have left
_BUILD = """
import sys
from setuptools import build_meta
folder = sys.argv[1]
build_meta.build_sdist(folder)
build_meta.build_wheel(folder)
"""


@dataclass(frozen=True)
class Built:
    """Both files."""

    wheel: Path
    sdist: Path


def build(folder: Path) -> Built:
    """Build both in ``folder``; this tree is left as it is. ``RuntimeError`` with what setuptools says."""
    tree, out = folder / "tree", folder / "dist"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
    out.mkdir()
    command = [sys.executable, "-P", "-c", _BUILD, str(out)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-3000:])
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return Built(wheel, sdist)
