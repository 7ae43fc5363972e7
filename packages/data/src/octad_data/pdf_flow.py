"""Lines in reading order to paragraphs, over columns and pages."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median

from octad_data.pdf_layout import Line

LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
SOFT_HYPHEN = "\u00ad"
HYPHENS = frozenset("-\u2010\u00ad")
COMBINING = re.compile(r"[\u0300-\u036f]")
LONGEST_WORD = 80
NEAR_LEFT = 1.8  # sizes; lines that begin this near belong to one block
WORD = re.compile(r"[^\W\d_]+")
HYPHENATED = re.compile(r"[^\W\d_]+-[^\W\d_]+")
DIVIDED = re.compile(r"([^\W\d_]+)([-\u2010\u00ad])$")
ITEM = re.compile(  # bullets and numbers of a list; a dash before a figure or a decimal before a unit is none
    r"[*•·▪◦‣○●■□➢✓\uf0b7\uf0a7]\s|[-–—]\s+[^\W\d]|\(?\d{1,3}[.)]\s|\(?[a-z][.)]\s|\[\d{1,3}\]\s"
    r"|\d+(?:\.\d+)+\.?\s+[A-ZÀ-ÞΑ-ΩА-Я\u3400-\u9fff]"
)
ENDED = re.compile(r"[.!?:…。！？][\"'”’»)\]]*\d{0,2}$")  # a sentence, with the mark of a note perhaps
UNSPACED = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")
OWN_HYPHEN = frozenset(
    {"all", "cross", "ex", "half", "high", "ill", "long", "low", "self", "short", "so", "vice", "well"}
)
LEADING = 1.45  # usual distances of lines; more parts paragraphs
FEW_LINES, NARROW = 4, 30  # a block of so few lines and characters is an address or a form, not a paragraph
MANY_LINES = 1000  # of a column; no more is looked at line by line
INDENT = 0.7  # sizes
HANGS = 4.0  # sizes; how far behind the mark of a list item its other lines begin at most
SHORT = (0.0, 0.4, 0.6)  # of the width left free: at the end of a sentence, elsewhere, before a small letter
OTHER_SIZE = 0.1
SMALL = 0.93  # of the usual size; footnotes and captions are no larger


@dataclass
class Column:
    """Lines of one column of a page, with what is usual in it."""

    lines: list[Line]

    def __post_init__(self) -> None:
        gaps = [a.base - b.base for a, b in pairwise(self.lines)]
        gaps = [gap for gap in gaps if gap > 0]
        size = median(line.size for line in self.lines) if self.lines else 10.0
        usual = median(gaps) if gaps else 1.3 * size
        self.leading = usual if len(gaps) > 3 else min(usual, 1.5 * size)
        lefts = Counter(round(line.x0 / 3) for line in self.lines)
        most = max(lefts.values(), default=0)
        self.left = 3.0 * min((place for place, count in lefts.items() if count == most), default=0)
        self._right = max((line.x1 for line in self.lines), default=0.0)
        self._spans = [(line.x0, line.x1) for line in self.lines]
        self._rights = dict[int, float]()

    def right_of(self, line: Line) -> float:
        """Where lines that begin about where this one does end at most."""
        if len(self.lines) > MANY_LINES:
            return self._right
        place = round(line.x0 / 6)
        found = self._rights.get(place)
        if found is None:
            low, high = line.x0 - NEAR_LEFT * line.size, line.x0 + NEAR_LEFT * line.size
            ends = [end for begin, end in self._spans if low < begin < high]
            found = self._rights[place] = max(ends, default=0.0)  # a line of another column may have none beside it
        return found

    def is_indented(self, line: Line) -> bool:
        """Whether the line begins right of where the lines of its column do."""
        return line.x0 - self.left > INDENT * line.size

    def is_short(self, line: Line, following: Line) -> bool:
        """Whether the line must end a paragraph: the next line's first word would have found room behind it.

        Where no sentence ends there, more room is asked for: lines of ragged text are not filled to the last word.
        """
        if max(self._right, 0.0) - line.x1 <= 0.7 * line.size:
            return False  # no line ends further right
        first = following.text.split(" ", 1)[0]
        width = len(first) * (following.x1 - following.x0) / max(len(following.text), 1)
        right = max(self.right_of(line), self.right_of(following))
        room = right - line.x1
        if room <= min(width, 8 * line.size) + 0.7 * line.size:
            return False
        least = SHORT[2 if following.text[0].islower() else 0 if ENDED.search(line.text[-8:]) else 1]
        return room > least * (right - line.x0)


def paragraphs(pages: Iterable[Sequence[Line]]) -> list[str]:
    """Paragraphs of all pages, each whole over columns and pages; notes and captions after the one they interrupt.

    A word divided at a hyphen loses it, unless the text writes the word with a hyphen elsewhere (`well-known`).

    Args:
        pages: lines of each page, in reading order.
    """
    columns = []
    for page in pages:
        if any(not line.text.isascii() and max(line.text) >= "ﬀ" for line in page):
            page = [line._replace(text=line.text.translate(LIGATURES)) for line in page]
        columns += [Column(list(group)) for _, group in groupby(page, lambda line: line.column)]
    everything = [line for column in columns for line in column.lines]
    if not everything:
        return []
    sizes: Counter[float] = Counter()
    for line in everything:
        sizes[round(line.size, 1)] += len(line.text)
    indented = sum(column.is_indented(line) for column in columns for line in column.lines) > 0.02 * len(everything)
    return _Writer(max(sizes, key=lambda size: sizes[size]), indented, _Hyphens(everything)).write(columns)


class _Hyphens:
    """What the text itself says about its hyphens."""

    def __init__(self, lines: Sequence[Line]) -> None:
        with_hyphens = "\n".join(line.text for line in lines if "-" in line.text).lower()
        self.hyphenated = set(HYPHENATED.findall(" ".join(word for word in with_hyphens.split() if "-" in word)))
        self._lines, self._text = lines, ""

    def joined(self, before: str, after: str) -> tuple[str, str]:
        """The end of a line and the beginning of the next as they stand in a paragraph, end to end."""
        divided = DIVIDED.search(before[-LONGEST_WORD:]) if before[-1] in HYPHENS else None
        if not divided:
            return before, after if _is_unspaced(before[-1]) and _is_unspaced(after[0]) else " " + after
        soft = divided[2] == SOFT_HYPHEN
        tail = WORD.match(after)
        if not tail or not (after[0].islower() or soft):
            return before.rstrip(SOFT_HYPHEN), ("-" if soft and tail else "" if tail or soft else " ") + after
        keeps = not after[0].islower() or self._keeps(divided[1].lower(), tail[0].lower())
        return before[:-1], ("-" if keeps else "") + after

    def _keeps(self, head: str, tail: str) -> bool:
        if f"{head}-{tail}" in self.hyphenated:
            return True
        if head not in OWN_HYPHEN:
            return False
        self._text = self._text or "\n".join(line.text for line in self._lines).lower()
        return not self._writes(head + tail)

    def _writes(self, word: str) -> bool:
        """Whether the word stands somewhere in the text, with no letter beside it."""
        return word in self._text and re.search(rf"(?<![^\W\d_]){word}(?![^\W\d_])", self._text) is not None


def _is_unspaced(character: str) -> bool:
    return character >= "\u3000" and UNSPACED.match(character) is not None


class _Writer:
    def __init__(self, body: float, is_indented: bool, hyphens: _Hyphens) -> None:
        self.body, self.is_indented, self.hyphens = body, is_indented, hyphens
        self.done: list[str] = []
        self.open: list[Line] = []  # the last two lines of the paragraph being written
        self.is_item = False  # it is one of a list
        self.parts: list[str] = []  # and its text
        self.asides: list[str] = []

    def write(self, columns: Sequence[Column]) -> list[str]:
        previous: Column | None = None
        for column in columns:
            head, body, tail = self._asides(column)
            self.asides += self._apart(column, head)
            for line in body:
                self._add(line, column, previous)
                previous = column
            if not body:
                self._close()
            self.asides += self._apart(column, tail)
        self._close()
        return [text for text in self.done if text]

    def _asides(self, column: Column) -> tuple[list[Line], list[Line], list[Line]]:
        """Small type at either end of a column: captions above, notes below."""
        lines = column.lines
        small = [line.size < SMALL * self.body for line in lines]
        if all(small):
            return [], lines, []
        first, last = small.index(False), len(small) - small[::-1].index(False)
        return lines[:first], lines[first:last], lines[last:]

    def _apart(self, column: Column, lines: list[Line]) -> list[str]:
        if not lines:
            return []
        inner = _Writer(self.body, self.is_indented, self.hyphens)
        part = Column(lines)
        for line in lines:
            inner._add(line, part, part)
        inner._close()
        return inner.done

    def _add(self, line: Line, column: Column, previous: Column | None) -> None:
        if self.open and not self._breaks(line, column, previous or column):
            self.parts[-1], following = self.hyphens.joined(self.parts[-1], line.text)
            self.parts.append(following)
            self.open = [self.open[-1], line]
        else:
            self._close()
            self.parts, self.open, self.is_item = [line.text], [line], _is_item(line.text)

    def _close(self) -> None:
        text = "".join(self.parts).replace(SOFT_HYPHEN, "")
        self.done += [_composed(text), *self.asides]
        self.parts, self.open, self.asides = [], [], []

    def _breaks(self, line: Line, column: Column, previous: Column) -> bool:
        last, size = self.open[-1], line.size
        if line.turn != last.turn:
            return True
        if (size != last.size and abs(size - last.size) > OTHER_SIZE * max(size, last.size)) or _is_item(line.text):
            return True
        if "\t" in line.text or "\t" in last.text:
            return True
        divided = last.text[-1] in HYPHENS and line.text[0].islower()
        if column is not previous:
            return not divided and self._breaks_over(last, line, column, previous)
        gap = last.base - line.base
        if gap <= 0 or gap > LEADING * column.leading:
            return True
        if divided:
            return False
        shift = line.x0 - last.x0
        if self.is_item and len(self.open) == 1 and INDENT * size < shift < HANGS * size:
            return column.is_short(last, line)  # else the lines of the item hang behind its mark
        if self.is_item and shift < -INDENT * size:
            return True
        if shift > INDENT * size and column.is_indented(line):
            return True
        if shift < -INDENT * size and (
            (line.x0 < column.left - INDENT * size and (len(self.open) > 1 or shift < -HANGS * size))
            or (len(self.open) > 1 and abs(self.open[-2].x0 - last.x0) < 0.3 * size)
        ):
            return True
        if len(column.lines) < FEW_LINES and len(last.text) < NARROW:
            return not line.text[0].islower()
        return column.is_short(last, line) and not _is_centred(last, line)

    def _breaks_over(self, last: Line, line: Line, column: Column, previous: Column) -> bool:
        """Whether a new paragraph begins with a new column or page."""
        begins = line.text[0]
        if begins.islower() and not ENDED.search(last.text[-8:]):
            return False
        if len(previous.lines) < FEW_LINES or column.is_indented(line) or previous.is_short(last, line):
            return True
        return bool(ENDED.search(last.text[-8:])) and not self.is_indented


def _composed(text: str) -> str:
    """With accents in their letters; a text without any is as it was."""
    return unicodedata.normalize("NFC", text) if not text.isascii() and COMBINING.search(text) else text


def _is_item(text: str) -> bool:
    """Whether a line begins like an item of a list; most begin with a letter and another."""
    return not text[:2].isalpha() and ITEM.match(text) is not None


def _is_centred(last: Line, line: Line) -> bool:
    return abs(last.x0 + last.x1 - line.x0 - line.x1) < 0.5 * line.size and abs(last.x0 - line.x0) > line.size
