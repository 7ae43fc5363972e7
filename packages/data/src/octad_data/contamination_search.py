"""Seeds of items in documents, and how much of an item stands beside a place: the compiled part of decontamination."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octad_data.bit_edits import edit_share
from octad_data.characters import decode_at
from octad_data.hashing import add, find, finished, new_table
from octad_data.kernel import allocating_kernel, kernel
from octad_data.plain_words import PlainWords

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
FILTER_BITS = 24  # 2 MB, which stays in a core's cache
ENOUGH_WORDS = 0.4  # of an item, in any order: after edits of 5 % of its letters about 0.77 are left
NEARBY = 4  # words by which two seeds of one place may be off


@dataclass(frozen=True)
class Postings:
    """Seeds, and where in which items each stands.

    Attributes:
        size: words of a seed.
        keys: a hash table of seeds.
        filter: bits that say of most strangers at once that they are none.
        starts: for each place of the table the first of its entries; -1 where it is empty.
        counts: and their number.
        items: of each entry, the item.
        places: and the word of it at which the seed begins.
    """

    size: int
    keys: NDArray[np.uint64]
    filter: NDArray[np.uint64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    items: NDArray[np.int64]
    places: NDArray[np.int64]

    @classmethod
    def build(cls, words: PlainWords, chosen: NDArray[np.int64], size: int, common: int) -> "Postings":
        """The seeds of the chosen items, without those with more than `common` places."""
        values, items, places = list[NDArray[np.uint64]](), list[NDArray[np.int64]](), list[NDArray[np.int64]]()
        for item in chosen.tolist():
            hashes = words.hashes[words.offsets[item] : words.offsets[item + 1]]
            seeds = np.empty(max(len(hashes) - size + 1, 0), dtype=np.uint64)
            _seeds(hashes, size, seeds)
            values.append(seeds)
            items.append(np.full(len(seeds), item, dtype=np.int64))
            places.append(np.arange(len(seeds), dtype=np.int64))
        flat = np.concatenate([np.empty(0, dtype=np.uint64), *values])
        order = np.argsort(flat, kind="stable")
        flat = flat[order]
        item_of = np.concatenate([np.empty(0, dtype=np.int64), *items])[order]
        place_of = np.concatenate([np.empty(0, dtype=np.int64), *places])[order]
        unique, first, count = np.unique(flat, return_index=True, return_counts=True)
        keeps = count <= common
        keys = new_table(int(keeps.sum()))
        bits = np.zeros(1 << (FILTER_BITS - 6), dtype=np.uint64)
        starts, counts = np.full(len(keys), -1, dtype=np.int64), np.zeros(len(keys), dtype=np.int64)
        _fill_table(unique[keeps], first[keeps], count[keeps], keys, bits, starts, counts)
        return cls(size, keys, bits, starts, counts, item_of, place_of)


@kernel
def _seeds(hashes: NDArray[np.uint64], size: int, seeds: NDArray[np.uint64]) -> None:
    for place in range(len(seeds)):
        value = np.uint64(0)
        for index in range(size):
            value = value * MULTIPLIER + hashes[place + index]
        seeds[place] = finished(value)


@kernel
def _fill_table(
    seeds: NDArray[np.uint64],
    first: NDArray[np.int64],
    count: NDArray[np.int64],
    keys: NDArray[np.uint64],
    bits: NDArray[np.uint64],
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    for number in range(len(seeds)):
        place = add(keys, seeds[number])
        starts[place], counts[place] = first[number], count[number]
        bit = seeds[number] >> np.uint64(64 - FILTER_BITS)
        bits[bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))


def collect_hits(hashes: NDArray[np.uint64], offsets: NDArray[np.int64], seeds: Postings) -> NDArray[np.int64]:
    """Rows of document, item, and the word of the document at which the item would begin; shape (hits, 3)."""
    room = 1024
    while True:
        hits = np.empty((room, 3), dtype=np.int64)
        count = _collect(
            hashes, offsets, seeds.size, seeds.keys, seeds.filter, seeds.starts, seeds.counts, seeds.items,
            seeds.places, hits,
        )  # fmt: skip
        if count <= room:
            return hits[:count]
        room = count


@kernel
def _collect(
    hashes: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    size: int,
    keys: NDArray[np.uint64],
    bits: NDArray[np.uint64],
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    items: NDArray[np.int64],
    places: NDArray[np.int64],
    hits: NDArray[np.int64],
) -> int:
    """Fill `hits` as far as it reaches; how many there are."""
    found = 0
    oldest = np.uint64(1)
    for _ in range(size):
        oldest *= MULTIPLIER
    for document in range(len(offsets) - 1):
        value = np.uint64(0)
        for word in range(offsets[document], offsets[document + 1]):
            value = value * MULTIPLIER + hashes[word]
            begin = word - size + 1
            if begin < offsets[document]:
                continue
            if begin > offsets[document]:
                value -= oldest * hashes[begin - 1]
            seed = finished(value)
            bit = seed >> np.uint64(64 - FILTER_BITS)
            if (bits[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1) == 0:
                continue
            place = find(keys, seed)
            if place < 0:
                continue
            for entry in range(starts[place], starts[place] + counts[place]):
                if found < len(hits):
                    hits[found, 0], hits[found, 1] = document, items[entry]
                    hits[found, 2] = begin - places[entry]
                found += 1
    return found


def grouped_hits(hits: NDArray[np.int64], enough: int) -> NDArray[np.int64]:
    """Places where at least so many seeds of an item lie at the right distance from each other, shape (places, 3)."""
    order = np.lexsort((hits[:, 2], hits[:, 1], hits[:, 0]))
    rows = hits[order]
    is_new = np.ones(len(rows), dtype=np.bool_)
    is_new[1:] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1) | (np.diff(rows[:, 2]) > NEARBY)
    starts = np.flatnonzero(is_new)
    sizes = np.diff(np.append(starts, len(rows)))
    middles = (starts + sizes // 2)[sizes >= enough]
    found: NDArray[np.int64] = rows[middles]
    return found


def has_enough_words(
    groups: NDArray[np.int64], items: PlainWords, documents: PlainWords, slack: int
) -> NDArray[np.bool_]:
    """Where so many of an item's words stand near the place, in any order, that a closer look is worth it."""
    found = np.zeros(len(groups), dtype=np.bool_)
    _count_words(groups, items.hashes, items.offsets, documents.hashes, documents.offsets, slack, found)
    return found


@allocating_kernel
def _count_words(
    groups: NDArray[np.int64],
    items: NDArray[np.uint64],
    item_offsets: NDArray[np.int64],
    words: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    slack: int,
    found: NDArray[np.bool_],
) -> None:
    for group in range(len(groups)):
        document, item, place = groups[group]
        mine = items[item_offsets[item] : item_offsets[item + 1]]
        extra = 2 + len(mine) // slack
        low = max(offsets[document], place - extra)
        high = min(offsets[document + 1], place + len(mine) + extra)
        table = new_table(high - low)
        for word in range(low, high):
            add(table, words[word])
        seen = 0
        for word in mine:
            seen += find(table, word) >= 0
        found[group] = seen >= ENOUGH_WORDS * len(mine)


def laid_beside(
    groups: NDArray[np.int64], items: PlainWords, documents: PlainWords, slack: int, exact_below: int, long: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The share of each item that stands in order near the place, and the words (from, to) that were looked at.

    Args:
        groups: document, item and place, shape (groups, 3).
        items: of evaluation sets.
        documents: that were searched.
        slack: one word of an item in so many may be too many or too few, and two more.
        exact_below: items with fewer words stand there word for word (1) or do not (0).
        long: items with more words are compared word by word, others letter by letter.
    """
    shares, spans = np.empty(len(groups)), np.empty((len(groups), 2), dtype=np.int64)
    _lay_beside(
        groups, items.texts.data, items.starts, items.ends, items.hashes, items.offsets, documents.texts.data,
        documents.starts, documents.ends, documents.hashes, documents.offsets, slack, exact_below, long, shares, spans,
    )  # fmt: skip
    return shares, spans


@allocating_kernel
def _lay_beside(
    groups: NDArray[np.int64],
    item_data: NDArray[np.uint8],
    item_starts: NDArray[np.int64],
    item_ends: NDArray[np.int64],
    items: NDArray[np.uint64],
    item_offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    words: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    slack: int,
    exact_below: int,
    long: int,
    shares: NDArray[np.float64],
    spans: NDArray[np.int64],
) -> None:
    for group in range(len(groups)):
        document, item, place = groups[group]
        first, last = item_offsets[item], item_offsets[item + 1]
        extra = 2 + (last - first) // slack
        low = max(offsets[document], place - extra)
        high = min(offsets[document + 1], place + last - first + extra)
        if last - first < exact_below:
            begin = _stands_at(items[first:last], words[low:high])
            shares[group] = begin >= 0
            if begin >= 0:
                low, high = low + begin, low + begin + last - first
        elif last - first <= long:
            mine = _letters(item_data, item_starts[first:last], item_ends[first:last])
            shares[group] = edit_share(mine, _letters(data, starts[low:high], ends[low:high]))
        else:
            shares[group] = edit_share(items[first:last], words[low:high])
        spans[group, 0], spans[group, 1] = low, high


@kernel
def _stands_at(item: NDArray[np.uint64], window: NDArray[np.uint64]) -> int:
    """The first place where an item stands word for word, or -1."""
    for start in range(len(window) - len(item) + 1):
        same = 0
        while same < len(item) and window[start + same] == item[same]:
            same += 1
        if same == len(item):
            return start
    return -1


@allocating_kernel
def _letters(data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The code points of words plus 1, so that none is 0."""
    count = 0
    for word in range(len(starts)):
        count += ends[word] - starts[word]
    letters = np.empty(count, dtype=np.uint64)
    count = 0
    for word in range(len(starts)):
        at = starts[word]
        while at < ends[word]:
            point, at = decode_at(data, at)
            letters[count] = point + 1
            count += 1
    return letters[:count]
