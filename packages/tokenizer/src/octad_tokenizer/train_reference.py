"""The algorithm of training in pure Python (Sennrich et al. 2016; over bytes, Radford et al. 2019): read it here.

The C engine learns the same merges; it takes over where it is installed.
"""

from __future__ import annotations

from collections.abc import Mapping

from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.merge import apply_merges
from octad_tokenizer.pair_index import PairIndex
from octad_tokenizer.patterns import PreTokenizer
from octad_tokenizer.pre_token_counts import count_pre_tokens
from octad_tokenizer.special import SpecialTokens, utf8
from octad_tokenizer.train_plan import NOTHING_TO_LEARN, Pairs, Progress, TieBreak, TrainingPlan
from octad_tokenizer.train_sources import Texts

_GREATEST_FIRST = bytes(255 - byte for byte in range(256))


def learn_by_reference(texts: Texts, special: SpecialTokens, plan: TrainingPlan) -> Pairs:
    """The merges of `plan`, as pairs of ids of which the k-th makes 256 + k.

    Raises:
        TokenizerError: no text, or something that is no text.
        OSError: a file cannot be read.
    """
    pairs: Pairs = []
    counts = count_pre_tokens(texts, special, [PreTokenizer(pattern) for pattern in plan.patterns])
    for pieces, size in zip(counts, plan.sizes, strict=True):
        if not pieces:
            raise TokenizerError(NOTHING_TO_LEARN)
        words = _words(pieces, plan.byte_order, pairs)
        index = PairIndex(words, list(pieces.values()))
        tokens = [bytes([byte]) for byte in plan.byte_order]
        for left, right in pairs:
            tokens.append(tokens[left] + tokens[right])
        _learn(index, tokens, pairs, size, plan, plan.progress_of(size))
    return pairs


def _words(pieces: Mapping[str, int], byte_order: bytes, known: Pairs) -> list[list[int]]:
    """The pieces as ids, after the merges that are known."""
    to_ids = bytes(byte_order.index(byte) for byte in range(256))
    words = [list(utf8(piece).translate(to_ids)) for piece in pieces]
    if not known:
        return words
    ranks = {pair: rank for rank, pair in enumerate(known)}
    products = range(256, 256 + len(known))
    return [apply_merges(word, ranks, products) for word in words]


def _learn(
    index: PairIndex, tokens: list[bytes], pairs: Pairs, size: int, plan: TrainingPlan, progress: Progress | None
) -> None:
    """Merge the most frequent pair until there are `size` tokens, or no pair is frequent enough."""
    index.start([_order_key(token, at, plan.tie_break) for at, token in enumerate(tokens)])
    while len(tokens) < size and (pair := index.most_frequent(plan.min_frequency)):
        product = len(tokens)
        tokens.append(tokens[pair[0]] + tokens[pair[1]])
        pairs.append(pair)
        index.add_order_key(_order_key(tokens[product], product, plan.tie_break))
        index.merge(pair, product)
        if progress:
            progress(len(pairs), plan.size - 256)


def _order_key(token: bytes, token_id: int, tie_break: TieBreak) -> str | bytes | int:
    """A key whose ascending order is the order of preference.

    Descending order of byte strings is the ascending order of their complements, if an end counts as greater than
    any byte: U+0100 is.
    """
    if tie_break == "greatest":
        return token.translate(_GREATEST_FIRST).decode("latin-1") + "\u0100"
    return token if tie_break == "least" else token_id
