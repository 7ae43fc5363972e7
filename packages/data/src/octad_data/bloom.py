"""A set in little memory that may say yes by mistake, never no (Bloom 1970), and duplicates of a stream by it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.hashing import SPREAD, mixed
from octad_data.kernel import allocating_kernel, kernel
from octad_data.pieces import check_kind, pieces_of
from octad_data.shingles import Shingler
from octad_data.texts import Texts

if TYPE_CHECKING:
    import pyarrow as pa

WORD_BITS = 64
FORMAT = 1


class BloomFilter:
    """A set of 64-bit hashes in m bits; with n members a stranger is taken for one with chance (1 - e**(-kn/m))**k.

    Args:
        num_bits: m, rounded up to a multiple of 64.
        num_hashes: k, bits set for each member.
        seed: of the bits; only filters of one seed can be merged.

    Raises:
        DataError: a number is not positive.
    """

    def __init__(self, num_bits: int, num_hashes: int, seed: int = 0) -> None:
        if num_bits < 1 or num_hashes < 1:
            raise DataError(f"num_bits={num_bits}, num_hashes={num_hashes}: both must be positive; use `sized`")
        self.words = np.zeros(-(-num_bits // WORD_BITS), dtype=np.uint64)
        self.num_hashes = num_hashes
        self.seed = seed

    @classmethod
    def sized(cls, capacity: int, false_positive_rate: float = 0.001, seed: int = 0) -> "BloomFilter":
        """The smallest filter that errs at this rate once it has `capacity` members: m = -n ln(p) / ln(2)**2.

        Raises:
            DataError: capacity is not positive or the rate is not in (0, 1).
        """
        if capacity < 1 or not 0 < false_positive_rate < 1:
            raise DataError(
                f"capacity={capacity}, false_positive_rate={false_positive_rate}: use a count >= 1 and a rate in (0, 1)"
            )
        num_bits = math.ceil(-capacity * math.log(false_positive_rate) / math.log(2) ** 2)
        return cls(num_bits, max(round(num_bits / capacity * math.log(2)), 1), seed)

    @property
    def num_bits(self) -> int:
        """M."""
        return len(self.words) * WORD_BITS

    @property
    def fill(self) -> float:
        """Share of bits that are set; half of them at the capacity that the filter was sized for."""
        bits = np.unpackbits(self.words.view(np.uint8))  # numpy 1 cannot count them
        return int(bits.sum(dtype=np.int64)) / self.num_bits

    @property
    def false_positive_rate(self) -> float:
        """Chance that a stranger is taken for a member now: fill**k."""
        return float(self.fill**self.num_hashes)

    def add(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Put in each hash in turn; whether it was there before, by an earlier one of the same call too."""
        return _add(self.words, hashes, self.num_hashes, np.uint64(self.seed % 2**64))

    def contains(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Whether each hash is a member; shape (len(hashes),)."""
        return _contains(self.words, hashes, self.num_hashes, np.uint64(self.seed % 2**64))

    def merge(self, other: "BloomFilter") -> None:
        """Take in the members of another.

        Raises:
            DataError: it has another size or seed.
        """
        ours, theirs = ((f.num_bits, f.num_hashes, f.seed) for f in (self, other))
        if ours != theirs:
            raise DataError(f"filters of (bits, hashes, seed) {ours} and {theirs} cannot be merged; make them alike")
        self.words |= other.words

    def save(self, path: str | Path) -> None:
        """Write a file that `load` reads; a file of that name is replaced once the new one is whole."""
        path = Path(path)
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            header = np.array([FORMAT, self.num_hashes, self.seed % 2**64], dtype=np.uint64)
            np.savez(file, header=header, words=self.words)
        part.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> "BloomFilter":
        """Read a saved filter.

        Raises:
            DataError: the file is not one.
        """
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                version, num_hashes, seed = arrays["header"].tolist()
                words = arrays["words"]
        except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, BadZipFile) as error:
            raise DataError(f"not a Bloom filter: {path}: {error}") from None
        if version != FORMAT or words.dtype != np.uint64 or words.ndim != 1 or not len(words):
            raise DataError(f"not a Bloom filter: {path}: version {version}, {words.dtype} {words.shape}")
        made = cls(1, num_hashes, seed)
        made.words = words
        return made


@dataclass
class StreamDuplicates:
    """Takes paragraphs and documents out of a stream whose word n-grams were mostly seen before.

    A paragraph goes when at least `threshold` of its n-grams are in the filter, a document (rule `duplicates.bloom`)
    when that share of all its n-grams is. What stays is put in. The result depends on the order of the stream, and
    nothing is compared twice: this is for streams that are too long for anything else, and for removing what is in
    another corpus. Pieces of fewer words than an n-gram stay.

    Attributes:
        filter: of the n-grams seen so far; sized for all of them, about one a word.
        ngram: words in an n-gram, >= 1.
        threshold: in (0, 1].
        kind: `paragraph` or `line`.
        learn: put what stays into the filter; False removes only what a given filter holds.

    Source: the BFF rule of DCLM (Li et al. 2024, arXiv 2406.11794), with its 13-grams and 0.8.
    """

    filter: BloomFilter
    ngram: int = 13
    threshold: float = 0.8
    kind: str = "line"
    learn: bool = True

    def __post_init__(self) -> None:
        check_kind(self.kind)
        if self.ngram < 1 or not 0 < self.threshold <= 1:
            raise DataError(f"ngram={self.ngram}, threshold={self.threshold}: use ngram >= 1 and a share in (0, 1]")

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch without repeated paragraphs, and with repeated documents dropped."""
        import pyarrow as pa

        from octad_data.step import drop, with_column

        texts = Texts.from_arrow(batch.column("text"))
        found = seen_before(texts, self)
        dropped = found.share >= self.threshold
        kept = [
            texts[row]
            if dropped[row] or not found.goes[first:last].any()
            else "".join(found.pieces[place] for place in range(first, last) if not found.goes[place])
            for row, (first, last) in enumerate(zip(found.rows[:-1].tolist(), found.rows[1:].tolist(), strict=True))
        ]
        batch = with_column(batch, "text", pa.array(kept, pa.large_string()))
        return drop(batch, dropped, "duplicates.bloom", found.share)


class Seen(NamedTuple):
    """What a stream has seen before of some texts.

    Attributes:
        pieces: lines or paragraphs of all texts, end to end.
        rows: where those of each text begin, and the end.
        goes: of each piece, whether it goes.
        share: of the n-grams of each text, those seen before.
    """

    pieces: Texts
    rows: NDArray[np.int64]
    goes: NDArray[np.bool_]
    share: NDArray[np.float64]


def seen_before(texts: Texts, stream: StreamDuplicates) -> Seen:
    """Look the texts up in the stream's filter, in their order; what stays is put into it where the stream learns."""
    pieces, rows = pieces_of(texts, stream.kind)
    shingles = Shingler(stream.ngram).sets(pieces)
    is_long = np.diff(Shingler(1).sets(pieces).offsets) >= stream.ngram
    words, num_hashes, seed = stream.filter.words, stream.filter.num_hashes, np.uint64(stream.filter.seed % 2**64)
    goes, share = _seen_before(
        shingles.shingles, shingles.offsets, is_long, rows, words, num_hashes, seed, stream.threshold, stream.learn
    )
    return Seen(pieces, rows, goes, share)


@kernel
def _bit(hash_: np.uint64, number: int, seed: np.uint64, size: int) -> int:
    return int(np.int64(mixed(hash_ + seed + np.uint64(number + 1) * SPREAD) % np.uint64(size)))


@kernel
def _holds(words: NDArray[np.uint64], hash_: np.uint64, num_hashes: int, seed: np.uint64) -> bool:
    for number in range(num_hashes):
        bit = _bit(hash_, number, seed, len(words) * WORD_BITS)
        if words[bit >> 6] >> np.uint64(bit & 63) & np.uint64(1) == 0:
            return False
    return True


@kernel
def _put(words: NDArray[np.uint64], hash_: np.uint64, num_hashes: int, seed: np.uint64) -> None:
    for number in range(num_hashes):
        bit = _bit(hash_, number, seed, len(words) * WORD_BITS)
        words[bit >> 6] |= np.uint64(1) << np.uint64(bit & 63)


@allocating_kernel
def _add(words: NDArray[np.uint64], hashes: NDArray[np.uint64], num_hashes: int, seed: np.uint64) -> NDArray[np.bool_]:
    known = np.zeros(len(hashes), dtype=np.bool_)
    for place in range(len(hashes)):
        known[place] = _holds(words, hashes[place], num_hashes, seed)
        if not known[place]:
            _put(words, hashes[place], num_hashes, seed)
    return known


@allocating_kernel
def _contains(
    words: NDArray[np.uint64], hashes: NDArray[np.uint64], num_hashes: int, seed: np.uint64
) -> NDArray[np.bool_]:
    known = np.zeros(len(hashes), dtype=np.bool_)
    for place in range(len(hashes)):
        known[place] = _holds(words, hashes[place], num_hashes, seed)
    return known


@allocating_kernel
def _seen_before(
    hashes: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    is_long: NDArray[np.bool_],
    rows: NDArray[np.int64],
    words: NDArray[np.uint64],
    num_hashes: int,
    seed: np.uint64,
    threshold: float,
    learn: bool,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which pieces go, and what share of each text's n-grams was seen; what stays is learnt text by text."""
    goes = np.zeros(len(is_long), dtype=np.bool_)
    shares = np.zeros(len(rows) - 1, dtype=np.float64)
    for row in range(len(rows) - 1):
        total_seen, total = 0, 0
        for piece in range(rows[row], rows[row + 1]):
            if not is_long[piece]:
                continue
            seen = 0
            for place in range(offsets[piece], offsets[piece + 1]):
                seen += _holds(words, hashes[place], num_hashes, seed)
            count = offsets[piece + 1] - offsets[piece]
            goes[piece] = seen >= threshold * count
            total_seen, total = total_seen + seen, total + count
            if learn and not goes[piece]:  # at once, so that a text that repeats itself is found
                for place in range(offsets[piece], offsets[piece + 1]):
                    _put(words, hashes[place], num_hashes, seed)
        shares[row] = total_seen / max(total, 1)
    return goes, shares
