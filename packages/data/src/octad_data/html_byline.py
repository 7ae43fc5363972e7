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
    for line in np.flatnonzero(blocks.counts[:, 0] <= MAX_NAME).tolist() if marked else ():
        nodes = [int(blocks.leaf[line])]
        while len(nodes) < 5 and nodes[-1] > 0:
            nodes.append(int(page.parent[nodes[-1]]))
        if marked.isdisjoint(nodes[:3]) or any(int(words[node]) & ELSEWHERE for node in nodes):
            continue
        text = re.sub(r"^(?:by|von|par|por|di|autor:?|author:?)\s+", "", texts(line), flags=re.IGNORECASE)
        if 2 <= len(text.split()) <= 4 and all(CAPITALISED.fullmatch(word) for word in text.split()):
            yield text


def _candidates(page: Scan, blocks: Blocks, words: NDArray[np.int64]) -> list[int]:
    """Short lines that are marked as a byline, or say what bylines say near the heading; those near it first."""
    short = np.flatnonzero(blocks.counts[:, 0] <= MAX_WEIGHT)
    headings = [line for line in short.tolist() if _within(page, int(blocks.leaf[line]), TAG["h1"])]
    heading = headings[0] if headings else -1
    found = []
    for line in short.tolist():
        node, around, near, step = int(blocks.leaf[line]), 0, 0, 0
        is_close = heading >= 0 and NEAR_HEADING[0] <= line - heading <= NEAR_HEADING[1]
        says = bool(blocks.said[line] & TEXT_TOPIC["byline"])
        has_digits = blocks.counts[line, 6] > 0
        if not (says or has_digits):
            continue
        while node > 0:
            near |= int(words[node]) if step < 3 else 0
            around |= int(words[node]) if step < 6 else 0
            node, step = int(page.parent[node]), step + 1
        if around & ELSEWHERE and not is_close:
            continue
        if near & TOPIC["byline"] or (is_close and says):
            found.append((not is_close, line))
    return [line for _, line in sorted(found)[:40]]


def _within(page: Scan, node: int, tag: int) -> bool:
    for _ in range(4):
        if node <= 0:
            return False
        if page.tag[node] == tag:
            return True
        node = int(page.parent[node])
    return False


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
