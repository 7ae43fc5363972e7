"""Train byte-pair encoding: join the most frequent pair of neighbours, again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from octad_tokenizer.bpe import BytePairTokenizer
from octad_tokenizer.byte_spelling import BYTE_ORDER
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.pair_index import PairIndex
from octad_tokenizer.patterns import GPT2, PreTokenizer
from octad_tokenizer.pre_token_counts import count_pre_tokens
from octad_tokenizer.special import SpecialTokens, special_ids, utf8

TieBreak: TypeAlias = Literal["greatest", "lowest_ids"]
Progress: TypeAlias = Callable[[int, int], None]

_TO_IDS = bytes(BYTE_ORDER.index(byte) for byte in range(256))
_GREATEST_FIRST = bytes(255 - byte for byte in range(256))


def train_bpe(
    texts: Iterable[str | Path],
    vocab_size: int,
    *,
    special_tokens: Sequence[str] = (),
    pattern: str = GPT2,
    tie_break: TieBreak = "greatest",
    min_frequency: int = 1,
    allow_smaller: bool = False,
    progress: Progress | None = None,
) -> BytePairTokenizer:
    """Merge argmax over pairs of count(pair) until the vocabulary has `vocab_size` tokens.

    Ids: 0 to 255 are the bytes in GPT-2's order (printable ones first), then come the merges' products in the order
    of learning, then the special tokens. So ids are ranks, as tiktoken wants them, and files look like GPT-2's.
    No two pairs make the same token: `tiktoken_ranks` says why.

    Args:
        texts: texts (str) and UTF-8 files (`Path`), each a document of its own: no merge spans two.
        vocab_size: bytes, merges and special tokens together.
        special_tokens: their occurrences in the texts are borders and are not learned from.
        pattern: the pre-tokens' regular expression; no merge spans two pre-tokens.
        tie_break: which of the equally frequent pairs comes first: "greatest" is the lexicographically greatest pair
            of byte strings, "lowest_ids" the smallest pair of ids (Hugging Face's).
        min_frequency: rarer pairs are not merged.
        allow_smaller: return a smaller vocabulary if the texts support no larger one.
        progress: called with (merges learned, merges wanted) after each merge.

    Raises:
        TokenizerError: no text, a vocabulary below 256 + special tokens, or one that the texts do not support.
        OSError: a file cannot be read.

    Cost: one pass of the expression over the texts, then about O(occurrences of merged pairs) over distinct
    pre-tokens. Memory: the distinct pre-tokens.
    """
    special = SpecialTokens(special_ids(special_tokens, 256))
    smallest = 256 + len(special.ids)
    if vocab_size < smallest:
        raise TokenizerError(
            f"vocab_size={vocab_size} is less than 256 bytes + {len(special.ids)} special tokens; set it to at least "
            f"{smallest}"
        )
    if tie_break not in ("greatest", "lowest_ids"):
        raise TokenizerError(f'tie_break={tie_break!r} is unknown; use "greatest" or "lowest_ids"')
    if min_frequency < 1:
        raise TokenizerError(f"min_frequency={min_frequency} is less than 1; a pair occurs at least once")
    counts = count_pre_tokens(texts, special, PreTokenizer(pattern))
    if not counts:
        raise TokenizerError("the texts hold nothing but special tokens; give a text to learn from")
    index = PairIndex([list(utf8(piece).translate(_TO_IDS)) for piece in counts], list(counts.values()))
    tokens, merges = _learn(index, vocab_size - len(special.ids), tie_break, min_frequency, progress)
    size = len(tokens) + len(special.ids)
    if size < vocab_size and not allow_smaller:
        raise TokenizerError(
            f"vocab_size={vocab_size} is more than the texts support: no pair occurs {min_frequency} times after "
            f"{size} tokens; set vocab_size={size}, give more text, or pass allow_smaller=True"
        )
    vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
    return BytePairTokenizer(vocabulary, merges, special_ids(special_tokens, len(tokens)), pattern)


def _learn(
    index: PairIndex, size: int, tie_break: TieBreak, min_frequency: int, progress: Progress | None
) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """The tokens by id, and the merges in order."""
    tokens = [bytes([byte]) for byte in BYTE_ORDER]
    merges: list[tuple[bytes, bytes]] = []
    index.start([_order_key(token, at, tie_break) for at, token in enumerate(tokens)])
    while len(tokens) < size and (pair := index.most_frequent(min_frequency)):
        left, right = tokens[pair[0]], tokens[pair[1]]
        product = len(tokens)
        tokens.append(left + right)
        merges.append((left, right))
        index.add_order_key(_order_key(left + right, product, tie_break))
        index.merge(pair, product)
        if progress:
            progress(len(merges), size - 256)
    return tokens, merges


def _order_key(token: bytes, token_id: int, tie_break: TieBreak) -> str | int:
    """A key whose ascending order is the order of preference.

    Descending order of byte strings is the ascending order of their complements, if an end counts as greater than
    any byte: U+0100 is.
    """
    if tie_break == "lowest_ids":
        return token_id
    return token.translate(_GREATEST_FIRST).decode("latin-1") + "\u0100"
