"""Another name for a stored study: the database, the study's id and the new name in; nothing else changes."""

from __future__ import annotations

from sqlalchemy import exc

from orchestrator.errors import StudyError
from orchestrator.spec import is_text
from orchestrator.sql.database import Database
from orchestrator.storage.study_rows import rename_study

MAX_NAME = 512  # characters of a study's name in Optuna's schema


def rename(database: Database, study_id: int, old: str, new: str) -> None:
    """Rename study ``old``: trials, runs and ids stay, so workers that are at it go on.

    Raises ``StudyError`` when the name is no name, another study has it, or the study is gone.
    """
    require_name(new)
    try:
        is_there = database.write(lambda c: rename_study(c, study_id, new))
    except exc.IntegrityError:
        raise name_taken(new) from None
    if not is_there:
        raise StudyError(f"Study '{old}' was deleted meanwhile; nothing was renamed.")


def require_name(name: str) -> None:
    """Refuse what cannot be the name of a study."""
    if not 0 < len(name) <= MAX_NAME:
        raise StudyError(f"A study's name has 1 to {MAX_NAME} characters; this one has {len(name)}.")
    if not is_text(name):
        raise StudyError(f"Study name {name!r} is not text: it has bytes that are not UTF-8.")


def name_taken(name: str) -> StudyError:
    """What to say where there is a study of that name."""
    return StudyError(f"There is a study '{name}' already; choose another name for the new one.")
