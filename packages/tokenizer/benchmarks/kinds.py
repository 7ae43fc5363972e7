"""Why byte-pair encoding won: every kind of tokenizer, learned from one text and tried on another.

Run: python benchmarks/kinds.py wikitext2_valid.txt tinyshakespeare.txt --vocab-size 8192
"""

from __future__ import annotations

import argparse
from pathlib import Path

from octad_tokenizer import (
    ByteTokenizer,
    CharacterTokenizer,
    WordTokenizer,
    compare,
    format_comparison,
    train_bpe,
    word_limits,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("learn", type=Path, help="the text to learn from")
    parser.add_argument("held_out", type=Path, help="the text to try them on")
    parser.add_argument("--vocab-size", type=int, default=8192)
    options = parser.parse_args()
    learn, held_out = options.learn.read_text(encoding="utf-8"), options.held_out.read_text(encoding="utf-8")
    tokenizers = {
        "character": CharacterTokenizer.train([learn], ["<unk>"], "<unk>"),
        "byte": ByteTokenizer(),
        "word": WordTokenizer.train([learn], options.vocab_size),
        "byte-pair": train_bpe([learn], options.vocab_size),
    }
    print(format_comparison(compare(tokenizers, held_out)))
    print("\nwords:     vocab   unknown words   unknown distinct words")
    limits = word_limits([learn], held_out, [2**power for power in range(10, 21)])
    for limit in sorted(set(limits), key=lambda limit: limit.vocab_size):
        print(f"{limit.vocab_size:>16} {limit.unknown_words:>15.1%} {limit.unknown_distinct_words:>24.1%}")


if __name__ == "__main__":
    main()
