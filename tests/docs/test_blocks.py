"""Every command and every code block of the README and of docs/ does what it says: they are run.

``tests/docs/pages.py`` names the categories, ``tests/docs/desk.py`` what is made shorter for a test.
"""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import tomllib
from importlib.util import find_spec

import pytest
from rich.console import Console

from orchestrator.cli.main import parse
from orchestrator.live.table import screen
from orchestrator.snapshot import Best, BusySlot, Snapshot
from tests.conftest import MariaDB
from tests.docs.desk import Desk, desk
from tests.docs.pages import CATEGORIES, PAGES, ROOT, Block, blocks
from tests.slurm.cluster import Cluster

RUN = {
    "script",
    "continued",
    "commands",
    "terminal",
    "beside a run",
    "cluster",
    "until Ctrl-C",
    "file",
    "change",
    "data",
    "shown",
}
READ = {"install", "elsewhere", "live", "drawing"}
# What the last line of a page prints: trials of the two searches of one study, and what the best is worth.
PRINTED = {"keras.md": r"^4 \[", "lightning.md": r"^4 \[\{'val_loss': "}
NEEDS = {
    "keras.md": ["tensorflow"],
    "lightning.md": ["pytorch_lightning"],
    "README.md": ["tensorflow", "pytorch_lightning"],
}
ALL = [block for page in PAGES for block in blocks(page)]


def of(category: str) -> list[Block]:
    return [block for block in ALL if block.category == category]


def pages_with(*categories: str) -> list[str]:
    return list(dict.fromkeys(block.page.name for block in ALL if block.category in categories))


def blocks_of(name: str) -> list[Block]:
    return [block for block in ALL if block.page.name == name]


def test_every_block_is_in_one_category_and_every_category_is_tested() -> None:
    assert [str(block) for block in of("unknown")] == []
    assert {*RUN, *READ} == {*CATEGORIES.values(), "file", "change"}
    assert sum(block.category in RUN for block in ALL) + sum(block.category in READ for block in ALL) == len(
        ALL
    )


@pytest.mark.parametrize("name", pages_with(*RUN))
def test_the_blocks_of_a_page_run_in_their_order(
    name: str, mariadb: MariaDB, request: pytest.FixtureRequest
) -> None:
    for package in NEEDS.get(name, ()):
        if find_spec(package) is None:
            pytest.skip(f"{package}: not installed")
    cluster: Cluster | None = None
    if any(block.category == "cluster" for block in blocks_of(name)):
        cluster = request.getfixturevalue("cluster")
    environ = None if cluster is None else {"SLURM_CONF": cluster.environ["SLURM_CONF"]}
    with desk(mariadb.create_database(), environ) as one:
        for block in blocks_of(name):
            run(block, one, cluster)
        assert re.search(PRINTED.get(name, ""), one.printed, flags=re.MULTILINE), one.printed


def run(block: Block, desk: Desk, cluster: Cluster | None) -> None:
    match block.category:
        case "file":
            desk.write(block)
        case "change":
            desk.change(block)
        case "script" | "continued":
            desk.script(block, goes_on=block.category == "continued")
        case "commands":
            desk.command(block)
        case "terminal":
            desk.terminal(block)
        case "until Ctrl-C":
            desk.until_interrupted(block)
        case "beside a run":
            desk.beside_a_run(block)
        case "cluster":
            assert cluster is not None
            on_cluster(block, desk, cluster)
        case "data":
            tomllib.loads(block.text)
        case "shown":
            require_printed(block, desk.printed)


def on_cluster(block: Block, desk: Desk, cluster: Cluster) -> None:
    """The commands, then the jobs that they have submitted, to their ends."""
    before = set(jobs(cluster))
    desk.command(block)
    for job in set(jobs(cluster)) - before:
        states = set(cluster.finish(job))
        assert states <= {"COMPLETED", "CANCELLED"}, (str(block), states, logs(desk))
        assert "CANCELLED" not in states or "cancel" in block.text


def jobs(cluster: Cluster) -> list[str]:
    return cluster.call("squeue", "-h", "--states=all", "-o", "%A").split()


def logs(desk: Desk) -> str:
    files = [
        *desk.folder.glob("*.log"),
        *desk.folder.glob("*.out"),
        *desk.folder.glob("nano-hpo-runs/jobs/**/*.log"),
    ]
    return "\n".join(f"--- {file.name}\n{file.read_text()[-2000:]}" for file in files)


def require_printed(block: Block, printed: str) -> None:
    """What a page shows looks like what was printed: the same words, whatever the numbers are."""
    known = {words(line) for line in printed.splitlines()}
    missing = [line for line in block.text.splitlines() if line.strip("… ") and words(line) not in known]
    assert missing == [], (
        f"{block}: nothing like this was printed:\n" + "\n".join(missing) + f"\n---\n{printed}"
    )


def words(line: str) -> str:
    """The first word of a line that is no number: ``Best:``, ``trial``, ``lr``."""
    return next(iter(re.findall(r"[A-Za-z_][\w.-]*:?", line)), "")


@pytest.mark.parametrize("block", of("live"), ids=str)
def test_the_live_table_is_the_one_that_is_drawn(block: Block) -> None:
    slots = [BusySlot(0, "vm", "0", 23, 23, 0.0261547, 8.0), BusySlot(1, "vm", "1", 25, 8, 0.0361714, 1.9)]
    parameters = {"model": "network", "alpha": "0.00153811", "units": "67"}
    drawn = Snapshot(
        study="digits",
        total=40,
        finished=24,
        states={"COMPLETE": 11, "PRUNED": 13},
        running=slots,
        starting=0,
        n_slots=2,
        best=Best(22, 0.0239288, parameters),
        rate_per_s=34.7 / 60,
    )
    # In colours: without them the rest of the bar is not drawn.
    console = Console(
        file=io.StringIO(), width=110, force_terminal=True, color_system="standard", record=True
    )
    console.print(screen(drawn, 110, 30))
    printed = [line.rstrip() for line in console.export_text().rstrip().splitlines()]
    assert printed == block.text.splitlines()


@pytest.mark.parametrize("block", of("install"), ids=str)
def test_what_is_installed_exists(block: Block) -> None:
    """Extras in ``pyproject.toml``, targets in the ``Makefile``; bash reads every line."""
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(re.findall(r"\[([\w,-]+)\]\"?", block.text.replace(" ", "")))
    assert {one for some in extras for one in some.split(",")} <= set(project["optional-dependencies"])
    targets = set(re.findall(r"^(?:\$ )?make ([\w-]+)", block.text, flags=re.MULTILINE))
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize("block", of("elsewhere"), ids=str)
def test_what_needs_another_machine_is_sound_bash_and_known_to_the_parser(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    for words_ in ours(block.text):
        parse(words_)


def ours(text: str) -> list[list[str]]:
    """The words behind each ``nano-hpo`` of a script."""
    lines = text.replace("\\\n", " ").splitlines()
    split = [shlex.split(line, comments=True) for line in lines if re.search(r"\bnano-hpo \w", line)]
    return [one[one.index("nano-hpo") + 1 :] for one in split if "nano-hpo" in one]
