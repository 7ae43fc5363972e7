"""The smallest tokenizer: a byte is a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from octad_tokenizer.base import BaseTokenizer
from octad_tokenizer.special import special_ids, utf8


class ByteTokenizer(BaseTokenizer):
    """id = byte; special tokens from 256 on. Loses nothing, learns nothing: one byte a token.

    Args:
        special_tokens: name to id (256 or more), or names for the ids from 256 on.

    Raises:
        TokenizerError: a special token's id is taken, or a name is empty or given twice.
    """

    def __init__(self, special_tokens: Mapping[str, int] | Sequence[str] = ()) -> None:
        super().__init__({byte: bytes([byte]) for byte in range(256)}, special_ids(special_tokens, 256))

    def _encode_text(self, text: str) -> list[int]:
        return list(utf8(text))
