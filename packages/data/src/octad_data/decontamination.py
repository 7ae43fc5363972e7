"""Evaluation questions inside training text: found verbatim, and found again after small edits."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octad_data.contamination_search import (
    Postings,
    collect_hits,
    grouped_hits,
    has_enough_words,
    laid_beside,
)
from octad_data.errors import DataError
from octad_data.plain_words import PlainWords, plain_words

if TYPE_CHECKING:
    import pyarrow as pa

SEED = 4  # words in a row that must be untouched somewhere for an item to be looked at
SHORT_SEED = 3  # of items with fewer than SHORT words
SHORT = 25
EXACT_BELOW = 8  # items with fewer words count only when they stand there word for word
SMALLEST = 5  # items with fewer words are no evidence
COMMON = 40  # a seed that so many places of the evaluation sets share tells nothing
SLACK = 8  # one word of an item in so many may be too many or too few, and two more
LONG = 80  # items with more words are compared word by word, the others letter by letter
LETTER_SHARE = 0.8  # of an item's letters that must be there in order
WORD_SHARE = 0.5  # of a long item's words: 5 % of its letters changed leave about 0.77
LABEL = re.compile(r"^(?:question|passage|answer|context|q|a)\s*:\s*", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Item:
    """A question, passage or the like of an evaluation set.

    Attributes:
        set_name: of the evaluation set.
        number: of its row there.
        text: that must not be in training data.
    """

    set_name: str
    number: int
    text: str


@dataclass(frozen=True)
class Match:
    """An item that was found in a document.

    Attributes:
        document: number of the document.
        item: number of the item.
        share: of the item that is there, in order; 1 is verbatim save for case, punctuation and spaces.
        start: first character of the found place in the document, after `plain_words.folded`.
        stop: the character after it.
    """

    document: int
    item: int
    share: float
    start: int
    stop: int


def read_items(path: Path | str, fields: Sequence[str] = ()) -> list[Item]:
    """The items of an evaluation set: JSON lines, CSV without a header, or text with a line for each.

    Args:
        path: `.jsonl`, `.csv`, or another for plain lines; the name without its ending names the set.
        fields: keys of JSON lines whose text counts; `question` and `query` and their like when not given, and else
            every text.

    Raises:
        DataError: the file is not there or not of its format, or no field gives a text.
    """
    file = Path(path)
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"no evaluation set: {path}: {getattr(error, 'strerror', None) or error}") from None
    if file.suffix in (".jsonl", ".json"):
        texts = [_row_text(line, number, file, fields) for number, line in enumerate(content.splitlines(), 1) if line]
    elif file.suffix == ".csv":
        texts = [row[0] for row in csv.reader(content.splitlines()) if row]
    else:
        texts = [line for line in content.splitlines() if line.strip()]
    if not any(text.strip() for text in texts):
        raise DataError(f"no items: {path} gives no text" + (f" for {', '.join(fields)}" if fields else ""))
    return [Item(file.stem, number, LABEL.sub("", text)) for number, text in enumerate(texts)]


QUESTIONS = ("question", "query", "prompt", "problem", "passage", "context", "text", "instruction", "sentence")


def _row_text(line: str, number: int, file: Path, fields: Sequence[str]) -> str:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"not JSON: {file}:{number}: {error}") from None
    if not isinstance(row, dict):
        raise DataError(f"not an object: {file}:{number}: give a key and a value for each field")
    names = fields or [name for name in QUESTIONS if isinstance(row.get(name), str)] or list(row)
    return "\n".join(row[name] for name in names if isinstance(row.get(name), str))


class ContaminationIndex:
    """Finds items in documents.

    Each run of four words of an item (three of a short one) that is not common is a seed. Where a document has a seed,
    and another at the right distance, the item is laid beside the place: for items of up to 80 words the share of
    their letters that stand there in order must be at least 0.8, for longer ones that of their words 0.5. Items of
    fewer than 8 words count only verbatim, of fewer than 5 not at all (`not_checkable`).

    Args:
        items: of any number of evaluation sets.
        letter_share: see above, in (0, 1].
        word_share: see above, in (0, 1].

    Raises:
        DataError: a share is out of range, or no item can be checked.
    """

    def __init__(
        self, items: Iterable[Item], letter_share: float = LETTER_SHARE, word_share: float = WORD_SHARE
    ) -> None:
        for name, value in (("letter_share", letter_share), ("word_share", word_share)):
            if not 0 < value <= 1:
                raise DataError(f"{name}={value} is not in (0, 1]; use 0.8 and 0.5")
        self.items = tuple(items)
        self._words = plain_words(item.text for item in self.items)
        self._lengths = np.diff(self._words.offsets)
        self._needed = np.where(
            self._lengths > LONG, word_share, np.where(self._lengths < EXACT_BELOW, 1, letter_share)
        )
        self._long_seeds = Postings.build(self._words, np.flatnonzero(self._lengths >= SHORT), SEED, COMMON)
        is_short = (self._lengths >= SMALLEST) & (self._lengths < SHORT)
        self._short_seeds = Postings.build(self._words, np.flatnonzero(is_short), SHORT_SEED, COMMON)
        if not (self._lengths >= SMALLEST).any():
            raise DataError(f"no item has {SMALLEST} words or more; shorter ones are no evidence")

    @property
    def not_checkable(self) -> dict[str, int]:
        """How many items of each set are too short to be evidence."""
        return dict(Counter(self.items[row].set_name for row in np.flatnonzero(self._lengths < SMALLEST).tolist()))

    def find(self, texts: Iterable[str]) -> list[Match]:
        """Every item in every document, in their order; of several places of an item the best.

        Cost: one second of a core for about 25 MB.
        """
        words = plain_words(texts)
        best: dict[tuple[int, int], Match] = {}
        for seeds, enough in ((self._long_seeds, 2), (self._short_seeds, 1)):
            hits = collect_hits(words.hashes, words.offsets, seeds)
            groups = grouped_hits(hits, enough)
            groups = groups[has_enough_words(groups, self._words, words, SLACK)]
            shares, spans = laid_beside(groups, self._words, words, SLACK, EXACT_BELOW, LONG)
            needed = self._needed[groups[:, 1]]
            for row in np.flatnonzero(shares >= needed).tolist():
                document, item, _ = groups[row].tolist()
                low, high = spans[row].tolist()
                match = self._match(words, document, item, float(shares[row]), low, high)
                key = match.document, match.item
                if match.share > best.get(key, match).share - 1e-9:
                    best[key] = match
        return [best[key] for key in sorted(best)]

    def _match(self, words: PlainWords, document: int, item: int, share: float, low: int, high: int) -> Match:
        """With its place in the text, from words that were looked at."""
        mine = self._words.hashes[self._words.offsets[item] : self._words.offsets[item + 1]]
        low, high = _trimmed(mine, words.hashes, low, high)
        begin = int(words.texts.offsets[document])
        start = len(words.texts.data[begin : words.starts[low]].tobytes().decode())
        return Match(document, item, share, start, start + len(_text(words, low, high)))


def _trimmed(item: NDArray[np.uint64], words: NDArray[np.uint64], low: int, high: int) -> tuple[int, int]:
    """The window from the first to the last run of two words of the item that stands in it."""
    pairs = set(pairwise(item.tolist()))
    window = words[low:high].tolist()
    hits = [place for place, pair in enumerate(pairwise(window)) if pair in pairs]
    return (low + hits[0], low + hits[-1] + 2) if hits else (low, high)


def _text(words: PlainWords, low: int, high: int) -> str:
    return words.texts.data[words.starts[low] : words.ends[high - 1]].tobytes().decode() if high > low else ""


@dataclass(frozen=True)
class Decontaminate:
    """Drops, cuts or marks documents that hold items of evaluation sets.

    Adds `contamination`: the names of the items found (`gsm8k_test:17`), as a list.

    Attributes:
        against: files, see `read_items`.
        fields: of JSON lines.
        action: `drop` the document, `cut` the place out (with the words around it that may belong to it), or `mark`.
        letter_share: see `ContaminationIndex`.
        word_share: see `ContaminationIndex`.
    """

    against: tuple[str, ...]
    fields: tuple[str, ...] = ()
    action: str = "drop"
    letter_share: float = LETTER_SHARE
    word_share: float = WORD_SHARE

    def __post_init__(self) -> None:
        if self.action not in ("drop", "cut", "mark"):
            raise DataError(f"action={self.action!r} is not known; use drop, cut or mark")
        if not self.against:
            raise DataError('against is empty; give the files of evaluation sets, against = ["gsm8k_test.jsonl"]')

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with the column, and with what was asked for."""
        import pyarrow as pa

        from octad_data.step import drop, with_column

        index = _index(self.against, self.fields, self.letter_share, self.word_share)
        texts = batch.column("text").to_pylist()
        matches = index.find(texts)
        names: list[list[str]] = [[] for _ in texts]
        share = np.zeros(len(texts))
        by_set: dict[str, NDArray[np.bool_]] = {}
        for match in matches:
            item = index.items[match.item]
            names[match.document].append(f"{item.set_name}:{item.number}")
            share[match.document] = max(share[match.document], match.share)
            by_set.setdefault(item.set_name, np.zeros(len(texts), dtype=np.bool_))[match.document] = True
        batch = with_column(batch, "contamination", pa.array(names, pa.list_(pa.string())))
        if self.action == "drop":
            for name, rows in by_set.items():
                batch = drop(batch, rows, f"decontamination.{name}", share)
        elif self.action == "cut":
            batch = with_column(batch, "text", pa.array(_cut(texts, matches), pa.large_string()))
        return batch


def found_items(contamination: Iterable[Sequence[str]]) -> Mapping[str, set[int]]:
    """The other direction: of each evaluation set the items that were found, so that the clean rest can be scored.

    Args:
        contamination: the column that `Decontaminate` adds, row by row.
    """
    found: dict[str, set[int]] = {}
    for names in contamination:
        for name in names:
            set_name, _, number = name.rpartition(":")
            found.setdefault(set_name, set()).add(int(number))
    return found


def _cut(texts: list[str], matches: list[Match]) -> list[str]:
    """Texts without the found places; a document whose folded form has another length loses all of its paragraphs."""
    from octad_data.plain_words import folded

    found = list(texts)
    places: dict[int, list[Match]] = {}
    for match in matches:
        places.setdefault(match.document, []).append(match)
    for document, there in places.items():
        text = texts[document]
        if len(folded(text)) != len(text):
            found[document] = ""
            continue
        for match in sorted(there, key=lambda match: -match.start):
            text = text[: match.start].rstrip() + "\n" + text[match.stop :].lstrip()
        found[document] = text.strip()
    return found


@cache
def _index(
    against: tuple[str, ...], fields: tuple[str, ...], letter_share: float, word_share: float
) -> ContaminationIndex:
    items: list[Any] = [item for path in against for item in read_items(path, fields)]
    return ContaminationIndex(items, letter_share, word_share)
