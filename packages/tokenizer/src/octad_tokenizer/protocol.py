"""What every tokenizer of this package can do; other packages need no more than this."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal, Protocol, TypeAlias, runtime_checkable

AllowedSpecial: TypeAlias = Literal["all", "none"] | Collection[str]
"""Which special tokens a text may contain: all of them, none (they are plain text), or the named ones."""


@runtime_checkable
class Tokenizer(Protocol):
    """Text to integers and back: `decode(encode(text)) == text` unless the class says what it loses."""

    @property
    def vocab_size(self) -> int:
        """The largest id plus one: the number of rows an embedding needs."""
        ...

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Name to id of the tokens that stand for no text of their own."""
        ...

    def encode(self, text: str, *, allowed_special: AllowedSpecial = "all") -> list[int]:
        """The ids of `text`."""
        ...

    def encode_batch(self, texts: Iterable[str], *, allowed_special: AllowedSpecial = "all") -> list[list[int]]:
        """The ids of each text."""
        ...

    def encode_iterable(self, chunks: Iterable[str], *, allowed_special: AllowedSpecial = "all") -> Iterator[int]:
        """The ids of the joined chunks, wherever the chunks are cut."""
        ...

    def decode(self, ids: Iterable[int], errors: str = "replace") -> str:
        """The text of `ids`; `errors` says what happens to bytes that are not UTF-8."""
        ...

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The UTF-8 bytes of `ids`, which need not end at a character's end."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that one id stands for."""
        ...
