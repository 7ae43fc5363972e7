"""What SentencePiece's two kinds of tokenizers share: normalised words of pieces, byte pieces, spaces as marks."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence

from octad_tokenizer.base import BaseTokenizer, utf8_decoder
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.framing import T5_FRAMING, Framing
from octad_tokenizer.piece_steps import TextSteps
from octad_tokenizer.protocol import AllowedSpecial
from octad_tokenizer.special import checked_text, special_ids, utf8
from octad_tokenizer.streaming import decoded, stream_segments
from octad_tokenizer.text_steps import METASPACE, Step

_CACHED_WORDS = 1 << 17
_CACHED_LENGTH = 64
_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
_CUT_BACKWARDS = re.compile(r"\w (?=\w)")


class PieceTokenizer(BaseTokenizer):
    """Pieces of normalised text; a subclass says which pieces a word has.

    Args:
        ids: piece to id; a space is written as U+2581.
        unknown: the piece for characters that no other covers, if there is one.
        special_tokens: name to id; or names, which keep the ids they have in `ids` or get the next free ones.
        byte_fallback: what no piece covers becomes pieces `<0x00>` to `<0xFF>`, if all that it needs are there.
        normalizer: as `tokenizer.json` has it.
        pre_tokenizer: as `tokenizer.json` has it; None cuts nowhere.
        framing: what `encode_framed` puts around texts; None is T5's where `</s>` ends texts, or nothing.

    Raises:
        TokenizerError: an id is given twice, or a step cannot be followed.
    """

    def __init__(
        self,
        ids: Mapping[str, int],
        unknown: str | None,
        special_tokens: Mapping[str, int] | Sequence[str],
        *,
        byte_fallback: bool,
        normalizer: Step | None,
        pre_tokenizer: Step | None,
        framing: Framing | None,
    ) -> None:
        special = _special(ids, special_tokens, unknown)
        self._steps = TextSteps(normalizer, pre_tokenizer)
        self._byte_fallback = byte_fallback
        self._byte_ids = _byte_ids(ids, special) if byte_fallback else {}
        texts = {i: utf8(piece.replace(METASPACE, " ")) for piece, i in ids.items() if piece not in special}
        super().__init__(texts | {i: bytes([byte]) for byte, i in self._byte_ids.items()}, special)
        byte_pieces = set(self._byte_ids.values())
        self._ids = {piece: i for piece, i in ids.items() if piece not in special and i not in byte_pieces}
        self._marked = {i for piece, i in self._ids.items() if METASPACE in piece}
        self._unknown = unknown
        self.framing = (T5_FRAMING if "</s>" in special else Framing()) if framing is None else framing
        self._cache: dict[str, list[int]] = {}

    @property
    def byte_fallback(self) -> bool:
        """Whether bytes stand in for characters that no piece covers."""
        return self._byte_fallback

    @property
    def normalizer(self) -> Step | None:
        """The normaliser as `tokenizer.json` has it."""
        return self._steps.normalizer

    @property
    def pre_tokenizer(self) -> Step | None:
        """The pre-tokeniser as `tokenizer.json` has it."""
        return self._steps.pre_tokenizer

    @property
    def adds_space(self) -> bool:
        """Whether a space is put before the first word, which decoding takes away."""
        return self._steps.adds_space

    def normalize(self, text: str) -> str:
        """What the pieces are looked up in, before spaces are marked."""
        return self._steps.normalize(checked_text(text))

    def encode(self, text: str, *, allowed_special: AllowedSpecial = "all") -> list[int]:
        """The ids of `text`; as `BaseTokenizer.encode`.

        Raises:
            TokenizerError: as there; or a character is unknown and there is no token for it.
        """
        allowed = self._special.allowed(allowed_special)
        return list(self._segment_ids(self._special.split(checked_text(text), allowed)))

    def _encode_stream(self, chunks: Iterable[str | bytes], allowed: frozenset[str]) -> Iterator[int]:
        return self._segment_ids(stream_segments(decoded(chunks), self._special, allowed, self._last_cut))

    def _segment_ids(self, segments: Iterable[tuple[str, int | None]]) -> Iterator[int]:
        is_first = True
        for text, special_id in segments:
            for word in self._steps.words(text, is_first):
                yield from self._word_ids(word)
            if special_id is not None:
                yield special_id
            is_first = is_first and not text and special_id is None

    def _encode_text(self, text: str) -> list[int]:
        return [token_id for word in self._steps.words(text, True) for token_id in self._word_ids(word)]

    @abstractmethod
    def _ids_of_word(self, word: str) -> list[int]:
        """The ids of one pre-token."""

    def _word_ids(self, word: str) -> list[int]:
        ids = self._cache.get(word)
        if ids is None:
            ids = self._ids_of_word(word)
            if len(word) <= _CACHED_LENGTH:
                if len(self._cache) >= _CACHED_WORDS:
                    self._cache.clear()
                self._cache[word] = ids
        return ids

    def _ids_of_unknown(self, text: str) -> list[int]:
        """Bytes, or the unknown token, for characters that no piece covers."""
        data = utf8(text)
        if self._byte_fallback and all(byte in self._byte_ids for byte in data):
            return [self._byte_ids[byte] for byte in data]
        if self._unknown is None:
            raise TokenizerError(f"no piece covers {text!r} and there is no unknown token; give one")
        return [self.special_tokens[self._unknown]]

    def encode_framed(self, text: str, pair: str | None = None) -> tuple[list[int], list[int]]:
        """Ids of `text </s>` or of `text </s> pair </s>` (or as `framing` says), and the type id of each.

        Raises:
            TokenizerError: as `encode`, or the framing names a token that is not there.
        """
        second = None if pair is None else self.encode(pair)
        return self.framing.apply(self.special_tokens, self.encode(text), second)

    def unknown_rate(self, text: str) -> float:
        """The share of the tokens of `text` that are the unknown one; 0 for a text without tokens."""
        ids = self.encode(text, allowed_special="none")
        return ids.count(self.special_tokens[self._unknown]) / len(ids) if ids and self._unknown is not None else 0.0

    def _last_cut(self, text: str) -> int | None:
        """Before the last single space between two letters or numbers, if the steps let nothing reach across it."""
        if not self._steps.may_be_cut:
            return None
        backwards = _CUT_BACKWARDS.search(text[::-1])
        return len(text) - backwards.start() - 2 if backwards else None

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of `ids`; the space that was put before the first word goes."""
        return b"".join(self._decoded(ids))

    def _decoded(self, ids: Iterable[int]) -> Iterator[bytes]:
        for at, token_id in enumerate(ids):
            data = self.token_bytes(token_id)
            yield data.replace(b" ", b"") if at == 0 and self._drops_mark(token_id) else data

    def _drops_mark(self, token_id: int) -> bool:
        return self._steps.adds_space and token_id in self._marked

    def token_bytes(self, token_id: int) -> bytes:
        """The text of one token, marks as spaces; a byte piece is its byte."""
        return self._bytes[token_id] if token_id in self._bytes else self._bytes_of_other(token_id)

    def decode_stream(self, ids: Iterable[int], errors: str = "replace") -> Iterator[str]:
        """The text of `ids` as it comes; the pieces join to `decode(ids, errors)`."""
        decoder = utf8_decoder(errors)
        for data in self._decoded(ids):
            if text := decoder(data, False):
                yield text
        if text := decoder(b"", True):
            yield text


def _special(
    ids: Mapping[str, int], special_tokens: Mapping[str, int] | Sequence[str], unknown: str | None
) -> dict[str, int]:
    if isinstance(special_tokens, Mapping):
        special = dict(special_tokens)
    else:
        new = [name for name in special_tokens if name not in ids]
        special = special_ids(new, len(ids)) | {name: ids[name] for name in special_tokens if name in ids}
    if unknown is not None:
        special.setdefault(unknown, ids[unknown])
    if wrong := sorted(name for name, i in special.items() if ids.get(name, i) != i):
        raise TokenizerError(f"special tokens {wrong} are pieces with other ids; keep one id each")
    return special


def _byte_ids(ids: Mapping[str, int], special: Mapping[str, int]) -> dict[int, int]:
    matches = ((_BYTE_PIECE.fullmatch(piece), i) for piece, i in ids.items() if piece not in special)
    return {int(match[1], 16): i for match, i in matches if match}
