"""A page of HTML as flat arrays: elements with their parents, and the order in which tags open, close and hold text.

One pass over the bytes, without recursion and without a tree of objects, so that a page costs about a millisecond and
100,000 nested elements cost no more than 100,000 others. Every input is some tree: what a browser repairs (tags left
open, closed twice or in the wrong order) is repaired here nearly as a browser does.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.kernel import allocating_kernel, kernel

BLOCK = 1  # breaks the line of text before and after
VOID = 2  # has no end tag
RAW = 4  # its content is no markup up to its own end tag
HIDDEN = 8  # never shown as text
CLOSES_P = 16  # a paragraph that is open ends where this begins
SCOPE = 32  # end tags outside do not reach through it
Array = Any  # an array inside a kernel, whose types numba finds by itself
MAX_DEPTH = 512  # deeper elements are siblings, as in browsers
MAX_TAGS = 1_000_000  # a real page has a few thousand

TEXT = -1  # kinds of events; those >= 0 are the element that opens
CLOSE = -2

_BLOCK = BLOCK | CLOSES_P
TAGS = {  # every name that means something here; all others are inline
    "html": BLOCK, "head": BLOCK, "body": BLOCK,
    "title": BLOCK | RAW | HIDDEN, "meta": VOID, "link": VOID, "base": VOID,
    "script": RAW | HIDDEN, "style": RAW | HIDDEN, "noscript": BLOCK | HIDDEN, "template": HIDDEN | SCOPE,
    "iframe": RAW | HIDDEN, "noembed": RAW | HIDDEN, "noframes": RAW | HIDDEN, "xmp": _BLOCK | RAW,
    "textarea": RAW | HIDDEN, "svg": HIDDEN, "math": 0, "canvas": HIDDEN, "object": 0, "embed": VOID, "audio": HIDDEN,
    "video": HIDDEN, "map": 0, "area": VOID, "source": VOID, "track": VOID, "param": VOID, "wbr": VOID, "img": VOID,
    "picture": 0, "input": VOID, "select": HIDDEN | BLOCK, "option": BLOCK, "optgroup": BLOCK, "datalist": HIDDEN,
    "button": BLOCK | SCOPE, "label": 0, "dialog": _BLOCK, "form": _BLOCK, "fieldset": _BLOCK, "legend": BLOCK,
    "article": _BLOCK, "section": _BLOCK, "nav": _BLOCK, "aside": _BLOCK, "header": _BLOCK, "footer": _BLOCK,
    "main": _BLOCK, "address": _BLOCK, "div": _BLOCK, "center": _BLOCK, "blockquote": _BLOCK, "p": _BLOCK,
    "pre": _BLOCK, "listing": _BLOCK, "hr": _BLOCK | VOID, "br": VOID, "figure": _BLOCK, "figcaption": _BLOCK,
    "details": _BLOCK, "summary": _BLOCK, "h1": _BLOCK, "h2": _BLOCK, "h3": _BLOCK, "h4": _BLOCK, "h5": _BLOCK,
    "h6": _BLOCK, "hgroup": _BLOCK, "ul": _BLOCK, "ol": _BLOCK, "menu": _BLOCK, "dir": _BLOCK, "li": _BLOCK,
    "dl": _BLOCK, "dt": _BLOCK, "dd": _BLOCK, "table": _BLOCK | SCOPE, "caption": BLOCK | SCOPE, "colgroup": BLOCK,
    "col": VOID, "thead": BLOCK, "tbody": BLOCK, "tfoot": BLOCK, "tr": BLOCK, "td": BLOCK | SCOPE, "th": BLOCK | SCOPE,
    "a": 0, "b": 0, "strong": 0, "i": 0, "em": 0, "u": 0, "s": 0, "del": 0, "span": 0, "font": 0, "code": 0,
    "time": 0, "small": 0, "sup": 0, "sub": 0, "q": 0, "cite": 0, "ruby": 0, "rt": 0, "rp": HIDDEN,
    "amp-img": 0, "frameset": BLOCK, "frame": VOID, "search": _BLOCK,
}  # fmt: skip
NAMES = ("", *TAGS)
TAG = {name: code for code, name in enumerate(NAMES)}

# Where one of these opens, those of the second kind end, up to the nearest of the third.
IMPLIED_ENDS = {
    "li": (("li",), ("ul", "ol", "menu", "dir")),
    "dt": (("dt", "dd"), ("dl",)),
    "dd": (("dt", "dd"), ("dl",)),
    "option": (("option",), ("select", "datalist", "optgroup")),
    "optgroup": (("optgroup", "option"), ("select", "datalist")),
    "tr": (("tr", "td", "th", "caption", "colgroup"), ("table",)),
    "td": (("td", "th"), ("tr", "table")),
    "th": (("td", "th"), ("tr", "table")),
    "thead": (("thead", "tbody", "tfoot", "tr", "td", "th", "caption", "colgroup"), ("table",)),
    "tbody": (("thead", "tbody", "tfoot", "tr", "td", "th", "caption", "colgroup"), ("table",)),
    "tfoot": (("thead", "tbody", "tfoot", "tr", "td", "th", "caption", "colgroup"), ("table",)),
    "body": (("head",), ("html",)),
    "a": (("a",), ("td", "th", "table", "button", "li", "p", "div")),
    "button": (("button",), ()),
}


class Scan(NamedTuple):
    """What `scan` found.

    Attributes:
        tag: of each element, an index into `NAMES` (0: a name not listed); int16.
        parent: the element around it; element 0 is a root around everything, and its own is -1; int32.
        start: the byte of its `<`; int32.
        inner: the byte after its start tag; int32.
        last: one past the last element inside it; int32.
        event: what comes next, in order: an element that opens (its number), `CLOSE`, or `TEXT`; int32.
        begin, end: the bytes of a text; the element that closes, in `begin`; int32.
    """

    tag: NDArray[np.int16]
    parent: NDArray[np.int32]
    start: NDArray[np.int32]
    inner: NDArray[np.int32]
    last: NDArray[np.int32]
    event: NDArray[np.int32]
    begin: NDArray[np.int32]
    end: NDArray[np.int32]


def scan(data: NDArray[np.uint8]) -> Scan:
    """The elements and texts of a page.

    Args:
        data: UTF-8, shape (size,); any bytes give some tree.

    Raises:
        DataError: `too many tags: ...`.
    Cost: about 0.2 ms for 100 kB; memory for 60 bytes a tag.
    """
    names, properties, ends = tag_tables()
    num_tags = _count_tags(data)
    if num_tags > MAX_TAGS:
        raise DataError(f"too many tags: {num_tags:,}, at most {MAX_TAGS:,}; split the page or skip it")
    return Scan(*_scan(data, num_tags, names[0], names[1], properties, ends[0], ends[1], TAG["p"], TAG["textarea"]))


def hash_of(name: str) -> int:
    """The hash of a name that `_name_hash` reads from bytes."""
    value = 0
    for byte in name.encode():
        value = (value * 131 + byte) % (1 << 62)
    return value


@cache
def tag_tables() -> tuple[tuple[NDArray[np.int64], NDArray[np.int16]], NDArray[np.uint8], NDArray[np.bool_]]:
    """Hashes of the names in rising order with their codes, the properties of each, and the implied ends."""
    hashes = np.array([hash_of(name) for name in NAMES], dtype=np.int64)
    order = np.argsort(hashes)
    properties = np.array([0, *TAGS.values()], dtype=np.uint8)
    ends = np.zeros((2, len(NAMES), len(NAMES)), dtype=np.bool_)
    ends[1, :, 0] = (properties & CLOSES_P) != 0
    for name, (closed, limits) in IMPLIED_ENDS.items():
        for inner in closed:
            ends[0, TAG[name], TAG[inner]] = True
        for inner in limits:
            ends[1, TAG[name], TAG[inner]] = True
    ends[0, :, 0] = ends[0].any(axis=1)
    return (hashes[order], order.astype(np.int16)), properties, ends


@kernel
def _count_tags(data: Array) -> int:
    """How often `<` stands where a tag may begin."""
    found = 0
    for place in range(len(data) - 1):
        if data[place] == 60:
            following = data[place + 1]
            found += 97 <= (following | 32) <= 122 or following == 33 or following == 63 or following == 47
    return found


@kernel
def _is_space(byte: Any) -> Any:
    return byte == 32 or (9 <= byte <= 13)


@kernel
def _name_hash(data: Array, place: int) -> Any:
    """The hash of the tag name that begins at a place, in lower case, and the byte after it."""
    value = np.int64(0)
    while place < len(data):
        byte = np.int64(data[place])
        if _is_space(byte) or byte == 62 or byte == 47 or byte == 60:  # > / <
            break
        if 65 <= byte <= 90:
            byte += 32
        value = (value * 131 + byte) & ((1 << 62) - 1)
        place += 1
    return value, place


@kernel
def _tag_end(data: Array, place: int) -> int:
    """The byte of the `>` that ends a tag, quoted attributes skipped; the end of the data where there is none."""
    size = len(data)
    after_equals = False
    while place < size:
        byte = data[place]
        if byte == 62:
            return place
        if (byte == 34 or byte == 39) and after_equals:
            close = place + 1
            while close < size and data[close] != byte:
                close += 1
            if close >= size:  # a quote that is never closed: the tag ends at its first `>` instead
                while place < size and data[place] != 62:
                    place += 1
                return place
            place = close
        after_equals = byte == 61 or (after_equals and _is_space(byte))
        place += 1
    return size


@kernel
def _comment_end(data: Array, place: int) -> int:
    """The byte after a comment or declaration whose `<!` is at a place."""
    size = len(data)
    if place + 3 < size and data[place + 2] == 45 and data[place + 3] == 45:
        at = place + 4
        if at < size and data[at] == 62:
            return at + 1
        while at + 2 < size:
            if data[at] == 45 and data[at + 1] == 45:
                if data[at + 2] == 62:
                    return at + 3
                if data[at + 2] == 33 and at + 3 < size and data[at + 3] == 62:
                    return at + 4
            at += 1
        return size
    while place < size and data[place] != 62:
        place += 1
    return min(place + 1, size)


@kernel
def _raw_end(data: Array, place: int, name_start: int, name_end: int) -> int:
    """Where the end tag of a raw element begins; the end of the data where there is none."""
    size, length = len(data), name_end - name_start
    while place + 2 + length <= size:
        if data[place] == 60 and data[place + 1] == 47:
            same = True
            for step in range(length):
                if (data[place + 2 + step] | 32) != (data[name_start + step] | 32):
                    same = False
                    break
            if same and (place + 2 + length == size or not (97 <= (data[place + 2 + length] | 32) <= 122)):
                return place
        place += 1
    return size


@kernel
def _code(hashes: Array, codes: Array, value: Any) -> Any:
    """The number of the name with a hash; 0 where it is none of `TAGS`."""
    found = np.searchsorted(hashes, value)
    return codes[found] if found < len(hashes) and hashes[found] == value else np.int16(0)


@kernel
def _opened(
    stack: Array, depth: int, tag: Array, name: Array, properties: Array, value: Any, code: Any, paragraph: int
) -> int:
    """The place in the stack of the element that an end tag ends, 0 where it ends none.

    Nothing ends what is outside its table or cell, and an inline end tag (or `</p>`) nothing outside its block.
    """
    ends_blocks = properties[code] & BLOCK and code != paragraph
    at = depth - 1
    while at > 0 and name[stack[at]] != value:
        if not ends_blocks and properties[tag[stack[at]]] & (BLOCK | SCOPE):
            return 0
        at -= 1
    return at


@kernel
def _ended(
    stack: Array, depth: int, tag: Array, properties: Array, closes: Array, limits: Array, code: Any, paragraph: int
) -> int:
    """How much of the stack stays open when a start tag comes.

    The first column of `closes` and `limits`, where no listed name is, tells whether the tag implies any ends and
    whether it ends a paragraph.
    """
    down = depth
    implies, closes_p = closes[code, 0], limits[code, 0]
    if not (implies or closes_p):
        return down
    for at in range(depth - 1, 0, -1):
        open_tag = tag[stack[at]]
        if (open_tag and closes[code, open_tag]) or (open_tag == paragraph and closes_p):
            down = at
        elif (open_tag and limits[code, open_tag]) or (not implies and properties[open_tag] & (BLOCK | SCOPE)):
            break
    return down


@kernel
def _close(
    stack: Array, depth: int, down: int, nodes: int, last: Array, event: Array, begin: Array, events: int
) -> Any:
    """Close what is open above a place in the stack; the new depth and number of events."""
    while depth > down:
        depth -= 1
        event[events], begin[events] = CLOSE, stack[depth]
        last[stack[depth]] = nodes
        events += 1
    return depth, events


@allocating_kernel
def _scan(
    data: Array, num_tags: int, hashes: Array, codes: Array, properties: Array, closes: Array, limits: Array,
    paragraph: int, text_area: int,
) -> Any:  # fmt: skip
    size, most = len(data), num_tags + 2
    tag = np.zeros(most, dtype=np.int16)
    name = np.zeros(most, dtype=np.int64)
    parent = np.full(most, -1, dtype=np.int32)
    start = np.zeros(most, dtype=np.int32)
    inner = np.zeros(most, dtype=np.int32)
    last = np.zeros(most, dtype=np.int32)
    event = np.zeros(3 * most, dtype=np.int32)
    begin = np.zeros(3 * most, dtype=np.int32)
    end = np.zeros(3 * most, dtype=np.int32)
    stack = np.zeros(MAX_DEPTH + 2, dtype=np.int32)
    absent = np.zeros(len(properties), dtype=np.bool_)  # raw elements whose end tag does not come any more
    name[0] = -1  # the root, around everything, is event 0
    depth = nodes = events = 1
    place = text = 0  # where we are, and where the text before began
    while place <= size:
        following = data[place + 1] if place + 1 < size else np.uint8(0)
        is_start = 97 <= (following | 32) <= 122
        is_tag = is_start or following == 33 or following == 63 or following == 47
        if place < size and not (data[place] == 60 and is_tag):
            place += 1  # text, a lone `<` too
            continue
        if place > text:
            event[events], begin[events], end[events] = TEXT, text, place
            events += 1
        if place >= size:
            break
        value, after = _name_hash(data, place + (1 if is_start else 2))
        if not is_start and (following != 47 or after == place + 2):
            place = text = _comment_end(data, place)
            continue
        code = _code(hashes, codes, value)
        stop = _tag_end(data, after)
        if not is_start:
            at = _opened(stack, depth, tag, name, properties, value, code, paragraph)
            if at > 0:
                depth, events = _close(stack, depth, at, nodes, last, event, begin, events)
            place = text = min(stop + 1, size)
            continue
        down = _ended(stack, depth, tag, properties, closes, limits, code, paragraph)
        depth, events = _close(stack, depth, down, nodes, last, event, begin, events)
        node, kind = nodes, properties[code]
        nodes += 1
        tag[node], name[node], start[node], parent[node], last[node] = code, value, place, stack[depth - 1], nodes
        place = inner[node] = min(stop + 1, size)
        event[events] = node
        events += 1
        if kind & RAW:
            close = place if absent[code] else _raw_end(data, place, start[node] + 1, after)
            if close == size and (kind & BLOCK or code == text_area):
                absent[code] = True  # better some markup too much than all the text after a letter that is missing
                close = place
            if close > place:
                event[events], begin[events], end[events] = TEXT, place, close
                events += 1
            if not absent[code]:
                place = min(_tag_end(data, close + 2) + 1, size)
        is_empty = stop < size and data[stop - 1] == 47 and code == 0
        if kind & (RAW | VOID) or is_empty or depth > MAX_DEPTH:
            event[events], begin[events] = CLOSE, node
            events += 1
        else:
            stack[depth] = node
            depth += 1
        text = place
    _, events = _close(stack, depth, 0, nodes, last, event, begin, events)
    return (
        tag[:nodes], parent[:nodes], start[:nodes], inner[:nodes], last[:nodes],
        event[:events], begin[:events], end[:events],
    )  # fmt: skip
