"""What the same text costs in each language (Petrov et al. 2023, "Language Model Tokenizers Introduce Unfairness")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.protocol import Tokenizer
from octad_tokenizer.special import utf8


@dataclass(frozen=True)
class LanguageCost:
    """One language of a parallel text.

    Args:
        language: what the caller calls it.
        num_tokens: the length of the text in tokens.
        num_characters: its length in code points.
        num_bytes: its length in UTF-8.
        premium: `num_tokens` relative to the cheapest language's; 1 is the least that anybody pays.
        bytes_per_token: compression.
        unknown_rate: the share of the text that becomes unknown tokens; a low cost means nothing where it is high.
    """

    language: str
    num_tokens: int
    num_characters: int
    num_bytes: int
    premium: float
    bytes_per_token: float
    unknown_rate: float = 0.0


def parity(tokenizer: Tokenizer, parallel: Mapping[str, str]) -> list[LanguageCost]:
    """Each language's cost on its translation of one text, the cheapest first.

    Args:
        tokenizer: any.
        parallel: language to text; all the same text, or the comparison means nothing.

    Raises:
        TokenizerError: no language, or one whose text has no tokens.
    """
    if not parallel:
        raise TokenizerError("parallel names no language; give {language: its translation}")
    lengths = {language: len(tokenizer.encode(text, allowed_special="none")) for language, text in parallel.items()}
    if empty := sorted(language for language, length in lengths.items() if not length):
        raise TokenizerError(f"the texts of {empty} have no tokens; leave them out")
    cheapest = min(lengths.values())
    costs = [
        LanguageCost(
            language=language,
            num_tokens=lengths[language],
            num_characters=len(text),
            num_bytes=len(utf8(text)),
            premium=lengths[language] / cheapest,
            bytes_per_token=len(utf8(text)) / lengths[language],
            unknown_rate=unknown_rate(tokenizer, text),
        )
        for language, text in parallel.items()
    ]
    return sorted(costs, key=lambda cost: (cost.premium, cost.language))


def format_parity(costs: Sequence[LanguageCost]) -> str:
    """A table in plain text, one line a language."""
    width = max([8, *(len(cost.language) for cost in costs)])
    head = f"{'language':<{width}} {'premium':>8} {'tokens':>9} {'characters':>11} {'bytes/token':>12} {'unknown':>8}"
    lines = [
        f"{cost.language:<{width}} {cost.premium:>8.2f} {cost.num_tokens:>9} {cost.num_characters:>11} "
        f"{cost.bytes_per_token:>12.2f} {cost.unknown_rate:>8.1%}"
        for cost in costs
    ]
    return "\n".join([head, *lines])


def unknown_rate(tokenizer: Tokenizer, text: str) -> float:
    """What a tokenizer with an unknown token says of itself; 0 where there is none."""
    own = getattr(tokenizer, "unknown_rate", None)
    return float(own(text)) if callable(own) else 0.0
