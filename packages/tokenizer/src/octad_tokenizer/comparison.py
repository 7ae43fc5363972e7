"""What tokenizers make of a text, side by side, and tokens that are never used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from octad_tokenizer.bpe import BytePairTokenizer
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.language_cost import unknown_rate
from octad_tokenizer.protocol import Tokenizer
from octad_tokenizer.special import utf8


@dataclass(frozen=True)
class Comparison:
    """One tokenizer on one text.

    Args:
        name: what the caller calls it.
        vocab_size: the number of ids.
        num_tokens: the length of the text in tokens.
        bytes_per_token: compression; more is shorter.
        tokens_per_word: fertility; a word is a stretch without white space.
        vocabulary_use: the share of the ids that occur, 0 to 1.
        round_trips: whether decoding gives the text back.
        unknown_rate: the share of the text (words, or tokens) that becomes unknown; what is unknown is cheap, and lost.
    """

    name: str
    vocab_size: int
    num_tokens: int
    bytes_per_token: float
    tokens_per_word: float
    vocabulary_use: float
    round_trips: bool
    unknown_rate: float = 0.0


def compare(tokenizers: Mapping[str, Tokenizer], text: str) -> list[Comparison]:
    """Each tokenizer on `text`, special tokens in it taken as text; the best compression first.

    Raises:
        TokenizerError: `text` is empty, or a tokenizer cannot encode it.
    """
    if not text:
        raise TokenizerError("text is empty; there is nothing to compare on")
    size, num_words = len(utf8(text)), len(text.split())
    rows = []
    for name, tokenizer in tokenizers.items():
        ids = tokenizer.encode(text, allowed_special="none")
        rows.append(
            Comparison(
                name=name,
                vocab_size=tokenizer.vocab_size,
                num_tokens=len(ids),
                bytes_per_token=size / len(ids) if ids else float("inf"),
                tokens_per_word=len(ids) / num_words if num_words else float("nan"),
                vocabulary_use=len(set(ids)) / tokenizer.vocab_size,
                round_trips=tokenizer.decode(ids) == text,
                unknown_rate=unknown_rate(tokenizer, text),
            )
        )
    return sorted(rows, key=lambda row: -row.bytes_per_token)


def format_comparison(rows: Sequence[Comparison]) -> str:
    """A table in plain text, one line a tokenizer."""
    head = (
        f"{'tokenizer':<16} {'vocab':>8} {'tokens':>10} {'bytes/token':>12} {'tokens/word':>12} {'used':>7} "
        f"{'unknown':>8}  lossless"
    )
    lines = [
        f"{row.name:<16} {row.vocab_size:>8} {row.num_tokens:>10} {row.bytes_per_token:>12.3f} "
        f"{row.tokens_per_word:>12.3f} {row.vocabulary_use:>7.1%} {row.unknown_rate:>8.1%}  "
        f"{'yes' if row.round_trips else 'no'}"
        for row in rows
    ]
    return "\n".join([head, *lines])


def unused_tokens(tokenizer: Tokenizer, text: str, at_most: int = 0) -> dict[int, int]:
    """Id to count of the tokens that occur at most `at_most` times in `text`: a model will hardly learn them.

    Ids without a token (gaps in the numbering) are left out.
    """
    counts = Counter(tokenizer.encode(text))
    return {token_id: counts[token_id] for token_id in existing_tokens(tokenizer) if counts[token_id] <= at_most}


def unreachable_tokens(tokenizer: BytePairTokenizer) -> dict[int, bytes]:
    """The ordinary tokens that no text gives: the merges, or the pattern, never let them stand alone.

    Tokens that are no whole characters are judged by their merges only: they occur inside of others.
    Cost: one short encoding a token.
    """
    found = {}
    for token, token_id in tokenizer.vocabulary.items():
        try:
            ids = tokenizer.encode(token.decode(), allowed_special="none")
        except UnicodeDecodeError:
            ids = tokenizer.merge_bytes(token)
        if ids != [token_id]:
            found[token_id] = token
    return found


def existing_tokens(tokenizer: Tokenizer) -> dict[int, bytes]:
    """Id to bytes; ids without a token (gaps in the numbering) are left out."""
    found = {}
    for token_id in range(tokenizer.vocab_size):
        try:
            found[token_id] = tokenizer.token_bytes(token_id)
        except TokenizerError:
            continue
    return found
