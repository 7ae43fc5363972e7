"""Where personal data or a secret may stand: one compiled pass that leaves the close look to `personal_data`."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from octad_data.kernel import kernel

AT, NUMBER, QUAD, COLONS, LETTERS_DIGITS, PREFIX, ASSIGNMENT, CREDENTIALS, COORDINATES = range(1, 10)

PREFIXES = (
    "AKI", "ASI", "ABI", "ACC", "AIz", "ghp", "gho", "ghu", "ghs", "ghr", "git", "glp", "xox", "sk-", "sk_", "rk_",
    "eyJ", "---", "hf_", "npm", "pyp", "SG.", "ya2",
)  # fmt: skip
ASSIGNED = ("ord", "swd", "pwd", "ass", "ken", "ret", "key", "als")  # how names of secrets end

OTHER, DIGIT, LOWER, UPPER, HIGH = 0, 1, 2, 4, 8
LETTER = LOWER | UPPER | HIGH  # a byte of a character outside ASCII counts as a letter here
MAX_GAP = 3  # separators between two digits of one number
MAX_HOST = 256
MAX_ADDRESS = 45  # bytes of an IPv6 address


@cache
def byte_classes() -> NDArray[np.uint8]:
    """Class of each byte: digit, letter, part of a longer character."""
    table = np.zeros(256, dtype=np.uint8)
    table[ord("0") : ord("9") + 1] = DIGIT
    table[ord("a") : ord("z") + 1] = LOWER
    table[ord("A") : ord("Z") + 1] = UPPER
    table[128:] = HIGH
    table[ord("_")] = LOWER
    return table


@cache
def trigrams(endings: bool) -> NDArray[np.bool_]:
    """Slots of the three-byte beginnings, or endings (in any case), that are worth a look."""
    table = np.zeros(1 << 16, dtype=np.bool_)
    for word in ASSIGNED if endings else PREFIXES:
        for form in (word, word.upper()) if endings else (word,):
            first, second, third = form.encode()
            table[(first * 961 + second * 31 + third) & 0xFFFF] = True
    return table


@kernel
def find_candidates(
    data: NDArray[np.uint8],
    place: int,
    end: int,
    classes: NDArray[np.uint8],
    beginnings: NDArray[np.bool_],
    endings: NDArray[np.bool_],
    wanted: int,
    kinds: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> tuple[int, int]:
    """Write kind, start and end of each candidate in data[place:end] until the arrays are full.

    Bit k of `wanted` is set where candidates of kind k are looked for. Gives how many were written, and the place to go
    on from (end when done).
    """
    found, start, number_until = 0, place, place
    before = OTHER
    if place > 0:
        before = int(np.int64(classes[data[place - 1]]))
    while place < end and found < len(kinds) - 2:
        byte = data[place]
        bits = classes[byte]
        kind, after = 0, place + 1
        if bits & LETTER:
            if not before & (LETTER | DIGIT) and place + 3 < end:
                slot = (np.int64(byte) * 961 + np.int64(data[place + 1]) * 31 + np.int64(data[place + 2])) & 0xFFFF
                if beginnings[slot]:
                    kind = PREFIX
                elif bits & UPPER and classes[data[place + 1]] & UPPER and classes[data[place + 2]] & DIGIT:
                    kind = LETTERS_DIGITS
        elif bits & DIGIT:
            if not before & DIGIT:
                if wanted >> QUAD & 1 and is_quad(data, place, end, classes):
                    kinds[found], starts[found], ends[found] = QUAD, place, place + 15
                    found += 1
                if place >= number_until:
                    digits, number_until = number_end(data, place, end, classes)
                    if digits >= 7 and wanted >> NUMBER & 1:
                        kinds[found], starts[found], ends[found] = NUMBER, place, number_until
                        found += 1
        elif byte == 64:  # @
            kind = AT
        elif byte == 58 or byte == 61:  # : and =
            if byte == 58 and place + 2 < end and data[place + 1] == 47 and data[place + 2] == 47:
                kind = CREDENTIALS if has_user(data, place + 3, end) else 0
            else:
                kind, after = assignment_or_colons(data, place, end, classes, endings)
        elif byte == 45 and place + 10 < end and data[place + 4] == 45 and data[place + 5] == 66:  # -----B
            kind = PREFIX
        elif byte == 44 and before & DIGIT and place - start >= 6 and data[place - 4] != 44:  # ,
            kind = COORDINATES
        if kind and wanted >> kind & 1:
            kinds[found], starts[found], ends[found] = kind, place, after
            found += 1
        before = int(np.int64(classes[data[after - 1]]))
        place = after
    return found, place


@kernel
def number_end(data: NDArray[np.uint8], place: int, end: int, classes: NDArray[np.uint8]) -> tuple[int, int]:
    """Digits of the number that begins at a place, with up to three of ` .-/()`, dashes or no-break spaces between."""
    digits, after, gap = 0, place, 0
    while place < end:
        byte = data[place]
        if classes[byte] & DIGIT:
            digits += 1
            gap = 0
            after = place + 1
        elif byte == 32 or byte == 40 or byte == 41 or 45 <= byte <= 47:
            gap += 1
        elif byte == 0xE2 and place + 2 < end and data[place + 1] == 0x80 and 0x90 <= data[place + 2] <= 0x95:
            gap += 1  # hyphens and dashes of Unicode
            place += 2
        elif not (byte == 0xC2 and place + 1 < end and data[place + 1] == 0xA0) and not (byte == 0xA0 and gap == 0):
            break
        if gap > MAX_GAP:
            break
        place += 1
    return digits, after


@kernel
def is_quad(data: NDArray[np.uint8], place: int, end: int, classes: NDArray[np.uint8]) -> bool:
    """Whether four runs of one to three digits with dots between them begin at a place."""
    for part in range(4):
        digits = 0
        while place < end and digits < 4 and classes[data[place]] & DIGIT:
            digits += 1
            place += 1
        if digits == 0 or digits > 3:
            return False
        if part < 3:
            if place >= end or data[place] != 46:
                return False
            place += 1
    return True


@kernel
def has_user(data: NDArray[np.uint8], place: int, end: int) -> bool:
    """Whether an `@` stands before the next slash, space or quotation mark of a URL."""
    for at in range(place, min(end, place + MAX_HOST)):
        byte = data[at]
        if byte == 64:
            return True
        if byte <= 32 or byte == 47 or byte == 34 or byte == 60:
            return False
    return False


@kernel
def assignment_or_colons(
    data: NDArray[np.uint8], place: int, end: int, classes: NDArray[np.uint8], endings: NDArray[np.bool_]
) -> tuple[int, int]:
    """ASSIGNMENT if the name before `:` or `=` ends like that of a secret; COLONS at the first colon of an address.

    And the place to go on from.
    """
    back = place
    while back > 3 and place - back < 4 and not classes[data[back - 1]]:
        back -= 1
    if back >= 3 and classes[data[back - 1]] & LETTER:
        first, second, third = np.int64(data[back - 3]), np.int64(data[back - 2]), np.int64(data[back - 1])
        if endings[(first * 961 + second * 31 + third) & 0xFFFF]:
            return ASSIGNMENT, place + 1
    if data[place] != 58:
        return 0, place + 1
    colons, has_double, at = 0, False, place
    while at < min(end, place + MAX_ADDRESS + 1):
        byte = data[at]
        if byte == 58:
            colons += 1
            has_double = has_double or (at + 1 < end and data[at + 1] == 58)
        elif not (classes[byte] & DIGIT or 97 <= byte <= 102 or 65 <= byte <= 70):
            break
        at += 1
    if at - place > MAX_ADDRESS or not (has_double or colons >= 7):
        return 0, place + 1
    return COLONS, at
