"""Files that exist whole or not at all."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.special import utf8


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` beside `path`, force it to the disk, and rename: a crash leaves the old file or the new one.

    Raises:
        TokenizerError: the text holds a lone surrogate.
        OSError: the folder is missing or cannot be written.
    """
    write_together({path: content})


def write_together(contents: Mapping[Path, str | bytes]) -> None:
    """As `write_whole` for files of one folder that belong together: none is replaced before all are on the disk.

    Raises:
        TokenizerError: a text holds a lone surrogate.
        OSError: the folder is missing or cannot be written.
    """
    encoded = {path: content if isinstance(content, bytes) else utf8(content) for path, content in contents.items()}
    aside = {path: path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}") for path in encoded}
    try:
        for path, data in encoded.items():
            with aside[path].open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, place in aside.items():
            place.replace(path)
    except BaseException:
        for place in aside.values():
            place.unlink(missing_ok=True)
        raise
    for folder in {path.parent for path in encoded}:
        _sync_folder(folder)


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
        TokenizerError: it is not UTF-8 or not JSON, or an object has a name twice.
        OSError: there is no such file.
    """
    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from error
    except json.JSONDecodeError as error:
        raise TokenizerError(f"{path} is not JSON (cut off, perhaps): {error}") from error
    except RecursionError as error:
        raise TokenizerError(f"{path} is nested too deeply to be read as JSON") from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; JSON allows a name twice, and most readers would silently drop the first."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise TokenizerError(f"an object has the name {twice!r} twice; keep one")
    return found
