"""tiktoken's rank files, both ways: one line a token, its bytes in base64 and its rank, which is its id.

tiktoken keeps no merges: it joins any two neighbours whose joined bytes are a token, the lowest rank first. The
merges can be found again. Let a token t be made somewhere inside a longer pre-token, from neighbours l and r. Until
then nothing was joined across the borders of t (l and r end there), and each join inside t was the lowest and leftmost
of all, so also of those inside t: they are the joins that t's bytes alone would have seen. So running the rule on t
alone ends with the one pair (l, r) that ever makes t; if it gets stuck before, t is only ever a whole pre-token.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from octad_tokenizer.bpe import BytePairTokenizer
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.files import read_text, write_whole


def from_tiktoken_ranks(
    ranks: Mapping[bytes, int], *, pattern: str, special_tokens: Mapping[str, int] | Sequence[str] = ()
) -> BytePairTokenizer:
    """The tokenizer that gives the ids of `tiktoken.Encoding(pat_str=pattern, mergeable_ranks=ranks, ...)`.

    Args:
        ranks: bytes to rank; all 256 single bytes must be there.
        pattern: the pre-tokens' regular expression; rank files do not hold it.
        special_tokens: name to id, or names for the next free ids.

    Raises:
        TokenizerError: a rule of `BytePairTokenizer` is broken.

    Cost: one run of the rule a token, about a second for 100,000 tokens.
    """
    merges, is_complete = derived_merges(ranks)
    return BytePairTokenizer(ranks, merges, special_tokens, pattern, ignore_merges=not is_complete)


def load_tiktoken_ranks(
    path: str | Path, *, pattern: str, special_tokens: Mapping[str, int] | Sequence[str] = ()
) -> BytePairTokenizer:
    """`from_tiktoken_ranks` of a `.tiktoken` file.

    Raises:
        TokenizerError: a line is not base64 and a number, a token is there twice, or as `from_tiktoken_ranks`.
        OSError: there is no such file.
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(read_text(Path(path)).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            spelling, digits = line.split()
            token, rank = base64.b64decode(spelling, validate=True), int(digits)
        except (ValueError, binascii.Error):
            raise TokenizerError(f"{path}, line {number}: {line!r} is not a token in base64 and its rank") from None
        if token in ranks:
            raise TokenizerError(f"{path}, line {number}: {token!r} has the rank {ranks[token]} already; keep one")
        ranks[token] = rank
    return from_tiktoken_ranks(ranks, pattern=pattern, special_tokens=special_tokens)


def to_tiktoken_ranks(tokenizer: BytePairTokenizer) -> dict[bytes, int]:
    """The ranks with which tiktoken gives the same ids; special tokens and the pattern go beside them.

    Raises:
        TokenizerError: the merges cannot be told by ranks: their products' ids do not rise, or a token is joined in
            a way, or taken whole where, tiktoken would not.
    """
    ranks = dict(sorted(tokenizer.vocabulary.items(), key=lambda item: item[1]))
    merges, is_complete = derived_merges(ranks)
    if list(tokenizer.merges) != merges:
        known = set(merges)
        odd = next((pair for pair in tokenizer.merges if pair not in known), "their order")
        raise TokenizerError(
            f"the merges are not those that the ids tell as ranks (first difference: {odd}); tiktoken would give other "
            "ids: save as tokenizer.json instead"
        )
    if not is_complete and not tokenizer.ignore_merges:
        raise TokenizerError(
            "the vocabulary holds tokens that no merge makes; tiktoken would use them for whole pre-tokens: remove "
            "them, or make the tokenizer with ignore_merges=True"
        )
    return ranks


def save_tiktoken_ranks(tokenizer: BytePairTokenizer, path: str | Path) -> Path:
    """Write `to_tiktoken_ranks` as a `.tiktoken` file, completely or not at all; return its path.

    Raises:
        TokenizerError: as `to_tiktoken_ranks`.
        OSError: the file cannot be written.
    """
    ranks = to_tiktoken_ranks(tokenizer)
    write_whole(Path(path), "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()))
    return Path(path)


def derived_merges(ranks: Mapping[bytes, int]) -> tuple[list[tuple[bytes, bytes]], bool]:
    """The pairs that make tokens, by rank, and whether every token of two bytes or more has one."""
    merges: list[tuple[bytes, bytes]] = []
    is_complete = True
    for token in sorted(ranks, key=ranks.__getitem__):
        if len(token) < 2:
            continue
        pair = _last_pair(token, ranks)
        if pair is None:
            is_complete = False
        else:
            merges.append(pair)
    return merges, is_complete


def _last_pair(token: bytes, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes] | None:
    """The two tokens that join to `token` last, by tiktoken's rule."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        joined = [ranks.get(left + right) for left, right in pairwise(parts)]
        lowest = min((rank for rank in joined if rank is not None), default=None)
        if lowest is None:
            return None
        at = joined.index(lowest)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]
