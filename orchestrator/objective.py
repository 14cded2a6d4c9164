"""What is optimised: ``file.py:function`` or a Python callable in, a function to call with a trial out."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from orchestrator import siblings
from orchestrator.errors import ObjectiveError, UserError
from orchestrator.interrupts import WorkerEnded
from orchestrator.module_names import member_name, needs_its_package
from orchestrator.unguarded import refuse_to_optimize

if TYPE_CHECKING:
    from orchestrator.payload import ArrayFolder

Objective = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class ObjectiveRef:
    """A reference that a worker can load: ``kind`` is "file" (a function in a source file) or "pickle".

    ``sys_path`` is the module search path of the process that named the objective, so that the same
    imports work in the worker; ``argv`` is ``sys.argv`` there: the caller's for a pickle, as in the children
    of ``multiprocessing``. ``arrays`` is the folder of the large arrays of a pickle.
    """

    kind: str
    path: Path
    function: str
    sys_path: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    arrays: Path | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.function}" if self.kind == "file" else self.function

    def as_json(self) -> dict[str, Any]:
        """Plain data for the message that starts a worker."""
        return {
            "kind": self.kind,
            "path": str(self.path),
            "function": self.function,
            "sys_path": list(self.sys_path),
            "argv": list(self.argv),
            "arrays": str(self.arrays) if self.arrays else None,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ObjectiveRef:
        """The inverse of :meth:`as_json`."""
        arrays = Path(data["arrays"]) if data["arrays"] else None
        sys_path, argv = tuple(data["sys_path"]), tuple(data["argv"])
        return cls(data["kind"], Path(data["path"]), data["function"], sys_path, argv, arrays)

    def load(self) -> Objective:
        """Import or unpickle the function; ``ObjectiveError`` says in one line what is wrong."""
        extend_sys_path(self.sys_path)
        sys.argv[:] = self.argv
        return _from_file(self) if self.kind == "file" else _from_pickle(self)


def file_objective(text: str) -> ObjectiveRef:
    """``train.py:objective`` (or ``train.py`` alone) as a reference, checked without running the file."""
    file, _, function = text.rpartition(":") if ":" in text else (text, "", "objective")
    try:
        path = Path(file).expanduser()
        is_there = path.is_file()
    except (OSError, RuntimeError, ValueError):  # too long a name, no such user's home, a NUL in it
        is_there = False
    if not is_there:
        is_module = file != "" and Path(f"{file[:200]}.py").is_file()
        hint = f"did you mean {file}.py?" if is_module else "name the objective as FILE.py:FUNCTION."
        raise ObjectiveError(f"There is no file {file[:200]}; {hint}")
    path = path.resolve()
    _require_bound(path, function)
    _require_no_clash(path.parent)
    return ObjectiveRef("file", path, function, _caller_sys_path(), (str(path),))


def pickled_objective(function: Objective, path: Path, arrays: ArrayFolder) -> ObjectiveRef:
    """Write a callable by value to ``path`` (mode 0600), its large arrays to the folder, and refer to it."""
    from orchestrator.payload import dump

    try:
        dump(function, path, arrays)
    except UserError:
        raise
    except Exception as error:
        raise ObjectiveError(
            f"The objective cannot be sent to another process ({said_of(error)}); define what it needs at "
            "the top of a module, or search with n_parallels=1."
        ) from error
    return ObjectiveRef("pickle", path, name_of(function), _caller_sys_path(), tuple(sys.argv), arrays.path)


def said_of(error: Exception) -> str:
    """What an exception says, on one line, or its type where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def name_of(function: Objective) -> str:
    """A callable's name for people: its qualified name, or the name of its class."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def extend_sys_path(entries: Sequence[str]) -> None:
    """Append the entries that are not there yet, in their order."""
    sys.path.extend(entry for entry in entries if entry not in sys.path)


def _caller_sys_path() -> tuple[str, ...]:
    return tuple(str(Path(entry or ".").absolute()) for entry in sys.path)


def _require_bound(path: Path, function: str) -> None:
    """Refuse a file that does not compile, and a name that it clearly does not define as a callable."""
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f", line {line}" if line else ""
        raise ObjectiveError(f"{path}{where} is not Python: {getattr(error, 'msg', error)}.") from None
    except OSError as error:
        raise ObjectiveError(f"{path} cannot be read: {error.strerror}.") from None
    bound = _bound_names(tree)
    if "*" not in bound and function not in bound:
        there = ", ".join(name for name, how in bound.items() if how == "definition") or "no function"
        raise ObjectiveError(f"{path} does not define '{function}'; it defines {there}.")
    if bound.get(function) == "constant":
        raise ObjectiveError(
            f"'{function}' in {path} is not callable; name a function of one argument, trial."
        )


def _bound_names(tree: ast.Module) -> dict[str, str]:
    """The module's top-level names and how each is bound; ``*`` when the text alone cannot tell."""
    names: dict[str, str] = {}
    for node in _statements(tree.body):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names[node.name] = "definition"
            case ast.Assign() | ast.AnnAssign() if _is_constant(node.value):
                names.update(dict.fromkeys(_stored_names(node), "expression"))
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names.update({t.id: "constant" for t in targets if isinstance(t, ast.Name)})
            case ast.Import() | ast.ImportFrom():
                names.update({(alias.asname or alias.name): "import" for alias in node.names})
            case _:
                names.update(dict.fromkeys(_stored_names(node), "expression"))
    return names


def _stored_names(node: ast.stmt) -> Iterator[str]:
    """Names that a statement binds: targets of assignments, loops, ``with``, ``match`` and ``:=``."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id
        elif isinstance(inner, ast.MatchAs | ast.MatchStar) and inner.name:
            yield inner.name


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when the module is imported, those inside if, try, with and loops too."""
    for node in body:
        yield node
        for inner in ("body", "orelse", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from _statements(getattr(node, inner, []))
        for handler in getattr(node, "handlers", []):
            yield from _statements(handler.body)


def _is_constant(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant | ast.List | ast.Tuple | ast.Dict | ast.Set | ast.JoinedStr)


def _require_no_clash(folder: Path) -> None:
    """The objective's folder is on the worker's path: nothing in it may carry a name of ours."""
    clashes = siblings.names_hidden_in(folder)
    if clashes:
        raise ObjectiveError(
            f"{clashes[0]} has the name of a package of nano-hpo and one would hide the other; rename it, "
            "or keep the objective in another folder."
        )


def _from_file(ref: ObjectiveRef) -> Objective:
    sys.path.insert(0, str(ref.path.parent))
    try:
        with refuse_to_optimize(ref.path):
            module = _import_file(ref.path)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | WorkerEnded):  # somebody's wish, and no fault of the file
            raise
        raise ObjectiveError(
            f"{ref.path} cannot be imported: {type(error).__name__}: {error}{_line_in(ref.path, error)}"
        ) from error
    function = getattr(module, ref.function, None)
    if function is None:
        raise ObjectiveError(f"{ref.path} does not define '{ref.function}'.")
    if not callable(function):
        raise ObjectiveError(
            f"'{ref.function}' in {ref.path} is not callable; name a function of one argument, trial."
        )
    _require_one_argument(function, ref)
    return function  # type: ignore[no-any-return]


def _require_one_argument(function: Objective, ref: ObjectiveRef) -> None:
    """Refuse what every trial would fail of. Some callables of C do not tell what they take."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind("trial")
    except TypeError:
        raise ObjectiveError(
            f"'{ref.function}' in {ref.path} takes {signature}; name a function of one argument, trial."
        ) from None


def _import_file(path: Path) -> ModuleType:
    """Import by its own name where that finds the file, so that its classes can be pickled; else by path.

    A file that imports from its package by dots is imported as the member of it that it is.
    """
    if needs_its_package(path):
        name, root = member_name(path)
        _require_no_clash(root)
        sys.path.insert(0, str(root))
        return importlib.import_module(name)
    known = sys.modules.get(path.stem)
    spec = importlib.util.find_spec(path.stem) if known is None and path.stem.isidentifier() else None
    if spec is not None and spec.origin and Path(spec.origin).resolve() == path:
        return importlib.import_module(path.stem)
    name = f"nano_hpo_objective_{path.stem}"
    by_path = importlib.util.spec_from_file_location(name, path)
    if by_path is None or by_path.loader is None:
        raise ObjectiveError(f"{path} is not a Python source file; its name must end in .py.")
    module = importlib.util.module_from_spec(by_path)
    sys.modules[name] = module
    by_path.loader.exec_module(module)
    return module


def _line_in(path: Path, error: BaseException) -> str:
    """Where in the user's own file it happened: the last frame of the traceback that lies in it."""
    lines = []
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == str(path):
            lines.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    return f" (line {lines[-1]})" if lines else ""


def _from_pickle(ref: ObjectiveRef) -> Objective:
    from orchestrator.payload import load

    try:
        function = load(ref.path, ref.arrays)
    except Exception as error:
        raise ObjectiveError(
            f"The objective does not load in a worker process: {type(error).__name__}: {error}"
        ) from error
    return function  # type: ignore[no-any-return]
