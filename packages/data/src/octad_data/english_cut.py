"""`english_words.split_piece` in compiled form: the same rules on code points."""

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from octad_data.characters import character_classes, decode_at
from octad_data.english_words import CURRENCY, PUNCTUATION, QUOTES, UNITS, special_pieces
from octad_data.hashing import find, hash_bytes, insert
from octad_data.kernel import allocating_kernel, kernel

QUOTE, MARK, MONEY, ICON, LETTER, SMALL, CAPITAL, DIGIT = 1, 2, 4, 8, 16, 32, 64, 128  # bits of a character
IN_NAME = LETTER | DIGIT  # of a domain's name, as is `_` inside
LONGEST_SPECIAL = 12  # characters
MOST_BYTES = 4 * LONGEST_SPECIAL
ROOM = 232  # bytes of a piece for which there is room at once, and one more
MAX_AT_SIGNS = 8  # places where the host of an address may begin


@cache
def cut_classes() -> NDArray[np.uint8]:
    """What each code point is to the rules; uint8, shape (0x110000,)."""
    table = np.zeros(0x110000, dtype=np.uint8)
    letters = np.flatnonzero(character_classes() & 1)
    for point in letters.tolist():
        character = chr(point)
        table[point] = LETTER | (0 if character.isupper() else SMALL) | (0 if character.islower() else CAPITAL)
    for point in range(0x110000):
        character = chr(point)
        if character.isdigit():
            table[point] |= DIGIT
        elif unicodedata.category(character) == "So":
            table[point] |= ICON
    for bit, characters in ((QUOTE, QUOTES), (MARK, PUNCTUATION), (MONEY, [c for c in CURRENCY if len(c) == 1])):
        table[[ord(character) for character in characters]] |= bit
    table.flags.writeable = False
    return table


class CutTables(NamedTuple):
    """What the loops look up.

    Attributes:
        classes: what each code point is to the rules.
        keys: of a hash table of the pieces with a split of their own.
        entries: the number of each of these, beside its key.
        entry_starts: for each the first of its words in `sizes`, and the end of the last.
        sizes: bytes of the words.
        longest: for each byte the size of the longest piece that begins with it and stays whole.
        units: rows of `unit_table`.
    """

    classes: NDArray[np.uint8]
    keys: NDArray[np.uint64]
    entries: NDArray[np.int32]
    entry_starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    longest: NDArray[np.int64]
    units: NDArray[np.int64]


@cache
def cut_tables() -> CutTables:
    """All of them, made once a process."""
    keys, entries = np.zeros(1 << 13, dtype=np.uint64), np.zeros(1 << 13, dtype=np.int32)
    starts, sizes, longest = [0], list[int](), np.zeros(256, dtype=np.int64)
    for piece, words in special_pieces().items():
        data = np.frombuffer(piece.encode(), dtype=np.uint8)
        insert(keys, entries, np.uint64(hash_bytes(data, 0, len(data))), len(starts) - 1)
        sizes += [len(word.encode()) for word in words]
        starts.append(len(sizes))
        if len(words) == 1:
            longest[data[0]] = max(longest[data[0]], len(data))
    flat = np.array(starts, dtype=np.int64), np.array(sizes, dtype=np.int64)
    return CutTables(cut_classes(), keys, entries, *flat, longest, unit_table())


@cache
def unit_table() -> NDArray[np.int64]:
    """Units, longest first, then currencies of several letters: rows of a length and so many code points backwards."""
    endings = sorted((*UNITS, *(c for c in CURRENCY if len(c) > 1)), key=len, reverse=True)
    table = np.full((len(endings), 5), -1, dtype=np.int64)
    for row, ending in enumerate(endings):
        table[row, : len(ending) + 1] = [len(ending), *(ord(character) for character in reversed(ending))]
    return table


@kernel
def cut_piece(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    tables: CutTables,
    room: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    count: int,
) -> int:
    """Write down the words of a piece of less than `ROOM` bytes from place `count` on; the place behind them."""
    classes, keys, units = tables.classes, tables.keys, tables.units
    points, places = room[0], room[1]  # each character, and its byte
    taken = room[2]  # where words at the end begin
    size, at, has_digit = 0, start, False
    while at < stop:
        places[size] = at
        points[size], at = decode_at(data, at)
        has_digit |= classes[points[size]] & DIGIT != 0
        size += 1
    places[size] = stop
    first_word = count
    low, high, last = 0, size, -1
    num_taken = 0
    while low < high and high - low != last and _special(data, places, low, high, keys) < 0:
        last = high - low
        front = _prefix(points, low, high, classes)
        if front and low + front < high and _special(data, places, low + front, high, keys) >= 0:
            starts[count], ends[count] = places[low], places[low + front]
            count += 1
            low += front
            break
        back = _suffix(points, low + front, high, has_digit, classes, units)
        if back and low < high - back and _special(data, places, low, high - back, keys) >= 0:
            high -= back
            taken[num_taken] = high
            num_taken += 1
            break
        if front:
            starts[count], ends[count] = places[low], places[low + front]
            count += 1
            low += front
        if back:
            high -= back
            taken[num_taken] = high
            num_taken += 1
    if low < high:
        place = _special(data, places, low, high, keys)
        if place >= 0:
            count = write_special(place, places[low], tables, starts, ends, count)
        elif _is_address(points, low, high, classes):
            starts[count], ends[count] = places[low], places[high]
            count += 1
        else:
            count = _cut_inside(points, places, low, high, classes, starts, ends, count)
    for index in range(num_taken - 1, -1, -1):
        begin = taken[index]
        end = taken[index - 1] if index else size
        starts[count], ends[count] = places[begin], places[end]
        count += 1
    return _rejoin(data, tables, starts, ends, first_word, count)


@allocating_kernel
def cut_long_piece(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    tables: CutTables,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    count: int,
) -> int:
    """The same of a piece of any length."""
    room = np.empty((3, stop - start + 1), dtype=np.int64)
    return cut_piece(data, start, stop, tables, room, starts, ends, count)


@kernel
def write_special(
    place: int, begin: int, tables: CutTables, starts: NDArray[np.int64], ends: NDArray[np.int64], count: int
) -> int:
    """Write down the words of the piece at a place of the table, which begins at a byte; the place behind them."""
    entry = tables.entries[place]
    for index in range(tables.entry_starts[entry], tables.entry_starts[entry + 1]):
        starts[count], ends[count] = begin, begin + tables.sizes[index]
        begin += tables.sizes[index]
        count += 1
    return count


@kernel
def _special(data: NDArray[np.uint8], places: NDArray[np.int64], low: int, high: int, keys: NDArray[np.uint64]) -> int:
    """The place of a piece among those with a split of their own, or -1."""
    if high - low > LONGEST_SPECIAL:
        return -1
    return find(keys, hash_bytes(data, places[low], places[high]))


@kernel
def _dots(points: NDArray[np.int64], at: int, high: int) -> int:
    """Full stops in a row from a place on."""
    end = at
    while end < high and points[end] == 46:
        end += 1
    return end - at


@kernel
def _prefix(points: NDArray[np.int64], low: int, high: int, classes: NDArray[np.uint8]) -> int:
    first = points[low]
    kind = classes[first]
    if kind & (QUOTE | MARK) or first == 0xA7 or first == 37 or first == 61 or first == 0x2014 or first == 0x2013:
        return 1
    if first == 43:
        return 0 if low + 1 < high and classes[points[low + 1]] & DIGIT else 1
    if first == 46:
        dots = _dots(points, low, high)
        return dots if dots > 1 else 0
    if first == 85 and low + 2 < high and points[low + 1] == 83 and points[low + 2] == 36:
        return 3  # US$
    if (first == 67 or first == 65) and low + 1 < high and points[low + 1] == 36:
        return 2  # C$, A$
    return 1 if kind & (MONEY | ICON) else 0


@kernel
def _suffix(
    points: NDArray[np.int64],
    low: int,
    high: int,
    has_digit: bool,
    classes: NDArray[np.uint8],
    units: NDArray[np.int64],
) -> int:
    if low >= high:
        return 0
    last = points[high - 1]
    before = points[high - 2] if high - low > 1 else 0
    kind, kind_before = classes[last], classes[before] if high - low > 1 else 0
    if last == 46:
        if before == 46:
            begin = high
            while begin > low and points[begin - 1] == 46:
                begin -= 1
            return high - begin
        if high - low < 2:
            return 0
        if kind_before & (QUOTE | MARK | SMALL) or 48 <= before <= 57:
            return 1
        if before == 37 or before == 0xB2 or before == 45 or before == 43:
            return 1
        if high - low > 2:
            third = points[high - 3]
            if kind_before & CAPITAL and classes[third] & CAPITAL:
                return 1
            degree = before | 0x20
            if third == 0xB0 and (degree == 102 or degree == 99 or degree == 107):
                return 1
        return 0
    if (last == 115 or last == 83) and (before == 39 or before == 0x2019):
        return 2  # 's
    if last == 0x2026 and before == 0x2026:
        return 2
    for row in range(len(units) if has_digit else 0):
        length = units[row, 0]
        if units[row, 1] == last and high - low > length and classes[points[high - length - 1]] & DIGIT:
            matched = 1
            while matched < length and points[high - 1 - matched] == units[row, 1 + matched]:
                matched += 1
            if matched == length:
                return int(length)
    if kind & MONEY or last == 43:
        return 1 if kind_before & DIGIT else 0
    return 1 if kind & (QUOTE | MARK | ICON) or last == 0x2014 or last == 0x2013 else 0


@kernel
def _infix(points: NDArray[np.int64], at: int, high: int, classes: NDArray[np.uint8]) -> int:
    """Length of what parts two words at a place that is not the first, 0 where nothing does."""
    character = points[at]
    kind, before = classes[character], classes[points[at - 1]]
    after = classes[points[at + 1]] if at + 1 < high else 0
    if character == 46:
        dots = _dots(points, at, high)
        if dots > 1:
            return dots
        return 1 if before & (SMALL | QUOTE) and after & (CAPITAL | QUOTE) else 0
    if character == 0x2026 or kind & ICON:
        return 1
    is_sign = character == 43 or character == 45 or character == 42 or character == 94
    if is_sign and before & DIGIT and (after & DIGIT or (at + 1 < high and points[at + 1] == 45)):
        return 1
    if character == 44:
        return 1 if before & LETTER and after & LETTER else 0
    if character == 58 or character == 60 or character == 62 or character == 61 or character == 47:
        return 1 if before & (LETTER | DIGIT) and after & LETTER else 0
    if before & (LETTER | DIGIT) == 0:
        return 0
    if character == 45 or character == 0x2014:
        longest = 3 if character == 45 else 2
        run = 1
        while run < longest and at + run < high and points[at + run] == character:
            run += 1
        return run if at + run < high and classes[points[at + run]] & LETTER else 0
    if character == 0x2013 or character == 126:
        return 1 if after & LETTER else 0
    return 0


@kernel
def _cut_inside(
    points: NDArray[np.int64],
    places: NDArray[np.int64],
    low: int,
    high: int,
    classes: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    count: int,
) -> int:
    begin, at = low, low + 1
    while at < high:
        length = _infix(points, at, high, classes)
        if length == 0:
            at += 1
            continue
        if begin < at:
            starts[count], ends[count] = places[begin], places[at]
            count += 1
        starts[count], ends[count] = places[at], places[at + length]
        count += 1
        begin = at = at + length
    if begin < high:
        starts[count], ends[count] = places[begin], places[high]
        count += 1
    return count


@kernel
def _is_address(points: NDArray[np.int64], low: int, high: int, classes: NDArray[np.uint8]) -> bool:
    """Whether a piece is a web or mail address or begins with a host's name; see `english_words.URL`."""
    has_dot = False
    for at in range(low, high):
        has_dot = has_dot or points[at] == 46
    if not has_dot:
        return False
    begin, at = low, low
    while at < high and (_in_name(points[at], classes) or points[at] == 43 or points[at] == 45 or points[at] == 46):
        at += 1
    if at - low >= 2 and at + 2 < high and points[at] == 58 and points[at + 1] == 47 and points[at + 2] == 47:
        begin = at + 3
    if _is_host(points, begin, high, classes):
        return True
    tried = 0
    for at in range(high - 1, begin, -1):
        if points[at] == 64:
            if _is_host(points, at + 1, high, classes):
                return True
            tried += 1
            if tried == MAX_AT_SIGNS:
                return False
    return False


@kernel
def _in_name(point: int, classes: NDArray[np.uint8]) -> bool:
    return point == 95 or classes[point] & IN_NAME != 0


@kernel
def _is_host(points: NDArray[np.int64], low: int, high: int, classes: NDArray[np.uint8]) -> bool:
    """Names with full stops between them, the last of small letters, or four numbers; then a port and a path."""
    at, dots, all_numbers = low, 0, True
    while True:
        begin = at
        numbers, small = True, True
        while at < high and (_in_name(points[at], classes) or points[at] == 45):
            numbers = numbers and 48 <= points[at] <= 57
            point = points[at]
            small = small and (97 <= point <= 122 or (0xDF <= point <= 0xFF and point != 0xF7))
            at += 1
        length = at - begin
        if length == 0 or length > 64:
            return False
        all_numbers = all_numbers and numbers and length <= 3
        if at < high and points[at] == 46:
            ends_well = classes[points[begin]] & IN_NAME and classes[points[at - 1]] & IN_NAME
            if not ends_well:
                return False
            dots += 1
            at += 1
            continue
        if all_numbers and dots == 3:
            first = 0
            place = low
            while points[place] != 46:
                first = 10 * first + points[place] - 48
                place += 1
            if first < 1 or first > 223 or points[low] == 48:
                return False
        elif dots == 0 or not small or length < 2 or length > 63:
            return False
        break
    if at < high and points[at] == 58:
        begin = at + 1
        at = begin
        while at < high and 48 <= points[at] <= 57:
            at += 1
        if at - begin < 2 or at - begin > 5:
            return False
    return at == high or points[at] == 47 or points[at] == 63 or points[at] == 35


@kernel
def _rejoin(
    data: NDArray[np.uint8],
    tables: CutTables,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    first: int,
    count: int,
) -> int:
    """Make whole the emoticons that were taken apart; the new number of words."""
    written, at = first, first
    while at < count:
        size = 1
        for more in range(min(5, count - at), 1, -1):
            if ends[at + more - 1] - starts[at] > tables.longest[data[starts[at]]]:
                continue
            place = find(tables.keys, hash_bytes(data, starts[at], ends[at + more - 1]))
            if place >= 0 and _is_whole(place, tables):
                size = more
                break
        starts[written], ends[written] = starts[at], ends[at + size - 1]
        written += 1
        at += size
    return written


@kernel
def _is_whole(place: int, tables: CutTables) -> bool:
    """Whether the piece at a place of the table is one word."""
    entry = tables.entries[place]
    return bool(tables.entry_starts[entry + 1] - tables.entry_starts[entry] == 1)
