"""Hugging Face's `tokenizer.json` for byte-level BPE, both ways without loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from octad_tokenizer import tokenizer_json
from octad_tokenizer.byte_spelling import spelled, unspelled
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.patterns import GPT2

if TYPE_CHECKING:
    from octad_tokenizer.bpe import BytePairTokenizer

IGNORABLE = frozenset({"add_prefix_space", "added_token_options", "dropout", "normalizer", "post_processor"})


class Parts(TypedDict):
    """The arguments of `BytePairTokenizer`, as a file holds them."""

    vocabulary: dict[bytes, int]
    merges: list[tuple[bytes, bytes]]
    special_tokens: dict[str, int]
    pattern: str
    ignore_merges: bool


def write(tokenizer: BytePairTokenizer, path: str | Path) -> Path:
    """Write `tokenizer` to a `.json` file, or as `tokenizer.json` into a folder; return the file's path."""
    return tokenizer_json.write_document(document(tokenizer), path)


def read(path: str | Path, ignore: frozenset[str]) -> Parts:
    """The parts of the tokenizer in a file or in a folder's `tokenizer.json`."""
    left_out = tokenizer_json.checked_ignore(ignore, IGNORABLE)
    return tokenizer_json.read_document(path, lambda found: parts(found, left_out))


def document(tokenizer: BytePairTokenizer) -> dict[str, Any]:
    """The content of `tokenizer.json`."""
    special = tokenizer.special_tokens
    vocabulary = {spelled(token): token_id for token, token_id in tokenizer.vocabulary.items()}
    if clash := sorted(vocabulary.keys() & special.keys()):
        raise TokenizerError(
            f"special tokens {clash} are spelled as ordinary tokens are, and tokenizer.json has one id a spelling; "
            "rename them, say <|name|>"
        )
    by_id = sorted({**vocabulary, **special}.items(), key=lambda item: item[1])
    return tokenizer_json.frame(
        special,
        pre_tokenizer=_pre_tokenizer(tokenizer.pattern),
        decoder={"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        model={
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": tokenizer.ignore_merges,
            "vocab": dict(by_id),
            "merges": [[spelled(left), spelled(right)] for left, right in tokenizer.merges],
        },
    )


def _pre_tokenizer(pattern: str) -> dict[str, Any]:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": pattern == GPT2}
    if pattern == GPT2:
        return byte_level
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, byte_level]}


def parts(found: Mapping[str, Any], ignore: frozenset[str] = frozenset()) -> Parts:
    """What a document of the format says, in our terms.

    Raises:
        TokenizerError: a part that we cannot follow and that is not in `ignore`.
    """
    model = tokenizer_json.model_of(found, "BPE", "only byte-level BPE")
    if model.get("byte_fallback"):
        raise TokenizerError(
            "the model has byte_fallback, as SentencePiece's do: its tokens are characters, not bytes; "
            "SentencePieceBPE.load reads it"
        )
    for option in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(option):
            raise TokenizerError(f"the model has {option}={model[option]!r}, which byte-level BPE does not use")
    if model.get("dropout") and "dropout" not in ignore:
        raise TokenizerError(f"the model has dropout={model['dropout']!r}; pass ignore=['dropout'] to encode without")
    _refuse_changes(found, ignore)
    special = tokenizer_json.special_tokens(found, ignore, is_normalized=False)
    if moved := [name for name, i in special.items() if model["vocab"].get(name, i) != i]:
        raise TokenizerError(f"added tokens {moved} have other ids in the vocabulary; keep one id each")
    return {
        "vocabulary": {unspelled(t): i for t, i in model["vocab"].items() if special.get(t) != i},
        "merges": [_merge(merge) for merge in model["merges"]],
        "special_tokens": special,
        "pattern": _pattern(found.get("pre_tokenizer"), ignore),
        "ignore_merges": bool(model.get("ignore_merges", False)),
    }


def _merge(merge: str | Sequence[str]) -> tuple[bytes, bytes]:
    """Older files write "a b", newer ones ["a", "b"]."""
    pair = merge.split(" ") if isinstance(merge, str) else merge
    if len(pair) != 2:
        raise TokenizerError(f"merge {merge!r} is not a pair of tokens")
    return unspelled(pair[0]), unspelled(pair[1])


def _refuse_changes(found: Mapping[str, Any], ignore: frozenset[str]) -> None:
    """Truncation and padding shape batches, not ids; a normalizer and a post-processor change ids."""
    for part, harmless in (("normalizer", None), ("post_processor", "ByteLevel")):
        step = found.get(part)
        if step is not None and step["type"] != harmless and part not in ignore:
            raise TokenizerError(
                f"it has the {part} {step['type']!r}, so its ids would differ from ours; pass ignore=[{part!r}] to "
                "read it without"
            )


def _pattern(step: Mapping[str, Any] | None, ignore: frozenset[str]) -> str:
    """The regular expression of `ByteLevel` alone, or of `Split` before it."""
    steps = step.get("pretokenizers", [step]) if step else []
    kinds = [one["type"] for one in steps]
    if not steps or kinds[-1] != "ByteLevel" or kinds[:-1] not in ([], ["Split"]):
        raise TokenizerError(f"its pre-tokenizers are {kinds}; we can read ByteLevel, alone or after one Split")
    if steps[-1].get("add_prefix_space") and "add_prefix_space" not in ignore:
        raise TokenizerError(
            "its ByteLevel puts a space before texts that have none (add_prefix_space), so its ids would differ from "
            'ours; pass ignore=["add_prefix_space"] to read it without, and put the space there yourself'
        )
    if bool(steps[-1].get("use_regex", True)) != (len(steps) == 1):
        raise TokenizerError("its ByteLevel must split by its own regex if it is alone, and not after a Split")
    if len(steps) == 1:
        return GPT2
    split = steps[0]
    if split.get("invert") or split["behavior"] != "Isolated" or "Regex" not in split["pattern"]:
        raise TokenizerError(f"its Split is {dict(split)}; we can read a Regex with behavior Isolated, not inverted")
    return str(split["pattern"]["Regex"])
