"""Files to raw records, and raw records to documents: reading, which is quick and in order, apart from extraction."""

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from octad_data.compressed import BROKEN, inner_suffix, open_unpacked
from octad_data.csv_rows import csv_records
from octad_data.document import Document
from octad_data.encoding import decode_text
from octad_data.epub import extract_epub
from octad_data.errors import DataError
from octad_data.jsonl import read_jsonl
from octad_data.latex import extract_latex
from octad_data.licences import licence_of_folder, licence_of_text
from octad_data.markup import split_front_matter
from octad_data.office import extract_docx, extract_odt
from octad_data.raw_record import RawRecord, Skip
from octad_data.tables import parquet_records
from octad_data.warc import arc_records, warc_records

ACCEPTED = (
    "text in any encoding (.txt .md .rst .tex .py ...), .html, .pdf, .epub, .docx, .odt, .jsonl, .csv, .tsv, .parquet, "
    ".warc, .wet, .arc; each also as .gz, .bz2, .xz or .zst"
)
BY_SUFFIX = {
    ".html": "html", ".htm": "html", ".xhtml": "html", ".pdf": "pdf", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".epub": "epub", ".docx": "docx", ".odt": "odt", ".md": "markdown", ".markdown": "markdown", ".tex": "latex",
    ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".warc": "warc", ".wet": "warc", ".wat": "warc", ".arc": "arc",
}  # fmt: skip
BY_TYPE = {
    "text/html": "html", "application/xhtml+xml": "html", "application/pdf": "pdf", "text/markdown": "markdown",
    "application/epub+zip": "epub", "application/x-tex": "latex", "text/x-tex": "latex", "row": "row",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.oasis.opendocument.text": "odt",
}  # fmt: skip
CODE = frozenset({
    ".py", ".pyi", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs", ".go", ".java", ".js", ".jsx", ".ts", ".tsx", ".kt",
    ".lua", ".php", ".pl", ".r", ".rb", ".rs", ".scala", ".sh", ".sql", ".swift",
})  # fmt: skip
LEFT_OUT_FOLDERS = frozenset({"__pycache__", "node_modules"})
ZIP, PDF = b"PK\x03\x04", b"%PDF-"
ZIP_FORMATS = {"epub": extract_epub, "docx": extract_docx, "odt": extract_odt}


def raw_files(root: Path, skip: Skip) -> Iterator[tuple[Path, str]]:
    """A file, or those in a folder and the folders inside it in the order of their names: path, and name from the root.

    Hidden files and folders, `__pycache__` and `node_modules` are passed over; links to folders are not followed.
    """
    if not root.is_dir():
        yield root, _utf8(root.name)
        return
    for folder, folders, names in os.walk(root, onerror=lambda e: skip(str(e.filename), f"unreadable: {e.strerror}")):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in LEFT_OUT_FOLDERS)
        for name in sorted(names):
            file = Path(folder, name)
            shown = _utf8(file.relative_to(root).as_posix())
            if name.startswith("."):
                skip(shown, "hidden")
            elif not file.exists() or file.is_file():
                yield file, shown
            else:  # a pipe or a device would block for ever
                skip(shown, "not a file")


def raw_records(file: Path, name: str, text_column: str, max_bytes: int, skip: Skip) -> Iterator[RawRecord]:
    """The records of a file: rows of a table, responses of an archive, or the file itself; nothing is extracted.

    Args:
        file: of any format in `ACCEPTED`.
        name: of the file, with which the names of its records begin.
        text_column: of JSON lines, CSV and Parquet.
        max_bytes: a larger record, unpacked, is skipped without being held.
        skip: told the name and the reason (`reason: detail`) of each record that is left out.

    Raises:
        DataError: the file as a whole cannot be read.
        OSError: it cannot be opened.
    """
    suffix = inner_suffix(file)
    kind = BY_SUFFIX.get(suffix, "text")
    try:
        if kind == "warc":
            yield from warc_records(file, name, max_bytes, skip)
        elif kind == "arc":
            yield from arc_records(file, name, max_bytes, skip)
        elif kind == "csv":
            yield from csv_records(file, name, text_column, max_bytes, skip)
        elif kind == "parquet":
            yield from parquet_records(file, name, text_column, max_bytes, skip)
        elif kind == "jsonl":
            with open_unpacked(file) as stream:
                rows = read_jsonl(stream, text_column, max_bytes, lambda row, why: skip(f"{name}:{row}", str(why)))
                for number, text in rows:
                    yield RawRecord(f"{name}:{number}", text.encode(), "row", "", {"path": name, "line": str(number)})
        else:
            with open_unpacked(file) as stream:
                data = stream.read(max_bytes + 1)
            if len(data) > max_bytes:
                raise DataError(f"too large: more than {max_bytes:,} bytes; raise max_bytes= or split it")
            metadata = {"path": name}
            if suffix in CODE:
                licence = licence_of_text(data[:16384].decode("latin-1")) or _nearest_licence(file, name)
                metadata |= {"licence": licence} if licence else {}
            yield RawRecord(name, data, "", "", metadata)
    except BROKEN as error:
        raise DataError(
            f"broken {file.suffix.lower().lstrip('.')}: {error}".replace("broken gz:", "broken gzip:")
        ) from None


def extract(record: RawRecord, source: str, encoding: str | None = None, max_bytes: int = 256 << 20) -> Document:
    """The document of a record; depends on the record alone.

    Args:
        record: see `raw_records`.
        source: kept in the document.
        encoding: of text and HTML; what the record declares, or what is found, when not given.
        max_bytes: of what a zip archive may unpack to.

    Raises:
        DataError: there is no text in it, or none that can be read; the message begins with the reason.
    """
    suffix = inner_suffix(Path(record.name)) if not record.content_type else ""
    kind = "code" if suffix in CODE else "text"
    if record.content_type == "row":
        return Document(record.data.decode(), record.name, source, kind, record.metadata)
    if not record.data.strip():
        raise DataError("empty")
    text, found = _text(record, _format(record, suffix), encoding, max_bytes)
    if not text.strip():
        raise DataError("empty")
    metadata = {key: value for key, value in {**record.metadata, **found}.items() if value}
    return Document(text, record.name, source, kind, metadata)


def _format(record: RawRecord, suffix: str) -> str:
    """What a record is: by its first bytes where these tell, else by its declared type or its name's ending."""
    if record.data.startswith(PDF):
        return "pdf"
    declared = BY_TYPE.get(record.content_type) or BY_SUFFIX.get(suffix, "text")
    if record.data.startswith(ZIP) and declared not in ZIP_FORMATS:
        head = record.data[:200]
        return "epub" if b"application/epub+zip" in head else "odt" if b"opendocument.text" in head else declared
    return declared


def _text(record: RawRecord, kind: str, encoding: str | None, max_bytes: int) -> tuple[str, dict[str, str]]:
    if kind == "pdf":
        from octad_data.pdf import numbers, read_pdf  # its compiled parts are loaded only where there are PDFs

        found = read_pdf(record.data)
        states = {"scanned": found.scanned, "garbled": found.garbled, "broken": found.broken}
        left_out = {f"{state}_pages": numbers(pages) for state, pages in states.items()}  # empty ones are not kept
        return found.text, {"format": "pdf", **found.metadata, **left_out}
    if kind in ZIP_FORMATS:
        text, metadata = ZIP_FORMATS[kind](record.data, max_bytes)
        return text, {"format": kind, **metadata}
    if kind == "html":
        from octad_data.html import extract_page  # its compiled parts are loaded only where there are pages

        page = extract_page(record.data, encoding or record.charset or None)
        known = {name: getattr(page, name) for name in ("title", "author", "date", "language", "site")}
        return page.text, {"format": "html-text", **known}
    text, name = _decoded(record, encoding)
    if kind == "markdown":  # its marks are worth learning; `extract_markdown` takes them away
        text, metadata = split_front_matter(text)
        return text, {"format": "text", "encoding": name, **metadata}
    if kind == "latex":
        text, metadata = extract_latex(text)
        return text, {"format": kind, "encoding": name, **metadata}
    return text, {"format": "text", "encoding": name}


def _decoded(record: RawRecord, encoding: str | None) -> tuple[str, str]:
    """By the encoding given; else by the one declared where it fits; else by what is found."""
    if encoding is None and record.charset:
        try:
            return decode_text(record.data, record.charset)
        except DataError:
            pass  # servers are often wrong about it
    return decode_text(record.data, encoding)


def _nearest_licence(file: Path, name: str) -> str:
    """Of the file's folder, or of the nearest folder above that has one, up to that from which names count."""
    folders = file.parents[: len(Path(name).parts)]
    return next((found for folder in folders if (found := _folder_licence(str(folder)))), "")


@lru_cache(maxsize=4096)
def _folder_licence(folder: str) -> str:
    return licence_of_folder(Path(folder))


def _utf8(name: str) -> str:
    """The name, with bytes that are not UTF-8 (an old disk's names) spelled out, so that it can be an id in a file."""
    return name.encode("utf-8", "backslashreplace").decode()
