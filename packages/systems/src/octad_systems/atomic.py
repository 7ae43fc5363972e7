"""Files and folders that are either the old or the new one, whatever stops the process or the machine.

A rename inside one file system is atomic, but only against other processes: after a power cut the name may be on disk
before the bytes it names. So the bytes are flushed first (fsync of the file), then the name is moved, then the folder
that holds the name is flushed.
"""

import ctypes
import errno
import os
import secrets
import shutil
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NOT_SUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}


def write_atomically(path: str | Path, data: bytes | str) -> Path:
    """Make `path` hold `data` entirely or be what it was before: write aside, fsync, rename, fsync the folder.

    Args:
        path: file to create or replace; missing parent folders are made. Mode bits of a replaced file are kept.
        data: bytes, or text written as UTF-8 with its newlines as they are.

    Returns:
        `path`, as a Path.

    Raises:
        OSError: the disk is full, the folder is not writable, or `path` is a folder; `path` is then as it was and
            nothing is left aside.

    Cost: two fsync calls, milliseconds on a disk.
    """
    path = Path(path)
    make_folders(path.parent)
    aside = temporary_sibling(path)
    try:
        with aside.open("xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            if path.is_file():
                shutil.copymode(path, aside)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return path


def temporary_sibling(path: Path) -> Path:
    """`path` with `.tmp-` and eight random hexadecimal digits appended: same folder, so a rename stays atomic."""
    return path.with_name(f"{path.name}.tmp-{secrets.token_hex(4)}")


def sync_folder(folder: str | Path) -> None:
    """Flush a folder's list of names to the disk, so that renames and new files in it survive a power cut."""
    if os.name == "nt":
        return  # Windows opens no folders and writes its directory entries through
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(folder: Path) -> None:
    """Create `folder` and its missing parents, each flushed in the folder that names it."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync_folder(made.parent)


def replace_folder(new: Path, target: Path) -> None:
    """Give the folder `new` the name `target`; a folder already there is swapped out in one step, then deleted.

    On Linux the two names are exchanged atomically (renameat2 with RENAME_EXCHANGE): at every instant `target` is the
    whole old or the whole new folder. Where the system or file system cannot, the old one is moved aside first, and a
    crash in between leaves both, whole, under temporary names.

    Raises:
        OSError: `new` is missing or on another file system, or `target` is not a folder.
    """
    if not target.exists():
        new.rename(target)
    elif _exchange(new, target):
        sync_folder(target.parent)
        shutil.rmtree(new)
    else:
        old = temporary_sibling(target)
        target.rename(old)
        try:
            new.rename(target)
        except BaseException:
            old.rename(target)
            raise
        sync_folder(target.parent)
        shutil.rmtree(old)
    sync_folder(target.parent)


def remove_folder(folder: Path) -> None:
    """Delete a folder and what it holds; stopped half-way, what is left has a temporary name, not its own."""
    aside = temporary_sibling(folder)
    folder.rename(aside)
    sync_folder(folder.parent)
    shutil.rmtree(aside)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names atomically; False where this system or file system does not offer it."""
    if sys.platform != "linux":
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False  # a C library without the call (glibc before 2.28)
    if renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), ctypes.c_uint(_RENAME_EXCHANGE)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_SUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(second))
