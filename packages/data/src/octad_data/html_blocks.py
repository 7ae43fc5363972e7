"""The lines of text of a page: what stands between two tags that break a line, with what can be counted in it."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from octad_data.html_scan import BLOCK, CLOSE, HIDDEN, TAG, TEXT, Scan, _tables
from octad_data.html_words import TEXT_TOPIC, text_automaton
from octad_data.kernel import kernel

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
            data, *page, _tables()[1], _roles(), automaton.step, automaton.found, word_hashes(title),
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


@kernel
def _entity(data, place, end):  # type: ignore[no-untyped-def]
    """The byte after an entity that begins at a place, 0 where none does; and whether it is a space."""
    stop = min(place + 12, end)
    for at in range(place + 1, stop):
        byte = data[at]
        if byte == 59 and at > place + 1:
            is_space = at == place + 5 and (
                (data[place + 1] == 110 and data[place + 2] == 98) or (data[place + 1] == 35 and data[place + 2] == 49)
                and data[place + 3] == 54 and data[place + 4] == 48
            )  # fmt: skip
            return at + 1, is_space
        if not (48 <= byte <= 57 or 97 <= (byte | 32) <= 122 or byte == 35):
            break
    return 0, False


@kernel
def _end_word(counts, state, title, description):  # type: ignore[no-untyped-def]
    """Count the word that was being read."""
    if state[0]:
        counts[1] += 1
        counts[8] += state[1] <= 3 and state[2]
        counts[5] += state[3]
        value = state[7]
        if value:
            at = np.searchsorted(title, value)
            counts[13] += at < len(title) and title[at] == value
            at = np.searchsorted(description, value)
            counts[14] += at < len(description) and description[at] == value
        elif state[1] == 1 and not state[3]:
            counts[16] += 1
    state[0] = 0
    state[1] = 0
    state[7] = 0


@kernel
def _count(data, begin, end, linked, bold, italic, counts, state, step, found, title, description):  # type: ignore[no-untyped-def]
    """Add a run of text to the counts of its block.

    `state` goes on from run to run: 0 in a word, 1 its letters so far, 2 it begins with a small letter, 3 the last
    character ended a sentence, 4 the automaton's, 5 the bits it found, 6 the digest, 7 the word's hash, 8 the bits found
    early, 9 the last character is a colon.
    """
    place = begin
    while place < end:
        byte = np.int64(data[place])
        width = 1
        space = byte == 32 or 9 <= byte <= 13
        if byte == 38:
            after, space = _entity(data, place, end)
            if after:
                width = after - place
        elif byte == 0xC2 and place + 1 < end and data[place + 1] == 0xA0:
            space, width = True, 2
        elif byte >= 0xF0:
            width = 4
        elif byte >= 0xE0:
            width = 3
        elif byte >= 0xC0:
            width = 2
        if state[5] >= 0:  # words are looked at
            for at in range(place, min(place + width, end)):
                letter = np.int64(data[at])
                letter = letter | 32 if 65 <= letter <= 90 else letter
                code = letter - 97 if 97 <= letter <= 122 else 26
                state[4] = step[state[4], code]
                state[5] |= found[state[4]]
                if counts[0] <= 24:
                    state[8] = state[5]
        if byte == 0xC2 and place + 1 < end and data[place + 1] == 0xA9 and state[5] >= 0:  # ©
            state[5] |= COPYRIGHT
        if space:
            _end_word(counts, state, title, description)
            place += width
            continue
        state[6] = state[6] * 1_000_003 + byte
        if width > 1:
            for at in range(place + 1, min(place + width, end)):
                state[6] = state[6] * 131 + data[at]
        weight = 1.0
        second = np.int64(data[place + 1]) if width > 1 and place + 1 < end else 0
        third = np.int64(data[place + 2]) if width > 2 and place + 2 < end else 0
        is_end = byte == 46 or byte == 33 or byte == 63
        comma = byte == 44 or byte == 59
        if width == 3 and byte == 0xE3 and second == 0x80:  # 。 、
            is_end, comma = third == 0x82, third == 0x81
        elif width == 3 and byte == 0xEF and second == 0xBC:  # full-width ! , ?
            is_end, comma = third == 0x81 or third == 0x9F, third == 0x8C
        elif width == 3 and byte == 0xE0 and second == 0xA5:  # danda
            is_end = third == 0xA4
        elif width == 2 and byte == 0xD8:  # Arabic comma, question mark
            comma, is_end = second == 0x8C, second == 0x9F
        elif width == 3 and 0xE3 <= byte <= 0xED and not (byte == 0xE3 and second == 0x80):
            weight = 2.5
        quote = (
            byte == 34
            or byte == 39
            or byte == 41
            or (byte == 0xE2 and second == 0x80)
            or (byte == 0xC2 and second == 0xBB)
        )
        upper = 65 <= byte <= 90
        lower = 97 <= byte <= 122
        if byte == 0xC3:
            upper, lower = 0x80 <= second < 0x9F, second >= 0x9F
        elif byte == 0xD0:
            upper, lower = 0x80 <= second < 0xB0, second >= 0xB0
        elif byte == 0xD1 or byte == 0xCF or byte == 0xC4 or byte == 0xC5:
            lower = True
        if counts[0] == 0:
            counts[11] = upper or (width == 3 and byte >= 0xE0 and byte != 0xE2) or 0xD7 <= byte < 0xE0
        if not state[0]:
            state[0] = 1
            state[2] = lower
        state[1] += 1
        for at in range(place, min(place + width, end)):
            letter = np.int64(data[at])
            letter = letter | 32 if 65 <= letter <= 90 else letter
            if letter >= 0x80 or 97 <= letter <= 122 or 48 <= letter <= 57:
                state[7] = (state[7] * 131 + letter) & ((1 << 62) - 1)
        state[9] = byte == 58
        if weight > 1:
            counts[1] += 0.5
        counts[0] += weight
        if linked:
            counts[2] += weight
        if bold:
            counts[9] += weight
        if italic:
            counts[15] += weight
        if byte == 64 or (byte == 58 and place + 2 < end and data[place + 1] == 47 and data[place + 2] == 47):
            counts[19] += 1
        counts[4] += comma
        counts[6] += 48 <= byte <= 57
        counts[7] += upper
        if is_end and width > 1:
            counts[5] += 1
        if not (quote and state[3]):
            state[3] = is_end
        place += width


@kernel
def _blocks(  # type: ignore[no-untyped-def]
    data, tag, parent, start, inner, last, event, begin, end, properties, roles, step, found, title, description
):
    most = 1
    for kind in event:
        most += kind == TEXT
    first = np.zeros(most, dtype=np.int32)
    stop = np.zeros(most, dtype=np.int32)
    node = np.zeros(most, dtype=np.int32)
    leaf = np.zeros(most, dtype=np.int32)
    counts = np.zeros((most, 20), dtype=np.float32)
    said = np.zeros(most, dtype=np.int64)
    opening = np.zeros(most, dtype=np.int64)
    digest = np.zeros(most, dtype=np.int64)
    state = np.zeros(10, dtype=np.int64)
    pictures = 0
    shown = np.zeros(len(event), dtype=np.uint8)
    block = 0  # the one that is being filled
    is_open = False
    breaks = 0  # <br> in a row
    hidden_until = -1
    inside, line, linked, bold, italic = (
        0,
        0,
        0,
        0,
        0,
    )  # innermost element, innermost that breaks lines; open <a>, <b>, <i>
    position = 0
    while position <= len(event):
        kind = event[position] if position < len(event) else np.int32(CLOSE)
        ends_line = position == len(event)
        if kind == TEXT and hidden_until < 0:
            low, high = begin[position], end[position]
            blank = True
            for at in range(low, high):
                if not (data[at] == 32 or 9 <= data[at] <= 13):
                    blank = False
                    break
            if not blank or is_open:
                if not is_open:
                    is_open = True
                    first[block], node[block], leaf[block] = position, line, inside
                    state[:] = 0
                    state[4] = step[0, 26]
                    counts[block, 18] = pictures
                    pictures = 0
                if not blank:
                    breaks = 0
                _count(
                    data,
                    low,
                    high,
                    linked > 0,
                    bold > 0,
                    italic > 0,
                    counts[block],
                    state,
                    step,
                    found,
                    title,
                    description,
                )
                if counts[block, 0] > 400 and state[5] >= 0:
                    state[5] = -1
                stop[block] = position + 1
                shown[position] = 1
        elif kind >= 0:
            if hidden_until < 0:
                code = tag[kind]
                role = roles[code]
                pictures += role == 5
                if properties[code] & HIDDEN:
                    hidden_until = kind
                elif role == 1:
                    breaks += 1
                    if is_open:
                        counts[block, 12] += 1
                        _end_word(counts[block], state, title, description)
                        shown[position] = 1
                    ends_line = breaks >= 2
                elif properties[code] & BLOCK:
                    ends_line = True
                elif role == 2:
                    linked += 1
                    counts[block, 3] += 1
                elif role == 3:
                    bold += 1
                elif role == 4:
                    italic += 1
            inside = kind
        elif kind == CLOSE and position < len(event):
            which = begin[position]
            code = tag[which]
            if hidden_until < 0:
                if properties[code] & BLOCK:
                    ends_line = True
                elif roles[code] == 2:
                    linked -= 1
                elif roles[code] == 3:
                    bold -= 1
                elif roles[code] == 4:
                    italic -= 1
            if hidden_until == which:
                hidden_until = -1
            inside = parent[which]
        if ends_line and is_open:
            _end_word(counts[block], state, title, description)
            counts[block, 10] = state[3]
            counts[block, 17] = state[9]
            if state[5] >= 0:
                state[5] |= found[np.int64(step[state[4], 26])]
            said[block] = max(state[5], 0)
            if counts[block, 0] <= 24:
                state[8] = said[block]
            opening[block] = state[8]
            digest[block] = state[6]
            if counts[block, 0] > 0:
                block += 1
            else:
                counts[block] = 0
            is_open = False
        if kind >= 0 and hidden_until < 0 and properties[tag[kind]] & BLOCK:
            line = kind
        elif kind == CLOSE and position < len(event) and hidden_until < 0 and properties[tag[begin[position]]] & BLOCK:
            line = parent[begin[position]]
            while line > 0 and not properties[tag[line]] & BLOCK:
                line = parent[line]
        position += 1
    return (
        first[:block],
        stop[:block],
        node[:block],
        leaf[:block],
        counts[:block],
        said[:block],
        opening[:block],
        digest[:block],
        shown,
    )
