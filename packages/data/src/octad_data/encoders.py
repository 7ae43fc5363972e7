"""Tokenizers as the token stage needs them: text to ids, how many ids there are, which one ends a document."""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError

BYTES = "bytes"
END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "[SEP]")  # the usual names


class Encoder(Protocol):
    """What turns texts into ids.

    Attributes:
        vocab_size: every id is below it.
        separator_id: written after each document.
        fingerprint: changes when the tokenizer does.
    """

    vocab_size: int
    separator_id: int
    fingerprint: str

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.integer[Any]]]:
        """The ids of each text; names of special tokens in a text are plain text."""
        ...


class ByteEncoder:
    """The bytes of UTF-8 themselves, and 256 after each document."""

    vocab_size = 257
    separator_id = 256
    fingerprint = BYTES

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.integer[Any]]]:
        """Bytes of each text."""
        return [np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8) for text in texts]


class FileEncoder:
    """A tokenizer file, read by octad-tokenizer where it is installed and by Hugging Face's tokenizers otherwise.

    Args:
        path: of a `tokenizer.json`.
        separator: the token that ends each document; the file's usual one where empty.

    Raises:
        DataError: no such file, no such token, or neither library.
    """

    def __init__(self, path: str, separator: str) -> None:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise DataError(f'no tokenizer: {path}: {error.strerror}; give a tokenizer.json or "bytes"') from None
        self.fingerprint = hashlib.sha256(content).hexdigest()[:16]
        self._tokenizer, self._is_ours = _loaded(path)
        special = self._special_tokens()
        names = (separator,) if separator else END_OF_TEXT
        found = [name for name in names if name in special]
        if not found:
            known = ", ".join(sorted(special)[:8]) or "none"
            raise DataError(f"no separator: {path} has no special token {' or '.join(names)}; it has {known}")
        self.separator_id = int(special[found[0]])
        self.vocab_size = int(self._tokenizer.vocab_size if self._is_ours else self._tokenizer.get_vocab_size())

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.integer[Any]]]:
        """Ids of each text."""
        if self._is_ours:
            rows = self._tokenizer.encode_batch(list(texts), allowed_special="none")
        else:
            rows = [row.ids for row in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]
        return [np.array(row, dtype=np.uint32) for row in rows]

    def _special_tokens(self) -> dict[str, int]:
        if self._is_ours:
            return dict(self._tokenizer.special_tokens)
        return {t.content: number for number, t in self._tokenizer.get_added_tokens_decoder().items() if t.special}


@cache
def load_encoder(tokenizer: str, separator: str = "") -> Encoder:
    """`bytes`, or the tokenizer in a file; once a process.

    Raises:
        DataError: see `FileEncoder`.
    """
    return ByteEncoder() if tokenizer == BYTES else FileEncoder(tokenizer, separator)


def _loaded(path: str) -> tuple[Any, bool]:
    """The tokenizer, and whether octad-tokenizer read it; both are looked up by name, as neither is needed here."""
    try:
        return import_module("octad_tokenizer").load_tokenizer(path), True
    except ModuleNotFoundError:
        pass  # the other one will do
    try:
        tokenizers = import_module("tokenizers")
    except ModuleNotFoundError:
        raise DataError("missing extra: a tokenizer.json needs octad-tokenizer or tokenizers; install either") from None
    tokenizer = tokenizers.Tokenizer.from_file(path)
    tokenizer.encode_special_tokens = True
    return tokenizer, False
