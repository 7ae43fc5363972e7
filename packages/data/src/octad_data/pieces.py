"""Lines and paragraphs of many texts."""

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.kernel import allocating_kernel, kernel
from octad_data.texts import Texts

KINDS = ("line", "paragraph")
LINE_FEED = 10


def pieces_of(texts: Texts, kind: str) -> tuple[Texts, NDArray[np.int64]]:
    """All lines or paragraphs end to end, with the breaks that follow them, and where those of each text begin.

    A line ends after a line feed, a paragraph after an empty line; together the pieces of a text are the text.

    Args:
        texts: any.
        kind: `line` or `paragraph`.

    Raises:
        DataError: another kind.
    """
    check_kind(kind)
    ends, offsets = _split(texts.data, texts.offsets, kind == "paragraph")
    return Texts(texts.data, np.concatenate((texts.offsets[:1], ends))), offsets


def check_kind(kind: str) -> None:
    """Raise DataError for anything but `line` and `paragraph`."""
    if kind not in KINDS:
        raise DataError(f"kind={kind!r} is no kind of piece; use 'line' or 'paragraph'")


@allocating_kernel
def _split(
    data: NDArray[np.uint8], bounds: NDArray[np.int64], paragraphs: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    room = len(bounds)
    for place in range(bounds[0], bounds[-1]):
        room += data[place] == LINE_FEED
    ends = np.empty(room, dtype=np.int64)
    offsets = np.zeros(len(bounds), dtype=np.int64)
    count = 0
    for text in range(len(bounds) - 1):
        start, is_blank, line_is_blank = bounds[text], True, True
        for place in range(bounds[text], bounds[text + 1]):
            byte = data[place]
            if byte == LINE_FEED:
                # A paragraph ends after the last of the empty lines that follow it: where the next line is not empty.
                if not paragraphs or (
                    line_is_blank and not is_blank and _starts_text(data, place + 1, bounds[text + 1])
                ):
                    ends[count] = place + 1
                    count += 1
                    start, is_blank = place + 1, True
                line_is_blank = True
            elif byte > 32:
                is_blank = line_is_blank = False
        if start < bounds[text + 1]:
            ends[count] = bounds[text + 1]
            count += 1
        offsets[text + 1] = count
    return ends[:count], offsets


@kernel
def _starts_text(data: NDArray[np.uint8], place: int, end: int) -> bool:
    """Whether something stands on the line that begins at a place."""
    while place < end and data[place] != LINE_FEED:
        if data[place] > 32:
            return True
        place += 1
    return False
