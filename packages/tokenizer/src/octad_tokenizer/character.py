"""A character (Unicode code point) is a token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from octad_tokenizer.base import BaseTokenizer
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.special import checked_text, special_ids, utf8


class CharacterTokenizer(BaseTokenizer):
    """id = place in the alphabet; then the special tokens.

    Loses nothing if every character is in the alphabet. One that is not is an error, or, with `unknown`, becomes that
    token and is lost.

    Args:
        alphabet: the characters, distinct, in the order of their ids.
        special_tokens: name to id, or names for the ids after the alphabet.
        unknown: the special token for characters outside the alphabet.

    Raises:
        TokenizerError: a character is given twice or is a lone surrogate, or `unknown` is no special token.
    """

    def __init__(
        self,
        alphabet: Iterable[str],
        special_tokens: Mapping[str, int] | Sequence[str] = (),
        unknown: str | None = None,
    ) -> None:
        characters = list(alphabet)
        if any(not isinstance(character, str) or len(character) != 1 for character in characters):
            raise TokenizerError("the alphabet holds something other than single characters; split it")
        if len(set(characters)) != len(characters):
            twice = sorted({character for character in characters if characters.count(character) > 1})
            raise TokenizerError(f"the alphabet holds {twice} twice; name each character once")
        super().__init__(
            {token_id: utf8(character) for token_id, character in enumerate(characters)},
            special_ids(special_tokens, len(characters)),
        )
        if unknown is not None and unknown not in self.special_tokens:
            raise TokenizerError(
                f"unknown={unknown!r} is none of the special tokens {list(self.special_tokens)}; add it"
            )
        self._ids = {character: token_id for token_id, character in enumerate(characters)}
        self._unknown = unknown

    @classmethod
    def train(
        cls, texts: Iterable[str], special_tokens: Sequence[str] = (), unknown: str | None = None
    ) -> CharacterTokenizer:
        """The tokenizer whose alphabet is every character of `texts`, in code point order.

        Raises:
            TokenizerError: `texts` is one str or has no characters; or as the class.
        """
        if isinstance(texts, str):
            raise TokenizerError("texts is one str; pass [text]")
        if not (alphabet := set().union(*map(checked_text, texts))):
            raise TokenizerError("the texts hold no characters; give a text to learn from")
        return cls(sorted(alphabet), special_tokens, unknown)

    @property
    def alphabet(self) -> str:
        """The characters in the order of their ids."""
        return "".join(self._ids)

    @property
    def unknown(self) -> str | None:
        """The special token for characters outside the alphabet, if there is one."""
        return self._unknown

    def unknown_rate(self, text: str) -> float:
        """The share of the characters of `text` that are outside the alphabet; 0 for an empty text."""
        return sum(character not in self._ids for character in text) / len(text) if text else 0.0

    def _encode_text(self, text: str) -> list[int]:
        if self._unknown is not None:
            utf8(text)  # a lone surrogate is an error, not an unknown character
            unknown_id = self.special_tokens[self._unknown]
            return [self._ids.get(character, unknown_id) for character in text]
        try:
            return [self._ids[character] for character in text]
        except KeyError as error:
            raise TokenizerError(
                f"character {error.args[0]!r} is not among the alphabet's {len(self._ids)}; train on text that has it, "
                'or pass unknown="<unk>" and name it as a special token'
            ) from None
