"""Dependencies run one way, bigdl.nano → orchestrator → launchers → affinity, no room below the top loads a
deep-learning framework, and no module imports itself by way of others: not even inside a function."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("affinity", "launchers", "orchestrator", "bigdl")  # each may import those before it
FRAMEWORKS = {"torch", "tensorflow", "keras", "tf_keras", "pytorch_lightning", "lightning"}


def violations(sources: Mapping[str, str]) -> list[str]:
    """One line for each import that points up, or to a framework; `sources` are texts by relative path."""
    return [
        f"{path}:{line}: imports {name}"
        for path, text in sources.items()
        for name, line in imported_names(ast.parse(text))
        if name in forbidden_in(Path(path).parts[0])
    ]


def forbidden_in(room: str) -> set[str]:
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    return above if room == "bigdl" else above | FRAMEWORKS


def imported_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The root package of every absolute import, wherever it stands, and its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node.lineno
        elif isinstance(node, ast.Call) and (name := name_of_import_call(node)):
            yield name.partition(".")[0], node.lineno


def name_of_import_call(call: ast.Call) -> str | None:
    """The constant in `import_module("torch")` and its like."""
    function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    first = call.args[0] if call.args else None
    if function in {"import_module", "__import__"} and isinstance(first, ast.Constant):
        return str(first.value)
    return None


def circle_in(sources: Mapping[str, str]) -> list[str]:
    """Modules each of which imports the one before it, the last being the first again; none: []."""
    trees = {module_of(path): ast.parse(text) for path, text in sources.items()}
    packages = {module_of(path) for path in sources if path.endswith("__init__.py")}
    graph = {module: set(imported_modules(module, packages, trees)) - {module} for module in trees}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def module_of(path: str) -> str:
    return ".".join(Path(path).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(module: str, packages: set[str], trees: Mapping[str, ast.AST]) -> Iterator[str]:
    """Those of ours that it imports: of `from package import name` the module, or else the package."""
    for node in ast.walk(trees[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in trees)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".") + ["__init__"] * (module in packages)
            base = ".".join([*(above[: -node.level] if node.level else []), *filter(None, [node.module])])
            names = (f"{base}.{alias.name}" for alias in node.names)
            yield from (found for name in names if (found := name if name in trees else base) in trees)


def sources_of_the_rooms() -> dict[str, str]:
    files = (file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py")))
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}


def test_every_room_imports_only_rooms_below_it_and_no_framework() -> None:
    assert violations(sources_of_the_rooms()) == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_looked_at(room: str) -> None:
    assert any(path.startswith(f"{room}/") for path in sources_of_the_rooms())


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("affinity/x.py", "import launchers"),
        ("affinity/deep/x.py", "from orchestrator.spec import RunSpec"),
        ("launchers/x.py", "def f():\n    from orchestrator import search"),
        ("launchers/x.py", "import affinity, bigdl.nano"),
        ("orchestrator/x.py", "import importlib\nimportlib.import_module('bigdl.nano')"),
        ("orchestrator/x.py", "if TYPE_CHECKING:\n    import torch.nn as nn"),
        ("affinity/x.py", "__import__('tensorflow')"),
    ],
)
def test_an_import_that_points_up_or_to_a_framework_is_caught(path: str, text: str) -> None:
    (line,) = violations({path: text})
    assert line.startswith(f"{path}:")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("affinity/x.py", "from .slots import Slot\nimport json"),
        ("launchers/x.py", "from affinity import Binding\nfrom .torch import x"),
        ("orchestrator/x.py", "import launchers, affinity, optuna"),
        ("bigdl/nano/x.py", "import torch\nfrom orchestrator import search"),
    ],
)
def test_an_import_that_points_down_is_allowed(path: str, text: str) -> None:
    assert violations({path: text}) == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circle_in(sources_of_the_rooms()) == []


@pytest.mark.parametrize(
    "texts",
    [
        ("import room.b", "import room.a"),
        ("from room.b import x", "def f():\n    from room import a"),
        ("from . import b", "if TYPE_CHECKING:\n    from .a import A"),
        ("from room import b", "from ..room.a import A"),
        ("import room.b", "from room import c", "from room.a import A"),
    ],
)
def test_a_circle_of_imports_is_caught(texts: tuple[str, ...]) -> None:
    sources = {f"room/{name}.py": text for name, text in zip("abc", texts, strict=False)}
    assert len(circle_in({"room/__init__.py": "", **sources})) == len(texts) + 1


def test_a_package_that_offers_what_its_modules_have_is_no_circle() -> None:
    sources = {"room/__init__.py": "from .a import A\nfrom . import b", "room/a.py": "from . import b"}
    assert circle_in({**sources, "room/b.py": "import json"}) == []
