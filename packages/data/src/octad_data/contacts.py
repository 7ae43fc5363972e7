"""E-mail addresses, telephone numbers, network addresses and other numbers, verified near a candidate place."""

import ipaddress
import re
from collections.abc import Iterator

from octad_data.identifiers import (
    IBAN_LENGTHS,
    is_card,
    is_chinese_resident,
    is_cpf,
    is_french_social_security,
    is_iban,
    is_us_social_security,
)

Found = tuple[str, int, int]  # kind, start, end in bytes

_LOCAL_END = re.compile(rb"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]|[\xc2-\xf4][\x80-\xbf]+){1,64}\Z")
_DOMAIN = re.compile(
    rb"(?:(?:[A-Za-z0-9]|[\xc3-\xf4][\x80-\xbf]{1,3})(?:[A-Za-z0-9-]|[\xc3-\xf4][\x80-\xbf]{1,3}){0,62}\.){1,8}"
    rb"(?:[A-Za-z]{2,24}|xn--[A-Za-z0-9-]{2,59}|(?:[\xc3-\xf4][\x80-\xbf]{1,3}){2,24})(?![A-Za-z0-9])"
)
FILE_ENDINGS = frozenset(b"png jpg jpeg gif svg webp css js ico pdf mp4 json html php".split())
_LOCAL_EDGE = b".!#$%&'*+/=?^`{|}~-"


def email_at(data: bytes, place: int) -> Found | None:
    """The address around the `@` at a place: dotted words, `@`, and a domain with a top level of letters."""
    domain = _DOMAIN.match(data, place + 1, place + 256)
    if domain is None:
        return None
    top = domain.group().rpartition(b".")[2].lower()
    if top in FILE_ENDINGS:  # icon@2x.png
        return None
    local = _LOCAL_END.search(data, max(0, place - 64), place)
    if local is None:
        return None
    name = local.group()
    name = name[name.rfind(b"..") + 2 :] if b".." in name else name
    name = name[name.rfind(b"=") + 1 :] if b"=" in name and b"+" not in name else name  # ?to=name@host
    name = name[name.rfind(b"/") + 1 :] if b"//" in name else name
    name = _from_edge(name.lstrip(_LOCAL_EDGE))
    if not name or name.endswith(b"."):
        return None
    return "email", place - len(name), domain.end()


def _from_edge(name: bytes) -> bytes:
    """Without what precedes the last sign of another script's punctuation (a full-width colon or bracket)."""
    for i in range(len(name) - 1, -1, -1):
        if name[i] >= 0xC0:
            character = name[i:].decode("utf-8", "ignore")[:1]
            if not character.isalnum():
                return name[i + len(character.encode()) :]
            if ord(character) >= 0x2E80:  # Han, kana: a sentence written against the address, not its name
                return name[i + len(character.encode()) :]
    return name


_QUAD = re.compile(rb"\d{1,3}(?:\.\d{1,3}){3}(?!\d)(?!\.\d)")


_BEFORE_QUAD = re.compile(  # a longer row of numbers, a word, a path, a version, a numbered part
    rb"(?:\d\.|[A-Za-z_]|(?<![:/])/|\xc2\xa7 ?"
    rb"|\b(?:v(?:ersion|er)?|fig(?:ure)?|sec(?:tion)?|table|chapter|clause|rule|release|build)\.? ?)\Z",
    re.IGNORECASE,
)


def quad_at(data: bytes, place: int, public_only: bool) -> Found | None:
    """The IPv4 address that begins at a place, unless it reads as a version or a longer row of numbers."""
    found = _QUAD.match(data, place, place + 17)
    before = data[max(place - 12, 0) : place]
    if found is None or _BEFORE_QUAD.search(before):
        return None
    return _address(found.group(), place, found.end(), public_only)


_HEX = re.compile(rb"[0-9A-Fa-f:]{2,45}(?:\.\d{1,3}){0,3}")


def colons_at(data: bytes, place: int, public_only: bool) -> Found | None:
    """The IPv6 address around a colon."""
    start = place
    while start > 0 and place - start < 40 and data[start - 1] in b"0123456789abcdefABCDEF:":
        start -= 1
    if start > 0 and (data[start - 1 : start].isalnum() or data[start - 1] in b"_."):
        return None
    found = _HEX.match(data, start, start + 64)
    if found is None or (data[found.end() : found.end() + 1].isalnum()):
        return None
    text = found.group().rstrip(b":") if not found.group().endswith(b"::") else found.group()
    if len(text) < 6 or text.count(b":") < 2:
        return None
    return _address(text, start, start + len(text), public_only)


def _address(text: bytes, start: int, end: int, public_only: bool) -> Found | None:
    try:
        address = ipaddress.ip_address(text.decode("ascii", "replace"))
    except ValueError:
        return None
    return None if public_only and (not address.is_global or address.is_multicast) else ("ip", start, end)


def iban_at(data: bytes, place: int) -> Found | None:
    """The account number that begins at a place, with or without single spaces between its groups."""
    length = IBAN_LENGTHS.get(data[place : place + 2].decode("ascii", "replace"))
    if length is None:
        return None
    taken, end = bytearray(), place
    while len(taken) < length and end < len(data):
        byte = data[end]
        if byte in b" -" and data[end - 1] not in b" -":
            end += 1
            continue
        if not (48 <= byte < 58 or 65 <= byte < 91):
            return None
        taken.append(byte)
        end += 1
    if data[end : end + 1].isalnum() or not is_iban(taken.decode()):
        return None
    return "iban", place, end


_CREDENTIALS = re.compile(rb"://([^\s/@:<>\"]{1,64}):([^\s/@<>\"]{1,128})@[\w.-]{1,255}")


def credentials_at(data: bytes, place: int) -> Found | None:
    """`user:password` before the host of a URL."""
    found = _CREDENTIALS.match(data, place, place + 480)
    if found is None or found.group(2).startswith((b"$", b"{", b"*", b"<", b"[")):
        return None
    return "url_credentials", found.start(1), found.end(2)


_COORDINATES = re.compile(rb"(?<![\d.])([+-]?\d{1,2}\.\d{4,15})\xc2?\xb0?, ?([+-]?\d{1,3}\.\d{4,15})(?!\w|\.\d)")


def coordinates_at(data: bytes, place: int) -> Found | None:
    """A latitude and a longitude with four or more decimals around a comma."""
    found = _COORDINATES.search(data, max(0, place - 21), place + 24)
    if found is None or abs(float(found.group(1))) > 90 or abs(float(found.group(2))) > 180:
        return None
    return "coordinates", found.start(1), found.end(2)


# A number may not go on at either side, and stands in no identifier, path, version or price.
_FREE = rb"(?<![\w.,#=&%/$-])"
_END = rb"(?![\w%]|[-/.,]\d|\xe2\x82\xac)"
_CARD = re.compile(_FREE + rb"(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|3\d{3}([ -])\d{6}\2\d{4,5})" + _END)
_SSN = re.compile(rb"(?<![\w.,#=&%/$-])\d{3}-\d{2}-\d{4}" + _END)
_SSN_SPACED = re.compile(_FREE + rb"\d{3} \d{2} \d{4}" + _END)
_CPF = re.compile(_FREE + rb"\d{3}\.\d{3}\.\d{3}-\d{2}" + _END)
_CHINESE = re.compile(rb"(?<![A-Za-z0-9_.])\d{17}[0-9Xx](?![A-Za-z0-9_])")
_FRENCH = re.compile(_FREE + rb"[12] ?\d{2} ?\d{2} ?\d[0-9AB] ?\d{3} ?\d{3} ?\d{2}" + _END)
_BEFORE_PHONE = re.compile(
    rb"(?:(?<![A-Za-z\x80-\xff])(?:(?:tele?(?:f|ph)o|t\xc3\xa9l|tel(?![a-z])|rufn|handyn|whats ?app)[^\d\n]{0,24}"
    rb"|(?:fax|cell|call|sms|dial|hotline|handy|gsm|ph|phones?|mobile?)(?![a-z\x80-\xff])[^\d\n]{0,14})"
    rb"|(?:\xe7\x94\xb5\xe8\xaf\x9d|\xe9\x9b\xbb\xe8\xa9\xb1|\xe6\x89\x8b\xe6\x9c\xba"  # Chinese: dian hua, shou ji
    rb"|\xd1\x82\xd0\xb5\xd0\xbb|\xd0\xa2\xd0\xb5\xd0\xbb)[^\d\n]{0,24})\Z",  # Russian: tel
    re.IGNORECASE,
)
_BEFORE_OTHER = re.compile(
    rb"(?:isbn|issn|doi|arxiv|pmid|ean|upc|gtin|part|order|item|sku|serial|patent|grant|id|no)[^\w]{0,4}(?:1[03])?[^\w]{0,3}\Z",
    re.I,
)

_SPACE = rb"[ .\-\xa0]|\xc2\xa0"
_INTERNATIONAL = re.compile(
    rb"(?<![\w+])(?:\+|00(?=[1-9]\d{0,2}[ .\-(]))[1-9]"
    rb"(?:(?:[ .\-/()]|\xc2\xa0|\xe2\x80[\x90-\x95]){0,3}\d){6,14}(?![\w])"
)
_AMERICAN = re.compile(
    rb"(?<![\w.,#=&%/$+-])(?:1[ .-])?(?:\([2-9]\d\d\)[ .-]?|[2-9]\d\d([.-]| ))[2-9]\d\d(?:\1|[.-]| )\d{4}" + _END
)
_NATIONAL = tuple(
    re.compile(_FREE + pattern + _END)
    for pattern in (
        rb"0\d([ .-])\d\d(?:\1\d\d){3}",  # France: 01 23 45 67 89
        rb"\(?0[1237]\d\d\)?[ -]\d{3}[ -]\d{4}",  # United Kingdom: 0161 496 0000, 0800 ...
        rb"\(?02\d\)?[ -]\d{4}[ -]\d{4}",  # London: 020 7946 0000
        rb"\(?0[17]\d{3}\)?[ -]\d{6}",  # 01632 960000, 07700 900000
        rb"\(?0[17]\d{3}\)?[ -]\d{3}[ -]\d{3}",
        rb"\(0\d{1,5}\)[ -]?\d{3,8}(?:[ -]\d{2,5}){0,2}",  # Germany, Italy, Japan: (030) 123456
        rb"0\d{2,4}[/-]\d{3,4}[ -]?\d{3,5}",  # 030/1234567, 03-1234-5678
        rb"0\d-\d{4}-\d{4}",
    )
)
_ANY = re.compile(_FREE + rb"\(?\d(?:(?:[ .\-/()]|\xc2\xa0|\xe2\x80[\x90-\x95]){0,3}\d){6,13}" + _END)
_DATE = re.compile(
    rb"(?:(?:19|20)\d\d[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)?\d\d"
    rb"|(?:19|20)\d\d ?- ?(?:19|20)\d\d)(?!\d)"
)
_ONE_OR_TWO_DIGITS = re.compile(r"[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]")  # of ITU E.164
_THREE_DIGITS = re.compile(r"2[1-689]|35|37|38|42|50|59|67|68|69|80|85|87|88|96|97|99")


def numbers_in(data: bytes, start: int, end: int) -> Iterator[Found]:
    """Cards, national numbers and telephone numbers in one row of digits and separators."""
    first, last = max(0, start - 2), min(len(data), end + 3)
    before = data[max(0, start - 40) : start]
    yield from _checked(data, first, last, before)
    if not _BEFORE_OTHER.search(before):
        yield from phones_in(data, first, last, start, end, before)


def _checked(data: bytes, first: int, last: int, before: bytes) -> Iterator[Found]:
    for found in _CARD.finditer(data, first, last):
        if is_card(_digits(found.group())):
            yield "card", found.start(), found.end()
    patterns = [(_SSN, is_us_social_security), (_CPF, is_cpf), (_FRENCH, is_french_social_security)]
    if re.search(rb"ssn|social security", before, re.IGNORECASE):
        patterns.append((_SSN_SPACED, is_us_social_security))
    for pattern, is_valid in patterns:
        for found in pattern.finditer(data, first, last):
            if is_valid(_digits(found.group())):
                yield "national_id", found.start(), found.end()
    for found in _CHINESE.finditer(data, first, last):
        if is_chinese_resident(found.group().decode()):
            yield "national_id", found.start(), found.end()


def phones_in(data: bytes, first: int, last: int, start: int, end: int, before: bytes) -> Iterator[Found]:
    """Telephone numbers: with a country code; in the forms of North America and Europe; any after a word like `tel`."""
    formed = list(_formed_phones(data, first, last, start, end))
    for kind, a, b in formed:
        yield kind, a + (data[a] == 40 and b")" not in data[a:b]), b
    if not formed and _BEFORE_PHONE.search(before):
        named = _ANY.search(data, first, last)
        is_round = named is not None and named.group().isdigit() and named.group().endswith(b"000")
        if named and named.start() <= start and not is_round and not _DATE.match(named.group()):
            yield "phone", named.start(), named.end()


def _formed_phones(data: bytes, first: int, last: int, start: int, end: int) -> Iterator[Found]:
    for found in _INTERNATIONAL.finditer(data, first, last):
        digits = _digits(found.group())
        digits = digits[2:] if digits.startswith("00") else digits
        fits = len(digits) == 11 if digits[:1] in ("1", "7") else 8 <= len(digits) <= 15
        if fits and _has_country(digits) and len(set(digits)) > 2:
            yield "phone", found.start(), found.end()
    for found in _AMERICAN.finditer(data, first, last):
        digits = _digits(found.group())[-10:]
        is_alone = found.start() <= start and found.end() >= end  # of numbers with spaces, tables are full
        if (is_alone or b" " not in found.group().strip()) and digits[4:6] != "11" and len(set(digits)) > 2:
            yield "phone", found.start(), found.end()
    for pattern in _NATIONAL:
        for found in pattern.finditer(data, first, last):
            if found.start() <= start and found.end() >= end and not _DATE.fullmatch(found.group()):
                yield "phone", found.start(), found.end()


def _has_country(digits: str) -> bool:
    return (_ONE_OR_TWO_DIGITS.match(digits) or _THREE_DIGITS.match(digits)) is not None


def _digits(text: bytes) -> str:
    return "".join(chr(byte) for byte in text if 48 <= byte < 58)
