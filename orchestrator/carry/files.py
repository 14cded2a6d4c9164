"""A study in a file: its head and parts in, JSON lines out, and back; ``-`` is the standard stream."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

from orchestrator.carry.checks import BadLine
from orchestrator.carry.content import Parts, RunPart, StudyHead, TrialPart
from orchestrator.carry.decoding import End, LineReader
from orchestrator.carry.encoding import LineWriter
from orchestrator.errors import StudyFileError
from orchestrator.paths import written_whole

T = TypeVar("T")

STANDARD = "-"
_GZIP = b"\x1f\x8b"
_ERRORS = "backslashreplace"  # halves of surrogate pairs may stand in an attribute


def write_study(file: str, head: StudyHead, parts: Parts) -> tuple[int, int]:
    """Write a study to ``file``, compressed if its name ends in ``.gz``; the numbers of trials and runs.

    A reader sees the old file or the whole new one.
    """
    writer = LineWriter()
    n = {TrialPart: 0, RunPart: 0}
    with written(file) as out:
        out.write(f"{writer.head(head)}\n")
        for part in parts:
            out.writelines(f"{line}\n" for line in writer.lines(part))
            n[type(part)] += 1
        out.write(f"{writer.end(n[TrialPart], n[RunPart])}\n")
        out.flush()
    return n[TrialPart], n[RunPart]


@contextmanager
def written(file: str, encoding: str = "ascii") -> Iterator[IO[str]]:
    """``file`` open for text, compressed if its name ends in ``.gz``; it is there once the block ends well.

    ``-`` is standard output. ``StudyFileError``: it cannot be written there.
    """
    if file == STANDARD:
        yield sys.stdout
        return
    path = _place(file)
    try:
        if path.exists() and not path.is_file():  # a device or a pipe keeps its place
            with path.open("w", encoding=encoding, errors=_ERRORS) as out:
                yield out
        else:
            with written_whole(path) as temporary, _opened_to_write(temporary, path.suffix, encoding) as out:
                yield out
    except PermissionError:
        raise StudyFileError(f"File {path} may not be written; name another file.") from None


def _place(file: str) -> Path:
    """The file to be written: what a link leads to."""
    path = Path(file).expanduser()
    if path.is_file() or not path.exists():
        path = path.resolve()
    if path.is_dir():
        raise StudyFileError(f"{path} is a folder; name a file in it.")
    if not path.parent.is_dir():
        raise StudyFileError(f"File {path}: there is no folder {path.parent}; create it first.")
    return path


def _opened_to_write(temporary: Path, suffix: str, encoding: str) -> IO[str]:
    if suffix == ".gz":
        return gzip.open(temporary, "wt", encoding=encoding, errors=_ERRORS, compresslevel=6)
    return temporary.open("w", encoding=encoding, errors=_ERRORS)


class StudyFile:
    """A file that ``write_study`` has written, compressed or not; read once, in constant memory.

    Whatever is wrong with it is a ``StudyFileError`` that names the line.
    """

    def __init__(self, file: str) -> None:
        self._shown = "standard input" if file == STANDARD else f"file {file}"
        self._reader = LineReader()
        self._n_read = 0
        self._lines = self._read(file)
        self.head = self._checked(self._reader.head, next(self._lines, ""))

    def parts(self) -> Parts:
        """The trials and runs; ends only where the file says that it does."""
        n = {TrialPart: 0, RunPart: 0}
        for line in self._lines:
            part = self._checked(self._reader.part, line)
            if isinstance(part, End):
                self._require_end(part, End(n[TrialPart], n[RunPart]))
                return
            if part is not None:
                n[type(part)] += 1
                yield part
        raise StudyFileError(
            f"The {self._shown} is cut off after line {self._n_read}; export the study again."
        )

    def _require_end(self, said: End, found: End) -> None:
        if said != found:
            trials = f"{found.n_trials} trials and {found.n_runs} runs, not {said.n_trials} and {said.n_runs}"
            raise self._error(f"the file has {trials}")
        if next(self._lines, None) is not None:
            raise self._error("it comes after the end")

    def _checked(self, read: Callable[[str], T], line: str) -> T:
        try:
            return read(line)
        except BadLine as error:
            raise self._error(str(error)) from None

    def _error(self, what: str) -> StudyFileError:
        return StudyFileError(f"Line {max(1, self._n_read)} of {self._shown}: {what}.")

    def _read(self, file: str) -> Iterator[str]:
        try:
            with _opened_to_read(file) as lines:
                for line in lines:
                    self._n_read += 1
                    yield line
        except (EOFError, zlib.error, gzip.BadGzipFile):
            what = f"is cut off or damaged after line {self._n_read}; export the study again"
            raise StudyFileError(f"The {self._shown} {what}.") from None
        except UnicodeDecodeError:
            raise StudyFileError(
                f"Line {self._n_read + 1} of {self._shown}: it is no text in UTF-8."
            ) from None
        except OSError as error:
            raise StudyFileError(f"The {self._shown} cannot be read: {error.strerror}.") from None


@contextmanager
def _opened_to_read(file: str) -> Iterator[IO[str]]:
    """Lines of text, unpacked where the file begins as gzip's do, whatever its name."""
    raw = sys.stdin.buffer if file == STANDARD else Path(file).expanduser().open("rb")
    with raw:
        is_packed = isinstance(raw, io.BufferedReader) and raw.peek(2)[:2] == _GZIP
        yield io.TextIOWrapper(gzip.GzipFile(fileobj=raw) if is_packed else raw, encoding="utf-8")
