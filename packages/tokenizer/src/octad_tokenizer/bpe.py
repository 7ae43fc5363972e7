"""Byte-pair encoding (Sennrich et al. 2016) over bytes (Radford et al. 2019): encode and decode."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from pathlib import Path
from random import Random
from types import MappingProxyType

from octad_tokenizer import huggingface, native
from octad_tokenizer.base import BaseTokenizer
from octad_tokenizer.bpe_checks import check_vocabulary, checked_merges, merge_ids, separated
from octad_tokenizer.bpe_engine import EngineEncoder
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.merge import apply_merges, merge_with_dropout
from octad_tokenizer.patterns import GPT2, PreTokenizer
from octad_tokenizer.protocol import AllowedSpecial
from octad_tokenizer.special import checked_text, checked_texts, utf8
from octad_tokenizer.streaming import TextBuffer
from octad_tokenizer.token_file import FileChunks, array_of, blocks_of, item_type, write_blocks

_CACHED_PIECES = 1 << 17
_CACHED_LENGTH = 64
_BLOCK = 1 << 20


class BytePairTokenizer(BaseTokenizer):
    """Splits text into pre-tokens, each into bytes, and merges neighbours, the earliest merge first.

    No text is lost: every byte is a token. Encoding remembers up to 131,072 short pre-tokens.

    Args:
        vocabulary: bytes to id; all 256 single bytes must be there.
        merges: pairs of tokens, earliest (strongest) first; their parts and products must be in `vocabulary`.
        special_tokens: name to id; or names, which get the ids they have in `vocabulary` or the next free ones.
        pattern: the pre-tokens' regular expression, see `octad_tokenizer.patterns`.
        ignore_merges: a pre-token that is in the vocabulary is that token, even if no merges lead to it.

    Raises:
        TokenizerError: a rule above is broken.

    Cost: O(n log n) for a pre-token of n bytes; on ordinary text the regular expression and one look-up a pre-token.
    """

    def __init__(
        self,
        vocabulary: Mapping[bytes, int],
        merges: Sequence[tuple[bytes, bytes]],
        special_tokens: Mapping[str, int] | Sequence[str] = (),
        pattern: str = GPT2,
        *,
        ignore_merges: bool = False,
    ) -> None:
        ordinary, special = separated(vocabulary, special_tokens)
        check_vocabulary(ordinary)
        super().__init__({token_id: token for token, token_id in ordinary.items()}, special)
        self._vocabulary = ordinary
        self._merges = checked_merges(merges)
        self._merge_ids = merge_ids(ordinary, self._merges)
        self._pre_tokenizer = PreTokenizer(pattern)
        self._ignore_merges = ignore_merges
        self._byte_ids = [ordinary[bytes([byte])] for byte in range(256)]
        self._ranks: dict[tuple[int, int], int] = {}
        self._cache = _PieceCache(self)
        self._encoder: EngineEncoder | None = None
        self._is_beyond_engine = False
        self._fingerprint = ""

    @property
    def vocabulary(self) -> Mapping[bytes, int]:
        """Bytes to id of the ordinary tokens."""
        return MappingProxyType(self._vocabulary)

    @property
    def merges(self) -> tuple[tuple[bytes, bytes], ...]:
        """The pairs of tokens that become one, earliest first."""
        return self._merges

    @property
    def pattern(self) -> str:
        """The regular expression of the pre-tokens."""
        return self._pre_tokenizer.pattern

    @property
    def ignore_merges(self) -> bool:
        """Whether a pre-token that is in the vocabulary is taken whole."""
        return self._ignore_merges

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides ids: equal fingerprints, equal ids for every text."""
        if not self._fingerprint:
            import hashlib  # 6 ms, which few programs need

            content = [
                sorted((token_id, token.hex()) for token, token_id in self._vocabulary.items()),
                [(left.hex(), right.hex()) for left, right in self._merges],
                sorted((token_id, name) for name, token_id in self.special_tokens.items()),
                self.pattern,
                self._ignore_merges,
            ]
            canonical = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
            self._fingerprint = hashlib.sha256(canonical.encode()).hexdigest()
        return self._fingerprint

    def offsets(self, ids: Iterable[int]) -> list[tuple[int, int]]:
        """Where each token lies in the UTF-8 bytes of the text: (start, stop).

        Raises:
            TokenizerError: an unknown id.
        """
        ends = accumulate((len(self.token_bytes(token_id)) for token_id in ids), initial=0)
        return list(pairwise(ends))

    def character_offsets(self, ids: Iterable[int]) -> list[tuple[int, int]]:
        """Which characters of the text each token touches: (start, stop); those cut by a border belong to both sides.

        Raises:
            TokenizerError: an unknown id.
        """
        offsets, begun = [], 0  # how many characters have begun before the token
        for token in map(self.token_bytes, ids):
            after = begun + sum(byte & 0xC0 != 0x80 for byte in token)
            offsets.append((begun - (token[0] & 0xC0 == 0x80), after))
            begun = after
        return offsets

    def _engine(self) -> EngineEncoder | None:
        """The C engine with this vocabulary; None where there is none, so that the code below does the work."""
        if native.engine_or_warn() is None or self._is_beyond_engine:
            return None
        if self._encoder is None:
            try:
                self._encoder = EngineEncoder.build(
                    self._vocabulary, self._merge_ids, self._special, self.pattern, self._ignore_merges
                )
            except MemoryError:  # under a limit of memory the reference may still do, slowly
                return None
            self._is_beyond_engine = self._encoder is None
        return self._encoder

    def _splitting_engine(self) -> EngineEncoder | None:
        """The engine, if it knows the pattern."""
        engine = self._engine()
        return engine if engine is not None and engine.splits else None

    def encode(self, text: str, *, allowed_special: AllowedSpecial = "all") -> list[int]:
        """The ids of `text`; see `BaseTokenizer.encode`.

        The engine reads the UTF-8 form of `text`, which Python keeps with a text that is not ASCII as long as it lives.
        """
        engine = self._splitting_engine()
        if engine is None:
            return super().encode(text, allowed_special=allowed_special)
        return engine.encode(checked_text(text), self._special.allowed(allowed_special))

    def encode_to_array(self, text: str, *, allowed_special: AllowedSpecial = "all") -> array[int]:
        """The ids of `text` as an array of unsigned 4-byte integers, which NumPy and PyTorch read without a copy.

        Raises:
            TokenizerError: as `encode`; or an id needs more than 4 bytes.
        """
        engine = self._splitting_engine()
        if engine is None:
            return array_of(self.encode(text, allowed_special=allowed_special))
        return engine.encode_to_array(checked_text(text), self._special.allowed(allowed_special))

    def count(self, text: str, *, allowed_special: AllowedSpecial = "all") -> int:
        """`len(encode(text))`, without the list."""
        engine = self._splitting_engine()
        if engine is None:
            return len(self.encode(text, allowed_special=allowed_special))
        return engine.count(checked_text(text), self._special.allowed(allowed_special))

    def encode_batch(
        self, texts: Iterable[str], *, allowed_special: AllowedSpecial = "all", threads: int | None = None
    ) -> list[list[int]]:
        """The ids of each text.

        Args:
            texts: any number of texts.
            allowed_special: as in `encode`.
            threads: at most so many, if there is enough work for them; all processors if left out.

        Raises:
            TokenizerError: as `encode`; `texts` is one str, or `threads` is less than 1.
        """
        engine = self._splitting_engine()
        if engine is None:
            return super().encode_batch(texts, allowed_special=allowed_special)
        return engine.encode_batch(checked_texts(texts), self._special.allowed(allowed_special), threads)

    def encode_batch_to_array(
        self, texts: Iterable[str], *, allowed_special: AllowedSpecial = "all", threads: int | None = None
    ) -> tuple[array[int], array[int]]:
        """The ids of all texts in one array, and where the ids of each text end in it (8-byte integers).

        Arguments and errors are those of `encode_batch`.
        """
        engine = self._splitting_engine()
        if engine is not None:
            return engine.encode_batch_to_array(checked_texts(texts), self._special.allowed(allowed_special), threads)
        lists = super().encode_batch(texts, allowed_special=allowed_special)
        return array_of(list(chain.from_iterable(lists))), array("Q", accumulate(map(len, lists)))

    def _encode_stream(self, chunks: Iterable[str | bytes], allowed: frozenset[str]) -> Iterator[int]:
        engine = self._splitting_engine()
        if engine is None:
            return super()._encode_stream(chunks, allowed)
        return engine.ints(chunks, allowed)

    def encode_blocks(
        self, chunks: Iterable[str | bytes], *, allowed_special: AllowedSpecial = "all"
    ) -> Iterator[array[int]]:
        """`encode_iterable` in arrays of some thousand ids, which is faster by far where ids go to a file or tensor.

        Raises:
            TokenizerError: as `encode_iterable`; or an id needs more than 4 bytes.
        """
        allowed = self._special.allowed(allowed_special)
        engine = self._splitting_engine()
        if engine is not None:
            return filter(len, engine.arrays(chunks, allowed))
        return blocks_of(super()._encode_stream(chunks, allowed))

    def encode_file(
        self,
        path: str | Path,
        out: str | Path,
        *,
        dtype: str = "uint32",
        allowed_special: AllowedSpecial = "all",
        progress: Callable[[int, int], object] | None = None,
    ) -> int:
        """Write the ids of a UTF-8 file, one after another in the machine's byte order; return how many there are.

        Args:
            path: the text.
            out: the file of ids; it is there completely or not at all.
            dtype: "uint32" or, for vocabularies up to 65,536, "uint16".
            allowed_special: as in `encode`.
            progress: called now and then with the bytes done and all bytes.

        Raises:
            TokenizerError: the file is not UTF-8, `dtype` is unknown or too small, or as `encode`.
            OSError: a file cannot be read or written.

        Memory: constant, as `encode_iterable`.
        """
        item = item_type(dtype, self.vocab_size)
        with FileChunks(Path(path), progress) as chunks:
            return write_blocks(self.encode_blocks(chunks, allowed_special=allowed_special), Path(out), item)

    def encode_with_dropout(
        self, text: str, dropout: float, *, seed: int, allowed_special: AllowedSpecial = "all"
    ) -> list[int]:
        """Ids of `text` by BPE-dropout: each merge that is due is left out with probability `dropout`, each time anew.

        Args:
            text: as in `encode`.
            dropout: 0 gives `encode` (but for `ignore_merges`, which is not looked at), 1 single bytes.
            seed: equal seeds, equal ids.
            allowed_special: as in `encode`.

        Raises:
            TokenizerError: as `encode`; or `dropout` is not from 0 to 1.

        Source: Provilkov et al. 2020 (arXiv 1910.13267), algorithm 1.
        """
        if not 0 <= dropout <= 1:
            raise TokenizerError(f"dropout={dropout} is no probability; choose one from 0 to 1, such as 0.1")
        random = Random(seed)
        ids: list[int] = []
        for piece, special_id in self._special.split(checked_text(text), self._special.allowed(allowed_special)):
            for pre_token in self._pre_tokenizer.split(piece) if piece else ():
                start = [self._byte_ids[byte] for byte in utf8(pre_token)]
                ids += merge_with_dropout(start, self._rank_table(), self._merge_ids[2], dropout, random)
            if special_id is not None:
                ids.append(special_id)
        return ids

    def _encode_text(self, text: str) -> list[int]:
        """In blocks, so that the pre-tokens of a long text are not all in memory at once."""
        engine = self._splitting_engine()
        if engine is not None:
            return engine.encode(text, frozenset())
        if len(text) <= _BLOCK:
            return self._encode_block(text)
        buffer = TextBuffer(self._last_cut)
        ids: list[int] = []
        for start in range(0, len(text), _BLOCK):
            ids += self._encode_block(buffer.push(text[start : start + _BLOCK]))
        return ids + self._encode_block(buffer.flush())

    def _encode_block(self, text: str) -> list[int]:
        pieces = self._pre_tokenizer.split(text)
        engine = self._engine()
        if engine is not None:
            try:
                return engine.encode_pieces(pieces)
            except UnicodeEncodeError:
                utf8(text)
                raise
        return list(chain.from_iterable(map(self._cache.__getitem__, pieces)))

    def pre_tokens(self, text: str) -> list[str]:
        """The pieces of `text` that merges never cross; special tokens in it are plain text."""
        return self._pre_tokenizer.split(checked_text(text)) if text else []

    def merge_bytes(self, data: bytes) -> list[int]:
        """The ids of one pre-token given as bytes, which need not be whole characters."""
        engine = self._engine()
        if engine is not None:
            return engine.merge_bytes(data)
        if self._ignore_merges and data in self._vocabulary:
            return [self._vocabulary[data]]
        byte_ids = self._byte_ids
        return apply_merges([byte_ids[byte] for byte in data], self._rank_table(), self._merge_ids[2])

    def _rank_table(self) -> dict[tuple[int, int], int]:
        if not self._ranks:
            left, right, _ = self._merge_ids
            self._ranks = {pair: rank for rank, pair in enumerate(zip(left, right, strict=True))}
        return self._ranks

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "_encoder": None, "_ranks": {}}

    def _last_cut(self, text: str) -> int | None:
        return self._pre_tokenizer.last_cut(text)

    def save(self, path: str | Path) -> Path:
        """Write Hugging Face's `tokenizer.json`, completely or not at all; return where it is.

        Args:
            path: a name that ends in `.json`, or a folder (made if need be) which gets a `tokenizer.json`.

        Raises:
            TokenizerError: a special token is spelled as an ordinary token is, which the format cannot tell apart.
            OSError: the file cannot be written.
        """
        return huggingface.write(self, path)

    @classmethod
    def load(cls, path: str | Path, *, ignore: Iterable[str] = ()) -> BytePairTokenizer:
        """Read a `tokenizer.json`, ours or any that holds a byte-level BPE.

        All added tokens become special tokens, also those that the file does not call special.

        Args:
            path: the file, or the folder that holds it.
            ignore: parts to do without though they change ids or text: "normalizer", "post_processor" (which adds
                special tokens at the ends), "added_token_options".

        Raises:
            TokenizerError: the file is no byte-level BPE, or has a part we would have to drop; it names the part.
            OSError: there is no such file.
        """
        return cls(**huggingface.read(path, frozenset(ignore)))


class _PieceCache(dict[str, list[int]]):
    """Pre-token to ids; computes what is missing, keeps what is short, forgets all when it is full."""

    def __init__(self, tokenizer: BytePairTokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, piece: str) -> list[int]:
        ids = self._tokenizer.merge_bytes(utf8(piece))
        if len(piece) <= _CACHED_LENGTH:
            if len(self) >= _CACHED_PIECES:
                self.clear()
            self[piece] = ids
        return ids

    def __reduce__(self) -> tuple[type[_PieceCache], tuple[BytePairTokenizer]]:
        return _PieceCache, (self._tokenizer,)
