"""Groups of duplicates: union-find, and who of each group survives."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octad_data.document import Document
from octad_data.errors import DataError
from octad_data.kernel import allocating_kernel, kernel


class UnionFind:
    """Disjoint sets of 0 .. size - 1, with path halving; the root of a set is its smallest member.

    Cost: nearly constant time an operation (Tarjan 1975).
    """

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    @classmethod
    def from_parents(cls, parents: list[int]) -> "UnionFind":
        """Sets in which each item points to a smaller one of its set, or to itself."""
        found = cls(0)
        found._parent = parents
        return found

    def find(self, item: int) -> int:
        """The smallest member of the set that holds item."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def union(self, first: int, second: int) -> None:
        """Make one set of the two."""
        low, high = sorted((self.find(first), self.find(second)))
        self._parent[high] = low


@kernel
def root_of(parents: NDArray[np.int64], item: int) -> int:
    """`UnionFind.find` on an array, for compiled loops."""
    while parents[item] != item:
        parents[item] = parents[parents[item]]
        item = parents[item]
    return item


@kernel
def join_two(parents: NDArray[np.int64], first: int, second: int) -> None:
    """`UnionFind.union` on an array, for compiled loops."""
    a, b = root_of(parents, first), root_of(parents, second)
    parents[max(a, b)] = min(a, b)


@kernel
def join(parents: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]) -> None:
    """Make one set of the two of each pair; the root of a set is its smallest member."""
    for pair in range(len(first)):
        join_two(parents, first[pair], second[pair])


@allocating_kernel
def roots(parents: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smallest member of each item's set."""
    found = np.empty(len(items), dtype=np.int64)
    for place in range(len(items)):
        found[place] = root_of(parents, items[place])
    return found


@dataclass(frozen=True)
class Clusters:
    """Which documents are the same in the eyes of a duplicate finder.

    Attributes:
        cluster_of: document id -> cluster id, which is the smallest document id of the cluster. A document without
            duplicates is a cluster of its own.
        survivors: one document id a cluster: the longest text, of equally long ones the smallest id.
    """

    cluster_of: dict[str, str]
    survivors: frozenset[str]

    @property
    def num_duplicates(self) -> int:
        """How many documents do not survive."""
        return len(self.cluster_of) - len(self.survivors)

    def members(self) -> dict[str, list[str]]:
        """Cluster id -> sorted ids of its documents, clusters of one included."""
        groups: dict[str, list[str]] = {}
        for name in sorted(self.cluster_of):
            groups.setdefault(self.cluster_of[name], []).append(name)
        return groups

    def keep(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The survivors among documents, in their order.

        Raises:
            DataError: a document was not among those that were clustered.
        """
        for document in documents:
            if document.id not in self.cluster_of:
                raise DataError(f"document id {document.id!r} was not clustered; cluster the documents you filter")
            if document.id in self.survivors:
                yield document


def clusters_of_groups(ids: Sequence[str], lengths: Sequence[int], groups: UnionFind) -> Clusters:
    """Name each set of positions and choose its survivor.

    Args:
        ids: document ids, one a position.
        lengths: characters of each document.
        groups: sets of positions.

    Raises:
        DataError: two documents share an id.
    """
    if len(set(ids)) != len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise DataError(f"document id {twice!r} is given twice; ids must be unique (prefix them by their source)")
    name_of: dict[int, str] = {}
    best: dict[int, tuple[int, str]] = {}
    roots = [groups.find(position) for position in range(len(ids))]
    for root, name, length in zip(roots, ids, lengths, strict=True):
        name_of[root] = min(name_of.get(root, name), name)
        best[root] = min(best.get(root, (-length, name)), (-length, name))
    cluster_of = {name: name_of[root] for name, root in zip(ids, roots, strict=True)}
    return Clusters(cluster_of, frozenset(name for _, name in best.values()))
