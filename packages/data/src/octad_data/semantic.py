"""Semantic duplicates: texts whose embeddings point the same way (SemDeDup; Abbas et al. 2023, arXiv 2303.09540)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError

Vectors = NDArray[np.floating[Any]]
ROWS = 2048  # compared at once: 16 MB of similarities, at most
KEEP = ("far", "near", "first")


@dataclass(frozen=True)
class SemanticMatches:
    """What `semantic_duplicates` found, one value a row.

    Attributes:
        keep: whether the row stays.
        group: number of its k-means group; rows of different groups were not compared.
        similarity: largest cosine with a row that comes before it in its group, -1 for none.
    """

    keep: NDArray[np.bool_]
    group: NDArray[np.int64]
    similarity: NDArray[np.float32]


def semantic_duplicates(
    embeddings: Vectors,
    threshold: float = 0.95,
    groups: int | None = None,
    keep: str = "far",
    order: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> SemanticMatches:
    """Drop each row that has a cosine >= threshold with a row that comes before it in its k-means group.

    Args:
        embeddings: shape (rows, dimensions), of any lengths but zero; the caller's model made them.
        threshold: 1 - epsilon of the paper, in (-1, 1].
        groups: k; by default one for each thousand rows.
        keep: who comes first: `far` from the centroid (the paper's choice), `near` to it, or `first` by `order`.
        order: rank of each row for keep="first", the smallest first; the rows' own order by default.
        seed: of the starting centroids.

    Raises:
        DataError: embeddings are not numbers in rows, or hold zero or unbounded rows; threshold or keep is unknown.
    Cost: rows * dimensions * (20 * groups + rows / groups) multiplications; rows are held once, as float32.
    """
    if not -1 < threshold <= 1:
        raise DataError(f"threshold={threshold} is not a cosine in (-1, 1]; use 0.95")
    if keep not in KEEP:
        raise DataError(f"keep={keep!r} is unknown; use 'far', 'near' or 'first'")
    if order is not None and (keep != "first" or len(order) != len(embeddings)):
        raise DataError(f"order of {len(order)} ranks with keep={keep!r}; give a rank for each row, and keep='first'")
    vectors = unit_rows(embeddings)
    group, centroids = spherical_kmeans(vectors, groups or max(len(vectors) // 1000, 1), seed)
    ranks = np.arange(len(vectors)) if order is None else order
    kept = np.ones(len(vectors), dtype=np.bool_)
    similarity = np.full(len(vectors), -1, dtype=np.float32)
    for number in range(len(centroids)):
        members = np.flatnonzero(group == number)
        if keep != "first":
            closeness = vectors[members] @ centroids[number]
            members = members[np.lexsort((members, closeness if keep == "far" else -closeness))]
        else:
            members = members[np.argsort(ranks[members], kind="stable")]
        similarity[members] = _largest_before(vectors[members])
        kept[members] = similarity[members] < threshold
    return SemanticMatches(kept, group, similarity)


def unit_rows(embeddings: Vectors) -> NDArray[np.float32]:
    """Rows divided by their lengths.

    Raises:
        DataError: not two dimensions of numbers, or a row has no length.
    """
    if embeddings.ndim != 2 or not np.issubdtype(embeddings.dtype, np.floating):
        raise DataError(f"embeddings of {embeddings.dtype} {embeddings.shape} are not rows of floating-point numbers")
    lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
    wrong = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
    if len(wrong):
        raise DataError(f"row {wrong[0]} of the embeddings has length {lengths[wrong[0], 0]}; leave it out or fix it")
    return np.asarray(embeddings / lengths, dtype=np.float32)


def spherical_kmeans(
    vectors: NDArray[np.float32], groups: int, seed: int = 0, max_rounds: int = 20
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The centroid of largest cosine for each row, and the centroids: unit sums of their rows.

    Args:
        vectors: unit rows.
        groups: how many; no more than there are rows.
        seed: of the rows that the centroids start from (k-means++).
        max_rounds: it ends sooner when nothing moves. A centroid without rows moves to the row that fits worst.

    Raises:
        DataError: groups is not positive.
    """
    if groups < 1:
        raise DataError(f"groups={groups} is not positive; use about one for each thousand rows")
    groups = min(groups, len(vectors))
    centroids = vectors[_starts(vectors, groups, np.random.default_rng(seed))].copy()
    assigned = np.full(len(vectors), -1, dtype=np.int64)
    for _ in range(max_rounds if groups else 0):
        nearest, cosine = _nearest(vectors, centroids)
        if np.array_equal(nearest, assigned):
            break
        assigned = nearest
        sums = np.zeros(centroids.shape, dtype=np.float64)
        np.add.at(sums, assigned, vectors)
        sizes = np.bincount(assigned, minlength=groups)
        worst = np.argsort(cosine, kind="stable")
        for place, empty in enumerate(np.flatnonzero(sizes == 0)):
            sums[empty] = vectors[worst[place]]
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centroids = np.where(lengths > 1e-12, sums / np.maximum(lengths, 1e-12), centroids).astype(np.float32)
    if groups:
        assigned, _ = _nearest(vectors, centroids)
    return assigned, centroids


def _starts(vectors: NDArray[np.float32], groups: int, generator: np.random.Generator) -> list[int]:
    """Rows to start from, each drawn by its distance to those before (k-means++; Arthur and Vassilvitskii 2007)."""
    rows = list[int]()
    distance = np.ones(len(vectors))
    for _ in range(groups):
        total = distance.sum()
        row = int(np.searchsorted(np.cumsum(distance), generator.random() * total)) if total > 0 else len(rows)
        rows.append(min(row, len(vectors) - 1))
        np.minimum(distance, np.maximum(1 - vectors @ vectors[rows[-1]], 0), out=distance)
    return rows


def _nearest(
    vectors: NDArray[np.float32], centroids: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    nearest = np.empty(len(vectors), dtype=np.int64)
    cosine = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), ROWS):
        scores = vectors[start : start + ROWS] @ centroids.T
        nearest[start : start + ROWS] = scores.argmax(axis=1)
        cosine[start : start + ROWS] = scores.max(axis=1)
    return nearest, cosine


def _largest_before(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest cosine of each row with a row before it; -1 for the first."""
    largest = np.full(len(vectors), -1, dtype=np.float32)
    for start in range(0, len(vectors), ROWS):
        rows = vectors[start : start + ROWS]
        for before in range(0, start, ROWS):
            largest[start : start + ROWS] = np.maximum(
                largest[start : start + ROWS], (rows @ vectors[before : before + ROWS].T).max(axis=1)
            )
        scores = rows @ rows.T
        scores[np.triu_indices(len(rows))] = -1
        largest[start : start + ROWS] = np.maximum(largest[start : start + ROWS], scores.max(axis=1, initial=-1))
    return largest
