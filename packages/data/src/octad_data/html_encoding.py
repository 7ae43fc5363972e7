"""The bytes of a page as UTF-8: what is marked, what fits, what is told, what is declared."""

import codecs
import re

from octad_data.encoding import BYTE_ORDER_MARKS, CONTROL, decode_text
from octad_data.errors import DataError

LABELS = {  # names that pages give to encodings, and what browsers read them as
    "iso-8859-1": "cp1252", "latin1": "cp1252", "latin-1": "cp1252", "us-ascii": "cp1252", "ascii": "cp1252",
    "iso8859-1": "cp1252", "iso-8859-9": "cp1254", "iso-8859-11": "cp874", "tis-620": "cp874", "windows-874": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "gb_2312-80": "gb18030", "shift_jis": "cp932",
    "shift-jis": "cp932", "x-sjis": "cp932", "sjis": "cp932", "euc-kr": "cp949", "ks_c_5601-1987": "cp949",
    "big5": "big5hkscs", "x-x-big5": "big5hkscs", "x-cp1251": "cp1251", "x-mac-roman": "mac-roman",
}  # fmt: skip
LABEL = re.compile(rb"<(?:meta|\?xml)[^>]{0,300}?(?:charset|encoding)\s*=\s*[\"']?\s*([-\w.:]{2,30})", re.IGNORECASE)
MAX_CONTROL = 0.001  # share of the bytes of a text that may be control characters
MAX_BROKEN = 0.01  # share of the characters that may be none in the encoding found


def to_utf8(page: str | bytes, encoding: str | None, max_bytes: int) -> bytes:
    """A page as UTF-8 without control characters.

    Args:
        page: HTML.
        encoding: of its bytes, from the HTTP header.
        max_bytes: of it, before and after.

    Raises:
        DataError: `too large: ...`, or what `decode_html` raises.
    """
    if len(page) > max_bytes:
        raise DataError(f"too large: {len(page):,} bytes of HTML, at most {max_bytes:,}; raise max_bytes or skip it")
    if isinstance(page, bytes) and encoding is None and _is_utf8(page):
        return control_free(page)
    text = decode_html(page, encoding) if isinstance(page, bytes) else page
    try:
        data = text.encode()
    except UnicodeEncodeError:  # a lone surrogate becomes U+FFFD
        data = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    if len(data) > max_bytes:
        raise DataError(f"too large: {len(data):,} bytes of HTML, at most {max_bytes:,}; raise max_bytes or skip it")
    return control_free(data)


def _is_utf8(page: bytes) -> bool:
    """Whether a page needs no decoding: most do not."""
    if page.startswith(tuple(mark for mark, _ in BYTE_ORDER_MARKS)) or count_controls(page) > MAX_CONTROL * len(page):
        return False
    try:
        page.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def decode_html(page: bytes, encoding: str | None = None) -> str:
    """The text of a page in the first encoding that fits: by byte-order mark, UTF-8, as told, as declared, as it looks.

    UTF-8 comes before what the server says, since bytes of another encoding are next to never valid UTF-8. A page is
    not thrown away for a broken character in a hundred: those become U+FFFD.

    Args:
        page: all of it.
        encoding: from the HTTP header.

    Raises:
        DataError: `binary file: ...` or `unknown encoding: ...`.
    """
    if page.startswith(tuple(mark for mark, _ in BYTE_ORDER_MARKS)):
        names = []
    else:
        sample = page[: 1 << 16]
        if 0 < sample.count(0) < MAX_BROKEN * len(sample):
            page = page.replace(b"\0", b" ")
        declared = LABEL.search(page[: 1 << 14])
        names = [encoding, declared[1].decode("ascii") if declared else None]
    known = [codec for name in names if name and (codec := _codec(name))]
    if names:
        seven_bits = b"\x1b$" in page or b"\x1b(" in page  # ISO 2022 is ASCII, and so UTF-8, to the eye
        known = [*known, "utf-8"] if seven_bits or (encoding and "16" in encoding) else ["utf-8", *known]
    for name in known:
        try:
            return decode_text(page, name)[0]
        except DataError:
            continue
    try:
        return decode_text(page)[0]
    except DataError as error:
        if not str(error).startswith("binary"):
            for name in ("utf-8", *known, "cp1252"):
                text = page.decode(name, "replace")
                if text.count("\ufffd") <= MAX_BROKEN * len(text) and not CONTROL.search(text[:1000]):
                    return text
        raise


def _codec(name: str) -> str | None:
    """Python's name of an encoding that a page or server named; none where there is no such one."""
    label = LABELS.get(name.strip().lower(), name.strip())
    try:
        b"a".decode(label)
        codec = codecs.lookup(label).name
    except (LookupError, ValueError):
        return None
    return None if codec.startswith(("utf-7", "idna", "punycode")) else codec


def control_free(data: bytes) -> bytes:
    """The bytes of a page with each control character that is no white space made a space."""
    return data.translate(_CONTROLS)


def count_controls(data: bytes) -> int:
    """How many bytes are control characters that no text has."""
    return len(data) - len(data.translate(None, _NO_TEXT))


_NO_TEXT = bytes(byte for byte in range(32) if byte not in (9, 10, 11, 12, 13, 27)) + b"\x7f"
_CONTROLS = bytes(byte if byte in (9, 10, 13) or (byte >= 32 and byte != 127) else 32 for byte in range(256))
