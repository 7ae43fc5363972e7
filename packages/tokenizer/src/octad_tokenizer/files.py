"""Files that exist whole or not at all."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from octad_tokenizer.errors import TokenizerError


def write_whole(path: Path, text: str) -> None:
    """Write `text` beside `path`, force it to the disk, and rename: a crash leaves the old file or the new one.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        with aside.open("wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where folders can be opened (not on Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_text(path: Path) -> str:
    """The UTF-8 text of a file, line ends as they are.

    Raises:
        TokenizerError: it is not UTF-8.
        OSError: there is no such file.
    """
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path} is not UTF-8 at byte {error.start}; convert it first") from error


def read_json(path: Path) -> Any:
    """The JSON value in a file.

    Raises:
        TokenizerError: it is not UTF-8 or not JSON.
        OSError: there is no such file.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise TokenizerError(f"{path} is not JSON: {error}") from error
