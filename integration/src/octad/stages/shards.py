"""Shards: the corpus as token ids, a folder for each side and kind of document."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from octad_data import Document, TokenDocument, TokenShards, write_shards

from octad.chat_format import ChatTokenizer
from octad.documents import read_documents
from octad.pipeline import Context


def make_shards(context: Context) -> Mapping[str, Any]:
    """Write `train-KIND/` and `held_out-KIND/`."""
    chat = ChatTokenizer.load(context.path("tokenizer"))
    folders: dict[str, TokenShards] = {}
    for side in ("train", "held_out"):
        kinds = sorted({document.kind for document in read_documents(_file(context, side))})
        for kind in kinds:
            folder = context.path() / f"{side}-{kind}"
            if folder.exists():
                shutil.rmtree(folder)  # left by a run that was stopped before this stage was done
            folders[folder.name] = write_shards(
                _tokens(context, chat, side, kind),
                folder,
                vocab_size=chat.tokenizer.vocab_size,
                tokenizer_fingerprint=chat.tokenizer.fingerprint,
                separator_id=chat.end_of_text,
            )
    tokens = {name: shards.num_tokens for name, shards in folders.items()}
    train = sum(n for name, n in tokens.items() if name.startswith("train-"))
    return {
        "headline": f"{train / 1e6:.2f} M training tokens, {(sum(tokens.values()) - train) / 1e3:.0f} k held out",
        "tokens": tokens,
        "bytes": {name: shards.manifest.source_bytes for name, shards in folders.items()},
        "documents": {name: len(shards) for name, shards in folders.items()},
    }


def open_shards(context: Context, side: str) -> dict[str, TokenShards]:
    """The shards of one side by kind of document."""
    folders = sorted(context.path("shards").glob(f"{side}-*"))
    return {folder.name.removeprefix(f"{side}-"): TokenShards(folder) for folder in folders}


def _file(context: Context, side: str) -> Path:
    return context.path("corpus") / f"{side}.jsonl"


def _tokens(context: Context, chat: ChatTokenizer, side: str, kind: str) -> Iterator[TokenDocument]:
    for number, document in enumerate(read_documents(_file(context, side))):
        if document.kind == kind:
            context.reporter.update(number, None, [f"documents, {side}"])
            yield _encode(chat, document)


def _encode(chat: ChatTokenizer, document: Document) -> TokenDocument:
    ids = chat.tokenizer.encode(document.text, allowed_special="none")  # a corpus may speak of special tokens
    return TokenDocument(ids, len(document.text.encode()))
