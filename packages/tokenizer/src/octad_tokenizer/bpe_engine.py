"""Byte-pair encoding by the C engine: the same ids as `merge.py` gives, from tables that are built once."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from octad_tokenizer import native
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.native import packed
from octad_tokenizer.patterns import engine_pattern
from octad_tokenizer.special import SpecialTokens, utf8
from octad_tokenizer.streaming import not_utf8

if TYPE_CHECKING:
    from octad_tokenizer._engine import Encoder, Specials

_WHOLE_TEXT = 5
_CHUNK = 1 << 16
_BYTES_A_THREAD = 1 << 19


class EngineEncoder:
    """The C encoder of one vocabulary, and the special tokens by which of them are allowed.

    Args:
        encoder: the C object.
        special: the special tokens.
        splits: whether the engine knows the pattern; if not it is given pre-tokens, by `encode_pieces`.
    """

    def __init__(self, encoder: Encoder, special: SpecialTokens, splits: bool) -> None:
        self._encoder = encoder
        self._special = special
        self._specials: dict[frozenset[str], Specials | None] = {frozenset(): None}
        self.splits = splits
        self.merge_bytes = encoder.merge_bytes
        self.encode_pieces = encoder.encode_pieces

    @classmethod
    def build(
        cls,
        vocabulary: Mapping[bytes, int],
        merges: tuple[Sequence[int], Sequence[int], Sequence[int]],
        special: SpecialTokens,
        pattern: str,
        ignore_merges: bool,
    ) -> EngineEncoder | None:
        """The encoder; None where there is no engine, or where the vocabulary is beyond its range.

        Args:
            vocabulary: bytes to id.
            merges: the ids of the left, the right and the product of each merge.
            special: the special tokens.
            pattern: the pre-tokens' regular expression.
            ignore_merges: as in `BytePairTokenizer`.

        Raises:
            MemoryError: less than some 25 MB are left.
        """
        engine = native.engine_or_warn()
        if engine is None or max(special.ids.values(), default=0) >= 1 << 32:
            return None
        number = engine_pattern(pattern)
        try:
            tokens = packed(vocabulary, vocabulary.values())
            pairs = [array("I", side) for side in merges]
            encoder = engine.Encoder(*tokens, *pairs, _WHOLE_TEXT if number is None else number, ignore_merges)
        except OverflowError:
            return None
        encoder.count("")  # takes the memory of the cache now, before a stream that has to run in constant memory
        return cls(encoder, special, number is not None)

    def encode(self, text: str, allowed: frozenset[str]) -> list[int]:
        """The ids of `text`."""
        try:
            return self._encoder.encode(text, self._specials_of(allowed))
        except UnicodeEncodeError:
            raise _surrogate_error(text) from None

    def encode_to_array(self, text: str, allowed: frozenset[str]) -> array[int]:
        """The ids of `text` as unsigned 4-byte integers."""
        try:
            return self._encoder.encode_to_array(text, self._specials_of(allowed))
        except UnicodeEncodeError:
            raise _surrogate_error(text) from None

    def count(self, text: str, allowed: frozenset[str]) -> int:
        """How many ids `text` has."""
        try:
            return self._encoder.count(text, self._specials_of(allowed))
        except UnicodeEncodeError:
            raise _surrogate_error(text) from None

    def encode_batch(self, texts: list[str], allowed: frozenset[str], threads: int | None) -> list[list[int]]:
        """The ids of each text."""
        parts = self._by_threads(texts, allowed, threads, as_arrays=False)
        return [ids for part in parts for ids in part]

    def encode_batch_to_array(
        self, texts: list[str], allowed: frozenset[str], threads: int | None
    ) -> tuple[array[int], array[int]]:
        """The ids of all texts, and where those of each end."""
        ids, ends = array("I"), array("Q")
        for part_ids, part_ends in self._by_threads(texts, allowed, threads, as_arrays=True):
            before = len(ids)
            ends.extend(before + end for end in part_ends)
            ids += part_ids
        return ids, ends

    def arrays(self, chunks: Iterable[str | bytes], allowed: frozenset[str]) -> Iterator[array[int]]:
        """The ids of the joined chunks, as soon as they are settled; some arrays are empty."""
        stream = self._encoder.stream(self._specials_of(allowed))
        for chunk, is_last in _small_chunks(chunks):
            try:
                ids = stream.push(chunk, is_last)
            except UnicodeError:
                raise _stream_error(chunk) from None
            yield ids

    def ints(self, chunks: Iterable[str | bytes], allowed: frozenset[str]) -> Iterator[int]:
        """The same one by one."""
        return self._encoder.ints(self.arrays(chunks, allowed))

    def _by_threads(self, texts: list[str], allowed: frozenset[str], threads: int | None, *, as_arrays: bool) -> list:  # type: ignore[type-arg]
        specials = self._specials_of(allowed)
        borders = _even_borders(texts, threads)

        def encode(start: int, stop: int) -> object:
            try:
                return self._encoder.encode_batch(texts, start, stop, specials, as_arrays)
            except UnicodeEncodeError:
                for text in texts[start:stop]:
                    utf8(text)
                raise

        if len(borders) <= 2:
            return [encode(borders[0], borders[-1])]
        from concurrent.futures import ThreadPoolExecutor  # 6 ms, which few programs need

        with ThreadPoolExecutor(len(borders) - 1) as pool:
            return list(pool.map(encode, borders[:-1], borders[1:]))

    def _specials_of(self, allowed: frozenset[str]) -> Specials | None:
        if allowed not in self._specials:
            engine = native.engine
            assert engine is not None
            names = sorted(allowed)
            ids = [self._special.ids[name] for name in names]
            self._specials[allowed] = engine.Specials(*packed(map(utf8, names), ids))
        return self._specials[allowed]


def _even_borders(texts: list[str], threads: int | None) -> list[int]:
    """Where to cut the list of texts, so that each thread has about as many characters and enough to be worth it."""
    if threads is not None and threads < 1:
        raise TokenizerError(f"threads={threads} is not at least 1; leave it out to use all processors")
    total = sum(map(len, texts))
    parts = max(1, min(threads or os.cpu_count() or 1, total // _BYTES_A_THREAD, len(texts)))
    borders, seen = [0], 0
    for at, text in enumerate(texts, start=1):
        seen += len(text)
        if seen * parts >= total * len(borders) and len(borders) < parts:
            borders.append(at)
    return [*borders, len(texts)]


def _small_chunks(chunks: Iterable[str | bytes]) -> Iterator[tuple[str | bytes, bool]]:
    """Chunks of a bounded size and whether they are the last, which is empty."""
    for chunk in chunks:
        if not isinstance(chunk, (str, bytes)):
            raise TokenizerError(f"a chunk is str or UTF-8 bytes, not {type(chunk).__name__}")
        if len(chunk) <= _CHUNK:
            yield chunk, False
        else:
            for start in range(0, len(chunk), _CHUNK):
                yield chunk[start : start + _CHUNK], False
    yield "", True


def _stream_error(chunk: str | bytes) -> TokenizerError:
    """A text's lone surrogate, or bytes that are not UTF-8 (before a text, if it is not to blame)."""
    if isinstance(chunk, str):
        try:
            utf8(chunk)
        except TokenizerError as error:
            return error
    return not_utf8()


def _surrogate_error(text: str) -> TokenizerError:
    try:
        utf8(text)
    except TokenizerError as error:
        return error
    raise AssertionError("the engine found a lone surrogate that is not there")
