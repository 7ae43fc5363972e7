"""The characters of a PDF page with their places, read from pdfium in one compiled loop, and the pieces they form."""

import ctypes
import math
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from octad_data.kernel import allocating_kernel, kernel

MAX_CHARACTERS = 2_000_000  # of a page; a thick book has fewer
SPLITS = 0.8  # gap in units of the size of the type that parts two pieces; a justified space is seldom wider
BACKWARDS = -0.7  # and a step back, where another line or column begins
SHIFTED = 0.55  # how far a superscript may be raised in its own word
LEVEL = 0.05  # what still is the same base line
FAR = 1e5  # points; no page is as large
ODD_TURN = 4  # of text that is neither level nor upright: watermarks
NO_BREAK_SPACE, REPLACEMENT, PRIVATE = 0xA0, 0xFFFD, (0xE000, 0xF8FF)
HYPHEN_AT_END, NO_CHARACTER, SOFT_HYPHEN = (
    0x02,
    0xFFFE,
    0xAD,
)  # pdfium marks the hyphen of a divided word by the first two
X0, X1, BASE, SIZE, TURN = range(5)  # columns of places and boxes
BLANK, BEGINS, FOLLOWS, SPACED = range(4)  # how a character joins what was read before it
ACCENTS = (  # as old fonts draw them, and their combining forms
    (0xB4, 0x301),
    (0x2CA, 0x301),
    (0x60, 0x300),
    (0xA8, 0x308),
    (0x2C6, 0x302),
    (0x5E, 0x302),
    (0x2DC, 0x303),
    (0x7E, 0x303),
    (0x2C7, 0x30C),
    (0x2D8, 0x306),
    (0x2DA, 0x30A),
    (0xAF, 0x304),
    (0x2C9, 0x304),
    (0x2D9, 0x307),
    (0xB8, 0x327),
    (0x2DD, 0x30B),
)


class Piece(NamedTuple):
    """Characters that stand side by side on one line.

    Attributes:
        x0: where it begins along its own line, in points.
        x1: where it ends.
        base: its base line; larger is further up.
        size: of its type, in points.
        turn: quarter turns against the page (0 to 3), or 4 for any other angle.
        text: with single spaces.
    """

    x0: float
    x1: float
    base: float
    size: float
    turn: int
    text: str


def page_pieces(text_page: Any) -> tuple[list[Piece], int, int]:
    """The pieces of a page in the order of the file, how many characters it has, and how many without a meaning.

    Args:
        text_page: of pypdfium2.
    """
    import pypdfium2.raw as pdfium

    count = int(pdfium.FPDFText_CountChars(text_page))
    if count <= 0:
        return [], 0, 0
    count = min(count, MAX_CHARACTERS)
    codes = np.empty(count, dtype=np.uint32)
    places = np.empty((count, 5))
    handle = ctypes.cast(text_page.raw, ctypes.c_void_p).value or 0
    unicode_of, box_of, origin_of, matrix_of, size_of = _functions()
    read_characters(handle, unicode_of, box_of, origin_of, matrix_of, size_of, codes, places)
    joins, boxes = np.empty(count, dtype=np.int8), np.empty((count, 5))
    number = cut_pieces(codes, places, joins, boxes)
    text, ends = np.empty(2 * count, dtype=np.uint32), np.empty(count, dtype=np.int64)
    size = spell_pieces(codes, places, joins, text, ends)
    whole = text[:size].tobytes().decode("utf-32-le", "replace")
    bounds = [0, *ends[:number].tolist()]
    texts = [whole[start:end] for start, end in pairwise(bounds)]
    x0, x1, base, size_of_type, turn = boxes[:number].T.tolist()
    pieces = list(map(Piece._make, zip(x0, x1, base, size_of_type, map(int, turn), texts, strict=True)))
    return pieces, count, meaningless(codes)


@cache
def _functions() -> tuple[object, ...]:
    """Functions of pdfium as values that a compiled loop can call."""
    import numba.experimental.function_type  # noqa: F401 - registers how such values are passed
    import pypdfium2.raw as pdfium
    from numba import types

    class CFunction(types.WrapperAddressProtocol):  # type: ignore[misc]
        def __init__(self, function: object, signature: object) -> None:
            self.address, self.types = ctypes.cast(function, ctypes.c_void_p).value, signature  # type: ignore[arg-type]

        def __wrapper_address__(self) -> int | None:
            return self.address

        def signature(self) -> object:
            return self.types

    page, index, result = types.intp, types.int32, types.int32
    one, two, four = (types.intp,), (types.intp,) * 2, (types.intp,) * 4
    return (
        CFunction(pdfium.FPDFText_GetUnicode, types.uint32(page, index)),
        CFunction(pdfium.FPDFText_GetCharBox, result(page, index, *four)),
        CFunction(pdfium.FPDFText_GetCharOrigin, result(page, index, *two)),
        CFunction(pdfium.FPDFText_GetMatrix, result(page, index, *one)),
        CFunction(pdfium.FPDFText_GetFontSize, types.float64(page, index)),
    )


@allocating_kernel
def read_characters(
    page: int,
    unicode_of: Any,
    box_of: Any,
    origin_of: Any,
    matrix_of: Any,
    size_of: Any,
    codes: NDArray[np.uint32],
    places: NDArray[np.float64],
) -> None:
    """Fill codes, and places as (x0, x1, base, size, turn) in the frame in which each character stands upright."""
    box, matrix = np.zeros(6), np.zeros(6, dtype=np.float32)
    at, turns = np.int64(box.ctypes.data), np.int64(matrix.ctypes.data)
    for number in range(len(codes)):
        index = np.int32(number)
        codes[number] = unicode_of(page, index)
        box[:] = 0.0
        matrix[:] = 0.0
        box_of(page, index, at, at + 8, at + 16, at + 24)  # left, right, bottom, top
        origin_of(page, index, at + 32, at + 40)
        matrix_of(page, index, turns)
        angle = 0.0 if matrix[1] == 0 and matrix[0] > 0 else math.atan2(matrix[1], matrix[0]) / (math.pi / 2)
        turn = round(angle)
        scale = abs(matrix[3]) if matrix[2] == 0 else math.hypot(matrix[2], matrix[3])
        size = size_of(page, index) * (scale if scale > 0 else 1.0)
        turn = ODD_TURN if not abs(angle - turn) <= 0.1 else (turn + 4) % 4
        if turn == 1:
            x0, x1, base = box[2], box[3], -box[4]
        elif turn == 2:
            x0, x1, base = -box[1], -box[0], -box[5]
        elif turn == 3:
            x0, x1, base = -box[3], -box[2], box[4]
        else:
            x0, x1, base = box[0], box[1], box[5]
        if not 0.1 < size < 10_000:  # a few writers say 0
            size = min(max(abs(box[3] - box[2]), 1.0), 10_000.0)
        if not (abs(x0) < FAR and abs(x1) < FAR and abs(base) < FAR):  # nor is every place a number
            x0, x1, base = 0.0, 0.0, 0.0
        places[number, 0], places[number, 1], places[number, 2] = x0, x1, base
        places[number, 3], places[number, 4] = size, turn


@kernel
def _is_blank(code: int) -> bool:
    return (code <= 32 and code != 2) or code == NO_BREAK_SPACE or 0x2000 <= code <= 0x200B or code == 0x3000


@kernel
def _is_right_to_left(code: int) -> bool:
    return 0x0590 <= code <= 0x08FF or 0xFB1D <= code <= 0xFDFF or 0xFE70 <= code <= 0xFEFC


@kernel
def _accent(code: int) -> int:
    """The combining form of an accent that old fonts draw as a character of its own, or 0."""
    if code < 0x5E or 97 <= code <= 122:  # nearly all
        return 0
    for drawn, combining in ACCENTS:
        if code == drawn:
            return combining
    return 0


@kernel
def _takes_accent(code: int) -> bool:
    return 65 <= code <= 90 or 97 <= code <= 122 or code == 0x131 or code == 0x237


@kernel
def _dotted(code: int) -> int:
    """The letter that a dotless one becomes before a combining accent."""
    if code == 0x131:
        return 0x69
    return 0x6A if code == 0x237 else code


@kernel
def meaningless(codes: NDArray[np.uint32]) -> int:
    """How many characters are drawn from a font that does not say what they mean."""
    count = 0
    for code in codes:
        control = code < 32 and code not in (2, 9, 10, 13)
        if control or code == REPLACEMENT or PRIVATE[0] <= code <= PRIVATE[1]:
            count += 1
    return count


@kernel
def cut_pieces(
    codes: NDArray[np.uint32], places: NDArray[np.float64], joins: NDArray[np.int8], boxes: NDArray[np.float64]
) -> int:
    """Cut the characters where the next one stands elsewhere; how many pieces there are.

    Args:
        codes: code points in the order of the file.
        places: (x0, x1, base, size, turn) of each.
        joins: filled with how each joins what was read before it: BLANK, BEGINS, FOLLOWS or SPACED.
        boxes: filled with (x0, x1, base, size, turn) of each piece.
    """
    number, last, waits, level = -1, -1, False, 0.0
    for index in range(len(codes)):
        if _is_blank(codes[index]):
            joins[index], waits = BLANK, True
            continue
        place = places[index]
        if last < 0 or not _stands_beside(codes[index], codes[last], place, boxes[number], level):
            number += 1
            joins[index] = BEGINS
            for column in range(boxes.shape[1]):
                boxes[number, column] = place[column]
        else:
            joins[index] = SPACED if waits else FOLLOWS
            box = boxes[number]
            if place[SIZE] > box[SIZE] * 1.05:
                box[SIZE], box[BASE] = place[SIZE], place[BASE]
            box[X0], box[X1] = min(box[X0], place[X0]), max(box[X1], place[X1])
        last, waits, level = index, False, place[BASE]
    return number + 1


@kernel
def _stands_beside(code: int, before: int, place: NDArray[np.float64], box: NDArray[np.float64], level: float) -> bool:
    """Whether a character goes on with the piece in `box`; `before` is the last one there, on the base line `level`."""
    if place[TURN] != box[TURN]:
        return False
    gap = place[X0] - box[X1]
    if _is_right_to_left(code) or _is_right_to_left(before):
        leftwards = box[X0] - place[X1]
        gap = leftwards if abs(leftwards) < abs(gap) else gap
    larger, step = max(box[SIZE], place[SIZE]), abs(place[BASE] - level)
    if place[TURN] == ODD_TURN:
        return True
    if step > LEVEL * larger and not (step < SHIFTED * larger and gap < 0.4 * larger):
        return False
    return bool(BACKWARDS * larger < gap < SPLITS * larger)


@kernel
def spell_pieces(
    codes: NDArray[np.uint32],
    places: NDArray[np.float64],
    joins: NDArray[np.int8],
    text: NDArray[np.uint32],
    ends: NDArray[np.int64],
) -> int:
    """Write the code points of the pieces end to end, accents behind their letters; how many there are.

    Args:
        codes: code points in the order of the file.
        places: (x0, x1, base, size, turn) of each.
        joins: from `cut_pieces`.
        text: filled with the pieces' code points; twice as many as characters always suffice.
        ends: filled with the end of each piece in text.
    """
    number, size, accent = -1, 0, 0
    reach, accent_x0, accent_x1 = 0.0, 0.0, 0.0
    for index in range(len(codes)):
        join, code, left, right = joins[index], codes[index], places[index, X0], places[index, X1]
        if join == BLANK:
            continue
        if code in (HYPHEN_AT_END, NO_CHARACTER):
            code = np.uint32(SOFT_HYPHEN)
        if join == BEGINS:
            number, accent, reach = number + 1, 0, right
        under = accent != 0 and left < accent_x1 and right > accent_x0
        if join == SPACED and not under:
            text[size] = 32
            size += 1
        mark = _accent(code)
        if under and _takes_accent(
            code
        ):  # the letter under the accent just drawn: letter first, then the combining form
            text[size - 1], text[size] = _dotted(code), accent
            size, accent = size + 1, 0
        elif mark and code > 127 and join == FOLLOWS and _takes_accent(text[size - 1]) and left < reach:
            text[size] = mark  # the accent drawn over the letter before it
            size, accent = size + 1, 0
        else:
            text[size] = code
            size += 1
            accent, accent_x0, accent_x1 = mark, left, right
        reach = max(reach, right)
        ends[number] = size
    return size
