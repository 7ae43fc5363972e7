"""Byte-pair encoding (Sennrich et al. 2016) over bytes (Radford et al. 2019): encode and decode."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from pathlib import Path
from types import MappingProxyType

from octad_tokenizer import huggingface
from octad_tokenizer.base import BaseTokenizer
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.merge import apply_merges
from octad_tokenizer.patterns import GPT2, PreTokenizer
from octad_tokenizer.special import special_ids, utf8
from octad_tokenizer.streaming import TextBuffer

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
        ordinary, special = _separated(vocabulary, special_tokens)
        _check_vocabulary(ordinary)
        super().__init__({token_id: token for token, token_id in ordinary.items()}, special)
        self._vocabulary = ordinary
        self._merges = tuple((left, right) for left, right in merges)
        self._ranks, self._products = _merge_table(ordinary, self._merges)
        self._pre_tokenizer = PreTokenizer(pattern)
        self._ignore_merges = ignore_merges
        self._byte_ids = [ordinary[bytes([byte])] for byte in range(256)]
        self._cache = _PieceCache(self)
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

    def _encode_text(self, text: str) -> list[int]:
        """In blocks, so that the pre-tokens of a long text are not all in memory at once."""
        if len(text) <= _BLOCK:
            return self._encode_block(text)
        buffer = TextBuffer(self._last_cut)
        ids: list[int] = []
        for start in range(0, len(text), _BLOCK):
            ids += self._encode_block(buffer.push(text[start : start + _BLOCK]))
        return ids + self._encode_block(buffer.flush())

    def _encode_block(self, text: str) -> list[int]:
        pieces = self._pre_tokenizer.split(text)
        return list(chain.from_iterable(map(self._cache.__getitem__, pieces)))

    def merge_bytes(self, data: bytes) -> list[int]:
        """The ids of one pre-token given as bytes, which need not be whole characters."""
        if self._ignore_merges and data in self._vocabulary:
            return [self._vocabulary[data]]
        byte_ids = self._byte_ids
        return apply_merges([byte_ids[byte] for byte in data], self._ranks, self._products)

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


def _separated(
    vocabulary: Mapping[bytes, int], special_tokens: Mapping[str, int] | Sequence[str]
) -> tuple[dict[bytes, int], dict[str, int]]:
    """The ordinary and the special part of a vocabulary that may list both."""
    ordinary = dict(vocabulary)
    first_free = max((i for i in ordinary.values() if isinstance(i, int)), default=-1) + 1
    if isinstance(special_tokens, Mapping):
        special = dict(special_tokens)
        listed = {name for name, token_id in special.items() if ordinary.get(utf8(name)) == token_id}
    else:
        listed = {name for name in special_tokens if utf8(name) in ordinary and len(utf8(name)) > 1}
        special = special_ids([name for name in special_tokens if name not in listed], first_free)
        special |= {name: ordinary[utf8(name)] for name in listed}
    for name in listed:
        del ordinary[utf8(name)]
    return ordinary, dict(sorted(special.items(), key=lambda item: item[1]))


def _check_vocabulary(vocabulary: Mapping[bytes, int]) -> None:
    for token, token_id in vocabulary.items():
        if not isinstance(token, bytes) or not token:
            raise TokenizerError(f"vocabulary holds {token!r}; a token is non-empty bytes")
        if not isinstance(token_id, int) or token_id < 0:
            raise TokenizerError(f"token {token!r} has id {token_id!r}; an id is an int >= 0")
    if len(set(vocabulary.values())) != len(vocabulary):
        raise TokenizerError(f"{len(vocabulary)} tokens have {len(set(vocabulary.values()))} ids; give each its own")
    if missing := [byte for byte in range(256) if bytes([byte]) not in vocabulary]:
        raise TokenizerError(
            f"vocabulary lacks {len(missing)} of the 256 single bytes, first {bytes(missing[:1])!r}; "
            "without them some text has no tokens: add them"
        )


def _merge_table(
    vocabulary: Mapping[bytes, int], merges: Sequence[tuple[bytes, bytes]]
) -> tuple[dict[tuple[int, int], int], list[int]]:
    """Rank of each pair of ids, and the id that the merge of each rank makes."""
    ranks: dict[tuple[int, int], int] = {}
    products: list[int] = []
    for rank, (left, right) in enumerate(merges):
        for token in (left, right, left + right):
            if token not in vocabulary:
                raise TokenizerError(f"merge {rank} ({left!r}, {right!r}) needs {token!r} in the vocabulary; add it")
        ranks[vocabulary[left], vocabulary[right]] = rank
        products.append(vocabulary[left + right])
    return ranks, products
