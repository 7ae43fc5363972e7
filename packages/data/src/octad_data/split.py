"""Training and held-out documents, told apart by a hash so that growth of the corpus moves nobody."""

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import NamedTuple

from octad_data.clusters import Clusters, UnionFind
from octad_data.document import Document
from octad_data.errors import DataError


class Split(NamedTuple):
    """The two sides, each in the order of the input."""

    train: list[Document]
    held_out: list[Document]


def is_held_out(key: str, fraction: float, seed: int = 0) -> bool:
    """hash(seed, key) / 2**64 < fraction.

    A larger fraction holds out what a smaller one did and more.

    Raises:
        DataError: fraction is outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise DataError(f"fraction={fraction} is not in [0, 1]; 0.01 holds out one document in a hundred")
    digest = blake2b(f"{seed}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") < fraction * 2**64


def held_out(
    documents: Iterable[Document],
    fraction: float,
    seed: int = 0,
    clusters: Clusters | None = None,
    key: Callable[[Document], str] | None = None,
) -> Split:
    """Split documents by the hash of what must stay together: their duplicate cluster, their key, or else their id.

    The side of a document depends on that name and the seed alone: adding documents moves no other one, unless it
    gives a cluster a new smallest id. Nothing of a cluster lands on both sides. The fraction is met on average: a
    corpus of few documents may well have an empty side.

    Args:
        documents: read once.
        fraction: share held out, of the groups, in [0, 1].
        seed: another seed, another split.
        clusters: from `near_duplicates` or `exact_duplicates` over the same documents.
        key: documents with one key go together: `lambda d: d.metadata["module"]` keeps the comments of a module of
            the standard library on the side of its source. With clusters too, whatever is linked by either goes
            together.

    Raises:
        DataError: fraction is out of range, or a document is in no cluster.
    """
    is_held_out("", fraction, seed)  # a wrong fraction is an error for no documents too
    found = list(documents)
    split = Split([], [])
    for document, name in zip(found, _names(found, clusters, key), strict=True):
        (split.held_out if is_held_out(name, fraction, seed) else split.train).append(document)
    return split


def _names(documents: list[Document], clusters: Clusters | None, key: Callable[[Document], str] | None) -> list[str]:
    """The name of each document's group."""
    if clusters is None:
        return [document.id if key is None else key(document) for document in documents]
    for document in documents:
        if document.id not in clusters.cluster_of:
            raise DataError(f"document id {document.id!r} was not clustered; cluster the documents you split")
    names = [clusters.cluster_of[document.id] for document in documents]
    if key is None:
        return names
    groups, first = UnionFind(len(documents)), dict[tuple[str, str], int]()
    for position, document in enumerate(documents):
        for link in (("cluster", names[position]), ("key", key(document))):
            groups.union(first.setdefault(link, position), position)
    smallest: dict[int, str] = {}
    for position, name in enumerate(names):
        root = groups.find(position)
        smallest[root] = min(smallest.get(root, name), name)
    return [smallest[groups.find(position)] for position in range(len(documents))]
