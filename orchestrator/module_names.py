"""What a Python file is called when it is imported: a path in; a module's name and its root folder out."""

from __future__ import annotations

import ast
from pathlib import Path


def needs_its_package(path: Path) -> bool:
    """Whether the file imports from its own package by dots, which works in a member of one alone."""
    tree = ast.parse(path.read_bytes())
    return any(isinstance(node, ast.ImportFrom) and node.level > 0 for node in ast.walk(tree))


def member_name(path: Path) -> tuple[str, Path]:
    """``pkg.sub.train``, and the folder that holds ``pkg``: folders with an ``__init__.py`` are packages."""
    names, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names), folder
