"""What the pages say besides their blocks: links lead somewhere, options, verbs and variables exist."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.main import _parser
from tests.docs.pages import PAGES, ROOT, anchors, blocks, code_spans, is_generated, links

README = ROOT / "README.md"
# Options of other programs that the pages name.
FOREIGN = [
    "--enable-recovery",
    "--runtime-options",
    "--kill-on-bad-exit",
    "--no-kill",
    "--signal",
    "--requeue",
    "--time",
    "--nodes",
    "--ntasks",
    "--cpus-per-task",
    "--export",
    "--mem",
    "--array",
    "--user",
    "--no-index",
    "--find-links",
]


def verbs(
    parser: argparse.ArgumentParser, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Every verb with its parser, verbs of verbs too."""
    yield path, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from verbs(below, (*path, name))


def ids(page: Path) -> str:
    return page.name


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"


def test_every_page_is_reached_from_the_readme() -> None:
    linked = {(README.parent / link).resolve() for link in links(README)}
    assert [page.name for page in PAGES[1:] if page.resolve() not in linked] == []


def test_the_readme_is_a_front_door() -> None:
    assert len(README.read_text().splitlines()) < 250


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_options_that_a_page_names_are_options(page: Path) -> None:
    known = {option for _, parser in verbs(_parser()) for option in parser._option_string_actions} | set(
        FOREIGN
    )
    named = {option for span in code_spans(page) for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", span)}
    assert named - known == set()


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_verbs_that_a_page_names_are_verbs(page: Path) -> None:
    known = {path[0] for path, _ in verbs(_parser()) if path}
    text = [*code_spans(page), *(block.text for block in blocks(page) if block.language == "bash")]
    named = {verb for span in text for verb in re.findall(r"\bnano-hpo ([a-z][a-z-]*)", span)}
    assert named - known == set()


def test_every_verb_is_on_a_page_that_somebody_wrote() -> None:
    text = "\n".join(page.read_text() for page in PAGES if not is_generated(page))
    assert [path for path, _ in verbs(_parser()) if path and f"nano-hpo {' '.join(path)}" not in text] == []


def test_generated_pages_are_what_the_code_says(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, ROOT / "docs" / "generate.py", tmp_path, "--html", tmp_path / "html"]
    subprocess.run(command, check=True, env=environ)
    written = {file.name: file.read_text() for file in tmp_path.glob("*.md")}
    assert set(written) == {page.name for page in PAGES if is_generated(page)}
    for name, text in written.items():
        assert (ROOT / "docs" / name).read_text() == text, (
            f"`make docs`: docs/{name} is not what the code says"
        )
    assert 'id="search"' in (tmp_path / "html" / "orchestrator.html").read_text()


def test_environment_variables_of_ours_are_on_the_page_of_settings() -> None:
    sources = [
        path
        for room in ("affinity", "launchers", "orchestrator", "bigdl")
        for path in (ROOT / room).rglob("*.py")
    ]
    found = {name for path in sources for name in re.findall(r"NANO_HPO_[A-Z_]+[A-Z]\b", path.read_text())}
    text = (ROOT / "docs" / "settings.md").read_text()
    assert {name for name in found if name not in text} == set()
