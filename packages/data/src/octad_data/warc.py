"""Records of WARC, WET and ARC files: what a crawler stored, one response at a time."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from octad_data.compressed import open_unpacked
from octad_data.errors import DataError
from octad_data.raw_record import RawRecord, Skip

ARC_LINE = re.compile(rb"^(\S.*?) (\d{1,3}(?:\.\d{1,3}){3}|\S+) (\d{8,14}) (\S+)(?: .*)? (\d+)\s*$")
LONGEST_ARC_LINE = 1 << 16
CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)


def warc_records(file: Path, name: str, max_bytes: int, skip: Skip) -> Iterator[RawRecord]:
    """Responses, conversions (the texts of WET files) and resources, with their address, date and type.

    Broken records are passed over to the next whole one. A record that is shorter than it says, or larger than
    max_bytes, is skipped by name without being held.

    Args:
        file: .warc, .wet, also as .gz, .zst or .lz4.
        name: that ids begin with; a record's id is `name#its place in the file`.
        max_bytes: of a record's content, unpacked.
        skip: told the id and the reason.

    Raises:
        DataError: `missing extra`.
    """
    try:
        from fastwarc.warc import ArchiveIterator, WarcRecordType
    except ModuleNotFoundError:
        raise DataError("missing extra: WARC files need fastwarc; pip install 'octad-data[warc]'") from None
    wanted = WarcRecordType.response | WarcRecordType.conversion | WarcRecordType.resource
    for record in ArchiveIterator(str(file), record_types=wanted, parse_http=True, quirks_mode=True, auto_decode="all"):
        record_name = f"{name}#{record.stream_pos}"
        if record.content_length > max_bytes:
            skip(record_name, f"too large: {record.content_length:,} bytes, more than {max_bytes:,}")
            continue
        try:
            data = record.reader.read(max_bytes + 1)
        except Exception as error:  # the library raises its own, of several kinds
            skip(record_name, f"broken record: {error}")
            continue
        if len(data) > max_bytes:
            skip(record_name, f"too large: unpacks to more than {max_bytes:,} bytes")
        elif not data:
            skip(record_name, "empty")
        else:
            yield _warc_record(record, record_name, data)


def _warc_record(record: Any, name: str, data: bytes) -> RawRecord:
    headers = {key.lower(): value for key, value in record.headers.items()}
    url = headers.get("warc-target-uri", "").strip("<>")
    kind = record.http_content_type or headers.get("warc-identified-payload-type") or headers.get("content-type", "")
    if kind.startswith("application/http"):
        kind = ""
    metadata = {"url": url, "date": headers.get("warc-date", "")}
    return RawRecord(name, data, kind.split(";")[0].strip().lower(), record.http_charset or "", metadata)


def arc_records(file: Path, name: str, max_bytes: int, skip: Skip) -> Iterator[RawRecord]:
    """The same of ARC files, the form before WARC (Internet Archive 1996): a line of five or more words, then bytes."""
    with open_unpacked(file) as stream:
        place = 0
        while line := stream.readline(LONGEST_ARC_LINE):
            record_name, place = f"{name}#{place}", place + len(line)
            found = ARC_LINE.match(line)
            if found is None:
                if line.strip() and b"://" in line[:16]:
                    skip(record_name, "broken record: its first line has no address, date, type and length")
                continue
            size = int(found[5])
            place += size
            if size > max_bytes:
                skip(record_name, f"too large: {size:,} bytes, more than {max_bytes:,}")
                _pass_over(stream, size)
                continue
            data = stream.read(size)
            if len(data) < size:
                skip(record_name, f"broken record: {len(data):,} of {size:,} bytes")
            elif not found[1].startswith(b"filedesc:"):
                yield _arc_record(record_name, data, found)


def _arc_record(name: str, data: bytes, found: "re.Match[bytes]") -> RawRecord:
    kind, charset = found[4].decode("latin-1").lower(), ""
    if data.startswith(b"HTTP/"):
        head, _, body = data.partition(b"\r\n\r\n") if b"\r\n\r\n" in data else data.partition(b"\n\n")
        for line in head.decode("latin-1").splitlines()[1:]:
            key, _, value = line.partition(":")
            if key.strip().lower() == "content-type":
                kind = value.split(";")[0].strip().lower()
                declared = CHARSET.search(value)
                charset = declared[1] if declared else ""
        data = body
    metadata = {"url": found[1].decode("utf-8", "replace"), "date": found[3].decode()}
    return RawRecord(name, data, kind, charset, metadata)


def _pass_over(stream: BinaryIO, size: int) -> None:
    while size > 0 and (piece := stream.read(min(size, 1 << 20))):
        size -= len(piece)
