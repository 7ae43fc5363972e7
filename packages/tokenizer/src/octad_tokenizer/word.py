"""A word or a punctuation mark is a token; the classical tokenizer, with what it loses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from octad_tokenizer.base import BaseTokenizer
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.special import checked_text, special_ids, utf8

_WORD = re.compile(r"\w+|[^\w\s]")
_LAST_CUT = re.compile(r".*\s", re.DOTALL)


@dataclass(frozen=True)
class WordLimit:
    """What a vocabulary of words of one size leaves unknown in a text it was not learned from.

    Args:
        vocab_size: the number of ids.
        unknown_words: the share of the text's words that are unknown, repetitions counted.
        unknown_distinct_words: the share of its distinct words.
    """

    vocab_size: int
    unknown_words: float
    unknown_distinct_words: float


class WordTokenizer(BaseTokenizer):
    r"""Words are `\w+`, every other character that is no white space is a token by itself.

    It loses two things: white space (decoding puts one space between tokens), and words outside the vocabulary, which
    become `unknown`. `unknown_rate` says how much of a text that is.

    Args:
        words: the vocabulary, distinct, in the order of their ids.
        special_tokens: name to id, or names for the ids after the words; `unknown` is added if it is not there.
        unknown: the token for words outside the vocabulary.

    Raises:
        TokenizerError: a word is given twice, or is not what the expression would find.
    """

    def __init__(
        self, words: Iterable[str], special_tokens: Mapping[str, int] | Sequence[str] = (), unknown: str = "<unk>"
    ) -> None:
        known = list(words)
        for word in known:
            if not isinstance(word, str) or not _WORD.fullmatch(word):
                raise TokenizerError(f"word {word!r} would be found in pieces {_WORD.findall(str(word))}; give those")
        if len(set(known)) != len(known):
            twice = sorted(word for word, count in Counter(known).items() if count > 1)
            raise TokenizerError(f"words {twice[:5]} are given twice; give each once")
        special = special_ids(special_tokens, len(known))
        if unknown not in special:
            special[unknown] = max([len(known) - 1, *special.values()]) + 1
        super().__init__({token_id: utf8(word) for token_id, word in enumerate(known)}, special)
        self._ids = {word: token_id for token_id, word in enumerate(known)}
        self._unknown = unknown

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int, *, special_tokens: Sequence[str] = (), unknown: str = "<unk>"
    ) -> WordTokenizer:
        """The most frequent words that `vocab_size` has room for, special tokens included; ties in code point order.

        A text with fewer words gives a smaller vocabulary.

        Raises:
            TokenizerError: `texts` is one str or has no words, or `vocab_size` leaves no room for one.
        """
        if isinstance(texts, str):
            raise TokenizerError("texts is one str; pass [text]")
        room = vocab_size - len({*special_tokens, unknown})
        if room < 1:
            raise TokenizerError(f"vocab_size={vocab_size} leaves no room for words; set it to {vocab_size - room + 1}")
        splitter = re.compile("|".join(map(re.escape, sorted({*special_tokens, unknown}, key=len, reverse=True))))
        counts: Counter[str] = Counter()
        for text in texts:
            for piece in splitter.split(checked_text(text)):
                counts.update(_WORD.findall(piece))
        if not counts:
            raise TokenizerError("the texts hold no words; give a text to learn from")
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls([word for word, _ in ranked[:room]], special_tokens, unknown)

    @property
    def unknown(self) -> str:
        """The token for words outside the vocabulary."""
        return self._unknown

    def unknown_rate(self, text: str) -> float:
        """The share of the words of `text` that are outside the vocabulary; 0 for a text without words."""
        words = _WORD.findall(text)
        return sum(word not in self._ids for word in words) / len(words) if words else 0.0

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The tokens with one space between: not the text that was encoded, but its words."""
        return b" ".join([super(WordTokenizer, self).decode_bytes([token_id]) for token_id in ids])

    def decode_stream(self, ids: Iterable[int], errors: str = "replace") -> Iterator[str]:
        """The text of `ids` as it comes; the pieces join to `decode(ids)`."""
        for at, token_id in enumerate(ids):
            yield (" " if at else "") + self.decode([token_id], errors)

    def _encode_text(self, text: str) -> list[int]:
        utf8(text)  # a lone surrogate is an error, not an unknown word
        unknown_id = self.special_tokens[self._unknown]
        return [self._ids.get(word, unknown_id) for word in _WORD.findall(text)]

    def _last_cut(self, text: str) -> int | None:
        """After the last white space, or None."""
        match = _LAST_CUT.match(text)
        return match.end() if match else None


def word_limits(texts: Iterable[str], held_out: str, vocab_sizes: Sequence[int]) -> list[WordLimit]:
    """How much stays unknown for each vocabulary size: a longer tail of words always comes (Heaps' law).

    Args:
        texts: to learn the words from, most frequent first.
        held_out: to count unknown words in.
        vocab_sizes: the unknown token included; sizes above the number of words give all of them.

    Raises:
        TokenizerError: as `WordTokenizer.train`, or `held_out` has no words.
    """
    words = _WORD.findall(checked_text(held_out))
    if not words:
        raise TokenizerError("held_out has no words; give a text to count in")
    whole = WordTokenizer.train(texts, max(vocab_sizes, default=2))
    limits = []
    for vocab_size in vocab_sizes:
        if vocab_size < 2:
            raise TokenizerError(f"vocab_size={vocab_size} leaves no room for words; set it to at least 2")
        known = {word for word, token_id in whole._ids.items() if token_id < vocab_size - 1}
        distinct = set(words)
        limits.append(
            WordLimit(
                min(vocab_size, whole.vocab_size),
                sum(word not in known for word in words) / len(words),
                len(distinct - known) / len(distinct),
            )
        )
    return limits
