"""What is hidden from a model that reads both ways, and asked of it: masked words, the next sentence, whole spans."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from octad_arch.errors import require
from octad_arch.loss_head import IGNORE_INDEX


class Masked(NamedTuple):
    """Tokens with some hidden, and what stood there (-100 elsewhere)."""

    tokens: Tensor
    targets: Tensor


def mask_words(
    tokens: Int[Tensor, "batch seq"],
    mask: int,
    vocab_size: int,
    generator: torch.Generator,
    share: float = 0.15,
    keep: Bool[Tensor, "batch seq"] | None = None,
    replaced: float = 0.8,
    randomised: float = 0.1,
) -> Masked:
    """BERT's corruption: of the chosen tokens most become `mask`, some a random word, some stay; all are asked for.

    Args:
        tokens: ids.
        mask: the id that hides a token.
        vocab_size: random words are ids below it.
        generator: source of chance, on the tokens' device.
        share: of the tokens that may be chosen, each with this probability.
        keep: False marks what may not be chosen: padding, special tokens.
        replaced: of the chosen, the share that becomes `mask`.
        randomised: the share that becomes a random word.

    Raises:
        ArchError: shares that are no probabilities.
    Source: Devlin et al. 2018, section 3.1 (arXiv 1810.04805); share 0.3 and replaced 1: ModernBERT (arXiv 2412.13663).
    """
    require(
        0 < share <= 1 and min(replaced, randomised) >= 0 and replaced + randomised <= 1,
        f"share={share}, replaced={replaced} and randomised={randomised} must be probabilities, the last two summing "
        "to at most 1",
    )
    chance = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    chosen = chance < share if keep is None else (chance < share) & keep
    fate = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    words = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    hidden = torch.where(chosen & (fate < replaced), mask, tokens)
    hidden = torch.where(chosen & (fate >= replaced) & (fate < replaced + randomised), words, hidden)
    return Masked(hidden, tokens.masked_fill(~chosen, IGNORE_INDEX))


class SentencePair(NamedTuple):
    """[CLS] first [SEP] second [SEP], with the segment of each token and whether second follows first."""

    tokens: list[int]
    segments: list[int]
    is_next: bool


def sentence_pair(
    documents: Sequence[Sequence[Sequence[int]]],
    document: int,
    sentence: int,
    first_token: int,
    separator: int,
    generator: torch.Generator,
    max_tokens: int = 512,
) -> SentencePair:
    """A sentence with its successor, or in half of the cases with one of another document (next-sentence prediction).

    Args:
        documents: each a list of sentences, each a list of ids; at least two documents.
        document: index of the document.
        sentence: index of the first sentence in it, not its last.
        first_token: [CLS].
        separator: [SEP].
        generator: source of chance, on the CPU.
        max_tokens: the longer of the two is cut from its end until both fit.

    Raises:
        ArchError: one document, no sentence after that one, or no room for a token of each.
    Source: Devlin et al. 2018, section 3.1 (arXiv 1810.04805).
    """
    require(len(documents) > 1, "the next-sentence task needs at least 2 documents")
    require(
        0 <= sentence < len(documents[document]) - 1,
        f"sentence {sentence} of document {document} has none after it ({len(documents[document])} sentences)",
    )
    require(max_tokens >= 5, f"max_tokens={max_tokens} has no room for two sentences and three marks; use at least 5")
    is_next = bool(torch.rand((), generator=generator) < 0.5)
    first, second = list(documents[document][sentence]), list(documents[document][sentence + 1])
    if not is_next:
        other = int(torch.randint(len(documents) - 1, (), generator=generator))
        chosen = documents[other + (other >= document)]
        second = list(chosen[int(torch.randint(len(chosen), (), generator=generator))])
    while len(first) + len(second) > max_tokens - 3:
        (first if len(first) > len(second) else second).pop()
    tokens = [first_token, *first, separator, *second, separator]
    return SentencePair(tokens, [0] * (len(first) + 2) + [1] * (len(second) + 1), is_next)


class Spans(NamedTuple):
    """Input with spans cut out, and the spans, each behind the sentinel that stands for it."""

    source: list[int]
    target: list[int]


def corrupt_spans(
    tokens: Sequence[int],
    sentinels: Sequence[int],
    generator: torch.Generator,
    share: float = 0.15,
    mean_length: float = 3.0,
) -> Spans:
    """T5's objective: cut random spans out, leave a sentinel for each, and ask for the spans in order.

    round(n * share) tokens in round(that / mean_length) spans; the lengths of the spans, and of what stays between
    them, are uniform among all ways to cut the two amounts into as many parts of at least one token. The input begins
    with what stays; the target ends with the sentinel after the last one used.

    Args:
        tokens: at least 2 ids, without sentinels.
        sentinels: <extra_id_0>, <extra_id_1> ..., one more than there are spans.
        generator: source of chance, on the CPU.
        share: of the tokens that are cut out.
        mean_length: of a span.

    Raises:
        ArchError: fewer than 2 tokens, too few sentinels, a share outside (0, 1).
    Source: Raffel et al. 2019, section 3.1.4 (arXiv 1910.10683).
    """
    require(len(tokens) > 1, f"{len(tokens)} tokens cannot be split into what stays and what is cut; give at least 2")
    require(
        0 < share < 1 and mean_length >= 1, f"share={share} must lie in (0, 1) and mean_length={mean_length} be >= 1"
    )
    cut = min(max(round(len(tokens) * share), 1), len(tokens) - 1)
    count = min(max(round(cut / mean_length), 1), cut, len(tokens) - cut)
    require(count < len(sentinels), f"{count} spans need {count + 1} sentinels, but there are {len(sentinels)}")
    spans, gaps = _parts(cut, count, generator), _parts(len(tokens) - cut, count, generator)
    source: list[int] = []
    target: list[int] = []
    place = 0
    for sentinel, gap, span in zip(sentinels, gaps, spans, strict=False):
        source += [*tokens[place : place + gap], sentinel]
        target += [sentinel, *tokens[place + gap : place + gap + span]]
        place += gap + span
    return Spans(source, [*target, sentinels[count]])


def _parts(total: int, count: int, generator: torch.Generator) -> list[int]:
    """`total` as a sum of `count` whole numbers above 0, uniform among all such sums."""
    bounds = torch.randperm(total - 1, generator=generator)[: count - 1].sort().values + 1
    edges = [0, *bounds.tolist(), total]
    return [after - before for before, after in pairwise(edges)]
