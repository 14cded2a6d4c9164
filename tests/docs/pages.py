"""The documentation as its tests see it: Markdown files in; their fenced blocks, each in one category, out.

A comment on the line above a block, ``<!-- test: WORDS -->``, says what no language says; readers do not see
it. ``CATEGORIES`` lists what there is.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

# By language and mark; what stands in neither table is refused.
CATEGORIES = {
    ("python", ""): "script",  # run as a program
    ("python", "continues"): "continued",  # run behind the script before, in the same program
    ("bash", ""): "commands",  # run by bash, which ends at the first failure
    ("bash", "terminal"): "terminal",  # run in a terminal of its own, 110 x 30
    ("bash", "until Ctrl-C"): "until Ctrl-C",  # a server: it says its address, and ends by Ctrl-C
    ("bash", "beside a run"): "beside a run",  # run while a search is at work in the folder
    ("bash", "cluster"): "cluster",  # run on a Slurm cluster; the jobs must succeed
    ("bash", "install"): "install",  # parsed: extras, targets of make and packages must exist
    ("bash", "elsewhere"): "elsewhere",  # needs another machine: parsed by bash and by our command line
    ("toml", ""): "data",  # parsed
    ("text", ""): "shown",  # what the commands before print: each line is looked for in their output
    ("text", "live"): "live",  # the table that is drawn while a search runs
    ("text", "drawing"): "drawing",  # for people alone
}
FILES = ("python", "bash", "toml", "json", "text")  # with the mark `file NAME`: written into the folder
_MARK = re.compile(r"<!-- test: (.+?) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it stands, what it says, and its mark."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file that the block is, or that it changes."""
        return self.mark.removeprefix("file ") if self.mark.startswith("file ") else None

    @property
    def category(self) -> str:
        """What is done with it; "unknown" when nobody has said so."""
        if self.file is not None and self.language == "diff":
            return "change"
        if self.file is not None and self.language in FILES:
            return "file"
        return CATEGORIES.get((self.language, self.mark), "unknown")


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found, mark = [], ""
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type == "fence":
            assert token.map is not None
            found.append(Block(page, token.map[0] + 1, token.info.strip(), token.content, mark))
        marked = _MARK.fullmatch(token.content.strip()) if token.type == "html_block" else None
        mark = marked[1] if marked else ""
    return found


def links(page: Path) -> Iterator[str]:
    """Where the links of a page lead."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            if child.type == "link_open":
                yield str(child.attrs["href"])


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    headings = [after.content for token, after in itertools.pairwise(tokens) if token.tag[:1] == "h"]
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_spans(page: Path) -> Iterator[str]:
    """What stands in backquotes within the text."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        yield from (child.content for child in token.children or () if child.type == "code_inline")


def is_generated(page: Path) -> bool:
    """Whether ``docs/generate.py`` writes it."""
    return page.read_text(encoding="utf-8").startswith("<!-- Written by docs/generate.py")
