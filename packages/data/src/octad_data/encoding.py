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
SNIFFED = 1 << 16  # bytes looked at where a look will do

# Windows-1252 decodes nearly anything, so it is believed only where the accented letters are those of one language.
WESTERN_ALPHABETS = tuple(
    frozenset(letters + letters.upper())
    for letters in (
        "äöüßéàè",
        "àâæçéèêëîïôœùûüÿ",
        "áéíóúüñçàèòïªº",
        "áâãàçéêíóôõúü",
        "àèéìíîòóùú",
        "åäöæøéüþðáíóúý",
        "éèëïöüáóíú",
    )
)
ALPHABET_SHARE = 0.98


def decode_text(data: bytes, encoding: str | None = None) -> tuple[str, str]:
    r"""The text and the name of the encoding it was in.

    In this order: the encoding given; a byte-order mark; UTF-16 without one (every other byte zero); UTF-8; the
    encoding that the first kilobyte declares (HTML, XML, Python); Windows-1252 where the accented letters are those of
    one Western language; what charset-normalizer finds (extra `charset`). Line ends become `\n`.

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
        name = _utf16_order(data[:SNIFFED])
        return _strict(data, name), name
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


def _utf16_order(sample: bytes) -> str:
    """UTF-16 of a mostly Latin text has zeros at every other byte, and at those only."""
    even, odd = sample[::2].count(0) / len(sample), sample[1::2].count(0) / len(sample)
    if max(even, odd) < 0.2 or min(even, odd) > 0.02:
        raise DataError("binary file: it holds zero bytes")
    return "utf-16-le" if odd > even else "utf-16-be"


def _legacy(data: bytes) -> tuple[str, str]:
    high = sum(byte >= 0x80 for byte in data[:SNIFFED])
    if high < 0.2 * min(len(data), SNIFFED):
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError:
            text = ""
        accented = [letter for letter in text if letter > "\x7f" and letter.isalpha()]
        signs_in_words = re.search(r"[^\W\d_][^\w\s\x00-\x7f’‘­·][^\W\d_]", text)
        fit = max(sum(letter in alphabet for letter in accented) for alphabet in WESTERN_ALPHABETS)
        if text and not signs_in_words and fit >= ALPHABET_SHARE * len(accented):
            return text, "cp1252"
    try:
        import charset_normalizer
    except ModuleNotFoundError:
        raise DataError(
            "unknown encoding: neither UTF-8 nor plainly Windows-1252; give encoding= or install octad-data[charset]"
        ) from None
    best = charset_normalizer.from_bytes(data[:SNIFFED]).best()
    if best is None:
        raise DataError("unknown encoding: no character set fits; give encoding= or save the file as UTF-8")
    return _strict(data, best.encoding), best.encoding
