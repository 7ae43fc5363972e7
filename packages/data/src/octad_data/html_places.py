"""Where a line of a page stands: the elements around it that say how it is written."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from octad_data.html_blocks import Blocks
from octad_data.html_scan import TAG, Scan

HEADINGS = {TAG[f"h{level}"]: level for level in range(1, 7)}
CODE = frozenset(TAG[name] for name in ("pre", "xmp", "listing"))
CELLS = frozenset((TAG["td"], TAG["th"]))
LISTS = frozenset(TAG[name] for name in ("ul", "ol", "menu", "dir") if name in TAG)
ITEM, ROW, TABLE, NUMBERED = TAG["li"], TAG["tr"], TAG["table"], TAG["ol"]
QUOTE, MEANING = TAG["blockquote"], TAG["dd"]
MAX_DEPTH = 12  # of lists and quotations that are shown


class Place(NamedTuple):
    """The elements around a line that matter, -1 where there is none; the innermost, but for code.

    Attributes:
        heading, code, cell, row, table, meaning: the element.
        items: all list items, the outermost first, up to a table.
        quotes: how many quotations.
    """

    heading: int
    code: int
    cell: int
    row: int
    table: int
    meaning: int
    items: tuple[int, ...]
    quotes: int

    @property
    def item(self) -> int:
        """The innermost list item."""
        return self.items[-1] if self.items else -1


class Elements:
    """The elements of a page as plain lists, which are faster to walk one by one than arrays."""

    def __init__(self, data: bytes, page: Scan) -> None:
        self.data, self.page = data, page
        self.tags: list[int] = page.tag.tolist()
        self.parents: list[int] = page.parent.tolist()
        self._numbers: dict[int, int] = {}

    def place(self, leaf: int) -> Place:
        """Where a line stands whose first text lies in the element `leaf`."""
        heading = code = cell = row = table = meaning = -1
        items: list[int] = []
        quotes, node = 0, leaf
        while node > 0:
            tag = self.tags[node]
            if tag in HEADINGS:
                heading = node if heading < 0 else heading
            elif tag in CODE:
                code = node
            elif tag == QUOTE:
                quotes += 1
            elif table < 0:
                if tag == ITEM:
                    items.append(node)
                elif tag == MEANING:
                    meaning = node if meaning < 0 else meaning
                elif tag in CELLS and cell < 0:
                    cell = node
                elif tag == ROW and row < 0:
                    row = node
                elif tag == TABLE:
                    table = node
            node = self.parents[node]
        return Place(heading, code, cell, row, table, meaning, tuple(items[:MAX_DEPTH][::-1]), min(quotes, MAX_DEPTH))

    def attribute(self, node: int, name: str) -> str | None:
        """The value of an attribute; empty where it has none, None where it is not there."""
        start = int(self.page.start[node])
        tag = self.data[start : min(int(self.page.inner[node]), start + 4096)].decode("utf-8", "replace")
        found = re.search(rf"""\s{name}(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>]*))?(?=[\s/>])""", tag, re.IGNORECASE)
        return None if found is None else (found[1] or "").strip("\"'")

    def number(self, node: int, name: str, most: int) -> int | None:
        """An attribute that is a whole number, bounded."""
        value = self.attribute(node, name)
        found = re.match(r"\s*[+-]?\d{1,9}", value) if value else None
        return None if found is None else max(-most, min(int(found[0]), most))

    def item_number(self, item: int) -> int | None:
        """Which number a list item has: None in a list without numbers."""
        if self.tags[self.parents[item]] != NUMBERED:
            return None
        if not self._numbers:
            lists: dict[int, list[int]] = {}
            for node, tag in enumerate(self.tags):
                if tag == ITEM and self.tags[self.parents[node]] == NUMBERED:
                    lists.setdefault(self.parents[node], []).append(node)
            self._numbers = {item: number for numbered in lists for item, number in self._counted(numbered, lists)}
        return self._numbers[item]

    def _counted(self, numbered: int, lists: dict[int, list[int]]) -> Iterator[tuple[int, int]]:
        items = lists[numbered]
        is_reversed = self.attribute(numbered, "reversed") is not None
        start = self.number(numbered, "start", 10**9)
        value = (len(items) if is_reversed else 1) if start is None else start
        for item in items:
            own = self.number(item, "value", 10**9)
            value = value if own is None else own
            yield item, value
            value += -1 if is_reversed else 1

    def language(self, code: int) -> str:
        """The language of a block of code, as the classes of the elements around and directly inside it say."""
        for node in (*range(code, min(code + 3, int(self.page.last[code]))), self.parents[code]):
            found = re.search(r"(?:language|lang|highlight-source|brush:?)[-\s]+([\w+#.-]{1,30})", self._class(node))
            if found:
                return found[1].lower()
        return ""

    def _class(self, node: int) -> str:
        return (self.attribute(node, "class") or "") if node > 0 else ""


def places_of(elements: Elements, blocks: Blocks, kept: list[int]) -> dict[int, Place]:
    """The place of each kept line."""
    leaves = blocks.leaf.tolist()
    return {line: elements.place(leaves[line]) for line in kept}
