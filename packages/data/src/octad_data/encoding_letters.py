"""Which of the old encodings a file is in, by what its letters would say in each.

A text that is decoded wrongly is improbable: its letters stand beside letters that they never stand beside, change case
inside words, or are signs. So each candidate decodes a sample, and the total of -log p(letter | letter before) under
the best of its languages decides. Only pairs with a letter outside ASCII count, since the others are the same in all.
"""

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import NamedTuple
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

WESTERN = "deu fra spa por ita nld swe dan nob fin isl cat eng glg gle afr fao als eus".split()  # noqa: SIM905
CENTRAL = "pol ces slk hun ron hrv slv bos_latn srp_latn als deu".split()  # noqa: SIM905
CYRILLIC = "rus ukr bel bul srp_cyrl mkd".split()  # noqa: SIM905
BALTIC = "lit lav est deu".split()  # noqa: SIM905
ENCODINGS: dict[str, list[str]] = {  # of equally good ones the first is taken
    "cp1252": [*WESTERN, "est"],
    "cp1250": CENTRAL,
    "cp1251": CYRILLIC,
    "cp932": ["jpn"],
    "gb18030": ["cmn_hans", "cmn_hant"],
    "cp949": ["kor"],
    "big5hkscs": ["cmn_hant"],
    "euc_jp": ["jpn"],
    "koi8_r": ["rus", "bul"],
    "koi8_u": ["ukr", "bel"],
    "cp1253": ["ell_monotonic"],
    "cp1254": ["tur", "azj_latn"],
    "cp1255": ["heb"],
    "cp1256": ["arb", "pes_1", "urd"],
    "cp1257": BALTIC,
    "cp874": ["tha"],
    "iso8859_2": CENTRAL,
    "iso8859_5": CYRILLIC,
    "iso8859_7": ["ell_monotonic"],
    "iso8859_15": [*WESTERN, "est"],
    "iso8859_9": ["tur"],
    "iso8859_8": ["heb"],
    "iso8859_6": ["arb"],
    "iso8859_4": BALTIC,
    "iso8859_13": BALTIC,
    "iso8859_16": ["ron"],
    "iso8859_3": ["epo", "mlt"],
    "iso8859_14": ["cym", "gle"],
    "cp1258": ["vie"],
    "cp866": ["rus", "ukr", "bel", "bul"],
    "cp850": WESTERN,
    "cp852": CENTRAL,
    "cp857": ["tur"],
    "cp775": BALTIC,
    "cp737": ["ell_monotonic"],
    "cp437": WESTERN,
    "mac_roman": WESTERN,
    "mac_cyrillic": CYRILLIC,
    "mac_latin2": CENTRAL,
    "mac_greek": ["ell_monotonic"],
    "mac_turkish": ["tur"],
}
LANGUAGES = sorted({language for languages in ENCODINGS.values() for language in languages})
WIDE = ("utf-16-le", "utf-16-be")  # with all languages, where there are zero bytes
SAMPLE = 4000  # bytes, of lines with bytes outside ASCII
PAIRS, LETTERS = 1 << 14, 1 << 12
STEP = 8  # entries of the tables are -STEP log p
UNSEEN = 127
BACK_OFF, LOOSE = 2.5, {"letter": 15.0, "sign": 6.0, "symbol": 14.0, "control": 18.0, "ideograph": 10.0, "hangul": 8.5}
CASE_CHANGE = 4.0  # a capital letter behind a small one
MOST = 11.0  # mean of -log p beyond which nothing fits
SIGNS = frozenset("“”„‘’‚–—…«»‹›€£§°•·©®™¿¡´`\u00a0\u200c\u200d\u200e\u200f،؛؟。、，「」『』（）：；！？·־׳״")
UNIT = np.uint64(0x9E3779B97F4A7C15)


class LetterTables(NamedTuple):
    """Of each language -STEP log p(letter | letter before) by the hash of the pair, and of letters alone."""

    pairs: NDArray[np.uint8]
    letters: NDArray[np.uint8]


@cache
def letter_tables() -> LetterTables:
    """Those that come with the package; `benchmarks/encodings.py --train` makes them."""
    file = resources.files("octad_data") / "encoding_letters.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return LetterTables(arrays["pairs"], arrays["letters"])


class Chain(NamedTuple):
    """The pairs of a text of which a letter is outside ASCII: their hashes, and what each costs where it is unseen."""

    pairs: NDArray[np.int64]
    letters: NDArray[np.int64]
    loose: NDArray[np.float64]
    extra: NDArray[np.float64]


class Characters(NamedTuple):
    """What is known of each character up to U+FFFF: its small form, whether it has a case, what it costs if unseen."""

    lower: NDArray[np.uint32]
    is_small: NDArray[np.bool_]
    is_capital: NDArray[np.bool_]
    loose: NDArray[np.float64]


@cache
def characters() -> Characters:
    """Tables of Python's own properties; 50 ms, once."""
    letters = [chr(code) for code in range(1 << 16)]
    return Characters(
        np.array([ord(small) if len(small := x.lower()) == 1 else ord(x) for x in letters], dtype=np.uint32),
        np.array([x.islower() for x in letters]),
        np.array([x.isupper() for x in letters]),
        np.array([_loose(x) for x in letters]),
    )


def chain_of(text: str) -> Chain:
    """The pairs of a text, its case folded."""
    known = characters()
    text = " " + normalize("NFC", text).replace("\r", " ").replace("\n", " ")
    codes = np.minimum(np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32), 0xFFFF)
    lower = known.lower[codes].astype(np.uint64)
    before, after = lower[:-1], lower[1:]
    counted = (before > 127) | (after > 127)
    rises = known.is_small[codes[:-1]] & known.is_capital[codes[1:]]
    before, after = before[counted], after[counted]
    return Chain(
        (((before * UNIT + after) * UNIT) >> np.uint64(64 - 14)).astype(np.int64),
        ((after * UNIT) >> np.uint64(64 - 12)).astype(np.int64),
        known.loose[after],
        np.where(rises[counted], CASE_CHANGE, 0.0),
    )


def _loose(letter: str) -> float:
    """-log p of a character that a language was not seen to have."""
    code = ord(letter)
    if 0x80 <= code < 0xA0 or 0xE000 <= code < 0xF900 or code >= 0xFFF0:
        return LOOSE["control"]
    if 0x4E00 <= code < 0xA000:
        return LOOSE["ideograph"]
    if 0xAC00 <= code < 0xD7A4 or 0x3040 <= code < 0x3100:
        return LOOSE["hangul"]
    if code < 128 or letter in SIGNS:
        return LOOSE["sign"]
    return LOOSE["letter"] if letter.isalpha() else LOOSE["symbol"]


def cost(text: str, languages: list[str]) -> tuple[float, int]:
    """The total of -log p under the language that fits best, and of how many pairs."""
    chain, tables = chain_of(text), letter_tables()
    if not len(chain.pairs):
        return 0.0, 0
    rows = np.array([LANGUAGES.index(language) for language in languages])
    pairs = tables.pairs[np.ix_(rows, chain.pairs)].astype(np.float64) / STEP
    letters = tables.letters[np.ix_(rows, chain.letters)].astype(np.float64) / STEP
    alone = np.where(letters < UNSEEN / STEP, np.minimum(letters + BACK_OFF, chain.loose), chain.loose)
    best = float(np.where(pairs < UNSEEN / STEP, np.minimum(pairs, alone), alone).sum(1).min())
    return best + float(chain.extra.sum()), len(chain.pairs)


def likely_encodings(data: bytes) -> Iterator[str]:
    """The encodings that data may be in, the likeliest first; none where no language fits.

    Args:
        data: a file, or its beginning up to a line's end.
    Cost: about 4 ms, whatever the size; the first call 0.1 s.
    """
    if b"\x1b$" in data or b"\x1b(" in data:
        yield from ("iso2022_jp_2", "iso2022_kr")
    sample = _sample(data)
    found: list[tuple[float, int, str]] = []
    candidates = dict.fromkeys(WIDE, LANGUAGES) if b"\0" in data else ENCODINGS
    for place, (name, languages) in enumerate(candidates.items()):
        try:
            text = (data[: SAMPLE // 2 * 2] if name in WIDE else sample).decode(name)
        except UnicodeDecodeError:
            continue
        total, count = cost(text, languages)
        if count and total <= MOST * count:
            found.append((total, place, name))
    yield from (name for _, _, name in sorted(found))


def _sample(data: bytes) -> bytes:
    """Lines with bytes outside ASCII, and no more than the first; cut where a line or a word ends."""
    lines, size = [], 0
    for line in data.splitlines(keepends=True):
        if not line.isascii():
            lines.append(line if len(line) <= SAMPLE else _cut(line))
            size += len(lines[-1])
            if size >= SAMPLE:
                break
    return b"".join(lines)


def _cut(line: bytes) -> bytes:
    first = next(place for place, byte in enumerate(line) if byte >= 0x80)
    start = line.rfind(b" ", 0, first) + 1
    end = line.rfind(b" ", start, start + SAMPLE)
    return line[start : end if end > start else start + SAMPLE]
