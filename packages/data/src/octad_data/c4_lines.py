"""C4's rules about lines (Raffel et al. 2020, section 2.2): which stay, and what is left of a page."""

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from octad_data.characters import PUNCTUATION, SPACE, character_classes, decode_at
from octad_data.english_words import split_piece
from octad_data.kernel import kernel
from octad_data.line_signals import ends_in_ellipsis, next_line, stripped
from octad_data.sentence_marks import SENTENCE_END, mark_classes
from octad_data.texts import Texts
from octad_data.words import ENDS_SENTENCE, IS_PUNCTUATION, Words, splitter

if TYPE_CHECKING:
    import pyarrow as pa

C4_NAMES = ("c4_sentences", "c4_lorem_ipsum", "c4_curly_bracket", "c4_kept_line_ratio")
CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
END_MARKS = (".", "?", "!", '"', "'")
MIN_WORDS = 3
LONGEST_WORD = 1000
KEEP, GOES, LOREM, BRACKET = 0, 1, 2, 3  # what becomes of a line, or of its page
RARE_FIRST = b"zqxjkvbpygfwmucldrhsnioate "  # letters of English
AT_BRACKET = 1 << 15


@dataclass(frozen=True)
class CleanPage:
    """What C4 leaves of a page.

    Attributes:
        lines: that stay, citations taken out.
        sentences: in them.
        lorem_ipsum: the page has a filler text, for which C4 drops it; then lines after it were not looked at.
        curly_bracket: the page has a line with `{`, for which C4 drops it.
    """

    lines: tuple[str, ...]
    sentences: int
    lorem_ipsum: bool = False
    curly_bracket: bool = False


def clean_lines(text: str) -> CleanPage:
    """A page by C4's rules: the readable form of the compiled loop below, and what it is tested against.

    A line goes that has a word of more than 1,000 characters, no end mark (or an ellipsis), fewer than three words,
    `javascript`, or a phrase of cookie notices. The first line that survives so far and has `lorem ipsum` or `{` ends
    the page.
    """
    kept, sentences = list[str](), 0
    for line in text.splitlines():
        line = line.strip()
        words = line.split()
        if any(len(word) > LONGEST_WORD for word in words):
            continue
        line = CITATION.sub("", line)
        if not line.endswith(END_MARKS) or line.endswith("...") or len(words) < MIN_WORDS:
            continue
        small = line.lower()
        if "lorem ipsum" in small:
            return CleanPage(tuple(kept), sentences, lorem_ipsum=True)
        if "javascript" in small:
            continue
        if "{" in line:
            return CleanPage(tuple(kept), sentences, curly_bracket=True)
        if any(policy in small for policy in POLICIES):
            continue
        sentences += count_sentences([word for piece in line.split() for word in split_piece(piece)])
        kept.append(line)
    return CleanPage(tuple(kept), sentences)


def count_sentences(words: list[str]) -> int:
    """Sentences of a line: one begins with the first word, and with each behind an end mark that is no punctuation."""
    marks, classes = mark_classes(), character_classes()
    count, is_over = 0, False
    for number, word in enumerate(words):
        if number == 0:
            count = 1
        is_mark = len(word) == 1 and bool(marks[ord(word)] & SENTENCE_END)
        is_punctuation = all(classes[ord(character)] & PUNCTUATION for character in word)
        if is_over and not is_punctuation and not is_mark:
            count += 1
            is_over = False
        elif is_mark:
            is_over = True
    return count


def c4_signals(texts: Texts, words: Words, language: str) -> NDArray[np.float64]:
    """Values in the order of `C4_NAMES`, shape (texts, names); pages with citations are looked at without them."""
    found, is_hard = _counted(texts, words, True)
    hard = np.flatnonzero(is_hard)
    if len(hard):
        lines = [texts[row].splitlines() for row in hard.tolist()]
        without = Texts.of("\n".join(filter(None, map(_without_citations, page))) for page in lines)
        found[hard], _ = _counted(without, splitter(language)(without), False)
        before = np.array([max(len(page), 1) for page in lines])
        after = np.array([text.count("\n") + 1 for text in without])
        found[hard, 3] *= after / before
    return found


def _counted(texts: Texts, words: Words, has_citations: bool) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The signals, and which texts have citations, whose signals are left out.

    Without them (`has_citations` is false) the words of the lines that are there were counted before.
    """
    found = np.zeros((len(texts), len(C4_NAMES)))
    is_hard = np.zeros(len(texts), dtype=np.bool_)
    _fill(
        texts.data, texts.offsets, words.starts, words.kinds, words.offsets, character_classes(), *_phrases(),
        has_citations, is_hard, found,
    )  # fmt: skip
    return found, is_hard


def _without_citations(line: str) -> str:
    """A line without them, empty where the rules that look at it before and right after drop it."""
    line = line.strip()
    words = line.split()
    if len(words) < MIN_WORDS or any(len(word) > LONGEST_WORD for word in words):
        return ""
    line = CITATION.sub("", line)
    return line if line.endswith(END_MARKS) and not line.endswith("...") else ""


@dataclass(frozen=True)
class C4Lines:
    """Leaves of each page the lines that C4 keeps; a page of which fewer than `min_sentences` are left is dropped.

    Attributes:
        min_sentences: in the lines that stay.
    """

    min_sentences: int = 5

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with cleaned texts."""
        import pyarrow as pa

        from octad_data.step import drop, with_column

        pages = [clean_lines(text) for text in batch.column("text").to_pylist()]
        sentences = np.array([page.sentences for page in pages], dtype=np.float64)
        batch = drop(batch, np.array([page.lorem_ipsum for page in pages], dtype=np.bool_), "c4.lorem_ipsum")
        batch = drop(batch, np.array([page.curly_bracket for page in pages], dtype=np.bool_), "c4.curly_bracket")
        batch = drop(batch, sentences < self.min_sentences, "c4.sentences", sentences)
        stays = batch.column("dropped_by").is_null().to_pylist()
        texts = batch.column("text").to_pylist()
        cleaned = [
            "\n".join(page.lines).strip() if stay else text
            for page, text, stay in zip(pages, texts, stays, strict=True)
        ]
        return with_column(batch, "text", pa.array(cleaned, pa.large_string()))


@cache
def _phrases() -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint16]]:
    """The phrases, where their rarest letters stand, and at which bytes to look.

    The phrases (lorem ipsum, javascript, then the policies) are rows of bytes, zeros behind them. For each byte there
    is a bit for each of them whose rarest letter it is, in either case, and `AT_BRACKET` for the bracket.
    """
    phrases = [phrase.encode() for phrase in ("lorem ipsum", "javascript", *POLICIES)]
    table = np.zeros((len(phrases), max(map(len, phrases)) + 1), dtype=np.uint8)
    places = np.zeros(len(phrases), dtype=np.int64)
    looks = np.zeros(256, dtype=np.uint16)
    for row, phrase in enumerate(phrases):
        table[row, : len(phrase)] = np.frombuffer(phrase, dtype=np.uint8)
        places[row] = min(range(len(phrase)), key=lambda place: RARE_FIRST.index(phrase[place]))
        for byte in (phrase[places[row]], phrase[places[row]] - 32):
            looks[byte] |= 1 << row
    looks[ord("{")] = AT_BRACKET
    return table, places, looks


@kernel
def _fill(
    data: NDArray[np.uint8],
    texts: NDArray[np.int64],
    starts: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    classes: NDArray[np.uint8],
    phrases: NDArray[np.uint8],
    places: NDArray[np.int64],
    looks: NDArray[np.uint16],
    has_citations: bool,
    is_hard: NDArray[np.bool_],
    found: NDArray[np.float64],
) -> None:
    for text in range(len(texts) - 1):
        at, stop, word, last = texts[text], texts[text + 1], offsets[text], offsets[text + 1]
        if has_citations and _has_citation(data, at, stop):
            is_hard[text] = True
            continue
        lines, kept, sentences = 0, 0, 0
        while at < stop:
            end, after = next_line(data, at, stop)
            lines += 1
            first = word
            while word < last and starts[word] < end:
                word += 1
            verdict = _verdict(data, at, end, has_citations, classes, phrases, places, looks)
            if verdict in (LOREM, BRACKET):
                found[text, 1], found[text, 2] = verdict == LOREM, verdict == BRACKET
                break
            if verdict == KEEP:
                kept += 1
                sentences += _sentences(kinds, first, word)
            at = after
        found[text, 0], found[text, 3] = sentences, kept / max(lines, 1)


@kernel
def _has_citation(data: NDArray[np.uint8], at: int, stop: int) -> bool:
    """Whether something like `[12]`, `[edit]` or `[c...` is there."""
    for place in range(at, stop - 1):
        if data[place] == 91:
            end = place + 1
            if data[end] == 101 or data[end] == 99:  # edit, citation needed: looked at more closely elsewhere
                close = end
                while close < stop and close < end + 16 and data[close] != 93:
                    close += 1
                if close < stop and data[close] == 93 and (close - end == 4 or close - end == 15):
                    return True
            while end < stop and 48 <= data[end] <= 57:
                end += 1
            if end < stop and (data[end] == 93 or data[end] >= 0x80):
                return True
    return False


@kernel
def _verdict(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    counts_words: bool,
    classes: NDArray[np.uint8],
    phrases: NDArray[np.uint8],
    places: NDArray[np.int64],
    looks: NDArray[np.uint16],
) -> int:
    low, high = stripped(data, start, end, classes)
    if high == low:
        return GOES
    mark = data[high - 1]
    is_end = mark == 46 or mark == 63 or mark == 33 or mark == 34 or mark == 39
    if not is_end or (mark == 46 and ends_in_ellipsis(data, low, high)):
        return GOES
    if counts_words and not _has_words(data, low, high, classes):
        return GOES
    policy, javascript, bracket = False, False, False
    for place in range(low, high):
        look = looks[data[place]]
        if look == 0:
            continue
        if look == AT_BRACKET:
            bracket = True
            continue
        for row in range(len(phrases)):
            if (
                look >> row & 1
                and place - places[row] >= low
                and _begins(data, place - places[row], high, phrases[row])
            ):
                if row == 0:
                    return LOREM
                if row == 1:
                    javascript = True
                else:
                    policy = True
    if javascript:
        return GOES
    if bracket:
        return BRACKET
    return GOES if policy else KEEP


@kernel
def _has_words(data: NDArray[np.uint8], at: int, end: int, classes: NDArray[np.uint8]) -> bool:
    """Whether there are at least `MIN_WORDS`, none of them longer than `LONGEST_WORD`."""
    words, length = 0, 0
    while at < end and (words < MIN_WORDS or length + end - at > LONGEST_WORD):
        point, at = decode_at(data, at)
        if classes[point] & SPACE:
            length = 0
        else:
            words += length == 0
            length += 1
            if length > LONGEST_WORD:
                return False
    return words >= MIN_WORDS


@kernel
def _begins(data: NDArray[np.uint8], at: int, end: int, phrase: NDArray[np.uint8]) -> bool:
    """Whether a phrase of small letters and spaces stands at a place, in any case."""
    index = 0
    while phrase[index] != 0:
        if at + index >= end:
            return False
        byte = data[at + index]
        if 65 <= byte <= 90:
            byte |= 0x20
        if byte != phrase[index]:
            return False
        index += 1
    return True


@kernel
def _sentences(kinds: NDArray[np.uint8], first: int, last: int) -> int:
    count, is_over = min(last - first, 1), False
    for word in range(first, last):
        kind = kinds[word]
        if is_over and kind & (IS_PUNCTUATION | ENDS_SENTENCE) == 0:
            count += 1
            is_over = False
        elif kind & ENDS_SENTENCE:
            is_over = True
    return count
