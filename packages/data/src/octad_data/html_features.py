"""What tells the main text of a page from the rest of it: numbers for each line of text."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from octad_data.html_blocks import Blocks
from octad_data.html_scan import BLOCK, TAG, Scan, _tables
from octad_data.html_words import BODY_PROPERTY, NOT_SHOWN, NUM_TEXT_TOPICS, NUM_TOPICS, TEXT_TOPICS, TOPICS
from octad_data.kernel import kernel

PLACES = {  # elements that say what is inside them
    "nav": ("nav",), "footer": ("footer",), "aside": ("aside",), "header": ("header",), "article": ("article",),
    "main": ("main",), "section": ("section",), "form": ("form", "fieldset"), "figure": ("figure",),
    "figcaption": ("figcaption", "caption"), "blockquote": ("blockquote",), "list": ("ul", "menu", "dir"),
    "numbered": ("ol",), "item": ("li",), "definition": ("dl", "dt", "dd"), "table": ("table",), "cell": ("td", "th"),
    "h1": ("h1",), "h2": ("h2",), "h3": ("h3",), "h4": ("h4", "h5", "h6"), "p": ("p",), "pre": ("pre", "xmp", "listing"),
    "button": ("button", "label", "legend", "option", "select", "optgroup"), "a": ("a",), "address": ("address",),
    "details": ("details", "summary"), "time": ("time",), "small": ("small", "sup", "sub"), "code": ("code",),
    "noscript": ("noscript",), "dialog": ("dialog",),
}  # fmt: skip
NUM_PLACES = len(PLACES)
NUM_LEVELS = 4  # containers around a line that are looked at
NUM_NEAR = 3  # elements around a line whose words count as its own

LINE = (
    "log_weight", "log_words", "link_share", "links", "commas", "sentences", "digit_share", "capital_share",
    "short_share", "bold_share", "closed", "begins", "breaks", "word_length", "depth", "position", "text_before",
    "from_end", "repeated", "after_h1", "has_h1", "page_weight", "page_blocks", "page_link_share",
    "like_count", "like_weight", "like_link_share", "like_share",
    "titled", "described", "italic_share", "separators", "colon", "pictures", "addresses", "all_titled",
    "best_inside", "best_distance", "best_ratio", "best_share", "before_best",
)  # fmt: skip
CONTAINER = ("weight_share", "link_share", "blocks", "long_share", "mean_weight", "score", "long_of_page")
NEIGHBOURS = (-2, -1, 1, 2)
NEIGHBOUR = ("log_weight", "link_share", "same_node", "same_look", "pictures")
FEATURES = (
    *LINE,
    *(f"level{level}_{name}" for level in range(NUM_LEVELS) for name in CONTAINER),
    *(f"neighbour{place:+d}_{name}" for place in NEIGHBOURS for name in NEIGHBOUR),
    *(f"in_{name}" for name in PLACES),
    *(f"near_{name}" for name in (*TOPICS, "not_shown", "body_property")),
    *(f"around_{name}" for name in (*TOPICS, "not_shown", "body_property")),
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

    Cost: 0.2 ms a page.
    """
    out = np.zeros((len(blocks.node), NUM_FEATURES), dtype=np.float32)
    if len(out):
        look = _looks(page.tag, page.parent, looks, blocks.leaf)
        _, like = np.unique(look, return_inverse=True)
        _, same, times = np.unique(blocks.digest, return_inverse=True, return_counts=True)
        _features(
            page.tag, page.parent, page.last, words, _tables()[1], _place_bits(), TAG["h1"], TAG["body"],
            blocks.node, blocks.leaf, blocks.counts, blocks.said, blocks.opening, like, look, times[same], out,
        )  # fmt: skip
    return out


@kernel
def _looks(tag, parent, looks, leaf):  # type: ignore[no-untyped-def]
    """One number for the tags and classes of the three elements around each line."""
    out = np.zeros(len(leaf), dtype=np.int64)
    for block in range(len(leaf)):
        node = leaf[block]
        value = np.int64(7)
        for _ in range(3):
            if node < 0:
                break
            value = (value * 1_000_003 + tag[node]) * 1_000_003 + looks[node]
            node = parent[node]
        out[block] = value
    return out


@kernel
def _features(  # type: ignore[no-untyped-def]
    tag, parent, last, words, properties, place_bits, h1, body,
    line_node, line_leaf, counts, said, opening, like, look, times, out,
):  # fmt: skip
    nodes, blocks = len(tag), len(line_node)
    # Sums over everything inside each element: weight, weight in links, lines, weight in long lines, score.
    sums = np.zeros((nodes + 1, 5), dtype=np.float64)
    total, long_total = 0.0, 0.0
    for block in range(blocks):
        weight, linked = counts[block, 0], counts[block, 2]
        total += weight
        is_long = weight >= 60 and linked < 0.4 * weight
        node = line_node[block]
        sums[node, 0] += weight
        sums[node, 1] += linked
        sums[node, 2] += 1
        if is_long:
            sums[node, 3] += weight
            long_total += weight
    for node in range(nodes - 1, 0, -1):
        above = parent[node]
        if above >= 0:
            for column in range(4):
                sums[above, column] += sums[node, column]
    for block in range(blocks):
        weight, linked = counts[block, 0], counts[block, 2]
        if weight >= 25 and linked < 0.5 * weight:
            points = 1 + counts[block, 4] + min(weight / 100, 3.0)
            node = line_node[block]
            share = 1.0
            if tag[node] != body and counts[block, 12] == 0:
                node = parent[node]
            for _ in range(3):
                if node < 0:
                    break
                if properties[tag[node]] & BLOCK:
                    sums[node, 4] += points * share
                    share *= 0.5
                node = parent[node]
    best, best_score = 0, 0.0
    for node in range(nodes):
        if sums[node, 0] > 0:
            sums[node, 4] *= 1 - sums[node, 1] / sums[node, 0]
            if sums[node, 4] > best_score:
                best, best_score = node, sums[node, 4]
    # What is said of each element by those around it.
    inside = np.zeros(nodes + 1, dtype=np.int64)
    around = np.zeros(nodes + 1, dtype=np.int64)
    depth = np.zeros(nodes + 1, dtype=np.int32)
    for node in range(nodes):
        above = parent[node]
        own = words[node] if sums[node, 0] < 0.8 * total else 0
        if above >= 0:
            inside[node] = inside[above]
            around[node] = around[above]
            depth[node] = depth[above] + 1
        inside[node] |= place_bits[tag[node]]
        around[node] |= own
    groups = 0
    for block in range(blocks):
        groups = max(groups, like[block] + 1)
    group = np.zeros((groups, 3), dtype=np.float64)
    heading = -1
    for block in range(blocks):
        group[like[block], 0] += 1
        group[like[block], 1] += counts[block, 0]
        group[like[block], 2] += counts[block, 2]
        if heading < 0 and (inside[line_leaf[block]] & place_bits[h1]):
            heading = block
    before = 0.0
    before_best = True
    for block in range(blocks):
        row = out[block]
        weight, wordcount = counts[block, 0], max(counts[block, 1], np.float32(1))
        node, leaf = line_node[block], line_leaf[block]
        row[0] = np.log1p(weight)
        row[1] = np.log1p(counts[block, 1])
        row[2] = counts[block, 2] / weight
        row[3] = counts[block, 3]
        row[4] = counts[block, 4]
        row[5] = counts[block, 5]
        row[6] = counts[block, 6] / weight
        row[7] = counts[block, 7] / weight
        row[8] = counts[block, 8] / wordcount
        row[9] = counts[block, 9] / weight
        row[10] = counts[block, 10]
        row[11] = counts[block, 11]
        row[12] = counts[block, 12]
        row[13] = weight / wordcount
        row[14] = depth[leaf]
        row[15] = block / blocks
        row[16] = before / total
        row[17] = blocks - block
        row[18] = times[block]
        row[19] = min(max(block - heading, -50), 200) if heading >= 0 else -60
        row[20] = heading >= 0
        row[21] = np.log1p(total)
        row[22] = np.log1p(blocks)
        row[23] = sums[0, 1] / max(sums[0, 0], 1.0)
        which = like[block]
        row[24] = group[which, 0]
        row[25] = np.log1p(group[which, 1])
        row[26] = group[which, 2] / group[which, 1]
        row[27] = group[which, 1] / total
        row[28] = counts[block, 13] / wordcount
        row[29] = counts[block, 14] / wordcount
        row[30] = counts[block, 15] / weight
        row[31] = counts[block, 16]
        row[32] = counts[block, 17]
        row[33] = counts[block, 18]
        row[34] = counts[block, 19]
        row[35] = counts[block, 13] >= 0.8 * counts[block, 1] and counts[block, 1] >= 2
        # The element with the best score: is the line in it, and how far up is the first element around both?
        up, steps = best, 0
        while up >= 0 and not (up <= leaf < last[up]):
            up = parent[up]
            steps += 1
        row[36] = steps == 0
        row[37] = steps
        if steps == 0:
            before_best = False
        highest = 0.0
        up = node
        while up >= 0:
            highest = max(highest, sums[up, 4])
            up = parent[up]
        row[38] = highest / max(best_score, 1e-9)
        row[39] = sums[best, 0] / total
        row[40] = before_best
        column = 41
        up = node
        for _ in range(4):
            if up >= 0:
                row[column] = sums[up, 0] / total
                row[column + 1] = sums[up, 1] / max(sums[up, 0], 1.0)
                row[column + 2] = np.log1p(sums[up, 2])
                row[column + 3] = sums[up, 3] / max(sums[up, 0], 1.0)
                row[column + 4] = sums[up, 0] / max(sums[up, 2], 1.0)
                row[column + 5] = sums[up, 4] / max(best_score, 1e-9)
                row[column + 6] = sums[up, 3] / max(long_total, 1.0)
                size = sums[up, 2]
                up = parent[up]
                while up >= 0 and (sums[up, 2] == size or not (properties[tag[up]] & BLOCK)):
                    up = parent[up]  # up to an element that holds more
            else:
                for at in range(7):
                    row[column + at] = row[column + at - 7]
            column += 7
        for offset in (-2, -1, 1, 2):
            other = block + offset
            if 0 <= other < blocks:
                row[column] = np.log1p(counts[other, 0])
                row[column + 1] = counts[other, 2] / counts[other, 0]
                row[column + 2] = line_node[other] == node or parent[line_node[other]] == parent[node]
                row[column + 3] = look[other] == look[block]
                row[column + 4] = counts[other, 18]
            column += 5
        for bit in range(NUM_PLACES):
            row[column] = (inside[leaf] >> bit) & 1
            column += 1
        near = np.int64(0)
        up = leaf
        for _ in range(NUM_NEAR):
            if up < 0 or tag[up] == body:
                break
            near |= words[up]
            up = parent[up]
        for bit in range(NUM_TOPICS + 2):
            row[column] = (near >> bit) & 1
            column += 1
        for bit in range(NUM_TOPICS + 2):
            row[column] = (around[leaf] >> bit) & 1
            column += 1
        for bit in range(NUM_TEXT_TOPICS):
            row[column] = (said[block] >> bit) & 1
            column += 1
        for bit in range(NUM_TEXT_TOPICS):
            row[column] = (opening[block] >> bit) & 1
            column += 1
        before += weight
