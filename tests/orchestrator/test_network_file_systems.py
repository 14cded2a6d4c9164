"""SQLite where the disk is another machine's: recognised, taken with care, refused for several hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from launchers import Rank
from orchestrator.errors import StorageError
from orchestrator.launching.launch import require_shared_storage
from orchestrator.spec import RunSpec
from orchestrator.sql import network_fs
from orchestrator.sql.advice import warnings_about, warnings_about_file
from orchestrator.sql.asking import study_names
from orchestrator.sql.network_fs import file_system, network_file_system
from orchestrator.sql.opening import open_database
from tests.orchestrator.conftest import CommandLine

MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
31 27 0:40 / /home rw,relatime shared:1 - nfs4 server:/home rw,vers=4.2,addr=10.0.0.1
32 27 0:41 / /scratch rw,relatime - lustre 10.0.0.2@o2ib:/scratch rw,flock
33 31 8:1 / /home/local rw,relatime - xfs /dev/sdb1 rw
34 27 0:42 / /mnt/my\\040share rw - cifs //server/share rw
35 27 0:43 / /mnt/ssh rw,nosuid - fuse.sshfs me@host:/ rw
36 27 0:44 / /mnt/ntfs rw - fuseblk /dev/sdc rw
37 27 0:45 / /gpfs rw - gpfs fs1 rw
38 27 0:46 / /twice rw - ext4 /dev/sdd rw
39 38 0:47 / /twice rw - nfs server:/twice rw
40 27 0:48 / /overlay rw - overlay overlay rw
a line that makes no sense
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/ada/study.db", "nfs4"),
        ("/scratch/study.db", "lustre"),
        ("/mnt/my share/study.db", "cifs"),
        ("/mnt/ssh/x/y/study.db", "fuse.sshfs"),
        ("/gpfs/study.db", "gpfs"),
        ("/twice/study.db", "nfs"),
        ("/home/local/study.db", None),
        ("/homes/study.db", None),
        ("/mnt/ntfs/study.db", None),
        ("/overlay/study.db", None),
        ("/tmp-of-nobody/study.db", None),
    ],
)
def test_the_deepest_mount_decides(path, kind):
    assert network_file_system(Path(path), MOUNTS) == kind


def test_the_kernels_own_list_is_understood(tmp_path):
    assert file_system(tmp_path) in Path("/proc/self/mountinfo").read_text()


@pytest.fixture
def on_nfs(tmp_path, monkeypatch) -> Path:
    """A folder that the list of mounts says is another machine's."""
    folder = tmp_path / "home"
    folder.mkdir()
    mounts = f"27 1 254:0 / / rw - ext4 /dev/vda rw\n31 27 0:40 / {folder} rw - nfs4 server:/home rw\n"
    monkeypatch.setattr(network_fs, "_read_mountinfo", lambda: mounts)
    return folder


def journal(url: str) -> str:
    database = open_database(url)
    try:
        return str(database.read(lambda c: c.exec_driver_sql("PRAGMA journal_mode").scalar()))
    finally:
        database.close()


def test_a_file_on_a_network_file_system_has_no_write_ahead_log(tmp_path, on_nfs):
    assert journal(f"sqlite:///{tmp_path / 'study.db'}") == "wal"
    assert journal(f"sqlite:///{on_nfs / 'study.db'}") == "delete"


def test_a_file_that_was_brought_there_loses_its_write_ahead_log(tmp_path, on_nfs):
    journal(f"sqlite:///{tmp_path / 'study.db'}")
    (tmp_path / "study.db").rename(on_nfs / "study.db")
    assert journal(f"sqlite:///{on_nfs / 'study.db'}") == "delete"


def test_reading_changes_no_journal(tmp_path, on_nfs):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    open_database(url).close()
    (tmp_path / "study.db").rename(on_nfs / "study.db")
    url = f"sqlite:///{on_nfs / 'study.db'}"
    assert study_names(url) == []
    database = open_database(url, creates=False)
    assert database.read(lambda c: c.exec_driver_sql("PRAGMA journal_mode").scalar()) == "wal"
    database.close()


def test_one_line_says_what_a_file_there_costs(tmp_path, on_nfs):
    (line,) = warnings_about(f"sqlite:///{on_nfs / 'study.db'}")
    assert "network file system (nfs4)" in line
    assert "nano-hpo db start" in line
    assert len(list(warnings_about_file(on_nfs / "nano-hpo-runs"))) == 1
    assert not list(warnings_about_file(tmp_path))


@pytest.mark.parametrize("index", [0, 3])
def test_ranks_on_several_hosts_are_refused_a_file(index):
    spec = RunSpec("f", "s", n_trials=1, storage_url="sqlite:////srv/study.db")
    with pytest.raises(StorageError, match="on several hosts, which cannot share the SQLite file"):
        require_shared_storage(spec, Rank(index, 4, index % 2, 2, "openmpi"))


def test_a_launch_on_several_hosts_is_refused_at_once_and_writes_nothing(cli: CommandLine):
    two_hosts = {"RANK": "1", "SIZE": "2", "LOCAL_RANK": "0", "LOCAL_SIZE": "1"}
    cli.env |= {f"OMPI_COMM_WORLD_{name}": value for name, value in two_hosts.items()}
    before = sorted(cli.cwd.iterdir())
    done = cli("run", "job.py:empty", "-n", 1, "--storage", "sqlite:///a.db")
    assert done.code == 2
    assert "name a database server" in done.err
    assert sorted(cli.cwd.iterdir()) == before
