"""Read a tokenizer of any kind, whichever its file holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from octad_tokenizer.base import BaseTokenizer
from octad_tokenizer.bpe import BytePairTokenizer
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.sentencepiece_bpe import SentencePieceBPE
from octad_tokenizer.sentencepiece_model import read_model
from octad_tokenizer.text_steps import steps_in
from octad_tokenizer.tokenizer_json import read_document
from octad_tokenizer.unigram import UnigramTokenizer
from octad_tokenizer.wordpiece import WordPieceTokenizer

_Kind: TypeAlias = type[BytePairTokenizer] | type[SentencePieceBPE] | type[UnigramTokenizer] | type[WordPieceTokenizer]


def load_tokenizer(path: str | Path, *, ignore: Iterable[str] = ()) -> BaseTokenizer:
    """The tokenizer in a `tokenizer.json` (or the folder that holds one), a SentencePiece `.model`, or a `vocab.txt`.

    Args:
        path: the file or folder.
        ignore: parts to do without, as the `load` of the kind takes them.

    Raises:
        TokenizerError: the file is of no kind that we know, or as the `load` of its kind.
        OSError: there is no such file.
    """
    path = Path(path)
    kind: _Kind
    if path.suffix == ".txt":
        kind = WordPieceTokenizer
    elif path.suffix == ".model":
        kind = UnigramTokenizer if read_model(path).kind == "unigram" else SentencePieceBPE
    elif path.suffix == ".tiktoken":
        raise TokenizerError(f"{path.name} does not hold its pattern; load_tiktoken_ranks(path, pattern=...) reads it")
    else:
        kind = read_document(path, _kind)
    return kind.load(path, ignore=ignore)


def _kind(found: Mapping[str, Any]) -> _Kind:
    """The class for a document; older ones do not name the model's type."""
    model = found["model"]
    kind = model.get("type") or ("BPE" if "merges" in model else "Unigram" if "unk_id" in model else "WordPiece")
    if kind == "Unigram":
        return UnigramTokenizer
    if kind == "WordPiece":
        return WordPieceTokenizer
    if kind != "BPE":
        raise TokenizerError(f"the model is {kind!r}; BPE, Unigram and WordPiece can be read")
    is_byte_level = any(step["type"] == "ByteLevel" for step in steps_in(found.get("pre_tokenizer")))
    return BytePairTokenizer if is_byte_level else SentencePieceBPE
