"""Special tokens: finding them in a text, or in a stream that may be cut inside of one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.protocol import AllowedSpecial


class SpecialTokens:
    """Finds special tokens from the left; where two begin at the same place the longer one wins.

    Args:
        ids: name to id. Names are not empty; ids are distinct and not negative.

    Raises:
        TokenizerError: an empty name, an id used twice or a negative id.
    """

    def __init__(self, ids: Mapping[str, int]) -> None:
        for name, token_id in ids.items():
            if not isinstance(name, str) or not name:
                raise TokenizerError(f"special token {name!r} is not a non-empty str; remove it or give it a name")
            if not isinstance(token_id, int) or isinstance(token_id, bool) or token_id < 0:
                raise TokenizerError(f"special token {name!r} has id {token_id!r}; an id is an int >= 0")
        if len(set(ids.values())) != len(ids):
            shared = sorted(name for name, i in ids.items() if list(ids.values()).count(i) > 1)
            raise TokenizerError(f"special tokens {shared} share an id; give each its own")
        self.ids: Mapping[str, int] = MappingProxyType(dict(ids))
        self._finders: dict[frozenset[str], re.Pattern[str]] = {}

    def __reduce__(self) -> tuple[type[SpecialTokens], tuple[dict[str, int]]]:
        return SpecialTokens, (dict(self.ids),)  # a mapping proxy cannot be pickled

    def allowed(self, allowed_special: AllowedSpecial) -> frozenset[str]:
        """The names that `allowed_special` stands for.

        Raises:
            TokenizerError: a name that is no special token of this tokenizer, or a str other than "all" and "none".
        """
        if isinstance(allowed_special, str):
            if allowed_special == "all":
                return frozenset(self.ids)
            if allowed_special == "none":
                return frozenset()
            raise TokenizerError(
                f'allowed_special={allowed_special!r} is neither "all" nor "none"; to name one token pass a set'
            )
        names = frozenset(allowed_special)
        if unknown := sorted(map(str, names - set(self.ids))):
            raise TokenizerError(f"allowed_special names {unknown}; the special tokens are {list(self.ids)}")
        return names

    def split(self, text: str, allowed: frozenset[str]) -> Iterator[tuple[str, int | None]]:
        """Yield (text before, id of the special token after it); the last id is None."""
        if not allowed:
            yield text, None
            return
        parts = self._finder(allowed).split(text)
        for at in range(0, len(parts) - 1, 2):
            yield parts[at], self.ids[parts[at + 1]]
        yield parts[-1], None

    def split_stream(self, chunks: Iterable[str], allowed: frozenset[str]) -> Iterator[tuple[str, int | None]]:
        """As `split` of the joined chunks, but a text comes in as many fragments as it must.

        Holds back fewer characters than the longest allowed special token has: a match that begins earlier lies
        before us in full, so no later text can begin sooner or reach further.
        """
        if not allowed:
            yield from ((checked_text(chunk), None) for chunk in chunks)
            return
        finder, longest = self._finder(allowed), max(map(len, allowed))
        held = ""
        for chunk in chunks:
            held += checked_text(chunk)
            start, settled = 0, len(held) - longest
            while (match := finder.search(held, start)) and match.start() <= settled:
                yield held[start : match.start()], self.ids[match[0]]
                start = match.end()
            keep = max(start, settled + 1)
            yield held[start:keep], None
            held = held[keep:]
        yield from self.split(held, allowed)

    def _finder(self, allowed: frozenset[str]) -> re.Pattern[str]:
        finder = self._finders.get(allowed)
        if finder is None:
            longest_first = sorted(allowed, key=lambda name: (-len(name), name))
            finder = re.compile(f"({'|'.join(map(re.escape, longest_first))})")
            self._finders[allowed] = finder
        return finder


def special_ids(special_tokens: Mapping[str, int] | Sequence[str], first_id: int) -> dict[str, int]:
    """A mapping as it is; a sequence of names numbered from `first_id`.

    Raises:
        TokenizerError: one str instead of a sequence, or a name given twice.
    """
    if isinstance(special_tokens, Mapping):
        return dict(special_tokens)
    if isinstance(special_tokens, str):
        raise TokenizerError(f"special_tokens={special_tokens!r} is one str; pass a sequence, [{special_tokens!r}]")
    names = list(special_tokens)
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise TokenizerError(f"special tokens {twice} are given twice; name each once")
    return {name: first_id + at for at, name in enumerate(names)}


def checked_text(text: str) -> str:
    """`text` itself if it is a str.

    Raises:
        TokenizerError: it is something else.
    """
    if not isinstance(text, str):
        raise TokenizerError(f"a text is a str, not {type(text).__name__}; decode bytes first")
    return text


def checked_texts(texts: Iterable[str]) -> list[str]:
    """A list of `texts`.

    Raises:
        TokenizerError: it is one str, or one of them is no str.
    """
    if isinstance(texts, str):
        raise TokenizerError("texts is one str; pass a list of them, [text], or call encode(text)")
    return [checked_text(text) for text in texts]


def utf8(text: str) -> bytes:
    """The UTF-8 bytes of `text`.

    Raises:
        TokenizerError: a lone surrogate, which UTF-8 cannot write.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"the text holds the lone surrogate {text[error.start]!r}, which UTF-8 cannot write; read the source with "
            'errors="replace", or clean it by text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'
        ) from error
