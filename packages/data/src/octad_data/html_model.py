"""Which lines of a page are its main text: a linear model of each line, then decision trees that see its neighbours too.

The linear model looks at one line (`html_features`). Where its verdicts lie says more: a caption stands between two
paragraphs, a list of links after the last of them. So a second model reads the verdicts on the lines and elements around
each line together with the line's own numbers. Both were trained on pages of 400 sites, and their weights are a table
that can be read: `html_weights.tsv`.
"""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from octad_data.html_blocks import Blocks
from octad_data.html_features import FEATURES
from octad_data.html_scan import Scan
from octad_data.kernel import kernel

WEIGHTS = "html_weights.tsv"
AROUND = (-3, -2, -1, 1, 2, 3)
LEVELS = 4
CONTEXT = (
    "verdict",
    *(f"verdict{place:+d}" for place in AROUND),
    "verdict_window", "verdict_before", "verdict_after",
    *(f"level{level}_{name}" for level in range(LEVELS) for name in ("verdict", "text_share", "mean_logit")),
    "subtree_distance", "in_subtree", "subtree_share", "text_so_far", "log_text", "since_text", "until_text",
    "verdict_alike",
)  # fmt: skip
NUM_CONTEXT = len(CONTEXT)
INPUTS = (*(f"context.{name}" for name in CONTEXT), *FEATURES)


class Model(NamedTuple):
    """The two models as arrays.

    Attributes:
        weights, bias: of the linear model, one for each of `FEATURES`; float64.
        feature: of each node of the trees, an index into `INPUTS`, or -1 for a leaf; int32.
        threshold: up to which the first branch is taken; the value of a leaf; float64.
        lower: the node of the first branch; the second is `higher`; int32.
        roots: the first node of each tree; int32.
    """

    weights: NDArray[np.float64]
    bias: float
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    lower: NDArray[np.int32]
    higher: NDArray[np.int32]
    roots: NDArray[np.int32]


@cache
def model() -> Model:
    """The models as shipped."""
    return parse_model(files("octad_data").joinpath(WEIGHTS).read_text(encoding="utf-8"))


def parse_model(text: str) -> Model:
    """The models from their table: rows `linear, feature, weight`; `tree`; `leaf, value`; `node, feature, threshold, lower, higher`.

    Places of `lower` and `higher` count from the row `tree` before.
    """
    linear, bias = dict.fromkeys(FEATURES, 0.0), 0.0
    places = {name: place for place, name in enumerate(INPUTS)}
    nodes: list[tuple[int, float, int, int]] = []
    roots: list[int] = []
    for line in text.splitlines():
        kind, *values = line.split("\t")
        if kind == "linear" and values[0] == "bias":
            bias = float(values[1])
        elif kind == "linear":
            linear[values[0]] = float(values[1])
        elif kind == "tree":
            roots.append(len(nodes))
        elif kind == "leaf":
            nodes.append((-1, float(values[0]), 0, 0))
        elif kind == "node":
            nodes.append((places[values[0]], float(values[1]), roots[-1] + int(values[2]), roots[-1] + int(values[3])))
    feature, threshold, lower, higher = zip(*nodes, strict=True) if nodes else ((), (), (), ())
    return Model(
        np.array(list(linear.values())), bias, np.array(feature, dtype=np.int32), np.array(threshold, dtype=np.float64),
        np.array(lower, dtype=np.int32), np.array(higher, dtype=np.int32), np.array(roots, dtype=np.int32),
    )  # fmt: skip


def first_verdicts(numbers: NDArray[np.float32], weights: NDArray[np.float64], bias: float) -> NDArray[np.float64]:
    """How likely each line is main text, by itself; shape (blocks,)."""
    logits = numbers.astype(np.float64) @ weights + bias
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))))


def context(
    page: Scan, blocks: Blocks, numbers: NDArray[np.float32], verdicts: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The numbers of `INPUTS` for each line: what was said of those around it, then its own; float32."""
    out = np.zeros((len(blocks.node), NUM_CONTEXT + numbers.shape[1]), dtype=np.float32)
    out[:, NUM_CONTEXT:] = numbers
    if len(out):
        alike = numbers[:, [FEATURES.index(name) for name in ("like_count", "like_weight", "like_link_share")]]
        _, groups = np.unique(alike @ np.array([1e6, 1e3, 1.0]), return_inverse=True)
        weight = np.ascontiguousarray(blocks.counts[:, 0], dtype=np.float64)
        _context(page.parent, page.last, blocks.node, blocks.leaf, weight, verdicts, groups, out)
    return out


def likelihoods(page: Scan, blocks: Blocks, numbers: NDArray[np.float32]) -> NDArray[np.float64]:
    """How likely each line is main text, from 0 to 1; shape (blocks,).

    Cost: 1 ms a page.
    """
    known = model()
    if not len(blocks.node):
        return np.zeros(0)
    inputs = context(page, blocks, numbers, first_verdicts(numbers, known.weights, known.bias))
    logits = _walk(inputs, known.feature, known.threshold, known.lower, known.higher, known.roots)
    return np.asarray(1 / (1 + np.exp(-logits)))


@kernel
def _walk(inputs, feature, threshold, lower, higher, roots):  # type: ignore[no-untyped-def]
    """The sum of the leaves that each row comes to."""
    sums = np.zeros(len(inputs), dtype=np.float64)
    for root in roots:
        for row in range(len(inputs)):
            node = root
            while feature[node] >= 0:
                node = lower[node] if inputs[row, feature[node]] <= threshold[node] else higher[node]
            sums[row] += threshold[node]
    return sums


@kernel
def _context(parent, last, line_node, line_leaf, weight, verdict, groups, out):  # type: ignore[no-untyped-def]
    lines, nodes = len(line_node), len(parent)
    # Sums over each element: gain, text (weight times verdict), weight, lines, logits.
    sums = np.zeros((nodes + 1, 5), dtype=np.float64)
    text = 0.0
    for line in range(lines):
        node, p = line_node[line], verdict[line]
        text += weight[line] * p
        sums[node, 0] += np.sqrt(weight[line]) * (p - 0.5)
        sums[node, 1] += weight[line] * p
        sums[node, 2] += weight[line]
        sums[node, 3] += 1
        sums[node, 4] += np.log((p + 1e-3) / (1 - p + 1e-3))
    for node in range(nodes - 1, 0, -1):
        if parent[node] >= 0:
            for column in range(5):
                sums[parent[node], column] += sums[node, column]
    best = 0
    for node in range(nodes):
        if sums[node, 0] > sums[best, 0]:
            best = node
    text = max(text, 1e-9)
    alike = np.zeros((lines, 2), dtype=np.float64)
    for line in range(lines):
        alike[groups[line], 0] += weight[line] * verdict[line]
        alike[groups[line], 1] += weight[line]
    so_far = 0.0
    since = 1e4
    for line in range(lines):
        row = out[line]
        row[0] = verdict[line]
        column = 1
        for offset in (-3, -2, -1, 1, 2, 3):
            other = line + offset
            row[column] = verdict[other] if 0 <= other < lines else -0.2
            column += 1
        before = before_text = after = after_text = 0.0
        for other in range(max(0, line - 5), min(lines, line + 6)):
            if other < line:
                before += weight[other]
                before_text += weight[other] * verdict[other]
            elif other > line:
                after += weight[other]
                after_text += weight[other] * verdict[other]
        own = weight[line] * verdict[line]
        row[7] = (before_text + after_text + own) / (before + after + weight[line])
        row[8] = before_text / max(before, 1.0)
        row[9] = after_text / max(after, 1.0)
        column = 10
        up = line_node[line]
        for _ in range(4):
            if up >= 0:
                row[column] = sums[up, 1] / sums[up, 2]
                row[column + 1] = sums[up, 1] / text
                row[column + 2] = sums[up, 4] / sums[up, 3]
                size = sums[up, 3]
                up = parent[up]
                while up >= 0 and sums[up, 3] == size:
                    up = parent[up]
            else:
                for at in range(3):
                    row[column + at] = row[column + at - 3]
            column += 3
        up, steps = best, 0
        while up >= 0 and not (up <= line_leaf[line] < last[up]):
            up = parent[up]
            steps += 1
        so_far += own
        row[22] = steps
        row[23] = steps == 0
        row[24] = sums[best, 1] / text
        row[25] = so_far / text
        row[26] = np.log1p(text)
        row[27] = np.log1p(min(since, 1e4))
        since = 0.0 if verdict[line] > 0.8 and weight[line] > 60 else since + weight[line]
        row[29] = alike[groups[line], 0] / max(alike[groups[line], 1], 1.0)
    until = 1e4
    for line in range(lines - 1, -1, -1):
        out[line, 28] = np.log1p(min(until, 1e4))
        until = 0.0 if verdict[line] > 0.8 and weight[line] > 60 else until + weight[line]
