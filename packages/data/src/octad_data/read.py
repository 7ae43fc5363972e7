"""A person's own files or folders as documents."""

from collections.abc import Iterator
from pathlib import Path

from octad_data.document import Document
from octad_data.errors import DataError
from octad_data.raw import ACCEPTED, extract, raw_files, raw_records
from octad_data.report import ReadReport


def read_documents(
    path: Path | str,
    *,
    report: ReadReport | None = None,
    text_column: str = "text",
    encoding: str | None = None,
    max_bytes: int = 256 << 20,
) -> Iterator[Document]:
    """The documents in a file, or in a folder and the folders inside it, in the order of their names.

    A file is one document, or many: rows of JSON lines, CSV and Parquet, responses of WARC and ARC. Ids are paths from
    the folder on (`notes/a.txt`, `rows.jsonl:17`, `crawl.warc.gz#865`). What cannot be read (binary, empty, broken,
    encrypted, scanned, too large, not permitted, an extra missing) is left out and counted with its reason. Hidden
    files and folders, `__pycache__` and `node_modules` are passed over; links to folders are not followed.

    Args:
        path: a file or a folder.
        report: filled while the documents are read.
        text_column: of JSON lines, CSV and Parquet.
        encoding: of text and HTML files; found for each file when not given.
        max_bytes: a larger record (unpacked) is left out.

    Raises:
        DataError: path does not exist; or, after the last file, nothing was kept.
    """
    root = Path(path)
    if not root.exists():
        raise DataError(f"{root} does not exist; give a file or a folder with {ACCEPTED}")
    if max_bytes < 1:
        raise DataError(f"max_bytes={max_bytes} is not positive; 256 << 20 is 256 MiB")
    return _documents(root, report if report is not None else ReadReport(), text_column, encoding, max_bytes)


def _documents(
    root: Path, report: ReadReport, text_column: str, encoding: str | None, max_bytes: int
) -> Iterator[Document]:
    kept_before, files = report.kept, 0
    for file, name in raw_files(root, report.skip):
        files += 1
        try:
            for record in raw_records(file, name, text_column, max_bytes, report.skip):
                try:
                    document = extract(record, str(root), encoding, max_bytes)
                except DataError as error:
                    report.skip(record.name, str(error))
                    continue
                report.keep(document.metadata.get("format", "rows"))
                yield document
        except DataError as error:
            report.skip(name, str(error))
        except OSError as error:
            report.skip(name, f"unreadable: {error.strerror or error}")
    if report.kept == kept_before:
        found = f"{files} files, none of which gave a text" if files else "no files"
        why = "; ".join([found, *report.skipped_lines()])
        raise DataError(f"{root} holds no documents: {why}; accepted: {ACCEPTED}")
