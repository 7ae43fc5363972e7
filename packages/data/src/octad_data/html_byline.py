"""Author and date from the lines near the heading, for pages that do not state them where machines look."""

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from octad_data.html_blocks import Blocks
from octad_data.html_metadata import MONTH_FIRST_LANGUAGES, HtmlMetadata, iso_date
from octad_data.html_scan import TAG, Scan
from octad_data.html_text import LineTexts
from octad_data.html_words import TEXT_TOPIC, TOPIC

MAX_CANDIDATES = 40  # lines that are read
MAX_NAME = 40  # weight of a line that is a name
AUTHOR = re.compile(rb"author|autor|byline|writer|redakteur", re.IGNORECASE)
MAX_WEIGHT = 120  # of a line that names an author or a date
NEAR_HEADING = (-4, 8)  # lines before and after it
ELSEWHERE = TOPIC["comment"] | TOPIC["related"] | TOPIC["footer"] | TOPIC["sidebar"] | TOPIC["navigation"]
NAME = r"[^\W\d_][\w.'’-]+(?: (?:[^\W\d_][\w.'’-]*)){1,3}"
SIGNED = re.compile(
    rf"(?:^|[|·•–—,;] ?)(?i:by|von|par|por|di|door|autor:?|author:?|text:|redaktion:|written by|przez)\s+({NAME})"
)
CAPITALISED = re.compile(r"(?:[A-ZÀ-ÞŁŚŻŹĆ][\w.'’-]*|von|van|de|der|den|di|da|la|le|zu|y|und|and)(?: |$)")


def complete(
    metadata: HtmlMetadata, data: bytes, page: Scan, blocks: Blocks, words: NDArray[np.int64], texts: LineTexts
) -> HtmlMetadata:
    """The metadata, with an author and a date from lines that are marked as such or stand by the heading.

    Args:
        metadata: as the head of the page has it.
        data: UTF-8.
        page: its elements.
        blocks: its lines.
        words: of its elements, as `topics` found them.
        texts: of its lines.
    """
    author, day = metadata.author, metadata.date
    is_site = bool(author) and author.lower() in (metadata.site.lower(), metadata.url.lower().split("/")[-1])
    if author and day and not is_site:
        return metadata
    author = "" if is_site else author
    month_first = metadata.language.lower() in MONTH_FIRST_LANGUAGES
    for line in _candidates(page, blocks, words):
        text = texts(line)
        day = day or iso_date(text, month_first)
        author = author or _signed(text)
        if author and day:
            break
    author = author or next(_named(data, page, blocks, words, texts), "") or metadata.author
    return replace(metadata, author=author, date=day)


def _named(data: bytes, page: Scan, blocks: Blocks, words: NDArray[np.int64], texts: LineTexts) -> Iterator[str]:
    """Lines that are a name, in an element whose class or id says that it is the author's."""
    marked = {
        node
        for node in np.flatnonzero(words & TOPIC["byline"]).tolist()
        if AUTHOR.search(data, int(page.start[node]), int(page.inner[node]))
    }
    elsewhere = set(np.flatnonzero(words & ELSEWHERE).tolist())
    parents, leaves = page.parent.tolist(), blocks.leaf.tolist()
    for line in np.flatnonzero(blocks.counts[:, 0] <= MAX_NAME).tolist() if marked else ():
        nodes = _around(parents, leaves[line])
        if marked.isdisjoint(nodes[:3]) or not elsewhere.isdisjoint(nodes):
            continue
        text = re.sub(r"^(?:by|von|par|por|di|autor:?|author:?)\s+", "", texts(line), flags=re.IGNORECASE)
        if 2 <= len(text.split()) <= 4 and all(CAPITALISED.fullmatch(word) for word in text.split()):
            yield text


def _around(parents: list[int], leaf: int) -> list[int]:
    """An element and up to five around it."""
    nodes = [leaf]
    while len(nodes) < 6 and nodes[-1] > 0:
        nodes.append(parents[nodes[-1]])
    return nodes


def _candidates(page: Scan, blocks: Blocks, words: NDArray[np.int64]) -> list[int]:
    """Short lines that are marked as a byline, or say what bylines say near the heading; those near it first."""
    parents, leaves = page.parent.tolist(), blocks.leaf.tolist()
    headings = set(np.flatnonzero(page.tag == TAG["h1"]).tolist())
    marked = set(np.flatnonzero(words & TOPIC["byline"]).tolist())
    elsewhere = set(np.flatnonzero(words & ELSEWHERE).tolist())
    short = blocks.counts[:, 0] <= MAX_WEIGHT
    heading = None
    for line in np.flatnonzero(short).tolist() if headings else ():
        if not headings.isdisjoint(_around(parents, leaves[line])[:4]):
            heading = line
            break
    says = (blocks.said & TEXT_TOPIC["byline"]) != 0
    found = []
    for line in np.flatnonzero(short & (says | (blocks.counts[:, 6] > 0))).tolist():
        nodes = _around(parents, leaves[line])
        is_close = heading is not None and NEAR_HEADING[0] <= line - heading <= NEAR_HEADING[1]
        if not is_close and not elsewhere.isdisjoint(nodes):
            continue
        if not marked.isdisjoint(nodes[:3]) or (is_close and says[line]):
            found.append((not is_close, line))
    return [line for _, line in sorted(found)[:MAX_CANDIDATES]]


def _signed(text: str) -> str:
    """The name after `By`, where every word of it begins with a capital letter."""
    match = SIGNED.search(text)
    if not match:
        return ""
    name = ""
    for word in match[1].split():
        if not CAPITALISED.fullmatch(word):
            break
        name = f"{name} {word}".strip()
    return name if len(name.split()) >= 2 and len(name) <= 60 else ""
