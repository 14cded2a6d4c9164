"""A new data directory: a server's folder and programs in; the directory, complete or not at all, out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import psutil

from orchestrator.errors import StorageError
from orchestrator.paths import write_whole
from orchestrator.server.address import remove_short_folder, short_folder
from orchestrator.server.files import ServerFiles
from orchestrator.server.programs import Programs
from orchestrator.server.settings import as_root, base, buffer_pool_mib, option_file


def install(files: ServerFiles, programs: Programs) -> None:
    """Write the settings and make the data directory where they are missing."""
    if not files.settings.exists():
        available = psutil.virtual_memory().available
        write_whole(files.settings, option_file(buffer_pool_mib(available)))
    files.scratch.mkdir(exist_ok=True)
    if not files.data.exists():
        shutil.rmtree(files.new_data, ignore_errors=True)
        _make_data(files, programs)
        files.new_data.rename(files.data)


def _make_data(files: ServerFiles, programs: Programs) -> None:
    """MariaDB's script is a shell script that takes no path with a space, so it gets one without."""
    short = short_folder()
    try:
        link = Path(short, "d")
        link.symlink_to(files.root, target_is_directory=True)
        command = _command(files, programs, link / files.new_data.name)
        with files.log.open("ab") as log:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
    finally:
        remove_short_folder(str(link))
    if done.returncode != 0:
        raise StorageError(f"The server's data could not be made in {files.root}: {last_words(files.log)}")


def _command(files: ServerFiles, programs: Programs, data: Path) -> list[str]:
    settings = f"--defaults-file={data.with_name(files.settings.name)}"
    if programs.installer is None:
        server = [str(programs.server), settings, *base(programs), *as_root()]
        return [*server, f"--datadir={data}", "--initialize-insecure"]
    options = ["--skip-test-db", "--auth-root-authentication-method=normal"]
    scratch = f"--tmpdir={data.with_name(files.scratch.name)}"
    return [
        str(programs.installer),
        settings,
        *base(programs),
        *as_root(),
        f"--datadir={data}",
        scratch,
        *options,
    ]


def last_words(log: Path, since_byte: int = 0) -> str:
    """What a server that ended said about why, in a line, and where the rest is."""
    with log.open("rb") as file:
        file.seek(since_byte)
        lines = file.read().decode(errors="replace").splitlines()
    errors = [line.partition("[ERROR]")[2].strip() for line in lines if "[ERROR]" in line]
    telling = [error for error in errors if error and error != "Aborting"]
    said = telling[0] if telling else next((line for line in reversed(lines) if line.strip()), "nothing")
    return f"{said}{_hint(said)} (more in {log})"


def _hint(said: str) -> str:
    if "Permission denied" in said or "Errcode: 13" in said or "errno 13" in said.lower():
        return " – AppArmor or SELinux may keep the system's server out of this folder; conda's is free"
    return ""
