"""All ways to cut a text into pieces, as a lattice: the best one, the n best, or one at random (Kudo 2018).

A path's score is the sum of its pieces' scores, which are log-probabilities: P(path) ~ exp(score).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple, TypeAlias

UNKNOWN = -1
"""The id of an edge that no piece covers."""


class Edge(NamedTuple):
    """A piece, from one place between characters to a later one."""

    start: int
    stop: int
    token_id: int
    score: float


class Pieces:
    """Text to (id, score), and which texts begin a longer piece: a trie in two tables.

    Args:
        scores: piece to its id and log-probability.
        unknown_score: of a character that is no piece.
    """

    def __init__(self, scores: Mapping[str, tuple[int, float]], unknown_score: float) -> None:
        self.scores = dict(scores)
        self.unknown_score = unknown_score
        self.beginnings = {piece[:size] for piece in scores for size in range(1, len(piece))}

    def edges_from(self, text: str, start: int) -> list[Edge]:
        """The pieces that begin at `start`, short ones first; the character alone is `UNKNOWN` if it is no piece."""
        edges = []
        for stop in range(start + 1, len(text) + 1):
            piece = text[start:stop]
            if piece in self.scores:
                edges.append(Edge(start, stop, *self.scores[piece]))
            if piece not in self.beginnings:
                break
        if not edges or edges[0].stop > start + 1:
            edges.append(Edge(start, start + 1, UNKNOWN, self.unknown_score))
        return edges

    def best(self, text: str) -> list[Edge]:
        """The path with the highest score (Viterbi); of equal ones the longer last piece, as Hugging Face has it.

        Cost: O(len(text) * length of the longest piece).
        """
        scores = [0.0] + [-math.inf] * len(text)
        best: list[Edge | None] = [None] * (len(text) + 1)
        for start in range(len(text)):
            before = scores[start]
            for edge in self.edges_from(text, start):
                score = edge.score + before
                if best[edge.stop] is None or score > scores[edge.stop]:
                    scores[edge.stop], best[edge.stop] = score, edge
        path: list[Edge] = []
        at = len(text)
        while edge_here := best[at]:
            path.append(edge_here)
            at = edge_here.start
        return path[::-1]


_Rest: TypeAlias = "tuple[Edge, _Rest] | None"


@dataclass
class Lattice:
    """The lattice of a text, words and special tokens one after the other; no piece spans two of them.

    Args:
        text: grows with each call of `add_word` and `add_token`.
    """

    text: str = ""
    _ending: list[list[Edge]] = field(default_factory=lambda: [[]])

    def add_word(self, word: str, pieces: Pieces) -> None:
        """Append a word with all its pieces."""
        base = len(self.text)
        self.text += word
        self._ending += [[] for _ in word]
        for start in range(len(word)):
            for edge in pieces.edges_from(word, start):
                shifted = Edge(base + edge.start, base + edge.stop, edge.token_id, edge.score)
                self._ending[shifted.stop].append(shifted)

    def add_token(self, name: str, token_id: int) -> None:
        """Append a token that cannot be cut, with score 0."""
        start, stop = len(self.text), len(self.text) + len(name)
        self.text += name
        self._ending += [[] for _ in name]
        self._ending[stop].append(Edge(start, stop, token_id, 0.0))

    def best_paths(self, num_paths: int) -> list[tuple[list[Edge], float]]:
        """The `num_paths` paths with the highest scores (fewer if there are no more), best first.

        A search from the end that knows how good the best way to the beginning is (A*): what it takes up belongs to
        one of the paths it returns. Cost: O(num_paths * length * edges a place), with a heap.
        """
        to_here = self._totals(1.0, is_best=True)
        order = count()
        agenda: list[tuple[float, int, int, float, _Rest]] = []
        heappush(agenda, (-to_here[-1], next(order), len(self.text), 0.0, None))
        found: list[tuple[list[Edge], float]] = []
        while agenda and len(found) < num_paths:
            _, _, at, score, rest = heappop(agenda)
            if at == 0:
                found.append((_unrolled(rest), score))
                continue
            for edge in self._ending[at]:
                if (before := to_here[edge.start]) > -math.inf:
                    total = edge.score + score
                    heappush(agenda, (-(before + total), next(order), edge.start, total, (edge, rest)))
        return found

    def sample(self, alpha: float, generator: random.Random) -> list[Edge]:
        """One path, P(path) ~ exp(alpha * score): sums forward, choices backward. alpha = 0 is uniform over paths."""
        to_here = self._totals(alpha, is_best=False)
        path: list[Edge] = []
        at = len(self.text)
        while at:
            edges = [edge for edge in self._ending[at] if to_here[edge.start] > -math.inf]
            weights = [math.exp(to_here[edge.start] + alpha * edge.score - to_here[at]) for edge in edges]
            path.append(generator.choices(edges, weights)[0])
            at = path[-1].start
        return path[::-1]

    def _totals(self, alpha: float, *, is_best: bool) -> list[float]:
        """For each place the best score of a path from the beginning, or the log of the sum of exp(alpha * score)."""
        totals = [0.0]
        for edges in self._ending[1:]:
            scores = [totals[edge.start] + alpha * edge.score for edge in edges]
            top = max(scores, default=-math.inf)
            if is_best or top == -math.inf:
                totals.append(top)
            else:
                totals.append(top + math.log(sum(math.exp(score - top) for score in scores)))
        return totals


def _unrolled(rest: _Rest) -> list[Edge]:
    path = []
    while rest:
        edge, rest = rest
        path.append(edge)
    return path


def fused(path: Sequence[Edge], borders: frozenset[int]) -> list[tuple[int, int, int]]:
    """(start, stop, id) of a path's pieces, unknown neighbours joined unless one of `borders` lies between them."""
    joined: list[tuple[int, int, int]] = []
    for edge in path:
        if edge.token_id == UNKNOWN and joined and joined[-1][2] == UNKNOWN and edge.start not in borders:
            joined[-1] = (joined[-1][0], edge.stop, UNKNOWN)
        else:
            joined.append((edge.start, edge.stop, edge.token_id))
    return joined
