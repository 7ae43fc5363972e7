"""Tokenizers from characters to byte-pair encoding: train, encode, decode, exchange, inspect.

A tokenizer turns text into integers and back. All of them follow one protocol, `Tokenizer`.

- `train_bpe(texts, vocab_size)` learns a byte-pair vocabulary; the result is a `BytePairTokenizer`.
- `encode`, `encode_batch`, `encode_iterable` give ids; the last one from chunks, exactly, in bounded memory.
- `decode`, `decode_stream`, `decode_bytes` go back; every byte is a token, so byte-pair encoding loses nothing.
- `BytePairTokenizer.save` and `.load` speak Hugging Face's `tokenizer.json`; `load_gpt2_files` and
  `load_tiktoken_ranks` (and their `save_`s) the other formats.
- `CharacterTokenizer`, `ByteTokenizer` and `WordTokenizer` are the classics, for comparison: see `compare`.
- `ChatTemplate` turns messages into ids and a mask of what the assistant wrote; what users write stays plain text.
"""

from octad_tokenizer.base import BaseTokenizer
from octad_tokenizer.bpe import BytePairTokenizer
from octad_tokenizer.bpe_train import train_bpe
from octad_tokenizer.byte import ByteTokenizer
from octad_tokenizer.character import CharacterTokenizer
from octad_tokenizer.chat import CHATML, CHATML_SPECIAL_TOKENS, ChatTemplate
from octad_tokenizer.compare import Comparison, compare, format_comparison, unreachable_tokens, unused_tokens
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.gpt2_files import load_gpt2_files, save_gpt2_files
from octad_tokenizer.patterns import CL100K, GPT2, LLAMA3, O200K, QWEN2, PreTokenizer
from octad_tokenizer.protocol import AllowedSpecial, Tokenizer
from octad_tokenizer.tiktoken_ranks import (
    from_tiktoken_ranks,
    load_tiktoken_ranks,
    save_tiktoken_ranks,
    to_tiktoken_ranks,
)
from octad_tokenizer.word import WordTokenizer

__all__ = [
    "CHATML",
    "CHATML_SPECIAL_TOKENS",
    "CL100K",
    "GPT2",
    "LLAMA3",
    "O200K",
    "QWEN2",
    "AllowedSpecial",
    "BaseTokenizer",
    "BytePairTokenizer",
    "ByteTokenizer",
    "CharacterTokenizer",
    "ChatTemplate",
    "Comparison",
    "PreTokenizer",
    "Tokenizer",
    "TokenizerError",
    "WordTokenizer",
    "compare",
    "format_comparison",
    "from_tiktoken_ranks",
    "load_gpt2_files",
    "load_tiktoken_ranks",
    "save_gpt2_files",
    "save_tiktoken_ranks",
    "to_tiktoken_ranks",
    "train_bpe",
    "unreachable_tokens",
    "unused_tokens",
]
