"""`tokenizer.json` of type BPE over characters, both ways, and SentencePiece's `.model` of type bpe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octad_tokenizer import sentencepiece_model, tokenizer_json
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.framing import Framing
from octad_tokenizer.text_steps import METASPACE, steps_in

if TYPE_CHECKING:
    from octad_tokenizer.sentencepiece_bpe import SentencePieceBPE

IGNORABLE = frozenset({"added_token_options", "dropout", "normalizer", "post_processor"})


def check(vocabulary: Mapping[str, int], unknown: str | None) -> None:
    """The rules for a vocabulary.

    Raises:
        TokenizerError: an empty piece, an id that is no int >= 0 or given twice, or `unknown` is none of the pieces.
    """
    for piece, token_id in vocabulary.items():
        if not isinstance(piece, str) or not piece:
            raise TokenizerError(f"vocabulary holds {piece!r}; a piece is a non-empty str")
        if isinstance(token_id, bool) or not isinstance(token_id, int) or token_id < 0:
            raise TokenizerError(f"piece {piece!r} has id {token_id!r}; an id is an int >= 0")
    if len(set(vocabulary.values())) != len(vocabulary):
        raise TokenizerError(f"{len(vocabulary)} pieces have {len(set(vocabulary.values()))} ids; give each its own")
    if unknown is not None and unknown not in vocabulary:
        raise TokenizerError(f"unknown={unknown!r} is not in the vocabulary; add it, or pass None")


def merge_table(
    vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]]
) -> tuple[dict[tuple[int, int], int], list[int]]:
    """Rank of each pair of ids, and the id that the merges of each rank make; one rank for each run of a product.

    Raises:
        TokenizerError: a merge is no pair, or its parts or its product are not in the vocabulary.
    """
    ranks: dict[tuple[int, int], int] = {}
    products: list[int] = []
    for at, merge in enumerate(merges):
        if len(merge) != 2 or not all(isinstance(part, str) for part in merge):
            raise TokenizerError(f"merge {at} is {merge!r}; it is a pair of pieces")
        left, right = merge
        for piece in (left, right, left + right):
            if piece not in vocabulary:
                raise TokenizerError(f"merge {at} ({left!r}, {right!r}) needs {piece!r} in the vocabulary; add it")
        product = vocabulary[left + right]
        if not products or products[-1] != product:
            products.append(product)
        ranks[vocabulary[left], vocabulary[right]] = len(products) - 1
    return ranks, products


def write(tokenizer: SentencePieceBPE, path: str | Path) -> Path:
    """Write `tokenizer` to a `.json` file, or as `tokenizer.json` into a folder; return the file's path."""
    if any(step["type"] == "SentencePiece" for step in steps_in(tokenizer.normalizer)):
        raise TokenizerError("tokenizer.json cannot hold SentencePiece's own normaliser; keep the .model")
    replace = {"type": "Replace", "pattern": {"String": METASPACE}, "content": " "}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    decoders = [replace, {"type": "ByteFallback"}, {"type": "Fuse"}] + [strip] * tokenizer.adds_space
    document = tokenizer_json.frame(
        tokenizer.special_tokens,
        normalizer=tokenizer.normalizer,
        pre_tokenizer=tokenizer.pre_tokenizer,
        post_processor=tokenizer.framing.write(tokenizer.special_tokens),
        decoder={"type": "Sequence", "decoders": decoders},
        model={
            "type": "BPE",
            "dropout": None,
            "unk_token": tokenizer.unknown,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": tokenizer.fuse_unknown,
            "byte_fallback": tokenizer.byte_fallback,
            "ignore_merges": False,
            "vocab": dict(sorted(tokenizer.vocabulary.items(), key=lambda item: item[1])),
            "merges": [list(merge) for merge in tokenizer.merges],
        },
    )
    return tokenizer_json.write_document(document, path)


def read(path: str | Path, ignore: Iterable[str], kind: type[SentencePieceBPE]) -> SentencePieceBPE:
    """The tokenizer in a `.model`, a `.json` file or a folder's `tokenizer.json`."""
    left_out = tokenizer_json.checked_ignore(ignore, IGNORABLE)
    if Path(path).suffix != ".model":
        return tokenizer_json.read_document(path, lambda found: kind(**parts(found, left_out)))
    try:
        return kind(**model_parts(sentencepiece_model.parse_model(Path(path).read_bytes())))
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from error


def parts(found: Mapping[str, Any], ignore: frozenset[str]) -> dict[str, Any]:
    """What a document of the format says, in our terms.

    Raises:
        TokenizerError: a part that we cannot follow and that is not in `ignore`.
    """
    model = tokenizer_json.model_of(found, "BPE", "BPE over characters")
    if any(step["type"] == "ByteLevel" for step in steps_in(found.get("pre_tokenizer"))):
        raise TokenizerError("the model is byte-level BPE; BytePairTokenizer.load reads it")
    for option in ("continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"):
        if model.get(option):
            raise TokenizerError(f"the model has {option}={model[option]!r}, which we cannot follow")
    if model.get("dropout") and "dropout" not in ignore:
        raise TokenizerError(f"the model has dropout={model['dropout']!r}; pass ignore=['dropout'] to encode without")
    normalizer = None if "normalizer" in ignore else found.get("normalizer")
    return {
        "vocabulary": model["vocab"],
        "merges": [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model["merges"]],
        "unknown": model.get("unk_token"),
        "special_tokens": tokenizer_json.special_tokens(found, ignore, is_normalized=normalizer is not None),
        "byte_fallback": bool(model.get("byte_fallback", False)),
        "fuse_unknown": bool(model.get("fuse_unk", False)),
        "normalizer": normalizer,
        "pre_tokenizer": found.get("pre_tokenizer"),
        "framing": None if "post_processor" in ignore else Framing.read(found.get("post_processor")),
    }


def model_parts(model: sentencepiece_model.SentencePieceModel) -> dict[str, Any]:
    """The arguments of `SentencePieceBPE` in a `.model`: every way to put two pieces together to a third is a merge.

    Raises:
        TokenizerError: the model is of another type, or has a piece twice.
    """
    if model.kind != "bpe":
        raise TokenizerError(f"it is a SentencePiece model of type {model.kind!r}; bpe can be read here")
    vocabulary = {piece: token_id for token_id, (piece, _) in enumerate(model.pieces)}
    if len(vocabulary) != len(model.pieces):
        raise TokenizerError("it has a piece twice; get the file again")
    special = model.special_tokens
    plain = [i for i, (piece, _) in enumerate(model.pieces) if model.types[i] == 1]
    usable = {model.pieces[i][0] for i in plain}
    merges = []
    for token_id in sorted(plain, key=lambda i: (-model.pieces[i][1], i)):
        piece = model.pieces[token_id][0]
        halves = ((piece[:at], piece[at:]) for at in range(1, len(piece)))
        merges += [(left, right) for left, right in halves if left in usable and right in usable]
    metaspace = {"type": "Metaspace", "replacement": METASPACE, "prepend_scheme": "never", "split": True}
    return {
        "vocabulary": vocabulary,
        "merges": merges,
        "unknown": None if model.unknown_id is None else model.pieces[model.unknown_id][0],
        "special_tokens": special,
        "byte_fallback": model.byte_fallback,
        "normalizer": model.normalizer,
        "pre_tokenizer": metaspace if sentencepiece_model.splits_at_marks(model.pieces) else None,
    }
