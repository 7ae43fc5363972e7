"""A person's own file or folder as documents."""

import gzip
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from octad_data.document import Document
from octad_data.encoding import decode_text
from octad_data.errors import DataError
from octad_data.html import extract_html
from octad_data.jsonl import read_jsonl
from octad_data.pdf import extract_pdf
from octad_data.report import ReadReport

ACCEPTED = "text in any encoding (.txt .md .rst .py ...), .html, .pdf, .jsonl, each also as .gz"
FORMATS = {
    ".html": "html", ".htm": "html", ".xhtml": "html", ".pdf": "pdf", ".jsonl": "jsonl", ".ndjson": "jsonl",
}  # fmt: skip
CODE = frozenset({
    ".py", ".pyi", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs", ".go", ".java", ".js", ".jsx", ".ts", ".tsx", ".kt",
    ".lua", ".php", ".pl", ".r", ".rb", ".rs", ".scala", ".sh", ".sql", ".swift",
})  # fmt: skip
LEFT_OUT_FOLDERS = frozenset({"__pycache__", "node_modules"})


@dataclass(frozen=True)
class _Options:
    text_column: str
    encoding: str | None
    max_bytes: int


def read_documents(
    path: Path | str,
    *,
    report: ReadReport | None = None,
    text_column: str = "text",
    encoding: str | None = None,
    max_bytes: int = 256 << 20,
) -> Iterator[Document]:
    """The documents in a file, or in a folder and the folders inside it, in the order of their names.

    A file is one document, a row of JSON lines too. Ids are paths from the folder on (`notes/a.txt`,
    `rows.jsonl:17`). What cannot be read (binary, empty, broken, encrypted, scanned, too large, not permitted, an extra
    missing) is left out and counted with its reason. Hidden files and folders, `__pycache__` and `node_modules` are
    passed over; links to folders are not followed.

    Args:
        path: a file or a folder.
        report: filled while the documents are read.
        text_column: of JSON lines.
        encoding: of text and HTML files; found for each file when not given.
        max_bytes: a larger file (unpacked; for JSON lines a larger row) is left out.

    Raises:
        DataError: path does not exist; or, after the last file, nothing was kept.
    """
    root = Path(path)
    if not root.exists():
        raise DataError(f"{root} does not exist; give a file or a folder with {ACCEPTED}")
    if max_bytes < 1:
        raise DataError(f"max_bytes={max_bytes} is not positive; 256 << 20 is 256 MiB")
    return _documents(root, report if report is not None else ReadReport(), _Options(text_column, encoding, max_bytes))


def _documents(root: Path, report: ReadReport, options: _Options) -> Iterator[Document]:
    kept_before, files = report.kept, 0
    for file, name in _files(root, report):
        files += 1
        try:
            yield from _read(file, name, str(root), report, options)
        except DataError as error:
            report.skip(name, str(error))
        except OSError as error:
            report.skip(name, f"unreadable: {error.strerror or error}")
    if report.kept == kept_before:
        found = f"{files} files, none of which gave a text" if files else "no files"
        why = "; ".join([found, *report.skipped_lines()])
        raise DataError(f"{root} holds no documents: {why}; accepted: {ACCEPTED}")


def _files(root: Path, report: ReadReport) -> Iterator[tuple[Path, str]]:
    if not root.is_dir():
        yield root, _utf8(root.name)
        return
    for folder, folders, names in os.walk(
        root, onerror=lambda e: report.skip(str(e.filename), f"unreadable: {e.strerror}")
    ):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in LEFT_OUT_FOLDERS)
        for name in sorted(names):
            file = Path(folder, name)
            if name.startswith("."):
                report.skip(_utf8(file.relative_to(root).as_posix()), "hidden")
            elif not file.exists() or file.is_file():
                yield file, _utf8(file.relative_to(root).as_posix())
            else:  # a pipe or a device would block for ever
                report.skip(_utf8(file.relative_to(root).as_posix()), "not a file")


def _utf8(name: str) -> str:
    """The name, with bytes that are not UTF-8 (an old disk's names) spelled out, so that it can be an id in a file."""
    return name.encode("utf-8", "backslashreplace").decode()


def _read(file: Path, name: str, source: str, report: ReadReport, options: _Options) -> Iterator[Document]:
    suffix = (Path(file.stem) if file.suffix.lower() == ".gz" else file).suffix.lower()
    format_name = FORMATS.get(suffix, "text")
    try:
        with _opened(file) as stream:
            if format_name == "jsonl":
                yield from _rows(stream, name, source, report, options)
                return
            data = stream.read(options.max_bytes + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"broken gzip: {error}") from None
    if len(data) > options.max_bytes:
        raise DataError(f"too large: more than {options.max_bytes:,} bytes; raise max_bytes= or split it")
    if data.startswith(b"%PDF-"):
        format_name = "pdf"  # whatever its name says
    text, metadata = _text(data, format_name, options)
    if not text.strip():
        raise DataError("empty")
    report.keep(format_name)
    yield Document(text, name, source, "code" if suffix in CODE else "text", {"path": name, **metadata})


def _opened(file: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(file, "rb")) if file.suffix.lower() == ".gz" else file.open("rb")


def _rows(stream: BinaryIO, name: str, source: str, report: ReadReport, options: _Options) -> Iterator[Document]:
    def skipped(number: int, error: DataError) -> None:
        report.skip(f"{name}:{number}", str(error))

    for number, text in read_jsonl(stream, options.text_column, options.max_bytes, skipped):
        report.keep("jsonl")
        yield Document(text, f"{name}:{number}", source, "text", {"path": name, "line": str(number)})


def _text(data: bytes, format_name: str, options: _Options) -> tuple[str, dict[str, str]]:
    if not data.strip():
        raise DataError("empty")
    if format_name == "pdf":
        return extract_pdf(data), {"format": "pdf"}
    text, encoding = decode_text(data, options.encoding)
    return (extract_html(text) if format_name == "html" else text), {"format": format_name, "encoding": encoding}
