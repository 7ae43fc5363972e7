"""Which lines of a page are its main text: a linear model of each line, then trees that see its neighbours too.

The linear model looks at one line (`html_features`). Where its verdicts lie says more: a caption stands between two
paragraphs, a list of links after the last of them. So a second model reads the verdicts on the lines and elements
around each line together with the line's own numbers. Both were trained on pages of 499 sites
(`benchmarks/main_text_training.py`), and their weights are a table that can be read: `html_weights.tsv`.
"""

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from octad_data.html_blocks import Blocks
from octad_data.html_features import FEATURES, LONG, groups
from octad_data.html_scan import Array, Scan
from octad_data.kernel import allocating_kernel

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
ASKED = 100  # trees after which a line of less than HOPELESS is given up: it would not come back
HOPELESS = -2.5
WINDOW = 5  # lines before and after
OUTSIDE = -0.2  # the verdict on lines before the first and after the last
SURE = 0.8  # the verdict from which a long line is text without doubt
FAR = 1e4  # weight of text beyond which a distance is the same
ALIKE = [FEATURES.index(name) for name in ("like_count", "like_weight", "like_link_share")]  # lines that look the same
INPUTS = (*(f"context.{name}" for name in CONTEXT), *FEATURES)


class Model(NamedTuple):
    """The two models as arrays.

    Attributes:
        weights, bias: of the linear model, one for each of `FEATURES`; float64.
        feature: of each node of the trees, an index into `INPUTS`, or -1 for a leaf; int16.
        threshold: up to which the first branch, the node that follows, is taken; the value of a leaf; float32.
        higher: how many nodes after it the second branch is; int16.
        roots: the first node of each tree; int64.
    """

    weights: NDArray[np.float64]
    bias: float
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    higher: NDArray[np.int16]
    roots: NDArray[np.int64]


@cache
def model() -> Model:
    """The models as shipped."""
    return parse_model(files("octad_data").joinpath(WEIGHTS).read_text(encoding="utf-8"))


def parse_model(text: str) -> Model:
    """The models from their table.

    Its rows: `linear, feature, weight`; `tree`; `leaf, value`; `node, feature, threshold, higher`, the last as how many
    rows after it the branch of larger values begins.
    """
    linear, bias = dict.fromkeys(FEATURES, 0.0), 0.0
    places = {name: place for place, name in enumerate(INPUTS)}
    nodes: list[tuple[int, float, int]] = []
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
            nodes.append((-1, float(values[0]), 0))
        elif kind == "node":
            nodes.append((places[values[0]], float(values[1]), int(values[2])))
    feature, threshold, higher = zip(*nodes, strict=True) if nodes else ((), (), ())
    return Model(
        np.array(list(linear.values())), bias, np.array(feature, dtype=np.int16), np.array(threshold, dtype=np.float32),
        np.array(higher, dtype=np.int16), np.array(roots, dtype=np.int64),
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
        weight = blocks.counts[:, 0].astype(np.float64)
        like, _ = groups(numbers[:, ALIKE] @ np.array([1e6, 1e3, 1.0]))
        alike = (np.bincount(like, weight * verdicts) / np.bincount(like, weight))[like]
        _context(page.parent, page.last, blocks.node, blocks.leaf, weight, verdicts, alike, out)
    return out


def likelihoods(page: Scan, blocks: Blocks, numbers: NDArray[np.float32]) -> NDArray[np.float64]:
    """How likely each line is main text, from 0 to 1; shape (blocks,).

    Cost: 1 ms a page.
    """
    known = model()
    if not len(blocks.node):
        return np.zeros(0)
    inputs = context(page, blocks, numbers, first_verdicts(numbers, known.weights, known.bias))
    logits = _walk(inputs, known.feature, known.threshold, known.higher, known.roots)
    return np.asarray(1 / (1 + np.exp(-logits)))


@allocating_kernel
def _walk(inputs: Array, feature: Array, threshold: Array, higher: Array, roots: Array) -> Any:
    """The sum of the leaves that each row comes to; rows without hope are left after some of the trees."""
    sums = np.zeros(len(inputs), dtype=np.float64)
    for row in range(len(inputs)):
        numbers = inputs[row]
        for tree in range(len(roots)):
            if tree == ASKED and sums[row] < HOPELESS:
                break
            node = roots[tree]
            while feature[node] >= 0:
                node = node + 1 if numbers[feature[node]] <= threshold[node] else node + higher[node]
            sums[row] += threshold[node]
    return sums


@allocating_kernel
def _verdict_sums(parent: Array, line_node: Array, weight: Array, verdict: Array) -> Any:
    """Sums inside each element: gain, text (weight times verdict), weight, lines, logits; the one of most gain."""
    sums = np.zeros((len(parent), 5), dtype=np.float64)
    for line in range(len(line_node)):
        node, p = line_node[line], verdict[line]
        sums[node, 0] += np.sqrt(weight[line]) * (p - 0.5)
        sums[node, 1] += weight[line] * p
        sums[node, 2] += weight[line]
        sums[node, 3] += 1
        sums[node, 4] += np.log((p + 1e-3) / (1 - p + 1e-3))
    for node in range(len(parent) - 1, 0, -1):
        for column in range(5):
            sums[parent[node], column] += sums[node, column]
    return sums, sums[:, 0].argmax()


@allocating_kernel
def _window(row: Array, line: int, weight: Array, verdict: Array) -> None:
    """The verdicts on the lines beside one, and their mean over some lines around, before and after it."""
    lines = len(weight)
    for column, offset in enumerate(AROUND):
        other = line + offset
        row[column + 1] = verdict[other] if 0 <= other < lines else OUTSIDE
    low, high = max(0, line - WINDOW), min(lines, line + WINDOW + 1)
    before, after = weight[low:line].sum(), weight[line + 1 : high].sum()
    before_text = (weight[low:line] * verdict[low:line]).sum()
    after_text = (weight[line + 1 : high] * verdict[line + 1 : high]).sum()
    row[7] = (before_text + after_text + weight[line] * verdict[line]) / (before + after + weight[line])
    row[8] = before_text / max(before, 1.0)
    row[9] = after_text / max(after, 1.0)


@allocating_kernel
def _context(
    parent: Array,
    last: Array,
    line_node: Array,
    line_leaf: Array,
    weight: Array,
    verdict: Array,
    alike: Array,
    out: Array,
) -> None:
    """Fill in what `CONTEXT` names."""
    lines = len(line_node)
    sums, best = _verdict_sums(parent, line_node, weight, verdict)
    text = max(sums[0, 1], 1e-9)
    so_far, since = 0.0, FAR
    for line in range(lines):
        row = out[line]
        row[0] = verdict[line]
        _window(row, line, weight, verdict)
        up = line_node[line]
        for column in range(10, 10 + 3 * LEVELS, 3):
            if up < 0:
                row[column : column + 3] = row[column - 3 : column]
                continue
            size = sums[up, 3]
            row[column] = sums[up, 1] / sums[up, 2]
            row[column + 1] = sums[up, 1] / text
            row[column + 2] = sums[up, 4] / size
            up = parent[up]
            while up >= 0 and sums[up, 3] == size:
                up = parent[up]
        up, steps = best, 0
        while up > 0 and not (up <= line_leaf[line] < last[up]):
            up = parent[up]
            steps += 1
        so_far += weight[line] * verdict[line]
        row[22], row[23], row[24] = steps, steps == 0, sums[best, 1] / text
        row[25], row[26], row[27] = so_far / text, np.log1p(text), np.log1p(min(since, FAR))
        row[29] = alike[line]
        since = 0.0 if verdict[line] > SURE and weight[line] > LONG else since + weight[line]
    until = FAR
    for line in range(lines - 1, -1, -1):
        out[line, 28] = np.log1p(min(until, FAR))
        until = 0.0 if verdict[line] > SURE and weight[line] > LONG else until + weight[line]
