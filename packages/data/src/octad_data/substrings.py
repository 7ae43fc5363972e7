"""Exact substrings that occur twice, within a text or across texts, and their removal (Lee et al. 2022).

A window of `min_bytes` is a repeat when the same bytes occurred before it, earlier in the order of texts, in one text
and without overlap. A span is a union of repeats; taking spans out leaves the first occurrence of everything. Two ways
lead to the same spans: a suffix array of texts that fit in memory, and `duplicate_substrings_of_shards` for more.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.hashing import SPREAD, mixed
from octad_data.kernel import allocating_kernel
from octad_data.suffix_array import common_prefixes, suffix_array
from octad_data.texts import Texts

if TYPE_CHECKING:
    import pyarrow as pa

MIN_BYTES = 200  # about 50 tokens, the length that Lee et al. settled on
BYTES_A_WINDOW = 40  # of the second way, for each window held: hash, place, order and copies of them


@dataclass(frozen=True)
class Spans:
    """Stretches of many texts; those of text i are rows `offsets[i] : offsets[i + 1]` of the two others.

    Attributes:
        starts: byte in its text where each begins, ascending in a text; int64.
        ends: byte after its last; a span ends before the next begins.
        offsets: int64, shape (texts + 1,).
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> list[tuple[int, int]]:
        rows = slice(self.offsets[index], self.offsets[index + 1])
        return list(zip(self.starts[rows].tolist(), self.ends[rows].tolist(), strict=True))

    @property
    def num_bytes(self) -> NDArray[np.int64]:
        """Bytes in the spans of each text, shape (texts,)."""
        total = np.concatenate(([0], np.cumsum(self.ends - self.starts)))
        return np.diff(total[self.offsets])


def duplicate_substrings(texts: Texts, min_bytes: int = MIN_BYTES) -> Spans:
    """Spans of bytes that occurred before, cut inwards to whole characters.

    Args:
        texts: all of them; under 2 GB.
        min_bytes: the shortest repeat, >= 1.

    Raises:
        DataError: min_bytes is not positive, or the texts are too large.
    Cost: about 0.2 microseconds and 11 bytes of memory a byte.
    """
    _check(min_bytes)
    data = texts.data[texts.offsets[0] : texts.offsets[-1]]
    bounds = texts.offsets - texts.offsets[0]
    suffixes = suffix_array(data)
    repeats = _mark_repeats(suffixes, common_prefixes(data, suffixes), bounds, min_bytes)
    del suffixes
    return Spans(*_spans(data, bounds, repeats, min_bytes))


def remove_spans(texts: Texts, spans: Spans) -> Texts:
    """The texts without their spans."""
    return Texts(*_without(texts.data, texts.offsets, spans.starts, spans.ends, spans.offsets))


@dataclass(frozen=True)
class CutRepeats:
    """A step that cuts substrings out of `text` that occurred before in the same batch or in the same text.

    What repeats across batches is found by `duplicate_substrings_of_shards`. Adds `repeated_bytes`; a text of which
    nothing but white space is left is dropped by the rule `duplicates.substrings`.

    Attributes:
        min_bytes: the shortest repeat, >= 1.
    """

    min_bytes: int = MIN_BYTES

    def __post_init__(self) -> None:
        _check(self.min_bytes)

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with shorter texts."""
        texts = Texts.from_arrow(batch.column("text"))
        return cut(batch, texts, duplicate_substrings(texts, self.min_bytes), "duplicates.substrings")


def cut(batch: "pa.RecordBatch", texts: Texts, spans: Spans, rule: str) -> "pa.RecordBatch":
    """The batch without spans of its texts, with `repeated_bytes`, and emptied texts dropped by a rule."""
    import pyarrow as pa

    from octad_data.step import drop, with_column

    left = remove_spans(texts, spans)
    emptied = np.array([not text.strip() for text in left]) & (spans.num_bytes > 0)
    # A dropped row keeps its text, so that a report can show what was lost.
    kept = pa.array(
        [old if gone else new for old, new, gone in zip(texts, left, emptied, strict=True)], pa.large_string()
    )
    batch = with_column(with_column(batch, "text", kept), "repeated_bytes", pa.array(spans.num_bytes))
    share = spans.num_bytes / np.maximum(np.diff(texts.offsets), 1)
    return drop(batch, emptied, rule, share)


def duplicate_substrings_of_shards(
    shards: Callable[[], Iterable[Texts]], min_bytes: int, memory_bytes: int, work_folder: str | Path
) -> Iterator[Spans]:
    """Spans of bytes that occurred before, in any shard, in memory that does not grow with the texts.

    Every window has a 64-bit hash, and a pass over all texts looks at the hashes of one range only, as many as fit;
    what a pass finds is a bit a byte in a file. The spans are those of `duplicate_substrings` of all shards at once,
    but for hashes that are equal by chance: n**2 / 2**65 of n windows, one in a corpus of 6 GB.

    Args:
        shards: gives the texts in their order, the same at each call; it is called a few times.
        min_bytes: the shortest repeat, >= 1.
        memory_bytes: to work in, besides one shard and one byte for each of its bytes.
        work_folder: for a byte for each byte of text; removed at the end.

    Raises:
        DataError: min_bytes is not positive, memory is less than 1 MB, or shards differ from call to call.
    Cost: passes = 40 * bytes / memory_bytes, each 2 ns a byte, and 0.2 microseconds a byte once.
    """
    _check(min_bytes)
    if memory_bytes < 1_000_000:
        raise DataError(
            f"memory_bytes={memory_bytes} is less than a megabyte; give what is free, such as 1_000_000_000"
        )
    path = Path(work_folder) / "repeats.bin"
    Path(work_folder).mkdir(parents=True, exist_ok=True)
    sizes = [texts.num_bytes for texts in shards()]
    total = sum(sizes)
    passes = max(-(-total * BYTES_A_WINDOW // memory_bytes), 1)
    try:
        np.zeros(0, np.uint8).tofile(path)
        if total:
            with path.open("r+b") as file:
                file.truncate(total)
        for number in range(passes):
            _mark_pass(shards, sizes, min_bytes, (number, passes), path)
        first = 0
        for texts, size in zip(shards(), sizes, strict=True):
            repeats = np.fromfile(path, np.bool_, count=size, offset=first)
            first += size
            data, bounds = _whole(texts)
            yield Spans(*_spans(data, bounds, repeats, min_bytes))
    finally:
        path.unlink(missing_ok=True)


def _mark_pass(
    shards: Callable[[], Iterable[Texts]], sizes: list[int], min_bytes: int, turn: tuple[int, int], path: Path
) -> None:
    hashes, places, first = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], 0
    for shard, texts in enumerate(shards()):
        if shard == len(sizes) or texts.num_bytes != sizes[shard]:
            raise DataError(f"shard {shard} has other texts than at the first call; give the same at each")
        data, bounds = _whole(texts)
        found = _windows(data, bounds, min_bytes, *turn)
        hashes.append(found[0])
        places.append(found[1] + first)
        first += texts.num_bytes
    joined, positions = np.concatenate(hashes), np.concatenate(places)
    order = np.argsort(joined, kind="stable")  # places ascend, and so they do among equals
    marked = np.sort(_later(joined[order], positions[order], min_bytes))
    if not len(marked):
        return
    first = 0
    with path.open("r+b") as file:
        for size in sizes:
            mine = marked[np.searchsorted(marked, first) : np.searchsorted(marked, first + size)] - first
            if len(mine):
                repeats = np.fromfile(path, np.uint8, count=size, offset=first)
                repeats[mine] = 1
                file.seek(first)
                file.write(repeats.tobytes())
                file.flush()
            first += size


def _whole(texts: Texts) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    return texts.data[texts.offsets[0] : texts.offsets[-1]], texts.offsets - texts.offsets[0]


def _check(min_bytes: int) -> None:
    if min_bytes < 1:
        raise DataError(f"min_bytes={min_bytes} is not positive; use {MIN_BYTES}")


@allocating_kernel
def _mark_repeats(
    suffixes: NDArray[np.int32], shared: NDArray[np.int32], bounds: NDArray[np.int64], min_bytes: int
) -> NDArray[np.bool_]:
    """Whether the window at each place occurred before, in one text and without overlap."""
    size = len(suffixes)
    room = np.zeros(size, dtype=np.bool_)  # a window fits in the text
    for text in range(len(bounds) - 1):
        room[bounds[text] : max(bounds[text + 1] - min_bytes + 1, bounds[text])] = True
    start = 0
    while start < size:
        end = start + 1
        while end < size and shared[suffixes[end]] >= min_bytes:
            end += 1
        earliest = size
        for at in range(start, end):
            if room[suffixes[at]]:
                earliest = min(earliest, int(np.int64(suffixes[at])))
        for at in range(start, end):
            place = int(np.int64(suffixes[at]))
            room[place] = room[place] and place >= earliest + min_bytes
        start = end
    return room


@allocating_kernel
def _windows(
    data: NDArray[np.uint8], bounds: NDArray[np.int64], min_bytes: int, turn: int, turns: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes and places of all windows whose turn it is: polynomials modulo 2**64, stirred."""
    leaving = np.uint64(1)
    for _ in range(min_bytes):
        leaving *= SPREAD
    room = max(len(data) // turns + 1024, 1024)
    hashes, places = np.empty(room, dtype=np.uint64), np.empty(room, dtype=np.int64)
    count = 0
    for text in range(len(bounds) - 1):
        value = np.uint64(0)
        for place in range(bounds[text], bounds[text + 1]):
            value = value * SPREAD + mixed(np.uint64(data[place]) + np.uint64(1))
            first = place - min_bytes + 1
            if first > bounds[text]:
                value -= leaving * mixed(np.uint64(data[first - 1]) + np.uint64(1))
            if first < bounds[text]:
                continue
            stirred = mixed(value)
            if np.int64(stirred >> np.uint64(33)) % turns != turn:
                continue
            if count == len(hashes):
                hashes = np.concatenate((hashes, np.empty(count, dtype=np.uint64)))
                places = np.concatenate((places, np.empty(count, dtype=np.int64)))
            hashes[count], places[count] = stirred, first
            count += 1
    return hashes[:count], places[:count]


@allocating_kernel
def _later(hashes: NDArray[np.uint64], places: NDArray[np.int64], min_bytes: int) -> NDArray[np.int64]:
    """Places of windows that are the same as one that ended before; equal hashes lie together, places ascending."""
    marked = np.empty(len(places), dtype=np.int64)
    count, first = 0, 0
    for at in range(len(places)):
        if hashes[at] != hashes[first]:
            first = at
        if places[at] >= places[first] + min_bytes:
            marked[count] = places[at]
            count += 1
    return marked[:count]


@allocating_kernel
def _spans(
    data: NDArray[np.uint8], bounds: NDArray[np.int64], repeats: NDArray[np.bool_], min_bytes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Unions of repeats, cut inwards to where characters begin."""
    room = len(data) // min_bytes + 1
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    offsets = np.zeros(len(bounds), dtype=np.int64)
    count = 0
    for text in range(len(bounds) - 1):
        base, place = bounds[text], bounds[text]
        while place < bounds[text + 1]:
            if not repeats[place]:
                place += 1
                continue
            start, end = place, place + min_bytes
            while place < bounds[text + 1] and place <= end:  # touching spans are one
                if repeats[place]:
                    end = place + min_bytes
                place += 1
            while start < end and data[start] & 0xC0 == 0x80:
                start += 1
            while end > start and end < bounds[text + 1] and data[end] & 0xC0 == 0x80:
                end -= 1
            if start < end:
                starts[count], ends[count] = start - base, end - base
                count += 1
        offsets[text + 1] = count
    return starts[:count], ends[:count], offsets


@allocating_kernel
def _without(
    data: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    left = np.empty(bounds[-1] - bounds[0] - (ends - starts).sum(), dtype=np.uint8)
    places = np.zeros(len(bounds), dtype=np.int64)
    at = 0
    for text in range(len(bounds) - 1):
        place = bounds[text]
        for span in range(offsets[text], offsets[text + 1]):
            size = bounds[text] + starts[span] - place
            left[at : at + size] = data[place : place + size]
            at += size
            place = bounds[text] + ends[span]
        size = bounds[text + 1] - place
        left[at : at + size] = data[place : place + size]
        at += size
        places[text + 1] = at
    return left, places
