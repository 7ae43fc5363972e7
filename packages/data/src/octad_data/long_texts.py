"""Long documents cut into passages, so that a corpus of one book can be shuffled, mixed and split too."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from octad_data.document import Document
from octad_data.errors import DataError

# Where to cut, best first: an empty line, a line's end, a sentence's end, a space.
BREAKS = (re.compile(r"\n[^\S\n]*\n\s*"), re.compile(r"\n"), re.compile(r"[.!?。！？]\s*"), re.compile(r"\s+"))


def passages(documents: Iterable[Document], max_chars: int = 20_000) -> Iterator[Document]:
    """Each document, or the pieces of one that is longer than max_chars; the pieces joined are the document again.

    A cut falls after the last empty line of the window's second half, where there is none after the last line, then
    sentence, then word, and else at max_chars. Pieces are named `id#0`, `id#1`, ...

    Raises:
        DataError: max_chars is not positive.
    """
    if max_chars < 1:
        raise DataError(f"max_chars={max_chars} is not positive; 20000 is about a chapter")
    for document in documents:
        if len(document.text) <= max_chars:
            yield document
            continue
        start = number = 0
        while start < len(document.text):
            stop = _cut(document.text, start, max_chars)
            yield replace(document, text=document.text[start:stop], id=f"{document.id}#{number}")
            start, number = stop, number + 1


def _cut(text: str, start: int, max_chars: int) -> int:
    limit = start + max_chars
    if limit >= len(text):
        return len(text)
    middle = start + max_chars // 2
    for pattern in BREAKS:
        ends = [found.end() for found in pattern.finditer(text, middle, limit)]
        if ends:
            return ends[-1]
    return limit
