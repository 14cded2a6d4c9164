"""Which file system holds a path: the path and the kernel's mounts in; the kind of a network one out."""

from __future__ import annotations

import re
from pathlib import Path

# Names as in /proc/self/mountinfo. 9p and virtiofs are a virtual machine's window on its host.
_NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "davfs"),
        *("lustre", "gpfs", "mmfs", "beegfs", "panfs", "pvfs2", "orangefs", "ceph", "glusterfs", "wekafs"),
        *("gfs", "gfs2", "ocfs2", "9p", "virtiofs"),
    }
)
_FUSE = re.compile(
    r"fuse(blk)?\.(sshfs|glusterfs|ceph(-fuse)?|s3fs|gcsfuse|rclone|mount\.?s3|beegfs|moosefs|juicefs|davfs2?"
    r"|cvmfs2?|dfuse|curlftpfs|smbnetfs|goofys|lizardfs|mfs|hdfs|alluxio.*|.*nfs.*)"
)


def network_file_system(path: Path, mountinfo: str | None = None) -> str | None:
    """The kind of the network file system that holds ``path``; None on a local disk, or if unknown.

    ``mountinfo`` is the text of /proc/self/mountinfo (proc_pid_mountinfo(5)). The path need not exist.
    """
    kind = file_system(path, mountinfo)
    return kind if kind is not None and (kind in _NETWORK or _FUSE.fullmatch(kind)) else None


def file_system(path: Path, mountinfo: str | None = None) -> str | None:
    """The kind of the file system at ``path``: that of the deepest mount above it, of several the last."""
    if mountinfo is None:
        mountinfo = _read_mountinfo()
    real, found, depth = path.resolve(), None, -1
    for mount, kind in map(_mount, filter(None, mountinfo.splitlines())):
        if mount is not None and real.is_relative_to(mount) and len(mount.parts) >= depth:
            found, depth = kind, len(mount.parts)
    return found


def _mount(line: str) -> tuple[Path | None, str]:
    """Mount point and kind of «36 35 98:0 /root /mnt/point rw,noatime shared:1 - ext4 /dev/sda rw»."""
    before, _, after = line.partition(" - ")
    words, kinds = before.split(), after.split()
    return (Path(_unescaped(words[4])), kinds[0]) if len(words) > 4 and kinds else (None, "")


def _unescaped(text: str) -> str:
    """The kernel writes spaces and the like as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def _read_mountinfo() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
