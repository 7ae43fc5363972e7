"""What tells the main text of a page from the rest of it: numbers for each line of text."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octad_data.html_blocks import COUNTS, Blocks
from octad_data.html_scan import BLOCK, TAG, Array, Scan, tag_tables
from octad_data.html_words import NUM_TEXT_TOPICS, NUM_TOPICS, TEXT_TOPICS, TOPICS
from octad_data.kernel import allocating_kernel, kernel

PLACES = {  # elements that say what is inside them
    "nav": ("nav",), "footer": ("footer",), "aside": ("aside",), "header": ("header",), "article": ("article",),
    "main": ("main",), "section": ("section",), "form": ("form", "fieldset"), "figure": ("figure",),
    "figcaption": ("figcaption", "caption"), "blockquote": ("blockquote",), "list": ("ul", "menu", "dir"),
    "numbered": ("ol",), "item": ("li",), "definition": ("dl", "dt", "dd"), "table": ("table",), "cell": ("td", "th"),
    "h1": ("h1",), "h2": ("h2",), "h3": ("h3",), "h4": ("h4", "h5", "h6"), "p": ("p",),
    "pre": ("pre", "xmp", "listing"), "button": ("button", "label", "legend", "option", "select", "optgroup"),
    "a": ("a",), "address": ("address",),
    "details": ("details", "summary"), "time": ("time",), "small": ("small", "sup", "sub"), "code": ("code",),
    "noscript": ("noscript",), "dialog": ("dialog",),
}  # fmt: skip
NUM_PLACES = len(PLACES)
NUM_LEVELS = 4  # containers around a line that are looked at
NUM_NEAR = 3  # elements around a line whose words count as its own

FROM_HEADING = (-50, 200)  # lines before and after the first <h1> that are told apart
NO_HEADING = -60
LONG = 60.0  # weight of a line that may be a paragraph
POINTS_SHARED = 3  # elements around a paragraph that its points count for, each half as much as the one before
SAID_OF_ALL = 0.8  # share of the page's text from which what is said of an element tells nothing

LINE = (
    "log_weight", "log_words", "link_share", "links", "commas", "sentences", "digit_share", "capital_share",
    "short_share", "bold_share", "closed", "begins", "breaks", "word_length", "depth", "position", "text_before",
    "from_end", "repeated", "after_h1", "has_h1", "page_weight", "page_blocks", "page_link_share", "like_count",
    "like_weight", "like_link_share", "like_share", "titled", "described", "italic_share", "separators", "colon",
    "pictures", "addresses", "all_titled", "best_inside", "best_distance", "best_ratio", "best_share", "before_best",
)  # fmt: skip
CONTAINER = ("weight_share", "link_share", "blocks", "long_share", "mean_weight", "score", "long_of_page")
NEIGHBOURS = (-2, -1, 1, 2)
NEIGHBOUR = ("log_weight", "link_share", "same_node", "same_look", "pictures")
ELEMENT_WORDS = (*TOPICS, "not_shown", "body_property")
FEATURES = (
    *LINE,
    *(f"level{level}_{name}" for level in range(NUM_LEVELS) for name in CONTAINER),
    *(f"neighbour{place:+d}_{name}" for place in NEIGHBOURS for name in NEIGHBOUR),
    *(f"in_{name}" for name in PLACES),
    *(f"near_{name}" for name in ELEMENT_WORDS),
    *(f"around_{name}" for name in ELEMENT_WORDS),
    *(f"says_{name}" for name in TEXT_TOPICS),
    *(f"opens_{name}" for name in TEXT_TOPICS),
)
NUM_FEATURES = len(FEATURES)


@cache
def _place_bits() -> NDArray[np.int64]:
    bits = np.zeros(len(TAG), dtype=np.int64)
    for place, names in enumerate(PLACES.values()):
        for name in names:
            bits[TAG[name]] |= 1 << place
    return bits


def features(page: Scan, words: NDArray[np.int64], looks: NDArray[np.int64], blocks: Blocks) -> NDArray[np.float32]:
    """The numbers of `FEATURES` for each line; float32, shape (blocks, features).

    Args:
        page: its elements.
        words: of its elements, as `topics` found them.
        looks: the same.
        blocks: its lines.
    Cost: 0.4 ms a page.
    """
    if not len(blocks.node):
        return np.zeros((0, NUM_FEATURES), dtype=np.float32)
    weight = blocks.counts[:, 0].astype(np.float64)
    breaks_lines = (tag_tables()[1] & BLOCK) != 0
    sums, best = _element_sums(page.tag, page.parent, breaks_lines, TAG["body"], blocks.node, blocks.counts)
    said_of_all = SAID_OF_ALL * weight.sum()
    inside, around, depth = _sayings(page.tag, page.parent, words, sums[:, 0], said_of_all, _place_bits())
    look, near = _closest(page.tag, page.parent, TAG["body"], words, looks, blocks.leaf)
    has_h1 = (inside[blocks.leaf] >> list(PLACES).index("h1")) & 1
    steps, highest = _to_best(page.parent, page.last, best, sums[:, 4], blocks.node, blocks.leaf)
    columns = _of_lines(blocks, look, has_h1, depth[blocks.leaf])
    columns |= {
        "best_inside": steps == 0,
        "best_distance": steps,
        "best_ratio": highest / max(sums[best, 4], 1e-9),
        "best_share": np.full(len(weight), sums[best, 0] / weight.sum()),
        "before_best": np.cumsum(steps == 0) == 0,
    }
    levels = _containers(page.tag, page.parent, breaks_lines, sums, sums[best, 4], blocks.node)
    out = np.zeros((len(weight), NUM_FEATURES), dtype=np.float32)
    for column, name in enumerate(LINE):
        out[:, column] = columns[name]
    column = len(LINE)
    for table in (levels, _neighbours(page, blocks, look)):
        out[:, column : column + table.shape[1]] = table
        column += table.shape[1]
    for masks, bits in (
        (inside[blocks.leaf], NUM_PLACES),
        (near, NUM_TOPICS + 2),
        (around[blocks.leaf], NUM_TOPICS + 2),
        (blocks.said, NUM_TEXT_TOPICS),
        (blocks.opening, NUM_TEXT_TOPICS),
    ):
        _write_bits(out, column, masks, bits)
        column += bits
    return out


@kernel
def _write_bits(out: Array, column: int, masks: Array, number: int) -> None:
    for row in range(len(masks)):
        for bit in range(number):
            out[row, column + bit] = (masks[row] >> bit) & 1


def _of_lines(
    blocks: Blocks, look: NDArray[np.int64], has_h1: NDArray[np.int64], depth: NDArray[np.int32]
) -> dict[str, NDArray[Any]]:
    """What a line shows by itself and by its place in the order of lines; most of `LINE`."""
    number = len(look)
    counted = dict(zip(COUNTS, blocks.counts.astype(np.float64).T, strict=True))
    weight, words = counted["weight"], counted["words"]
    order, total = np.arange(number), weight.sum()
    like, like_count = groups(look)
    like_weight = np.bincount(like, weight)
    same, times = groups(blocks.digest)
    heading = int(has_h1.argmax()) if has_h1.any() else -1
    share = dict.fromkeys(("linked", "digits", "capitals", "bold", "italic"))
    linked, digits, capitals, bold, italic = (counted[name] / weight for name in share)
    least = np.maximum(words, 1)
    return {
        "log_weight": np.log1p(weight),
        "log_words": np.log1p(words),
        "link_share": linked,
        "digit_share": digits,
        "capital_share": capitals,
        "bold_share": bold,
        "italic_share": italic,
        "short_share": counted["short_words"] / least,
        "word_length": weight / least,
        "titled": counted["titled"] / least,
        "described": counted["described"] / least,
        "all_titled": (counted["titled"] >= 0.8 * words) & (words >= 2),
        "depth": depth,
        "position": order / number,
        "text_before": (np.cumsum(weight) - weight) / total,
        "from_end": number - order,
        "repeated": times[same],
        "after_h1": np.clip(order - heading, *FROM_HEADING) if heading >= 0 else np.full(number, NO_HEADING),
        "has_h1": np.full(number, heading >= 0),
        "page_weight": np.full(number, np.log1p(total)),
        "page_blocks": np.full(number, np.log1p(number)),
        "page_link_share": np.full(number, counted["linked"].sum() / total),
        "like_count": like_count[like],
        "like_weight": np.log1p(like_weight)[like],
        "like_link_share": (np.bincount(like, counted["linked"]) / like_weight)[like],
        "like_share": like_weight[like] / total,
        **{name: counted[name] for name in ("links", "commas", "sentences", "closed", "begins", "breaks")},
        **{name: counted[name] for name in ("separators", "colon", "pictures", "addresses")},
    }


def _neighbours(page: Scan, blocks: Blocks, look: NDArray[np.int64]) -> NDArray[np.float64]:
    """What `NEIGHBOUR` names, of the lines at `NEIGHBOURS`; zero beyond the ends of the page."""
    number, parent = len(look), page.parent[blocks.node]
    out = np.zeros((number, len(NEIGHBOURS), len(NEIGHBOUR)))
    for place, offset in enumerate(NEIGHBOURS):
        own = np.arange(max(0, -offset), number - max(0, offset))
        if not len(own):
            continue
        other = own + offset
        weight = blocks.counts[other, 0]
        out[own, place, 0] = np.log1p(weight)
        out[own, place, 1] = blocks.counts[other, 2] / weight
        out[own, place, 2] = (blocks.node[other] == blocks.node[own]) | (parent[other] == parent[own])
        out[own, place, 3] = look[other] == look[own]
        out[own, place, 4] = blocks.counts[other, COUNTS.index("pictures")]
    return out.reshape(number, -1)


@allocating_kernel
def groups(values: Array) -> Any:
    """A number for each value, the same for the same values, and how often each is there."""
    order = np.argsort(values)
    group = np.zeros(len(values), dtype=np.int64)
    times = np.zeros(len(values), dtype=np.int64)
    number = 0
    for place in range(len(values)):
        if place and values[order[place]] != values[order[place - 1]]:
            number += 1
        group[order[place]] = number
        times[number] += 1
    return group, times[: number + 1]


@allocating_kernel
def _closest(tag: Array, parent: Array, body: int, words: Array, looks: Array, leaf: Array) -> Any:
    """One number for the tags and classes of the three elements around each line; and the words of those elements."""
    look = np.zeros(len(leaf), dtype=np.int64)
    near = np.zeros(len(leaf), dtype=np.int64)
    for block in range(len(leaf)):
        node = leaf[block]
        value = np.int64(7)
        in_body = True
        for _ in range(NUM_NEAR):
            if node < 0:
                break
            value = (value * 1_000_003 + tag[node]) * 1_000_003 + looks[node]
            in_body = in_body and tag[node] != body
            if in_body:
                near[block] |= words[node]
            node = parent[node]
        look[block] = value
    return look, near


@allocating_kernel
def _element_sums(tag: Array, parent: Array, breaks_lines: Array, body: int, line_node: Array, counts: Array) -> Any:
    """Of all inside each element: weight, weight in links, lines, weight of long lines; its score; and the best one.

    A line that looks like a paragraph gives points to the elements around it, fewer to those farther up: one, one for
    each comma and up to three for its length. A score is the points times the share of the text that is not links.
    """
    sums = np.zeros((len(tag), 5), dtype=np.float64)
    for block in range(len(line_node)):
        weight, linked, node = counts[block, 0], counts[block, 2], line_node[block]
        sums[node, 0] += weight
        sums[node, 1] += linked
        sums[node, 2] += 1
        if weight >= LONG and linked < 0.4 * weight:
            sums[node, 3] += weight
    for node in range(len(tag) - 1, 0, -1):
        for column in range(4):
            sums[parent[node], column] += sums[node, column]
    for block in range(len(line_node)):
        weight, linked, node = counts[block, 0], counts[block, 2], line_node[block]
        if weight < 25 or linked >= 0.5 * weight:
            continue
        points = 1 + counts[block, 4] + min(weight / 100, 3.0)
        if tag[node] != body and counts[block, 12] == 0:
            node = parent[node]
        for _ in range(POINTS_SHARED):
            if node < 0:
                break
            if breaks_lines[tag[node]]:
                sums[node, 4] += points
                points *= 0.5
            node = parent[node]
    best = 0
    for node in range(len(tag)):
        if sums[node, 0] > 0:
            sums[node, 4] *= 1 - sums[node, 1] / sums[node, 0]
            if sums[node, 4] > sums[best, 4]:
                best = node
    return sums, best


@allocating_kernel
def _sayings(tag: Array, parent: Array, words: Array, weight: Array, limit: float, place_bits: Array) -> Any:
    """What kinds of elements are around each; the words of those that hold less than a limit; how deep it is."""
    inside = np.zeros(len(tag), dtype=np.int64)
    around = np.zeros(len(tag), dtype=np.int64)
    depth = np.zeros(len(tag), dtype=np.int32)
    for node in range(len(tag)):
        above = parent[node]
        if above >= 0:
            inside[node] = inside[above]
            around[node] = around[above]
            depth[node] = depth[above] + 1
        inside[node] |= place_bits[tag[node]]
        if weight[node] < limit:
            around[node] |= words[node]
    return inside, around, depth


@allocating_kernel
def _to_best(parent: Array, last: Array, best: int, score: Array, line_node: Array, line_leaf: Array) -> Any:
    """How far up from the best element the first one around both it and a line is; the best score around the line."""
    steps = np.zeros(len(line_node), dtype=np.int64)
    highest = np.zeros(len(line_node), dtype=np.float64)
    above = np.copy(score)
    for node in range(1, len(parent)):
        above[node] = max(above[node], above[parent[node]])
    for block in range(len(line_node)):
        up = best
        while up > 0 and not (up <= line_leaf[block] < last[up]):
            up = parent[up]
            steps[block] += 1
        highest[block] = above[line_node[block]]
    return steps, highest


@allocating_kernel
def _containers(
    tag: Array, parent: Array, breaks_lines: Array, sums: Array, best_score: float, line_node: Array
) -> Any:
    """What `CONTAINER` names, of the element around a line and the next ones up that hold more lines."""
    out = np.zeros((len(line_node), NUM_LEVELS * 7), dtype=np.float64)
    total, long_total = max(sums[0, 0], 1.0), max(sums[0, 3], 1.0)
    for block in range(len(line_node)):
        up = line_node[block]
        for column in range(0, NUM_LEVELS * 7, 7):
            if up < 0:
                out[block, column : column + 7] = out[block, column - 7 : column]
                continue
            weight, lines = max(sums[up, 0], 1.0), sums[up, 2]
            out[block, column] = sums[up, 0] / total
            out[block, column + 1] = sums[up, 1] / weight
            out[block, column + 2] = np.log1p(lines)
            out[block, column + 3] = sums[up, 3] / weight
            out[block, column + 4] = sums[up, 0] / max(lines, 1.0)
            out[block, column + 5] = sums[up, 4] / max(best_score, 1e-9)
            out[block, column + 6] = sums[up, 3] / long_total
            up = parent[up]
            while up >= 0 and (sums[up, 2] == lines or not breaks_lines[tag[up]]):
                up = parent[up]
    return out
