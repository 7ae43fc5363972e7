"""An n-gram language model with modified Kneser-Ney smoothing: how surprising is a text to one who read the reference?

p_k(w | c) = max(a(cw) - D(a(cw)), 0) / a(c.) + g(c) p_{k-1}(w | c without its first unit), down to the uniform 1 / |V|.
a counts occurrences at the highest order and after a line's beginning, and distinct left neighbours elsewhere; D are
three discounts an order, g(c) what they freed. Source: Chen and Goodman 1998; Heafield et al. 2013 for the details.

Units are 64-bit hashes, n-grams hashes of these; a table of open addresses holds log p and log g. No strings are kept.
"""

import os
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from octad_data.characters import SPACE
from octad_data.errors import DataError
from octad_data.kernel import allocating_kernel, kernel
from octad_data.text_units import BREAK_UNIT, NEW_LINE, mix, next_hash, read_points, read_units, tables, unit_room
from octad_data.texts import Texts

UNITS = ("word", "character")
MAX_ORDER = 8
BEGIN, END = np.uint64(0x2545F4914F6CDD1D), np.uint64(0x9E6C63D0876A9A47)  # of a line; no unit hashes to them
FALLBACK = (0.5, 1.0, 1.5)  # discounts where counts of counts are too few to tell
FORMAT = 1


@dataclass(frozen=True)
class NgramModel:
    """A trained model.

    Attributes:
        order: longest n-gram.
        unit: `word` (words and signs, lower-cased) or `character` (lower-cased, white space as one).
        keys: hashes of n-grams, 0 where the slot is empty; uint64, a power of two long.
        log_chances: natural log of p; -inf for the beginning of a line, which is never predicted.
        log_backoffs: natural log of g, 0 for n-grams that nothing follows.
        log_unknown: natural log of the chance of a unit that the reference does not have.
        vocabulary: distinct units, the end of a line and the unknown unit with them.
    """

    order: int
    unit: str
    keys: NDArray[np.uint64]
    log_chances: NDArray[np.float32]
    log_backoffs: NDArray[np.float32]
    log_unknown: float
    vocabulary: int

    def log_likelihood(self, texts: Texts | Iterable[str], max_bytes: int = 1 << 17) -> NDArray[np.float64]:
        """Sum of log p, and number of units with line ends, of the first max_bytes of each text; shape (texts, 2)."""
        texts = texts if isinstance(texts, Texts) else Texts.of(texts)
        longest = int(min(np.diff(texts.offsets).max(initial=0), max_bytes))
        tokens = np.empty(3 * longest + 4, dtype=np.uint64)
        out = np.zeros((len(texts), 2))
        model = (self.order, self.keys, self.log_chances, self.log_backoffs, self.log_unknown)
        how = (*tables(), max_bytes, self.unit == "word")
        arguments = (texts.data, texts.offsets, *how, *unit_room(longest), tokens, *model, out)
        score_texts(*arguments)
        return out

    def perplexity(self, texts: Texts | Iterable[str], max_bytes: int = 1 << 17) -> NDArray[np.float64]:
        """exp(-sum log p / units) of each text, NaN where there is nothing to read.

        Cost: linear; about 20 MB/s a core where the table does not fit the cache.
        """
        sums = self.log_likelihood(texts, max_bytes)
        with np.errstate(invalid="ignore", over="ignore"):
            return np.exp(-sums[:, 0] / sums[:, 1])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one .npz file, whole or not at all; no pickle."""
        path = Path(path)
        used = self.keys != 0
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        numbers = np.array([FORMAT, self.order, UNITS.index(self.unit), self.vocabulary], dtype=np.int64)
        try:
            with temporary.open("wb") as file:
                np.savez(file, numbers=numbers, log_unknown=np.array(self.log_unknown), keys=self.keys[used],
                         log_chances=self.log_chances[used], log_backoffs=self.log_backoffs[used])  # fmt: skip
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "NgramModel":
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, broken or of another kind.
        """
        try:
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            version, order, unit, vocabulary = (int(number) for number in arrays["numbers"])
            if version != FORMAT or not 1 <= order <= MAX_ORDER:
                raise ValueError(f"format {version}, order {order}")
            entries = (arrays["keys"], arrays["log_chances"], arrays["log_backoffs"])
            if len({len(each) for each in entries}) != 1:
                raise ValueError("arrays of different lengths")
            return cls(order, UNITS[unit], *table_of(*entries), float(arrays["log_unknown"]), vocabulary)
        except FileNotFoundError as error:
            raise DataError(f"n-gram model not found: {path}") from error
        except (
            OSError,
            KeyError,
            TypeError,
            ValueError,
            IndexError,
            EOFError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise DataError(f"n-gram model broken: {path} ({type(error).__name__}: {error})") from error


def train_ngram_model(texts: Texts | Iterable[str], order: int = 3, unit: str = "word") -> NgramModel:
    """A model of a reference text; a line is a sentence.

    Args:
        texts: what good text looks like; tens of megabytes are enough to rank web pages.
        order: 1 to 8.
        unit: `word` or `character`.

    Raises:
        DataError: order or unit is unknown, or there is no text.
    Cost: about 4 MB of text a second at order 5; memory order * 8 + 16 bytes a unit, 24 an n-gram.
    """
    if unit not in UNITS or not 1 <= order <= MAX_ORDER:
        raise DataError(f"order={order}, unit={unit!r}: order is in 1..{MAX_ORDER} and unit one of {', '.join(UNITS)}")
    texts = texts if isinstance(texts, Texts) else Texts.of(texts)
    tokens, positions = tokens_of(texts, unit)
    if not len(tokens):
        raise DataError("the reference has no text; give at least one line")
    hashes = rolling_hashes(tokens, positions, order)
    levels = _levels(hashes, positions, order)
    vocabulary = len(levels[0].keys) + 1
    chances, uniform = np.empty(0), 1 / vocabulary
    all_keys, all_chances = [], []
    backoffs: dict[int, tuple[NDArray[np.uint64], NDArray[np.float64]]] = {}
    log_unknown = 0.0
    for k, level in enumerate(levels, start=1):
        discounts = discounts_of(level.counts)
        taken = np.array([0.0, *discounts])[np.minimum(level.counts, 3)]
        contexts, which = np.unique(level.contexts, return_inverse=True)
        totals = np.bincount(which, level.counts)
        freed = np.bincount(which, taken) / totals
        below = np.full(len(level.keys), uniform)
        if k > 1:
            below = chances[np.searchsorted(levels[k - 2].keys, level.suffixes)]
        else:
            log_unknown = float(np.log(freed[0] * uniform))
        chances = (level.counts - taken) / totals[which] + freed[which] * below
        backoffs[k - 1] = contexts, np.log(freed)
        all_keys.append(level.keys)
        all_chances.append(np.log(chances))
    all_keys.append(mix_all(np.array([begin_hash()], dtype=np.uint64)))
    all_chances.append(np.array([-np.inf]))
    keys, logs = np.concatenate(all_keys), np.concatenate(all_chances)
    contexts = np.concatenate([backoffs[k][0] for k in range(1, order)] or [np.empty(0, np.uint64)])
    freed_logs = np.concatenate([backoffs[k][1] for k in range(1, order)] or [np.empty(0)])
    by_key = np.argsort(contexts)
    logs_of_backoffs = np.zeros(len(keys))
    if len(contexts):
        at = np.minimum(np.searchsorted(contexts[by_key], keys), len(contexts) - 1)
        has = contexts[by_key][at] == keys
        logs_of_backoffs[has] = freed_logs[by_key][at[has]]
    table = table_of(keys, logs.astype(np.float32), logs_of_backoffs.astype(np.float32))
    return NgramModel(order, unit, *table, log_unknown, vocabulary)


@dataclass(frozen=True)
class Level:
    """All n-grams of one order: mixed hashes (ascending), adjusted counts, and hashes without last and first unit."""

    keys: NDArray[np.uint64]
    counts: NDArray[np.int64]
    contexts: NDArray[np.uint64]
    suffixes: NDArray[np.uint64]


def _levels(hashes: NDArray[np.uint64], positions: NDArray[np.int64], order: int) -> list[Level]:
    levels: list[Level] = []
    longer_suffixes = np.empty(0, dtype=np.uint64)
    for k in range(order, 0, -1):
        ends = np.flatnonzero(positions >= max(k - 1, 1))  # the beginning of a line is never predicted
        keys, first, counts = np.unique(mix_all(hashes[k - 1, ends]), return_index=True, return_counts=True)
        at = ends[first]
        if k < order:
            neighbours, kinds = np.unique(longer_suffixes, return_counts=True)
            counts = counts.copy()
            counts[np.searchsorted(keys, neighbours)] = kinds
        zero = np.zeros(len(at), dtype=np.uint64)
        contexts = mix_all(hashes[k - 2, at - 1]) if k > 1 else zero
        suffixes = mix_all(hashes[k - 2, at]) if k > 1 else zero
        longer_suffixes = suffixes
        levels.insert(0, Level(keys, counts.astype(np.int64), contexts, suffixes))
    return levels


def discounts_of(counts: NDArray[np.int64]) -> tuple[float, float, float]:
    """Chen and Goodman's discounts of counts 1, 2, and 3 or more; (0.5, 1, 1.5) where they cannot be estimated."""
    ones, twos, threes, fours = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if not (ones and twos and threes and fours):
        return FALLBACK
    y = ones / (ones + 2 * twos)
    found = (1 - 2 * y * twos / ones, 2 - 3 * y * threes / twos, 3 - 4 * y * fours / threes)
    return found if all(0 < d <= k for k, d in enumerate(found, start=1)) else FALLBACK


def table_of(
    keys: NDArray[np.uint64], first: NDArray[np.float32], second: NDArray[np.float32]
) -> tuple[NDArray[np.uint64], NDArray[np.float32], NDArray[np.float32]]:
    """A table with open addresses, at most two thirds full."""
    size = 1 << (len(keys) * 3 // 2 + 1).bit_length()
    table = np.zeros(size, np.uint64), np.zeros(size, np.float32), np.zeros(size, np.float32)
    fill(keys.astype(np.uint64), first.astype(np.float32), second.astype(np.float32), *table)
    return table


def tokens_of(texts: Texts, unit: str) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Units of all texts, each line between BEGIN and END; and the place of each in its line (BEGIN 0)."""
    parts = []
    longest = int(np.diff(texts.offsets).max(initial=0))
    work, written = unit_room(longest), np.empty(3 * longest + 4, dtype=np.uint64)
    for row in range(len(texts)):
        start, end = int(texts.offsets[row]), int(texts.offsets[row + 1])
        arguments = (texts.data, start, end, *tables(), unit == "word", *work, written)
        n = read_tokens(*arguments)
        parts.append(written[:n].copy())
    tokens = np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)
    begins = np.flatnonzero(tokens == BEGIN)
    sizes = np.diff(np.append(begins, len(tokens)))
    return tokens, np.arange(len(tokens)) - np.repeat(begins, sizes)


def begin_hash() -> np.uint64:
    """The hash, not yet mixed, of the one-gram that is the beginning of a line."""
    return np.uint64(rolling_hashes(np.array([BEGIN]), np.zeros(1, dtype=np.int64), 1)[0, 0])


@kernel
def read_tokens(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    classes: NDArray[np.uint8],
    lower: NDArray[np.uint32],
    by_word: bool,
    points: NDArray[np.uint32],
    places: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    tokens: NDArray[np.uint64],
) -> int:
    """Write the units of one text, each line that has any between BEGIN and END; how many were written."""
    n = read_points(data, start, end, points, places)
    count = n
    if by_word:
        count = read_units(points, n, classes, lower, hashes, kinds, bounds)
    size, in_line, pending_space = 0, False, False
    for i in range(count):
        if by_word:
            token, is_break = hashes[i], kinds[i] == BREAK_UNIT
        else:
            point = points[i]
            is_break = point == NEW_LINE
            if not is_break and classes[point] & SPACE:
                pending_space = in_line
                continue
            token = mix(np.uint64(lower[point]) + np.uint64(1))
        if is_break:
            if in_line:
                tokens[size] = END
                size += 1
            in_line = pending_space = False
            continue
        if not in_line:
            tokens[size] = BEGIN
            size += 1
            in_line = True
        if pending_space:
            tokens[size] = mix(np.uint64(33))
            size += 1
            pending_space = False
        tokens[size] = token
        size += 1
    if in_line:
        tokens[size] = END
        size += 1
    return size


@allocating_kernel
def rolling_hashes(tokens: NDArray[np.uint64], positions: NDArray[np.int64], order: int) -> NDArray[np.uint64]:
    """out[k - 1, i]: hash of the k tokens that end at i, where the line has so many; shape (order, tokens)."""
    out = np.zeros((order, len(tokens)), dtype=np.uint64)
    for i in range(len(tokens)):
        out[0, i] = next_hash(np.uint64(0), tokens[i])
        for k in range(1, min(order, positions[i] + 1)):
            out[k, i] = next_hash(out[k - 1, i - 1], tokens[i])
    return out


@allocating_kernel
def mix_all(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mixed, and never 0, which marks an empty slot."""
    out = np.empty_like(hashes)
    for i in range(len(hashes)):
        out[i] = mix(hashes[i]) | np.uint64(1)
    return out


@kernel
def fill(
    keys: NDArray[np.uint64],
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    table: NDArray[np.uint64],
    firsts: NDArray[np.float32],
    seconds: NDArray[np.float32],
) -> None:
    """Put keys with two numbers each in an empty table."""
    size = np.uint64(len(table) - 1)
    for i in range(len(keys)):
        slot = keys[i] >> np.uint64(1) & size
        while table[slot] != 0 and table[slot] != keys[i]:
            slot = (slot + np.uint64(1)) & size
        table[slot] = keys[i]
        firsts[slot] = first[i]
        seconds[slot] = second[i]


@kernel
def slot_of(hashed: np.uint64, table: NDArray[np.uint64]) -> int:
    """The slot of an n-gram, -1 if it is not there."""
    size, key = np.uint64(len(table) - 1), mix(hashed) | np.uint64(1)
    slot = key >> np.uint64(1) & size
    while table[slot] != 0:
        if table[slot] == key:
            return int(np.int64(slot))
        slot = (slot + np.uint64(1)) & size
    return -1


@allocating_kernel
def score_texts(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    classes: NDArray[np.uint8],
    lower: NDArray[np.uint32],
    max_bytes: int,
    by_word: bool,
    points: NDArray[np.uint32],
    places: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    tokens: NDArray[np.uint64],
    order: int,
    keys: NDArray[np.uint64],
    log_chances: NDArray[np.float32],
    log_backoffs: NDArray[np.float32],
    log_unknown: float,
    out: NDArray[np.float64],
) -> None:
    """Write sum of log p and number of units of each text."""
    rolling = np.zeros(order + 1, dtype=np.uint64)  # rolling[k]: hash of the last k tokens of the line
    backoffs = np.zeros(order + 1)  # backoffs[k]: log g of the k tokens before this one
    fresh = np.zeros(order + 1)
    for row in range(len(offsets) - 1):
        end = min(offsets[row + 1], offsets[row] + max_bytes)
        n = read_tokens(data, offsets[row], end, classes, lower, by_word, points, places, hashes, kinds, bounds, tokens)
        known = 0  # the longest row of tokens before this one that the table has
        for i in range(n):
            if tokens[i] == BEGIN:
                known = 0
            depth = min(known + 1, order)  # a row is in the table only if it is there without its last token,
            for k in range(depth, 0, -1):
                rolling[k] = next_hash(rolling[k - 1], tokens[i])
            found, chance = 0, log_unknown
            while found < depth:  # and without its first
                slot = slot_of(rolling[found + 1], keys)
                if slot < 0:
                    break
                found += 1
                chance = np.float64(log_chances[slot])
                fresh[found] = log_backoffs[slot]
            if tokens[i] != BEGIN:
                for k in range(max(found, 1), known + 1 if known < order else order):
                    chance += backoffs[k]
                out[row, 0] += chance
                out[row, 1] += 1
            for k in range(1, found + 1):
                backoffs[k] = fresh[k]
            known = found
