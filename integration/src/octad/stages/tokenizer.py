"""Tokenizer: byte-level BPE trained on the mix that the model will see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from octad_tokenizer import CL100K, GPT2, LLAMA3, O200K, QWEN2, BytePairTokenizer, train_bpe

from octad.chat_format import SPECIAL_TOKENS, write_chat_files
from octad.documents import read_documents
from octad.errors import OctadError
from octad.pipeline import Context

PATTERNS = {"gpt2": GPT2, "cl100k": CL100K, "o200k": O200K, "qwen2": QWEN2, "llama3": LLAMA3}


def make_tokenizer(context: Context) -> Mapping[str, Any]:
    """Write `tokenizer.json`, the chat template, and what Hugging Face wants beside them."""
    recipe = context.recipe.tokenizer
    if recipe.pattern not in PATTERNS:
        raise OctadError(f"tokenizer.pattern = {recipe.pattern!r}; it must be one of {', '.join(PATTERNS)}")
    tokenizer = train_bpe(
        training_texts(context),
        recipe.vocab_size,
        special_tokens=SPECIAL_TOKENS,
        pattern=PATTERNS[recipe.pattern],
        allow_smaller=True,
        progress=lambda done, total: context.reporter.update(done, total, ["merges"]),
    )
    if tokenizer.vocab_size < recipe.vocab_size:
        raise OctadError(
            f"tokenizer.vocab_size = {recipe.vocab_size:,} is more than the text supports; give more text, "
            f"or the size that it supports: --set tokenizer.vocab_size={tokenizer.vocab_size}"
        )
    tokenizer.save(context.path() / "tokenizer.json")
    write_chat_files(context.path())
    ratios = {kind: bytes_per_token(tokenizer, text) for kind, text in _samples(context).items()}
    shown = ", ".join(f"{ratio:.2f} of {kind}" for kind, ratio in ratios.items())
    return {
        "headline": f"{tokenizer.vocab_size:,} tokens; held-out bytes per token: {shown}",
        "vocab_size": tokenizer.vocab_size,
        "fingerprint": tokenizer.fingerprint,
        "bytes_per_token": ratios,
        "longest": [tokenizer.decode([i]) for i in _longest(tokenizer)],
    }


def training_texts(context: Context) -> Iterator[str]:
    """The training documents, each as often as the whole part of its kind's weight says (once at least)."""
    weights = context.recipe.shards.weights
    for document in read_documents(context.path("corpus") / "train.jsonl"):
        for _ in range(max(1, int(weights.get(document.kind, 1.0)))):
            yield document.text


def bytes_per_token(tokenizer: BytePairTokenizer, text: str) -> float:
    """UTF-8 bytes of the text over its number of tokens."""
    return len(text.encode()) / len(tokenizer.encode(text, allowed_special="none"))


def _samples(context: Context, size: int = 100_000) -> dict[str, str]:
    texts: dict[str, str] = {}
    for document in read_documents(context.path("corpus") / "held_out.jsonl"):
        texts[document.kind] = (texts.get(document.kind, "") + document.text)[:size]
    return {kind: text for kind, text in sorted(texts.items()) if text}


def _longest(tokenizer: BytePairTokenizer, count: int = 12) -> list[int]:
    special = set(tokenizer.special_tokens.values())
    ordinary = [i for i in range(tokenizer.vocab_size) if i not in special]
    return sorted(ordinary, key=lambda i: -len(tokenizer.token_bytes(i)))[:count]
