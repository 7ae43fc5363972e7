"""The lines of text of a page: what stands between two tags that break a line, with what can be counted in it."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from octad_data.html_scan import BLOCK, CLOSE, HIDDEN, TAG, TEXT, Array, Scan, tag_tables
from octad_data.html_words import TEXT_TOPIC, text_automaton
from octad_data.kernel import allocating_kernel, kernel

COUNTS = (
    "weight",  # characters that are no spaces; one of Chinese, Japanese or Korean counts as COMPACT
    "words",
    "linked",  # weight inside links
    "links",
    "commas",
    "sentences",  # full stops and the like before a space or the end
    "digits",
    "capitals",
    "short_words",  # of up to three letters that begin with a small one: the, und, de, w, ...
    "bold",  # weight inside <b> and <strong>
    "closed",  # 1 where the last character ends a sentence
    "begins",  # 1 where the first character is a capital letter, or one of a script without them
    "breaks",  # <br>
    "titled",  # words that are in the title of the page
    "described",  # words that are in its description
    "italic",  # weight inside <i>, <em> and <cite>
    "separators",  # | > / and the like between spaces, and bullets
    "colon",  # 1 where the last character is a colon
    "pictures",  # <img>, <video> and the like since the line before
    "addresses",  # @ signs and ://
)
NUM_COUNTS = len(COUNTS)
COMPACT = 2.5
COPYRIGHT = TEXT_TOPIC["copyright"]
EARLY = 24
MAX_SAID = 400  # weight up to which the words of a text are looked at


class Blocks(NamedTuple):
    """Lines of text in the order of the page.

    Attributes:
        first, stop: the events of `Scan` that hold it, from and up to; int32.
        node: the innermost element around all of it that breaks lines; int32.
        leaf: the element around its first text, which may be inline; int32.
        counts: see `COUNTS`; float32, shape (blocks, counts).
        said: bits of `TEXT_TOPIC`; int64.
        opening: those of its first EARLY characters.
        digest: the same for two lines of the same text; int64.
        shown: of each event, 1 where it is text (or a <br>) of a line; uint8.
    """

    first: NDArray[np.int32]
    stop: NDArray[np.int32]
    node: NDArray[np.int32]
    leaf: NDArray[np.int32]
    counts: NDArray[np.float32]
    said: NDArray[np.int64]
    opening: NDArray[np.int64]
    digest: NDArray[np.int64]
    shown: NDArray[np.uint8]


def word_hashes(text: str) -> NDArray[np.int64]:
    """What `find_blocks` knows the words of a title by: rising, at least one."""
    hashes = {0}
    for word in text.encode("utf-8", "replace").split():
        value = 0
        for byte in word:
            byte |= 32 if 65 <= byte <= 90 else 0
            if byte >= 0x80 or 97 <= byte <= 122 or 48 <= byte <= 57:
                value = (value * 131 + byte) % (1 << 62)
        hashes.add(value)
    return np.array(sorted(hashes), dtype=np.int64)


def find_blocks(data: NDArray[np.uint8], page: Scan, title: str = "", description: str = "") -> Blocks:
    """The lines of text of a page that has been scanned.

    Cost: 0.3 ms for 100 kB.
    """
    automaton = text_automaton()
    return Blocks(
        *_blocks(
            data, *page, tag_tables()[1], _roles(), automaton.step, automaton.found, word_hashes(title),
            word_hashes(description),
        )
    )  # fmt: skip


ROLES = {  # inline elements that are counted
    "br": 1, "a": 2, "b": 3, "strong": 3, "i": 4, "em": 4, "cite": 4, "img": 5, "picture": 5, "video": 5, "iframe": 5,
    "amp-img": 5, "embed": 5, "object": 5, "svg": 5, "audio": 5,
}  # fmt: skip


@cache
def _roles() -> NDArray[np.int8]:
    roles = np.zeros(len(TAG), dtype=np.int8)
    for name, role in ROLES.items():
        roles[TAG[name]] = role
    return roles


# What goes on from one run of text to the next of the same line.
IN_WORD, LETTERS_SO_FAR, SMALL, ENDED, STATE, FOUND, DIGEST, HASH, FOUND_EARLY, COLON = range(10)
(
    WEIGHT, WORDS, LINKED, LINKS, COMMAS, SENTENCES, DIGITS, CAPITALS, SHORT_WORDS, BOLD, CLOSED, BEGINS, BREAKS,
    TITLED, DESCRIBED, ITALIC, SEPARATORS, ENDS_COLON, PICTURES, ADDRESSES,
) = range(NUM_COUNTS)  # fmt: skip


@kernel
def _blank(data: Array, begin: int, end: int) -> bool:
    for place in range(begin, end):  # noqa: SIM110 (a generator is not compiled)
        if not (data[place] == 32 or 9 <= data[place] <= 13):
            return False
    return True


@kernel
def _entity(data: Array, place: int, end: int) -> Any:
    """The byte after an entity that begins at a place, 0 where none does; and whether it is a space."""
    for at in range(place + 1, min(place + 12, end)):
        byte = data[at]
        if byte == 59 and at > place + 1:
            named = data[place + 1] == 110 and data[place + 2] == 98  # &nbsp;
            numbered = data[place + 1] == 35 and data[place + 2] == 49 and data[place + 3] == 54  # &#160;
            return at + 1, at == place + 5 and (named or (numbered and data[place + 4] == 48))
        if not (48 <= byte <= 57 or 97 <= (byte | 32) <= 122 or byte == 35):
            break
    return 0, False


@kernel
def _character(data: Array, place: int, end: int) -> Any:
    """The bytes of the character (or entity) at a place, and whether it is a space."""
    byte = data[place]
    width, space = 1, byte == 32 or 9 <= byte <= 13
    if byte == 38:
        after, space = _entity(data, place, end)
        width = after - place if after else 1
    elif byte == 0xC2 and place + 1 < end and data[place + 1] == 0xA0:
        width, space = 2, True
    elif byte >= 0xC0:
        width = 2 + (byte >= 0xE0) + (byte >= 0xF0)
    return min(width, end - place), space


@kernel
def _watch(data: Array, place: int, width: int, weight: float, state: Array, step: Array, found: Array) -> None:
    """Look for the words of `TEXT_TOPICS`."""
    for at in range(place, place + width):
        letter = np.int64(data[at])
        letter = letter | 32 if 65 <= letter <= 90 else letter
        state[STATE] = step[state[STATE], letter - 97 if 97 <= letter <= 122 else 26]
        state[FOUND] |= found[state[STATE]]
    if width == 2 and data[place] == 0xC2 and data[place + 1] == 0xA9:
        state[FOUND] |= COPYRIGHT
    if weight <= EARLY:
        state[FOUND_EARLY] = state[FOUND]


@kernel
def _end_word(counts: Array, state: Array, title: Array, description: Array) -> None:
    """Count the word that was being read."""
    if state[IN_WORD]:
        counts[WORDS] += 1
        counts[SHORT_WORDS] += state[LETTERS_SO_FAR] <= 3 and state[SMALL]
        counts[SENTENCES] += state[ENDED]
        value = state[HASH]
        if value:
            at = np.searchsorted(title, value)
            counts[TITLED] += at < len(title) and title[at] == value
            at = np.searchsorted(description, value)
            counts[DESCRIBED] += at < len(description) and description[at] == value
        elif state[LETTERS_SO_FAR] == 1 and not state[ENDED]:
            counts[SEPARATORS] += 1
    state[IN_WORD] = 0
    state[LETTERS_SO_FAR] = 0
    state[HASH] = 0


@kernel
def _punctuation(byte: Any, second: Any, third: Any, width: int) -> Any:
    """Whether a character ends a sentence, is a comma, closes a quotation, and its weight."""
    ends, comma, weight = byte == 46 or byte == 33 or byte == 63, byte == 44 or byte == 59, 1.0
    if width == 3 and byte == 0xE3 and second == 0x80:  # ideographic full stop and comma
        ends, comma = third == 0x82, third == 0x81
    elif width == 3 and byte == 0xEF and second == 0xBC:  # full-width ! ? ,
        ends, comma = third == 0x81 or third == 0x9F, third == 0x8C
    elif width == 3 and byte == 0xE0 and second == 0xA5:  # danda
        ends = third == 0xA4
    elif width == 2 and byte == 0xD8:  # Arabic question mark and comma
        ends, comma = second == 0x9F, second == 0x8C
    elif width == 3 and 0xE3 <= byte <= 0xED:
        weight = COMPACT
    closes = byte == 34 or byte == 39 or byte == 41 or (byte == 0xE2 and second == 0x80)
    return ends, comma, closes or (byte == 0xC2 and second == 0xBB), weight


@kernel
def _case(byte: Any, second: Any) -> Any:
    """Whether a character is a capital and whether it is a small letter: Latin and Cyrillic, nearly."""
    upper, lower = 65 <= byte <= 90, 97 <= byte <= 122
    if byte == 0xC3:
        upper, lower = 0x80 <= second < 0x9F, second >= 0x9F
    elif byte == 0xD0:
        upper, lower = 0x80 <= second < 0xB0, second >= 0xB0
    elif byte == 0xD1 or byte == 0xCF or byte == 0xC4 or byte == 0xC5:
        lower = True
    return upper, lower


@kernel
def _hash_letters(data: Array, place: int, width: int, state: Array) -> None:
    """Take a character into the hashes of its line and of its word."""
    state[DIGEST] = state[DIGEST] * 1_000_003 + data[place]
    for at in range(place, place + width):
        letter = np.int64(data[at])
        if at > place:
            state[DIGEST] = state[DIGEST] * 131 + letter
        letter = letter | 32 if 65 <= letter <= 90 else letter
        if letter >= 0x80 or 97 <= letter <= 122 or 48 <= letter <= 57:
            state[HASH] = (state[HASH] * 131 + letter) & ((1 << 62) - 1)


@kernel
def _count(
    data: Array, begin: int, end: int, open_inline: Array, counts: Array, state: Array, step: Array, found: Array,
    title: Array, description: Array,
) -> None:  # fmt: skip
    """Add a run of text to the counts of its line."""
    linked, bold, italic = open_inline[2] > 0, open_inline[3] > 0, open_inline[4] > 0
    place = begin
    while place < end:
        byte = np.int64(data[place])
        is_plain = byte < 0x80 and byte != 38  # most are: the functions for the others are not called then
        width, space = (1, byte == 32 or 9 <= byte <= 13) if is_plain else _character(data, place, end)
        letter = byte | 32 if 65 <= byte <= 90 else byte
        lower, upper = 97 <= byte <= 122, 65 <= byte <= 90
        if state[FOUND] >= 0:
            if is_plain:
                state[STATE] = step[state[STATE], letter - 97 if lower or upper else 26]
                state[FOUND] |= found[state[STATE]]
                if counts[WEIGHT] <= EARLY:
                    state[FOUND_EARLY] = state[FOUND]
            else:
                _watch(data, place, width, counts[WEIGHT], state, step, found)
        if space:
            if state[IN_WORD]:
                _end_word(counts, state, title, description)
            place += width
            continue
        ends, comma, weight = byte == 46 or byte == 33 or byte == 63, byte == 44 or byte == 59, 1.0
        closes = byte == 34 or byte == 39 or byte == 41
        if is_plain:
            state[DIGEST] = state[DIGEST] * 1_000_003 + byte
            if lower or upper or 48 <= byte <= 57:
                state[HASH] = (state[HASH] * 131 + letter) & ((1 << 62) - 1)
        else:
            second = np.int64(data[place + 1]) if width > 1 else np.int64(0)
            third = np.int64(data[place + 2]) if width > 2 else np.int64(0)
            ends, comma, closes, weight = _punctuation(byte, second, third, width)
            upper, lower = _case(byte, second)
            _hash_letters(data, place, width, state)
        if counts[WEIGHT] == 0:
            counts[BEGINS] = upper or (width == 3 and byte >= 0xE0 and byte != 0xE2) or 0xD7 <= byte < 0xE0
        if not state[IN_WORD]:
            state[IN_WORD], state[SMALL] = 1, lower
        state[LETTERS_SO_FAR] += 1
        state[COLON] = byte == 58
        counts[WEIGHT] += weight
        if weight > 1:
            counts[WORDS] += 0.5
        if linked:
            counts[LINKED] += weight
        if bold:
            counts[BOLD] += weight
        if italic:
            counts[ITALIC] += weight
        counts[COMMAS] += comma
        counts[DIGITS] += 48 <= byte <= 57
        counts[CAPITALS] += upper
        counts[SENTENCES] += ends and width > 1
        if byte == 58 or byte == 64:
            slashes = place + 2 < end and data[place + 1] == 47 and data[place + 2] == 47
            counts[ADDRESSES] += slashes or byte == 64
        if not (closes and state[ENDED]):
            state[ENDED] = ends
        place += width


@kernel
def _finish(counts: Array, state: Array, step: Array, found: Array, title: Array, description: Array) -> None:
    """What is known of a line at its end."""
    _end_word(counts, state, title, description)
    counts[CLOSED], counts[ENDS_COLON] = state[ENDED], state[COLON]
    if state[FOUND] >= 0:
        state[FOUND] |= found[step[state[STATE], 26]]
        if counts[WEIGHT] <= EARLY:
            state[FOUND_EARLY] = state[FOUND]


@allocating_kernel
def _blocks(
    data: Array, tag: Array, parent: Array, start: Array, inner: Array, last: Array, event: Array, begin: Array,
    end: Array, properties: Array, roles: Array, step: Array, found: Array, title: Array, description: Array,
) -> Any:  # fmt: skip
    most = 1 + (event == TEXT).sum()
    first = np.zeros(most, dtype=np.int32)
    stop = np.zeros(most, dtype=np.int32)
    node = np.zeros(most, dtype=np.int32)
    leaf = np.zeros(most, dtype=np.int32)
    counts = np.zeros((most, NUM_COUNTS), dtype=np.float32)
    said = np.zeros(most, dtype=np.int64)
    opening = np.zeros(most, dtype=np.int64)
    digest = np.zeros(most, dtype=np.int64)
    shown = np.zeros(len(event), dtype=np.uint8)
    state = np.zeros(10, dtype=np.int64)
    open_inline = np.zeros(6, dtype=np.int64)  # of each role
    block, is_open = 0, False  # the line that is being filled
    indentation: Any = -1  # where white space stands before its first text, which matters in code
    breaks: Any = 0  # <br> in a row
    pictures: Any = 0  # since the last line
    hidden_until: Any = -1
    inside: Any = 0  # the innermost element
    line: Any = 0  # the innermost that breaks lines
    for position in range(len(event) + 1):
        kind = event[position] if position < len(event) else np.int32(CLOSE)
        which = kind if kind >= 0 else begin[position] if position < len(event) else np.int32(0)
        code = tag[which] if kind != TEXT else np.int16(0)
        ends_line = position == len(event)
        visible = hidden_until < 0
        if kind == TEXT and visible and (is_open or not _blank(data, begin[position], end[position])):
            if not is_open:
                is_open = True
                first[block], node[block], leaf[block] = position, line, inside
                if indentation >= 0:
                    first[block], shown[indentation], indentation = indentation, 1, -1
                counts[block, PICTURES], pictures = pictures, 0
                state[:] = 0
                state[STATE] = step[0, 26]
            if breaks and not _blank(data, begin[position], end[position]):
                breaks = 0
            _count(
                data, begin[position], end[position], open_inline, counts[block], state, step, found, title, description
            )
            if counts[block, WEIGHT] > MAX_SAID:
                state[FOUND] = -1
            stop[block], shown[position] = position + 1, 1
        elif kind == TEXT and visible:
            indentation = position
        elif kind != TEXT and visible:
            role = roles[code]
            opens = kind >= 0
            pictures += opens and role == 5
            if opens and properties[code] & HIDDEN:
                hidden_until = kind
            elif role == 1:
                breaks += opens
                ends_line = ends_line or breaks >= 2
                if is_open and opens:
                    counts[block, BREAKS] += 1
                    _end_word(counts[block], state, title, description)
                    shown[position] = 1
            elif properties[code] & BLOCK:
                ends_line = True
            else:
                open_inline[role] += 1 if opens else -1
                counts[block, LINKS] += opens and role == 2
        if kind != TEXT:
            inside = kind if kind >= 0 else parent[which]
            if kind == CLOSE and hidden_until == which:
                hidden_until = -1
        if ends_line:
            indentation = -1
        if ends_line and is_open:
            _finish(counts[block], state, step, found, title, description)
            said[block], opening[block], digest[block] = max(state[FOUND], 0), state[FOUND_EARLY], state[DIGEST]
            is_open = False
            if counts[block, WEIGHT] > 0:
                block += 1
            else:
                counts[block] = 0
        if kind != TEXT and properties[code] & BLOCK and hidden_until < 0:
            line = inside
            while line > 0 and not properties[tag[line]] & BLOCK:
                line = parent[line]
    return (
        first[:block], stop[:block], node[:block], leaf[:block], counts[:block], said[:block], opening[:block],
        digest[:block], shown,
    )  # fmt: skip
