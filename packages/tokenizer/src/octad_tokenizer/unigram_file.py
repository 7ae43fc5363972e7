"""`tokenizer.json` of type Unigram, both ways, and SentencePiece's `.model`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octad_tokenizer import sentencepiece_model, tokenizer_json
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.framing import Framing
from octad_tokenizer.text_steps import METASPACE, steps_in

if TYPE_CHECKING:
    from octad_tokenizer.unigram import UnigramTokenizer

IGNORABLE = frozenset({"added_token_options", "normalizer", "post_processor"})


def checked(pieces: Sequence[tuple[str, float]], unknown_id: int | None) -> Sequence[tuple[str, float]]:
    """The pieces, if they are what a Unigram model needs.

    Raises:
        TokenizerError: none, one given twice or empty, a score that is no number, or `unknown_id` is none of theirs.
    """
    seen: dict[str, int] = {}
    for at, (piece, score) in enumerate(pieces):
        if not isinstance(piece, str) or not piece:
            raise TokenizerError(f"piece {at} is {piece!r}; a piece is a non-empty str")
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
            raise TokenizerError(f"piece {at}, {piece!r}, has the score {score!r}; a score is a finite log-probability")
        if piece in seen:
            raise TokenizerError(f"pieces {seen[piece]} and {at} are both {piece!r}; give each once")
        seen[piece] = at
    if not seen:
        raise TokenizerError("there are no pieces; give at least the unknown token")
    if unknown_id is not None and not (isinstance(unknown_id, int) and 0 <= unknown_id < len(seen)):
        raise TokenizerError(f"unknown_id={unknown_id!r} is none of the {len(seen)} pieces; it is an index from 0")
    return pieces


def write(tokenizer: UnigramTokenizer, path: str | Path) -> Path:
    """Write `tokenizer` to a `.json` file, or as `tokenizer.json` into a folder; return the file's path."""
    if any(step["type"] == "SentencePiece" for step in steps_in(tokenizer.normalizer)):
        raise TokenizerError(
            "tokenizer.json cannot hold SentencePiece's own normaliser (its Precompiled works by graphemes, not by the "
            "longest rule); keep the .model"
        )
    return tokenizer_json.write_document(document(tokenizer), path)


def document(tokenizer: UnigramTokenizer) -> dict[str, Any]:
    """The content of `tokenizer.json`."""
    marks = [step for step in steps_in(tokenizer.pre_tokenizer) if step["type"] == "Metaspace"]
    replace = {"type": "Replace", "pattern": {"String": METASPACE}, "content": " "}
    decoders = [{"type": "ByteFallback"}] * tokenizer.byte_fallback + [marks[0] if marks else replace]
    return tokenizer_json.frame(
        tokenizer.special_tokens,
        normalizer=tokenizer.normalizer,
        pre_tokenizer=tokenizer.pre_tokenizer,
        post_processor=tokenizer.framing.write(tokenizer.special_tokens),
        decoder=decoders[0] if len(decoders) == 1 else {"type": "Sequence", "decoders": decoders},
        model={
            "type": "Unigram",
            "unk_id": tokenizer.unknown_id,
            "vocab": [list(pair) for pair in tokenizer.pieces],
            "byte_fallback": tokenizer.byte_fallback,
        },
    )


def read(path: str | Path, ignore: Iterable[str], kind: type[UnigramTokenizer]) -> UnigramTokenizer:
    """The tokenizer in a `.model`, a `.json` file or a folder's `tokenizer.json`."""
    left_out = tokenizer_json.checked_ignore(ignore, IGNORABLE)
    if Path(path).suffix != ".model":
        return tokenizer_json.read_document(path, lambda found: kind(**parts(found, left_out)))
    try:
        return kind(**_model_parts(Path(path).read_bytes()))
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from error


def parts(found: Mapping[str, Any], ignore: frozenset[str]) -> dict[str, Any]:
    """What a document of the format says, in our terms.

    Raises:
        TokenizerError: a part that we cannot follow and that is not in `ignore`.
    """
    model = tokenizer_json.model_of(found, "Unigram", "Unigram")
    normalizer = None if "normalizer" in ignore else found.get("normalizer")
    return {
        "pieces": [(piece, score) for piece, score in model["vocab"]],
        "unknown_id": model.get("unk_id"),
        "special_tokens": tokenizer_json.special_tokens(found, ignore, is_normalized=normalizer is not None),
        "byte_fallback": bool(model.get("byte_fallback", False)),
        "normalizer": normalizer,
        "pre_tokenizer": found.get("pre_tokenizer"),
        "framing": None if "post_processor" in ignore else Framing.read(found.get("post_processor")),
    }


def _model_parts(data: bytes) -> dict[str, Any]:
    model = sentencepiece_model.parse_model(data)
    if model.kind != "unigram":
        raise TokenizerError(f"it is a SentencePiece model of type {model.kind!r}; unigram can be read here")
    metaspace = {"type": "Metaspace", "replacement": METASPACE, "prepend_scheme": "never", "split": True}
    return {
        "pieces": model.pieces,
        "unknown_id": model.unknown_id,
        "special_tokens": model.special_tokens,
        "byte_fallback": model.byte_fallback,
        "normalizer": model.normalizer,
        "pre_tokenizer": metaspace if sentencepiece_model.splits_at_marks(model.pieces) else None,
    }
