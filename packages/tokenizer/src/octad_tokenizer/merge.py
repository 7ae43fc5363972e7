"""The hot loop of encoding: apply merges to a list of ids, lowest rank first, leftmost first among equals.

The first two functions give the same ids. The scan costs O(n * merges done) with a small constant and wins for short
lists; the heap costs O(n log n), so that a pre-token of a million characters is no disaster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise
from random import Random

_SCAN_LIMIT = 64
_NO_RANK = 1 << 62
_DEAD = -1


def apply_merges(ids: list[int], ranks: Mapping[tuple[int, int], int], products: Sequence[int]) -> list[int]:
    """Merge until no neighbours have a rank.

    Args:
        ids: the ids to start from (one a byte); may be changed in place.
        ranks: pair of ids to its rank; the lower rank merges first.
        products: the id that the pair of each rank becomes.
    """
    if len(ids) <= _SCAN_LIMIT:
        return merge_by_scan(ids, ranks, products)
    return merge_by_heap(ids, ranks, products)


def merge_by_scan(ids: list[int], ranks: Mapping[tuple[int, int], int], products: Sequence[int]) -> list[int]:
    """Look at all neighbours for each merge."""
    while len(ids) > 1:
        pair_ranks = [ranks.get(pair, _NO_RANK) for pair in pairwise(ids)]
        rank = min(pair_ranks)
        if rank == _NO_RANK:
            break
        at = pair_ranks.index(rank)
        ids[at : at + 2] = [products[rank]]
    return ids


def merge_by_heap(ids: list[int], ranks: Mapping[tuple[int, int], int], products: Sequence[int]) -> list[int]:
    """A linked list of ids and a heap of the merges that may be due.

    An entry is rank * n + place, so that the heap orders by rank, then from the left. Entries are not removed when
    their pair vanishes: one is due only if its place is alive and the pair there still has its rank.
    """
    n = len(ids)
    following, preceding = list(range(1, n + 1)), list(range(-1, n - 1))
    heap = [ranks[pair] * n + at for at, pair in enumerate(pairwise(ids)) if pair in ranks]
    heapify(heap)
    while heap:
        rank, at = divmod(heappop(heap), n)
        after = following[at]
        if ids[at] == _DEAD or after == n or ranks.get((ids[at], ids[after])) != rank:
            continue
        ids[at], ids[after] = products[rank], _DEAD
        following[at] = beyond = following[after]
        if beyond < n:
            preceding[beyond] = at
            if (new_rank := ranks.get((ids[at], ids[beyond]))) is not None:
                heappush(heap, new_rank * n + at)
        if (before := preceding[at]) >= 0 and (new_rank := ranks.get((ids[before], ids[at]))) is not None:
            heappush(heap, new_rank * n + before)
    return [token_id for token_id in ids if token_id != _DEAD]


def merge_with_dropout(
    ids: list[int], ranks: Mapping[tuple[int, int], int], products: Sequence[int], dropout: float, random: Random
) -> list[int]:
    """At each step leave out each merge that is possible with probability `dropout`; take the best of the rest.

    It ends when nothing is left. Cost: O(n * merges done), meant for words.
    """
    while len(ids) > 1:
        kept = [(rank, at) for at, pair in enumerate(pairwise(ids)) if (rank := ranks.get(pair)) is not None]
        kept = [entry for entry in kept if random.random() >= dropout]
        if not kept:
            break
        rank, at = min(kept)
        ids[at : at + 2] = [products[rank]]
    return ids
