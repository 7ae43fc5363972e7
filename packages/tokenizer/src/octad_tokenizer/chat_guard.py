"""Keep what people write in messages from becoming special tokens, through any template.

Before a template sees a message, one character of each special token in it gives way to a stand-in: a private-use
character that occurs nowhere else. The rendered text is searched for special tokens with the stand-ins in place, so
only the template's own are found; then the characters come back. The characters at a message's edges that could
complete a special token together with what stands beside it give way too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from octad_tokenizer.errors import TokenizerError

_PRIVATE_USE = range(0xF0000, 0xFFFFE)
_TRUSTED_KEY = "role"


class ContentGuard:
    """Stand-ins for the characters of some special tokens, and two marks for generated text.

    Args:
        names: the special tokens that content must not contain.
        texts: all that will be rendered; stand-ins and marks are characters that do not occur there.

    Raises:
        TokenizerError: `texts` use up all private characters.
    """

    def __init__(self, names: Collection[str], texts: Iterable[str]) -> None:
        self._names = [name for name in names if name]
        used = set().union(*texts)
        free = (chr(code) for code in _PRIVATE_USE if chr(code) not in used)
        try:
            self.marks = (next(free), next(free))
            self._stand_in = {character: next(free) for character in sorted(set().union(*self._names))}
        except StopIteration:
            raise TokenizerError("the messages use every private-use character of plane 15; remove some") from None
        self._original = {ord(stand_in): character for character, stand_in in self._stand_in.items()}

    def hide(self, value: Any) -> Any:
        """`value` with stand-ins in every str, except for a message's role, which is checked elsewhere."""
        if isinstance(value, str):
            return self._hide_text(value)
        if isinstance(value, Mapping):
            return {self.hide(key): item if key == _TRUSTED_KEY else self.hide(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.hide(item) for item in value]
        return value

    def restore(self, text: str) -> str:
        """The text with its own characters; as many as before."""
        return text.translate(self._original)

    def take_marks(self, text: str) -> tuple[str, list[tuple[int, int]]]:
        """The text without marks, and the (start, stop) of what they enclosed."""
        before, after = self.marks
        first, *marked = text.split(before)
        parts, spans, size = [first], [], len(first)
        for piece in marked:
            inside, _, outside = piece.partition(after)
            spans.append((size, size + len(inside)))
            parts += [inside, outside]
            size += len(inside) + len(outside)
        return "".join(parts).replace(after, ""), spans

    def _hide_text(self, text: str) -> str:
        places = {place for name in self._names for place in _risky_places(text, name)}
        if not places:
            return text
        return "".join(self._stand_in[char] if at in places else char for at, char in enumerate(text))


def _risky_places(text: str, name: str) -> Iterator[int]:
    """Where one character must change, lest `text`, whatever stands beside it, contains `name` or a part of it."""
    at = text.find(name)
    while at >= 0:
        yield at
        at = text.find(name, at + 1)
    for size in range(1, min(len(name), len(text) + 1)):
        if text.endswith(name[:size]):
            yield len(text) - size
        if text.startswith(name[-size:]):
            yield size - 1
    if text and text in name[1:-1]:
        yield 0


def strings(value: Any) -> Iterator[str]:
    """Every str in nested mappings and sequences."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from strings(key)
            yield from strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings(item)
