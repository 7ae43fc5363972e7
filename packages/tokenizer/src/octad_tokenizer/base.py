"""What all our tokenizers share: special tokens, batches, streams and the way back to text."""

from __future__ import annotations

import codecs
import operator
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from octad_tokenizer import native
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.native import packed
from octad_tokenizer.protocol import AllowedSpecial
from octad_tokenizer.special import SpecialTokens, checked_text, utf8
from octad_tokenizer.streaming import decoded, stream_segments

if TYPE_CHECKING:
    from octad_tokenizer._engine import Decoder

_WORTH_A_DECODER = 64


class BaseTokenizer(ABC):
    """A tokenizer needs to say how text without special tokens becomes ids, and where a stream may be cut.

    Args:
        token_bytes: id to bytes, of ordinary tokens.
        special_tokens: name to id.

    Raises:
        TokenizerError: an id stands both for an ordinary and for a special token.
    """

    def __init__(self, token_bytes: Mapping[int, bytes], special_tokens: Mapping[str, int]) -> None:
        self._special = SpecialTokens(special_tokens)
        special_bytes = {token_id: utf8(name) for name, token_id in special_tokens.items()}
        if shared := token_bytes.keys() & special_bytes.keys():
            example = min(shared)
            raise TokenizerError(
                f"id {example} is both {token_bytes[example]!r} and the special token "
                f"{special_bytes[example].decode()!r}; give the special token an id of its own"
            )
        self._bytes = {**token_bytes, **special_bytes}
        self._decoder: Decoder | None = None

    @abstractmethod
    def _encode_text(self, text: str) -> list[int]:
        """The ids of a text in which nothing is special."""

    def _last_cut(self, text: str) -> int | None:
        """Where `text` may be cut last; anywhere, unless a subclass knows better."""
        return len(text)

    @property
    def vocab_size(self) -> int:
        """The largest id plus one: the number of rows an embedding needs."""
        return max(self._bytes, default=-1) + 1

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Name to id of the special tokens."""
        return self._special.ids

    def encode(self, text: str, *, allowed_special: AllowedSpecial = "all") -> list[int]:
        """The ids of `text`.

        Args:
            text: any text that UTF-8 can write.
            allowed_special: which special tokens to look for; the others are plain text. Text from people you do
                not trust wants "none".

        Raises:
            TokenizerError: `text` is no str or cannot be encoded, or `allowed_special` names an unknown token.
        """
        allowed = self._special.allowed(allowed_special)
        text = checked_text(text)
        if not allowed:
            return self._encode_text(text)
        ids: list[int] = []
        for piece, special_id in self._special.split(text, allowed):
            if piece:
                ids += self._encode_text(piece)
            if special_id is not None:
                ids.append(special_id)
        return ids

    def encode_batch(self, texts: Iterable[str], *, allowed_special: AllowedSpecial = "all") -> list[list[int]]:
        """The ids of each text.

        Raises:
            TokenizerError: as `encode`; or `texts` is one str.
        """
        if isinstance(texts, str):
            raise TokenizerError("texts is one str; pass a list of them, [text], or call encode(text)")
        return [self.encode(text, allowed_special=allowed_special) for text in texts]

    def encode_iterable(
        self, chunks: Iterable[str | bytes], *, allowed_special: AllowedSpecial = "all"
    ) -> Iterator[int]:
        """The ids of the joined chunks, lazily; a chunk may end anywhere, even inside a special token.

        A chunk of bytes is UTF-8 and may end inside a character.

        Memory: one chunk plus the longest text without a place to cut it.

        Raises:
            TokenizerError: as `encode`; an unknown name in `allowed_special` at once, the rest when it is met.
        """
        return self._encode_stream(chunks, self._special.allowed(allowed_special))

    def _encode_stream(self, chunks: Iterable[str | bytes], allowed: frozenset[str]) -> Iterator[int]:
        for text, special_id in stream_segments(decoded(chunks), self._special, allowed, self._last_cut):
            yield from self._encode_text(text)
            if special_id is not None:
                yield special_id

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that `token_id` stands for; a special token's are its name.

        Raises:
            TokenizerError: no such id.
        """
        return self.decode_bytes([token_id])

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of `ids`, joined.

        Raises:
            TokenizerError: an id that is not in the vocabulary.
        """
        if native.engine is not None and isinstance(ids, (list, array)):
            data = self._engine_bytes(ids)
            if data is not None:
                return data
        return b"".join([self._bytes[i] if i in self._bytes else self._bytes_of_other(i) for i in ids])

    def _engine_bytes(self, ids: list[int] | array[int]) -> bytes | None:
        """`decode_bytes` by the C engine; None where it does not know all ids or is not worth it."""
        if self._decoder is None:
            if len(ids) < _WORTH_A_DECODER or max(self._bytes, default=0) >= 1 << 26:
                return None
            assert native.engine is not None
            self._decoder = native.engine.Decoder(*packed(self._bytes.values(), self._bytes))
        if isinstance(ids, list):
            return self._decoder.decode(ids)
        return self._decoder.decode_array(ids) if ids.typecode == "I" else None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_decoder": None}

    def _bytes_of_other(self, token_id: int) -> bytes:
        """What is no key as it is: a tensor's element becomes its int, the rest is an error."""
        try:
            return self._bytes[operator.index(token_id)]
        except (KeyError, TypeError):
            raise TokenizerError(
                f"id {token_id!r} is not in the vocabulary; ids are ints from 0 to {self.vocab_size - 1}"
            ) from None

    def decode(self, ids: Iterable[int], errors: str = "replace") -> str:
        """The text of `ids`.

        Args:
            ids: token ids, special ones included (they become their names).
            errors: for bytes that are not UTF-8, as in `bytes.decode`: "replace" puts U+FFFD, "strict" raises.

        Raises:
            TokenizerError: an unknown id, an unknown value of `errors`, or "strict" and bytes that are not UTF-8.
        """
        return utf8_decoder(errors)(self.decode_bytes(ids), True)

    def decode_stream(self, ids: Iterable[int], errors: str = "replace") -> Iterator[str]:
        """The text of `ids` as it comes, never with half a character: bytes wait until theirs is whole.

        The pieces join to `decode(ids, errors)`; errors are as there.
        """
        decoder = utf8_decoder(errors)
        for token_id in ids:
            if text := decoder(self.token_bytes(token_id), False):
                yield text
        if text := decoder(b"", True):
            yield text


def utf8_decoder(errors: str) -> Callable[[bytes, bool], str]:
    """A function (bytes, final) -> the characters complete so far.

    Raises:
        TokenizerError: an unknown `errors`; the function, for "strict" and bytes that are not UTF-8.
    """
    try:
        codecs.lookup_error(errors)
    except LookupError:
        raise TokenizerError(f'errors={errors!r} is unknown; use "replace", "strict" or "ignore"') from None
    decoder = codecs.getincrementaldecoder("utf-8")(errors)

    def decode(data: bytes, final: bool) -> str:
        try:
            return decoder.decode(data, final)
        except UnicodeDecodeError as error:
            raise TokenizerError(f'the ids are not UTF-8 ({error}); use errors="replace" or decode_bytes') from error

    return decode
