"""Tokenizers from characters to byte-pair encoding: train, encode, decode, exchange, inspect.

A tokenizer turns text into integers and back. All of them follow one protocol, `Tokenizer`.

- `train_bpe(texts, vocab_size)` learns a byte-pair vocabulary; the result is a `BytePairTokenizer`.
- `encode`, `encode_batch`, `encode_iterable` give ids; the last one from chunks, exactly, in bounded memory.
- `decode`, `decode_stream`, `decode_bytes` go back; every byte is a token, so byte-pair encoding loses nothing.
- `BytePairTokenizer.save` and `.load` speak Hugging Face's `tokenizer.json`; `load_gpt2_files` and
  `load_tiktoken_ranks` (and their `save_`s) the other formats.
- `WordPieceTokenizer` (BERT), `UnigramTokenizer` (T5) and `SentencePieceBPE` (Llama 2) read others' vocabularies;
  `load_tokenizer` tells which a file holds.
- `CharacterTokenizer`, `ByteTokenizer` and `WordTokenizer` are the classics, for comparison: see `compare`.
- `diagnose`, `parity` and `plot_diagnosis` say what is wrong with a vocabulary, and which languages pay for it.
- `ChatTemplate` turns messages into ids and a mask of what the assistant wrote; what users write stays plain text.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from octad_tokenizer.base import BaseTokenizer
    from octad_tokenizer.bpe import BytePairTokenizer
    from octad_tokenizer.bpe_train import train_bpe
    from octad_tokenizer.byte import ByteTokenizer
    from octad_tokenizer.character import CharacterTokenizer
    from octad_tokenizer.chat import CHATML, CHATML_SPECIAL_TOKENS, ChatTemplate
    from octad_tokenizer.comparison import Comparison, compare, format_comparison, unreachable_tokens, unused_tokens
    from octad_tokenizer.diagnostics import Diagnosis, diagnose, under_trained_by_embedding
    from octad_tokenizer.diagnostics_plot import plot_diagnosis
    from octad_tokenizer.errors import TokenizerError
    from octad_tokenizer.framing import BERT_FRAMING, T5_FRAMING, Framing
    from octad_tokenizer.gpt2_files import load_gpt2_files, save_gpt2_files
    from octad_tokenizer.language_cost import LanguageCost, format_parity, parity
    from octad_tokenizer.loading import load_tokenizer
    from octad_tokenizer.normalization import BertNormalizer
    from octad_tokenizer.patterns import CL100K, CL100K_TIKTOKEN, GPT2, LLAMA3, O200K, QWEN2, SUPERWORDS, PreTokenizer
    from octad_tokenizer.progress import progress_bar
    from octad_tokenizer.protocol import AllowedSpecial, Tokenizer
    from octad_tokenizer.sentencepiece_bpe import SentencePieceBPE
    from octad_tokenizer.tiktoken_ranks import (
        from_tiktoken_ranks,
        load_tiktoken_ranks,
        save_tiktoken_ranks,
        to_tiktoken_ranks,
    )
    from octad_tokenizer.token_counts import AppendCounter, IntervalCounter, PrependCounter
    from octad_tokenizer.train_plan import TieBreak
    from octad_tokenizer.train_sources import Column
    from octad_tokenizer.unigram import UnigramTokenizer
    from octad_tokenizer.word import WordLimit, WordTokenizer, word_limits
    from octad_tokenizer.wordpiece import WordPieceTokenizer

__all__ = [
    "BERT_FRAMING",
    "CHATML",
    "CHATML_SPECIAL_TOKENS",
    "CL100K",
    "CL100K_TIKTOKEN",
    "GPT2",
    "LLAMA3",
    "O200K",
    "QWEN2",
    "SUPERWORDS",
    "T5_FRAMING",
    "AllowedSpecial",
    "AppendCounter",
    "BaseTokenizer",
    "BertNormalizer",
    "BytePairTokenizer",
    "ByteTokenizer",
    "CharacterTokenizer",
    "ChatTemplate",
    "Column",
    "Comparison",
    "Diagnosis",
    "Framing",
    "IntervalCounter",
    "LanguageCost",
    "PreTokenizer",
    "PrependCounter",
    "SentencePieceBPE",
    "TieBreak",
    "Tokenizer",
    "TokenizerError",
    "UnigramTokenizer",
    "WordLimit",
    "WordPieceTokenizer",
    "WordTokenizer",
    "compare",
    "diagnose",
    "format_comparison",
    "format_parity",
    "from_tiktoken_ranks",
    "load_gpt2_files",
    "load_tiktoken_ranks",
    "load_tokenizer",
    "parity",
    "plot_diagnosis",
    "progress_bar",
    "save_gpt2_files",
    "save_tiktoken_ranks",
    "to_tiktoken_ranks",
    "train_bpe",
    "under_trained_by_embedding",
    "unreachable_tokens",
    "unused_tokens",
    "word_limits",
]

_NAMES = {
    "base": ("BaseTokenizer",),
    "bpe": ("BytePairTokenizer",),
    "bpe_train": ("train_bpe",),
    "byte": ("ByteTokenizer",),
    "character": ("CharacterTokenizer",),
    "chat": ("CHATML", "CHATML_SPECIAL_TOKENS", "ChatTemplate"),
    "comparison": ("Comparison", "compare", "format_comparison", "unreachable_tokens", "unused_tokens"),
    "diagnostics": ("Diagnosis", "diagnose", "under_trained_by_embedding"),
    "diagnostics_plot": ("plot_diagnosis",),
    "errors": ("TokenizerError",),
    "framing": ("BERT_FRAMING", "T5_FRAMING", "Framing"),
    "gpt2_files": ("load_gpt2_files", "save_gpt2_files"),
    "loading": ("load_tokenizer",),
    "normalization": ("BertNormalizer",),
    "language_cost": ("LanguageCost", "format_parity", "parity"),
    "patterns": ("CL100K", "CL100K_TIKTOKEN", "GPT2", "LLAMA3", "O200K", "QWEN2", "SUPERWORDS", "PreTokenizer"),
    "progress": ("progress_bar",),
    "protocol": ("AllowedSpecial", "Tokenizer"),
    "sentencepiece_bpe": ("SentencePieceBPE",),
    "tiktoken_ranks": ("from_tiktoken_ranks", "load_tiktoken_ranks", "save_tiktoken_ranks", "to_tiktoken_ranks"),
    "token_counts": ("AppendCounter", "IntervalCounter", "PrependCounter"),
    "train_plan": ("TieBreak",),
    "train_sources": ("Column",),
    "unigram": ("UnigramTokenizer",),
    "word": ("WordLimit", "WordTokenizer", "word_limits"),
    "wordpiece": ("WordPieceTokenizer",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    """A public name, whose module is imported at its first use: all at once would cost a program 50 ms."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
