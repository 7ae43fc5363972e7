"""Bytes to text without guessing quietly: what is known, what is declared, what can be told, or an error."""

import codecs
import re

from octad_data.errors import DataError

BYTE_ORDER_MARKS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
DECLARED = re.compile(rb"(?:charset|coding|encoding)\s*[:=]\s*[\"']?([-\w.]+)")
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
MAX_CONTROL_SHARE = 0.001  # text has next to none; a compressed file that happens to decode has one in eight
MAX_BROKEN_SHARE, MIN_WHOLE = 0.01, 4  # of UTF-8: of all characters, and whole ones outside ASCII for each broken one
SNIFFED = 1 << 16  # bytes looked at where a look will do


def decode_text(data: bytes, encoding: str | None = None) -> tuple[str, str]:
    r"""The text and the name of the encoding it was in.

    In this order: the encoding given; a byte-order mark; UTF-16 without one; UTF-8; the encoding that the first
    kilobyte declares (HTML, XML, Python); the old encoding in which the letters say most (`encoding_letters`): those of
    Windows, ISO 8859, DOS and the Macintosh, KOI8, and those of Chinese, Japanese and Korean. Line ends become `\n`.
    Where nearly all of UTF-8 is whole, U+FFFD stands for what is broken.

    Args:
        data: a whole file.
        encoding: known from elsewhere; nothing else is tried then.

    Raises:
        DataError: `binary file: ...`, or `unknown encoding: ...` where nothing fits.
    """
    text, name = _decoded(data, encoding)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    sample = text[:SNIFFED]
    if len(CONTROL.findall(sample)) > MAX_CONTROL_SHARE * len(sample):
        raise DataError("binary file: it holds control characters that no text has")
    return text, name


def _decoded(data: bytes, encoding: str | None) -> tuple[str, str]:
    if encoding is not None:
        return _strict(data, encoding), encoding
    for mark, name in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _strict(data, name), name
    if b"\0" in data[:SNIFFED]:
        return _with_zeros(data)
    if b"\x1b$" in data[:SNIFFED] and data.isascii():
        return _legacy(data)  # ISO 2022: seven bits and escapes
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass  # most files that are not UTF-8 fail here within a line, and are looked at below
    declared = DECLARED.search(data[:1024])
    if declared:
        try:
            name = codecs.lookup(declared[1].decode("ascii")).name
            return data.decode(name), name
        except (LookupError, UnicodeError):
            pass  # a wrong label is common and proves nothing
    return _legacy(data)


def _strict(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except LookupError:
        raise DataError(f"unknown encoding: {encoding!r} is not one that Python knows; try utf-8 or cp1252") from None
    except UnicodeError as error:
        raise DataError(f"wrong encoding: not {encoding} ({error}); give its own with encoding=") from None


def _with_zeros(data: bytes) -> tuple[str, str]:
    """UTF-16 without a mark: of a mostly Latin text every other byte is zero; of others the letters decide."""
    sample = data[:SNIFFED]
    even, odd = sample[::2].count(0) / len(sample), sample[1::2].count(0) / len(sample)
    if max(even, odd) >= 0.2 and min(even, odd) <= 0.02:
        name = "utf-16-le" if odd > even else "utf-16-be"
        return _strict(data, name), name
    try:
        return _legacy(data)
    except DataError:
        raise DataError("binary file: it holds zero bytes") from None


def _legacy(data: bytes) -> tuple[str, str]:
    from octad_data.encoding_letters import likely_encodings  # its tables are loaded only where they are needed

    damaged = data.decode("utf-8", "replace")
    broken = damaged.count("\ufffd")
    whole = sum(letter > "\x7f" for letter in damaged[:SNIFFED]) - broken
    if broken <= MAX_BROKEN_SHARE * len(damaged) and whole > MIN_WHOLE * broken:
        return damaged, "utf-8"
    for name in likely_encodings(data[:SNIFFED]):
        try:
            return data.decode(name), name
        except UnicodeDecodeError:
            continue  # the sample fitted, the rest does not
    raise DataError("unknown encoding: no character set fits; give encoding= or save the file as UTF-8")
