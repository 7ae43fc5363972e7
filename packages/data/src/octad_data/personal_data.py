"""Personal data and secrets in text: found, counted, masked."""

import hashlib
import hmac
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from octad_data import candidates as c
from octad_data import contacts
from octad_data.errors import DataError
from octad_data.secrets_in_text import assigned_at, token_at
from octad_data.step import drop, with_column
from octad_data.texts import Texts

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = ("email", "phone", "ip", "iban", "card", "national_id", "secret", "url_credentials", "coordinates")
DEFAULT_KINDS = KINDS[:-1]
CANDIDATES_OF = {
    "email": (c.AT,), "phone": (c.NUMBER,), "ip": (c.QUAD, c.COLONS), "iban": (c.LETTERS_DIGITS,), "card": (c.NUMBER,),
    "national_id": (c.NUMBER,), "secret": (c.PREFIX, c.ASSIGNMENT), "url_credentials": (c.CREDENTIALS,),
    "coordinates": (c.COORDINATES,),
}  # fmt: skip
ORDER = ("url_credentials", "secret", "iban", "card", "national_id", "ip", "email", "coordinates", "phone")
ROOM = 1 << 14  # candidates a call of the kernel; it goes on where it stopped
STYLES = ("kind", "hash")
Room = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


class Span(NamedTuple):
    """A finding: what it is, and where it begins and ends in the characters of the text."""

    kind: str
    start: int
    end: int


def find_personal_data(
    text: str, kinds: Iterable[str] = DEFAULT_KINDS, public_addresses_only: bool = True
) -> list[Span]:
    """Findings in reading order, none inside another.

    E-mail addresses; telephone numbers with a country code, in North American and common European forms, and any after
    a word like `tel`; IPv4 and IPv6; IBAN, payment cards and national numbers (US, Brazil, China, France) with their
    checks; keys of cloud services, private keys, web tokens, values of `password=`; user and password in a URL.

    Args:
        text: anything.
        kinds: of `KINDS`; coordinates only when asked for.
        public_addresses_only: leave out 10.0.0.1, 127.0.0.1, documentation ranges and the like.

    Raises:
        DataError: a kind is unknown.
    Cost: linear; ordinary text about 100 MB/s a core.
    """
    spans = _find(Texts.of([text]), checked_kinds(kinds), public_addresses_only)[0]
    if text.isascii():
        return spans
    data, characters, place, out = Texts.of([text]).data.tobytes(), 0, 0, []
    for kind, start, end in spans:
        characters += len(data[place:start].decode())
        first, place = characters, end
        characters += len(data[start:end].decode())
        out.append(Span(kind, first, characters))
    return out


def mask(text: str, spans: Sequence[Span], style: str = "kind", key: str = "") -> str:
    """The text with each finding replaced by `<EMAIL>`, or by `<EMAIL-3fa9c1d25b>`: equal for equal values.

    The second form keeps who wrote to whom without saying who; only the holder of the key can test a guess.

    Args:
        text: in which the spans were found.
        spans: in reading order, not overlapping.
        style: `kind` or `hash`.
        key: of the hash (HMAC-SHA256, 40 bits shown); obligatory with `hash`.

    Raises:
        DataError: the style is unknown, or the key is missing.
    """
    checked_style(style, key)
    parts, place = [], 0
    for span in spans:
        parts += [text[place : span.start], label_of(span.kind, text[span.start : span.end], style, key)]
        place = span.end
    return "".join([*parts, text[place:]])


@dataclass(frozen=True)
class PersonalData:
    """Count, mask, and drop by personal data.

    Attributes:
        kinds: what to look for, of `KINDS`.
        mask: `kind` or `hash` to change the text, empty to leave it.
        key: of the hash.
        at_most: most findings a document may have before masking; -1 for no limit. The rule is `personal_data.count`.
        public_addresses_only: leave private and reserved addresses alone.

    It adds a column `personal_<kind>` of counts for each kind.

    Raises:
        DataError: a field is outside its range.
    """

    kinds: tuple[str, ...] = DEFAULT_KINDS
    mask: str = "kind"
    key: str = ""
    at_most: int = -1
    public_addresses_only: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", checked_kinds(self.kinds))
        if self.mask:
            checked_style(self.mask, self.key)

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with counts, masked texts, and rows marked that have too many findings."""
        import pyarrow as pa

        texts = Texts.from_arrow(batch.column("text"))
        found = _find(texts, self.kinds, self.public_addresses_only)
        for kind in self.kinds:
            counts = [sum(span.kind == kind for span in spans) for spans in found]
            batch = with_column(batch, f"personal_{kind}", pa.array(counts, pa.int32()))
        if self.mask and any(found):
            masked = _masked(texts, found, self.mask, self.key)
            batch = with_column(batch, "text", masked.cast(batch.schema.field("text").type))
        if self.at_most >= 0:
            totals = np.array([len(spans) for spans in found], dtype=np.float64)
            batch = drop(batch, totals > self.at_most, "personal_data.count", totals)
        return batch


def label_of(kind: str, value: str, style: str, key: str) -> str:
    """What stands in the place of a finding."""
    if style == "kind":
        return f"<{kind.upper()}>"
    plain = value.lower().encode("utf-8", "surrogatepass")
    if kind in ("phone", "card", "iban", "national_id"):
        plain = bytes(byte for byte in plain if chr(byte).isalnum())  # written with or without spaces, it is the same
    digest = hmac.new(key.encode(), kind.encode() + b":" + plain, hashlib.sha256).hexdigest()
    return f"<{kind.upper()}-{digest[:10]}>"


def checked_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """Kinds in the order of `KINDS`.

    Raises:
        DataError: one is unknown, or there is none.
    """
    asked = {kinds} if isinstance(kinds, str) else set(kinds)
    if not asked or not asked <= set(KINDS):
        raise DataError(f"kinds={sorted(asked)} are not all known; use some of {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in asked)


def checked_style(style: str, key: str) -> None:
    """Check a style of masking.

    Raises:
        DataError: it is unknown, or its key is missing.
    """
    if style not in STYLES:
        raise DataError(f"mask style {style!r} is unknown; use one of {', '.join(STYLES)}")
    if style == "hash" and not key:
        raise DataError("mask style 'hash' needs a key, or anyone could test guesses; give key=... and keep it secret")


def _find(texts: Texts, kinds: tuple[str, ...], public_only: bool) -> list[list[Span]]:
    """Findings of each text, in bytes from its beginning."""
    wanted, out = set(kinds), list[list[Span]]()
    bits = sum(1 << number for number in {n for kind in kinds for n in CANDIDATES_OF[kind]})
    room = (np.empty(ROOM, dtype=np.int64), np.empty(ROOM, dtype=np.int64), np.empty(ROOM, dtype=np.int64))
    for row in range(len(texts)):
        array = texts.data[texts.offsets[row] : texts.offsets[row + 1]]
        found = {each for each in _verified(array, bits, room, public_only) if each[0] in wanted}
        out.append(_apart(found))
    return out


def _verified(array: NDArray[np.uint8], bits: int, room: Room, public_only: bool) -> Iterator[contacts.Found]:
    tables = (c.byte_classes(), c.trigrams(False), c.trigrams(True))
    data, place, end = b"", 0, len(array)
    while place < end:
        count, place = c.find_candidates(array, place, end, *tables, bits, *room)
        if count and not data:
            data = array.tobytes()
        kinds, starts, ends = (each[:count].tolist() for each in room)
        for kind, start, after in zip(kinds, starts, ends, strict=True):
            if kind == c.NUMBER:
                yield from contacts.numbers_in(data, start, after)
                continue
            found = _one(data, kind, start, public_only)
            if found:
                yield found


def _one(data: bytes, kind: int, place: int, public_only: bool) -> contacts.Found | None:
    if kind == c.AT:
        return contacts.email_at(data, place)
    if kind == c.QUAD:
        return contacts.quad_at(data, place, public_only)
    if kind == c.COLONS:
        return contacts.colons_at(data, place, public_only)
    if kind == c.LETTERS_DIGITS:
        return contacts.iban_at(data, place)
    if kind == c.CREDENTIALS:
        return contacts.credentials_at(data, place)
    if kind == c.COORDINATES:
        return contacts.coordinates_at(data, place)
    start, end = (place, token_at(data, place)) if kind == c.PREFIX else assigned_at(data, place)
    return ("secret", start, end) if end else None


def _apart(found: Iterable[contacts.Found]) -> list[Span]:
    """Findings in order of place; where some overlap, the surer kind, and then the longer. Cost: n log n."""
    starts, taken = list[int](), list[Span]()
    for kind, start, end in sorted(found, key=lambda f: (ORDER.index(f[0]), f[1] - f[2], f[1])):
        at = bisect_right(starts, start)
        if (at == 0 or taken[at - 1].end <= start) and (at == len(starts) or end <= starts[at]):
            starts.insert(at, start)
            taken.insert(at, Span(kind, start, end))
    return taken


def _masked(texts: Texts, found: list[list[Span]], style: str, key: str) -> "pa.Array[Any]":
    import pyarrow as pa

    data, parts, sizes = texts.data.tobytes(), list[bytes](), [0]
    for row, spans in enumerate(found):
        place, end, size = int(texts.offsets[row]), int(texts.offsets[row + 1]), 0
        begin = place
        for span in spans:
            value = data[begin + span.start : begin + span.end].decode("utf-8", "replace")
            for piece in (data[place : begin + span.start], label_of(span.kind, value, style, key).encode()):
                parts.append(piece)
                size += len(piece)
            place = begin + span.end
        parts.append(data[place:end])
        sizes.append(sizes[-1] + size + end - place)
    buffers = [None, pa.py_buffer(np.array(sizes, dtype=np.int64)), pa.py_buffer(b"".join(parts))]
    return pa.Array.from_buffers(pa.large_string(), len(found), buffers)
