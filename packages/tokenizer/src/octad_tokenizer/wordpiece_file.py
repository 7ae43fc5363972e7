"""`tokenizer.json` of type WordPiece, both ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octad_tokenizer import tokenizer_json
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.framing import Framing
from octad_tokenizer.normalization import BertNormalizer

if TYPE_CHECKING:
    from octad_tokenizer.wordpiece import WordPieceTokenizer

IGNORABLE = frozenset({"added_token_options", "post_processor"})


def write(tokenizer: WordPieceTokenizer, path: str | Path) -> Path:
    """Write `tokenizer` to a `.json` file, or as `tokenizer.json` into a folder; return the file's path."""
    return tokenizer_json.write_document(document(tokenizer), path)


def read(path: str | Path, ignore: frozenset[str], kind: type[WordPieceTokenizer]) -> WordPieceTokenizer:
    """The tokenizer in a file or in a folder's `tokenizer.json`."""
    return tokenizer_json.read_document(path, lambda found: kind(**parts(found, ignore)))


def checked_ignore(ignore: Iterable[str]) -> frozenset[str]:
    """The parts to do without, if they are of those that can be."""
    return tokenizer_json.checked_ignore(ignore, IGNORABLE)


def document(ours: WordPieceTokenizer) -> dict[str, Any]:
    """The content of `tokenizer.json`."""
    every = {**ours.vocabulary, **ours.special_tokens}
    normal = ours.normalizer
    return tokenizer_json.frame(
        ours.special_tokens,
        normalizer={
            "type": "BertNormalizer",
            "clean_text": normal.clean_text,
            "handle_chinese_chars": normal.handle_chinese_chars,
            "strip_accents": normal.strip_accents,
            "lowercase": normal.lowercase,
        },
        pre_tokenizer={"type": "BertPreTokenizer"},
        post_processor=ours.framing.write(ours.special_tokens),
        decoder={"type": "WordPiece", "prefix": ours.prefix, "cleanup": ours.clean_up},
        model={
            "type": "WordPiece",
            "unk_token": ours.unknown,
            "continuing_subword_prefix": ours.prefix,
            "max_input_chars_per_word": ours.max_input_chars_per_word,
            "vocab": dict(sorted(every.items(), key=lambda item: item[1])),
        },
    )


def parts(found: Mapping[str, Any], ignore: frozenset[str]) -> dict[str, Any]:
    """The arguments of `WordPieceTokenizer` in a document."""
    model = tokenizer_json.model_of(found, "WordPiece", "WordPiece")
    normal, split, decoder = found.get("normalizer"), found.get("pre_tokenizer"), found.get("decoder") or {}
    if not normal or normal["type"] != "BertNormalizer" or not split or split["type"] != "BertPreTokenizer":
        kinds = [step and step["type"] for step in (normal, split)]
        raise TokenizerError(f"its normaliser and pre-tokeniser are {kinds}; BERT's own can be read here")
    added = tokenizer_json.special_tokens(found, ignore, is_normalized=True)
    vocabulary = dict(model["vocab"])
    if moved := [name for name, token_id in added.items() if vocabulary.get(name, token_id) != token_id]:
        raise TokenizerError(f"added tokens {moved} have other ids in the vocabulary; keep one id each")
    switches = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    return {
        "vocabulary": vocabulary | added,
        "special_tokens": list(added),
        "unknown": model["unk_token"],
        "prefix": model["continuing_subword_prefix"],
        "max_input_chars_per_word": model["max_input_chars_per_word"],
        "normalizer": BertNormalizer(**{name: normal[name] for name in switches}),
        "framing": None if "post_processor" in ignore else Framing.read(found.get("post_processor")),
        "clean_up": bool(decoder.get("cleanup", True)),
    }
