"""Train byte-pair encoding: join the most frequent pair of neighbours, again and again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from octad_tokenizer import native
from octad_tokenizer.bpe import BytePairTokenizer
from octad_tokenizer.byte_spelling import BYTE_ORDER
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.patterns import GPT2, SUPERWORDS
from octad_tokenizer.special import SpecialTokens, special_ids
from octad_tokenizer.train_engine import learn_by_engine
from octad_tokenizer.train_plan import Pairs, Progress, TieBreak, TrainingPlan
from octad_tokenizer.train_reference import learn_by_reference
from octad_tokenizer.train_sources import Column, Texts, checked_sources


def train_bpe(
    texts: Texts | Path | Column,
    vocab_size: int,
    *,
    special_tokens: Sequence[str] = (),
    pattern: str = GPT2,
    tie_break: TieBreak = "greatest",
    min_frequency: int = 1,
    allow_smaller: bool = False,
    progress: Progress | None = None,
    threads: int | None = None,
    max_memory_bytes: int | None = None,
    superwords_from: int | None = None,
    superword_pattern: str = SUPERWORDS,
) -> BytePairTokenizer:
    r"""Merge argmax over pairs of count(pair) until the vocabulary has `vocab_size` tokens.

    Ids: 0 to 255 are the bytes in GPT-2's order (printable ones first), then come the merges' products in the order
    of learning, then the special tokens. So ids are ranks, as tiktoken wants them, and files look like GPT-2's.
    No two pairs make the same token: `tiktoken_ranks` says why. The result is the same for any number of threads,
    any memory, and with or without the C engine.

    Superwords: up to `superwords_from` tokens the merges stay inside pre-tokens; then the texts are split by
    `superword_pattern` instead (as it stands: at line ends), the merges so far are done again, and more are learned,
    which may span words: " of the" (SuperBPE, Liu et al. 2025, arXiv 2503.13423; BoundlessBPE, Schmidt et al. 2025,
    arXiv 2504.00178, lets words join as soon as both are whole tokens). The tokenizer has `superword_pattern` as its
    pattern and needs no other change: a text is encoded as the second phase saw it. Its pre-tokens are long and seldom
    repeat, so it encodes more slowly, and training holds nearly the whole text in memory.

    Args:
        texts: texts (str), UTF-8 files (`Path`) and columns of Parquet or JSON Lines files (`Column`); each text, file
            and row is a document of its own: no merge spans two. All are read once.
        vocab_size: bytes, merges and special tokens together.
        special_tokens: their occurrences in the texts are borders and are not learned from.
        pattern: the pre-tokens' regular expression; no merge spans two pre-tokens.
        tie_break: which of the equally frequent pairs comes first: "greatest" or "least" of the pairs of byte strings;
            "lowest_ids", the smallest pair of ids (Hugging Face's); or "lowest_raw_ids", the same if a byte's id were
            its value (gigatoken's "raw_token_ids", rustbpe's).
        min_frequency: rarer pairs are not merged.
        allow_smaller: return a smaller vocabulary if the texts support no larger one.
        progress: called with (merges learned, merges wanted) after each merge; see `progress_bar`. What it raises ends
            the training.
        threads: how many count pre-tokens, with the C engine and a published pattern; one a processor if None.
        max_memory_bytes: spill counts to temporary files, and look at fewer pairs at a time, so as to stay within about
            this much memory beside the texts; for the C engine.
        superwords_from: how many of the bytes and merges to learn before merges may span pre-tokens.
        superword_pattern: what splits the texts then; best one that splits only where `pattern` does.

    Raises:
        TokenizerError: no text, a vocabulary below 256 + special tokens, or one that the texts do not support; an
            argument out of its range; too little memory.
        OSError: a file cannot be read.

    Cost: one pass of the pattern over the texts, then about O(occurrences of merged pairs) over distinct pre-tokens.
    Memory: the distinct pre-tokens, 4 bytes a byte and more for the pairs.
    """
    for name, value in (
        ("vocab_size", vocab_size),
        ("min_frequency", min_frequency),
        ("threads", threads),
        ("max_memory_bytes", max_memory_bytes),
        ("superwords_from", superwords_from),
    ):
        if value is not None and not hasattr(value, "__index__"):
            raise TokenizerError(f"{name}={value!r} is no int; round it")
    special = SpecialTokens(special_ids(special_tokens, 256))
    smallest = 256 + len(special.ids)
    if vocab_size < smallest:
        raise TokenizerError(
            f"vocab_size={vocab_size} is less than 256 bytes + {len(special.ids)} special tokens; set it to at least "
            f"{smallest}"
        )
    for name, value in (("threads", threads), ("max_memory_bytes", max_memory_bytes)):
        if value is not None and value < 1:
            raise TokenizerError(f"{name}={value} is less than 1; leave it out for the default")
    plan = TrainingPlan(
        size=vocab_size - len(special.ids),
        pattern=pattern,
        tie_break=tie_break,
        min_frequency=min_frequency,
        progress=progress,
        superwords_from=superwords_from,
        superword_pattern=superword_pattern,
    )
    sources = checked_sources(texts)
    engine = native.engine_or_warn()
    if engine is None:
        pairs = learn_by_reference(sources, special, plan)
    else:
        pairs = learn_by_engine(engine, sources, special, plan, threads or os.cpu_count() or 1, max_memory_bytes)
    size = smallest + len(pairs)
    if size < vocab_size and not allow_smaller:
        raise TokenizerError(
            f"vocab_size={vocab_size} is more than the texts support: no pair occurs {min_frequency} times after "
            f"{size} tokens; set vocab_size={size}, give more text, or pass allow_smaller=True"
        )
    vocabulary, merges = _named(pairs, plan)
    return BytePairTokenizer(vocabulary, merges, special_ids(special_tokens, len(vocabulary)), plan.patterns[-1])


def _named(pairs: Pairs, plan: TrainingPlan) -> tuple[dict[bytes, int], list[tuple[bytes, bytes]]]:
    """The vocabulary and the merges as byte strings, with bytes in GPT-2's order."""
    tokens = [bytes([byte]) for byte in plan.byte_order]
    merges = []
    for left, right in pairs:
        merges.append((tokens[left], tokens[right]))
        tokens.append(tokens[left] + tokens[right])
    tokens[:256] = [bytes([byte]) for byte in BYTE_ORDER]
    return {token: token_id for token_id, token in enumerate(tokens)}, merges
