"""What is wrong with a vocabulary: tokens that cannot occur, that never do, that are half characters; and who pays."""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from octad_tokenizer.bpe import BytePairTokenizer
from octad_tokenizer.comparison import existing_tokens, unreachable_tokens
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.language_cost import LanguageCost, format_parity, parity
from octad_tokenizer.protocol import Tokenizer
from octad_tokenizer.special import checked_text, utf8
from octad_tokenizer.unigram import UnigramTokenizer

_SHOWN = 8


@dataclass(frozen=True)
class Diagnosis:
    """A vocabulary, judged by itself and by a corpus.

    Args:
        vocab_size: the largest id plus one.
        tokens: id to bytes of all tokens that exist, special ones included.
        special: the ids of the special tokens.
        counts: id to how often the corpus has it; ids that it never has are left out.
        num_bytes: the length of the corpus in UTF-8.
        num_words: its stretches without white space.
        unreachable: tokens that no text gives, as far as merges, pieces and pattern tell; None where nobody can say.
        impossible: tokens whose bytes no UTF-8 text holds, 0xFF for instance. Bytes need them, texts do not.
        not_utf8: tokens that are parts of characters, or hold some: decoding one alone gives U+FFFD.
        rare_at_most: what `rare` counts as rare.
        languages: the cost of each language, where a parallel text was given; the cheapest first.
    """

    vocab_size: int
    tokens: Mapping[int, bytes]
    special: frozenset[int]
    counts: Mapping[int, int]
    num_bytes: int
    num_words: int
    unreachable: Mapping[int, bytes] | None
    impossible: Mapping[int, bytes]
    not_utf8: Mapping[int, bytes]
    rare_at_most: int
    languages: tuple[LanguageCost, ...] = ()

    @property
    def num_tokens(self) -> int:
        """The length of the corpus in tokens."""
        return sum(self.counts.values())

    @property
    def bytes_per_token(self) -> float:
        """Compression of the corpus."""
        return self.num_bytes / self.num_tokens

    @property
    def fertility(self) -> float:
        """Tokens a word of the corpus; nan where it has no words."""
        return self.num_tokens / self.num_words if self.num_words else float("nan")

    @property
    def unused(self) -> dict[int, bytes]:
        """Ordinary tokens that the corpus never has."""
        return {i: token for i, token in self.tokens.items() if i not in self.special and not self.counts.get(i)}

    @property
    def rare(self) -> dict[int, int]:
        """Id to count of the ordinary tokens that occur, but at most `rare_at_most` times."""
        return {i: n for i, n in self.counts.items() if n <= self.rare_at_most and i not in self.special}

    @property
    def under_trained(self) -> list[int]:
        """Ids that a model trained on the corpus will hardly know, the rarest first: unused, then rare.

        They are candidates only; the proof is in the embeddings: `under_trained_by_embedding`.
        """
        return sorted(self.unused) + sorted(self.rare, key=lambda i: (self.rare[i], i))

    def longest(self, num_tokens: int = 10) -> list[tuple[int, bytes]]:
        """The longest ordinary tokens, in bytes, longest first: often boilerplate that the corpus repeats."""
        ordinary = ((i, token) for i, token in self.tokens.items() if i not in self.special)
        return sorted(ordinary, key=lambda item: (-len(item[1]), item[0]))[:num_tokens]

    def report(self) -> str:
        """All of it in plain text."""
        share = f"of {len(self.tokens) - len(self.special)} ordinary tokens"
        lines = [
            f"vocabulary   {self.vocab_size} ids, {len(self.tokens)} tokens, {len(self.special)} of them special",
            f"corpus       {self.num_bytes} bytes, {self.num_tokens} tokens: {self.bytes_per_token:.3f} bytes a token, "
            f"{self.fertility:.3f} tokens a word",
            f"unreachable  {self._found(self.unreachable)}",
            f"impossible   {self._found(self.impossible)}",
            f"not UTF-8    {self._found(self.not_utf8)}",
            f"never used   {len(self.unused)} {share}{_examples(self.unused)}",
            f"rare         {len(self.rare)} occur at most {self.rare_at_most} times"
            f"{_examples({i: self.tokens[i] for i in self.rare})}",
            "longest      " + ", ".join(f"{shown(token)} ({len(token)})" for _, token in self.longest(_SHOWN)),
        ]
        return "\n".join(lines) + (f"\n\n{format_parity(self.languages)}" if self.languages else "")

    @staticmethod
    def _found(tokens: Mapping[int, bytes] | None) -> str:
        return "cannot be told for this kind of tokenizer" if tokens is None else f"{len(tokens)}{_examples(tokens)}"


def diagnose(
    tokenizer: Tokenizer,
    corpus: Iterable[str],
    *,
    parallel: Mapping[str, str] | None = None,
    rare_at_most: int = 2,
) -> Diagnosis:
    """Look at every token of the vocabulary, and at what the corpus makes of it.

    Args:
        tokenizer: any.
        corpus: texts; special tokens in them count as such.
        parallel: language to its translation of one text, for the cost of each.
        rare_at_most: tokens that occur no more often than this are candidates for under-training.

    Raises:
        TokenizerError: the corpus is one str or has no tokens; or as `parity`.

    Cost: one pass over the corpus in memory that does not grow with it, and a short encoding a token.
    """
    if isinstance(corpus, str):
        raise TokenizerError("corpus is one str; pass [text]")
    counts: Counter[int] = Counter()
    num_bytes = num_words = 0
    for text in corpus:
        counts.update(tokenizer.encode(checked_text(text)))
        num_bytes += len(utf8(text))
        num_words += len(text.split())
    if not counts:
        raise TokenizerError("the corpus has no tokens; give texts that are not empty")
    special = frozenset(tokenizer.special_tokens.values())
    tokens = existing_tokens(tokenizer)
    ordinary = {i: token for i, token in tokens.items() if i not in special}
    return Diagnosis(
        vocab_size=tokenizer.vocab_size,
        tokens=tokens,
        special=special,
        counts=dict(counts),
        num_bytes=num_bytes,
        num_words=num_words,
        unreachable=unreachable(tokenizer),
        impossible={i: token for i, token in ordinary.items() if not may_be_in_utf8(token)},
        not_utf8={i: token for i, token in ordinary.items() if not is_utf8(token)},
        rare_at_most=rare_at_most,
        languages=tuple(parity(tokenizer, parallel)) if parallel else (),
    )


def under_trained_by_embedding(
    embeddings: Iterable[Iterable[float]], untrained_ids: Collection[int]
) -> list[tuple[int, float]]:
    """Id and cosine(row, mean of the rows of `untrained_ids`), the most similar first: who looks like the untrained.

    Rows that training never touched all keep what initialisation and weight decay made of them, so they stay alike.

    Args:
        embeddings: a row a token: of the output matrix, or of the input matrix if they are tied; lists, arrays or a
            tensor.
        untrained_ids: tokens that cannot have been trained, `Diagnosis.unreachable` or unused ids for instance.

    Raises:
        TokenizerError: no ids, or one without a row; or rows of different lengths.

    Cost: one multiplication a number, in Python: some seconds for 50,000 rows of 768.
    Source: Land and Bartolo 2024 (arXiv 2405.05417), section 2.2.
    """
    rows = [row.tolist() if hasattr(row, "tolist") else list(row) for row in embeddings]
    if not untrained_ids or not all(0 <= token_id < len(rows) for token_id in untrained_ids):
        raise TokenizerError(f"untrained_ids={sorted(untrained_ids)[:5]} must name some of the {len(rows)} rows")
    if len(sizes := set(map(len, rows))) != 1:
        raise TokenizerError(f"the rows have lengths {sorted(sizes)[:5]}; they must have one")
    mean = [math.fsum(column) / len(untrained_ids) for column in zip(*(rows[i] for i in untrained_ids), strict=True)]
    length = math.hypot(*mean)
    found = []
    for token_id, row in enumerate(rows):
        scale = math.hypot(*row) * length
        found.append((token_id, sum(map(operator.mul, row, mean)) / scale if scale else 0.0))
    return sorted(found, key=lambda item: (-item[1], item[0]))


def unreachable(tokenizer: Tokenizer) -> dict[int, bytes] | None:
    """The ordinary tokens that no text gives; None for kinds of tokenizers of which we cannot say.

    A Unigram piece is never chosen if other pieces make its text with a higher score.
    """
    if isinstance(tokenizer, BytePairTokenizer):
        return unreachable_tokens(tokenizer)
    if isinstance(tokenizer, UnigramTokenizer):
        return tokenizer.unreachable_pieces()
    return None


def is_utf8(token: bytes) -> bool:
    """Whether the bytes are whole characters."""
    try:
        token.decode()
    except UnicodeDecodeError:
        return False
    return True


def may_be_in_utf8(token: bytes) -> bool:
    """Whether some text in UTF-8 holds the bytes, perhaps from inside of one character to inside of another.

    Up to three bytes from 0x80 to 0xBF may end a character that began before.
    """
    for inside in range(4):
        if any(byte & 0xC0 != 0x80 for byte in token[:inside]):
            return False
        if any(is_utf8(token[inside:] + bytes([fill]) * missing) for missing in range(4) for fill in (0x80, 0xBF)):
            return True
    return False


def shown(token: bytes) -> str:
    """A token in one line: as text where it is text, else as bytes."""
    return repr(token.decode()) if is_utf8(token) else repr(token)


def _examples(tokens: Mapping[int, bytes]) -> str:
    some: Sequence[int] = sorted(tokens)[:_SHOWN]
    rest = ", ..." if len(tokens) > _SHOWN else ""
    return ": " + ", ".join(f"{shown(tokens[i])} ({i})" for i in some) + rest if some else ""
