"""The parts of a SentencePiece `.model` that encoding needs, read from its protocol buffer.

A message is a row of fields: a key (number * 8 + wire type) and a value. Wire types: 0 a varint (seven bits a byte, low
ones first), 1 eight bytes, 2 a length and that many bytes, 5 four bytes. Later values of a field win.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.text_steps import METASPACE

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


@dataclass(frozen=True)
class SentencePieceModel:
    """What a `.model` holds.

    Args:
        kind: "unigram", "bpe", "word" or "char".
        pieces: (piece, score) by id.
        types: of each piece, as SentencePiece numbers them: 1 normal, 2 unknown, 3 control, 4 user-defined, 6 byte.
        byte_fallback: whether bytes stand in for unknown characters.
        normalizer: the character map and what happens to white space, as a step of `TextSteps`.
    """

    kind: str
    pieces: list[tuple[str, float]]
    types: list[int]
    byte_fallback: bool
    normalizer: dict[str, Any]

    @property
    def unknown_id(self) -> int | None:
        """The id of the unknown piece."""
        return self.types.index(_UNKNOWN) if _UNKNOWN in self.types else None

    @property
    def special_tokens(self) -> dict[str, int]:
        """Name to id of the unknown, control and user-defined pieces."""
        special = (_UNKNOWN, _CONTROL, _USER_DEFINED)
        return {piece: i for i, (piece, _) in enumerate(self.pieces) if self.types[i] in special}


def read_model(path: str | Path) -> SentencePieceModel:
    """Read a `.model`.

    Raises:
        TokenizerError: it is cut off or no such file; or it treats white space in a way that we cannot follow.
        OSError: there is no such file.
    """
    try:
        return parse_model(Path(path).read_bytes())
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from error


def parse_model(data: bytes) -> SentencePieceModel:
    """The model in the bytes of a `.model`.

    Raises:
        TokenizerError: as `read_model`.
    """
    pieces: list[tuple[str, float]] = []
    types: list[int] = []
    trainer: dict[int, Any] = {}
    normal: dict[int, Any] = {}
    for number, value in fields(data):
        if number == 1:
            found = dict(fields(_as(bytes, value)))
            pieces.append((_text(found.get(1, b"")), _as(float, found.get(2, 0.0))))
            types.append(_as(int, found.get(3, _NORMAL)))
        elif number == 2:
            trainer.update(fields(_as(bytes, value)))
        elif number == 3:
            normal.update(fields(_as(bytes, value)))
    if not pieces:
        raise TokenizerError("it holds no pieces; is it a SentencePiece model?")
    if trainer.get(24):
        raise TokenizerError("it treats white space as a suffix, which we cannot follow")
    charsmap = _as(bytes, normal.get(2, b""))
    step = {
        "type": "SentencePiece",
        "precompiled_charsmap": base64.b64encode(charsmap).decode(),
        "add_dummy_prefix": bool(normal.get(3, 1)),
        "remove_extra_whitespaces": bool(normal.get(4, 1)),
        "escape_whitespaces": bool(normal.get(5, 1)),
    }
    kind = _KINDS.get(trainer.get(3, 1), "unknown")
    return SentencePieceModel(kind, pieces, types, bool(trainer.get(35, 0)), step)


def splits_at_marks(pieces: list[tuple[str, float]]) -> bool:
    """Whether words can be encoded alone: no piece goes on behind a space, and a space alone is a piece."""
    spellings = {piece for piece, _ in pieces}
    return METASPACE in spellings and all(METASPACE not in piece[1:] for piece in spellings)


def fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """(number, value) of each field of a message.

    Raises:
        TokenizerError: the message ends inside of a field, or has a wire type that is none.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        value: int | float | bytes
        if wire == 0:
            value, at = _varint(data, at)
        elif wire == 1:
            value, at = _piece_of(data, at, 8)
        elif wire == 2:
            size, at = _varint(data, at)
            value, at = _piece_of(data, at, size)
        elif wire == 5:
            raw, at = _piece_of(data, at, 4)
            (value,) = struct.unpack("<f", raw)
        else:
            raise TokenizerError(f"it has a field of wire type {wire} at byte {at}; it is no SentencePiece model")
        yield number, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise TokenizerError(f"it ends inside of a number at byte {at}; it is cut off, or no SentencePiece model")
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise TokenizerError(f"it has a number of more than ten bytes at byte {at}; it is no SentencePiece model")


def _piece_of(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise TokenizerError(
            f"it ends {at + size - len(data)} bytes too early; it is cut off, or no SentencePiece model"
        )
    return data[at : at + size], at + size


def _as(kind: type[Any], value: Any) -> Any:
    if not isinstance(value, kind):
        raise TokenizerError(f"a field holds {type(value).__name__} for {kind.__name__}; it is no SentencePiece model")
    return value


def _text(value: Any) -> str:
    try:
        return str(_as(bytes, value), "utf-8")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"piece {value!r} is not UTF-8; it is no SentencePiece model") from error
