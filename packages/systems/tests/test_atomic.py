import errno
import os
from pathlib import Path

import pytest
from octad_systems import write_atomically


@pytest.mark.parametrize("data", [b"", b"\x00\xff", "text\r\n\u00e9", ""], ids=repr)
def test_write_atomically_creates_and_replaces(tmp_path: Path, data: bytes | str) -> None:
    path = tmp_path / "new" / "folder" / "file"
    for content in (b"before", data):
        assert write_atomically(str(path), content) == path
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_write_atomically_keeps_mode_bits(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    path.chmod(0o640)
    write_atomically(path, "y")
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_write_atomically_failure_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = write_atomically(tmp_path / "file", "old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os if broken == "fsync" else Path, broken, fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_write_atomically_refuses_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", "x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
