"""Exact duplicates, of whole documents and of paragraphs."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import blake2b

from octad_data.clusters import Clusters, UnionFind, clusters_of_groups
from octad_data.document import Document

PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n\s*?(?=[^\n]|$)")


def normalised(text: str) -> str:
    """Text in Unicode's composed form (NFC), each run of white space one space, none at the ends.

    Two texts are exact duplicates when these are equal: case, punctuation and digits still tell texts apart.
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def text_key(text: str) -> bytes:
    """16 bytes that are equal for exact duplicates, and for others with a chance of 2**-128."""
    return blake2b(normalised(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def exact_duplicates(documents: Iterable[Document]) -> Clusters:
    """Clusters of documents whose normalised texts are equal.

    Args:
        documents: read once; only ids, lengths and 16 bytes a document are held.

    Raises:
        DataError: two documents share an id.
    """
    ids, lengths, first, pairs = list[str](), list[int](), dict[bytes, int](), list[tuple[int, int]]()
    for position, document in enumerate(documents):
        ids.append(document.id)
        lengths.append(len(document.text))
        pairs.append((first.setdefault(text_key(document.text), position), position))
    groups = UnionFind(len(ids))
    for earlier, later in pairs:
        groups.union(earlier, later)
    return clusters_of_groups(ids, lengths, groups)


def unique_documents(documents: Iterable[Document]) -> Iterator[Document]:
    """Each document unless an exact duplicate came before it; a stream, at 16 bytes of memory a document."""
    seen: set[bytes] = set()
    for document in documents:
        key = text_key(document.text)
        if key not in seen:
            seen.add(key)
            yield document


def unique_paragraphs(documents: Iterable[Document], min_chars: int = 40) -> Iterator[Document]:
    """Each document without the paragraphs that were met before, in it or in an earlier one.

    A paragraph ends at an empty line. A document of which nothing is left is left out; one that loses nothing is
    passed on as it is; in the others an empty line stands between the paragraphs that stay.

    Args:
        documents: read once; 16 bytes of memory a distinct paragraph.
        min_chars: shorter paragraphs (headings, `Example:`) may repeat.
    """
    seen: set[bytes] = set()
    for document in documents:
        parts = PARAGRAPH_BREAK.split(document.text)
        kept = []
        for part in parts:
            if len(normalised(part)) >= min_chars:
                key = text_key(part)
                if key in seen:
                    continue
                seen.add(key)
            kept.append(part)
        if len(kept) == len(parts):
            yield document
        elif any(part.strip() for part in kept):
            yield replace(document, text="\n\n".join(kept))
