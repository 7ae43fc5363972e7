"""DOCX and ODT: paragraphs, lists, tables and notes in the order of the document.

Deleted text of tracked changes, hidden text and the older of two versions of a drawing are left out.
"""

from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element

from octad_data.errors import DataError
from octad_data.markdown_table import table_lines
from octad_data.package import Archive, attribute, elements_named, local_name

MAX_DEPTH = 50  # of tables in cells of tables
NOT_SHOWN = frozenset(("del", "moveFrom", "Fallback", "tracked-changes", "annotation", "forms", "sequence-decls"))
Lines = Callable[[Element, int, bool], Iterator[str]]


def extract_docx(data: bytes, max_bytes: int = 256 << 20) -> tuple[str, dict[str, str]]:
    """Paragraphs a line each, items of lists with `- `, tables as Markdown; foot- and endnotes at the end.

    Raises:
        DataError: `broken archive`, `zip bomb`, `encrypted archive`, `broken XML`, or `nested too deeply`.
    """
    archive = Archive(data, max_bytes)
    lines: list[str] = []
    for body in elements_named(archive.xml("word/document.xml"), "body"):
        lines += _docx_lines(body, 0)
    for part in ("word/footnotes.xml", "word/endnotes.xml"):
        if part in archive.names:
            lines += _docx_lines(archive.xml(part), 0)
    return "\n".join(lines).strip(), _office_metadata(archive, "docProps/core.xml")


def extract_odt(data: bytes, max_bytes: int = 256 << 20) -> tuple[str, dict[str, str]]:
    """Paragraphs and headings a line each, items of lists with `- `, tables as Markdown; notes after their paragraph.

    Raises:
        DataError: as `extract_docx`.
    """
    archive = Archive(data, max_bytes)
    lines = list(_odt_lines(archive.xml("content.xml"), 0))
    return "\n".join(lines), _office_metadata(archive, "meta.xml")


def _docx_lines(parent: Element, depth: int, in_cell: bool = False) -> Iterator[str]:
    for node in parent:
        name = local_name(node)
        if name in NOT_SHOWN:
            continue
        if name == "p":
            text = _docx_text(node).strip()
            if text:
                yield _docx_mark(node) + text
            for box in _boxes(node):
                yield from _docx_lines(box, _deeper(depth), in_cell)
        elif name == "tbl":
            rows = (row for row in _inside(node, "tr"))
            yield from _table([list(_inside(row, "tc")) for row in rows], _docx_lines, depth, in_cell)
        elif name != "sectPr":
            yield from _docx_lines(node, _deeper(depth), in_cell)


def _docx_mark(paragraph: Element) -> str:
    """What stands before an item of a list, indented by its level."""
    for properties in paragraph:
        if local_name(properties) == "pPr":
            for numbers in properties:
                if local_name(numbers) == "numPr":
                    level = next((attribute(x, "val") for x in numbers if local_name(x) == "ilvl"), "0")
                    return "  " * min(int(level) if level.isdecimal() else 0, MAX_DEPTH) + "- "
    return ""


def _docx_text(paragraph: Element) -> str:
    """The text of a paragraph, without what its drawings hold."""
    found: list[str] = []
    waiting = list(reversed(paragraph))
    while waiting:
        node = waiting.pop()
        name = local_name(node)
        if name == "t":
            found.append(node.text or "")
        elif name in ("tab", "ptab"):
            found.append("\t")
        elif name in ("br", "cr"):
            found.append("\n")
        elif name == "noBreakHyphen":
            found.append("-")
        elif name not in NOT_SHOWN and name not in ("txbxContent", "pPr") and not _is_hidden(node):
            waiting += reversed(node)
    return "".join(found)


def _is_hidden(run: Element) -> bool:
    return local_name(run) == "r" and any(
        local_name(x) == "vanish" and attribute(x, "val") not in ("0", "false")
        for properties in run
        if local_name(properties) == "rPr"
        for x in properties
    )


def _boxes(paragraph: Element) -> Iterator[Element]:
    """The text boxes of a paragraph, each once, though a drawing is often there in two versions."""
    waiting = list(reversed(paragraph))
    while waiting:
        node = waiting.pop()
        if local_name(node) == "txbxContent":
            yield node
        elif local_name(node) not in NOT_SHOWN:
            waiting += reversed(node)


def _odt_lines(parent: Element, depth: int, in_cell: bool = False, level: int = 0) -> Iterator[str]:
    for node in parent:
        name = local_name(node)
        if name in NOT_SHOWN:
            continue
        if name in ("p", "h"):
            text, notes = _odt_text(node)
            if text:
                yield text
            for note in notes:
                yield from _odt_lines(note, _deeper(depth), in_cell)
        elif name == "list-item":
            lines = list(_odt_lines(node, _deeper(depth), in_cell, level + 1))
            yield from (("  " * level + "- " + lines[0], *lines[1:]) if lines else ())
        elif name == "table":
            rows = [list(_inside(row, "table-cell")) for row in _inside(node, "table-row")]
            yield from _table(rows, _odt_lines, depth, in_cell)
        else:
            yield from _odt_lines(node, _deeper(depth), in_cell, level)


def _odt_text(paragraph: Element) -> tuple[str, list[Element]]:
    """The text of a paragraph on one line, and the bodies of its notes and frames."""
    found, notes = [paragraph.text or ""], list[Element]()
    waiting: list[Element | str] = [part for node in reversed(paragraph) for part in (node.tail or "", node)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            found.append(node)
            continue
        name = local_name(node)
        if name in ("note-body", "text-box"):
            notes.append(node)
        elif name in ("s", "tab", "line-break"):
            found.append(" ")
        elif name not in NOT_SHOWN and name != "note-citation":
            found.append(node.text or "")
            waiting += [part for inner in reversed(node) for part in (inner.tail or "", inner)]
    return " ".join("".join(found).split()), notes


def _inside(parent: Element, name: str) -> Iterator[Element]:
    """Rows of a table or cells of a row, also those in groups, but not those of tables in its cells."""
    waiting = list(reversed(parent))
    while waiting:
        node = waiting.pop()
        if local_name(node) == name:
            yield node
        elif local_name(node) not in ("tbl", "table", "tc", "table-cell", *NOT_SHOWN):
            waiting += reversed(node)


def _table(rows: list[list[Element]], lines_of: Lines, depth: int, in_cell: bool) -> Iterator[str]:
    """A table as Markdown, its first row as the head; one in a cell, of one column or of one row is but its lines."""
    cells = [[list(lines_of(cell, _deeper(depth), True)) for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    width = max(map(len, cells), default=0)
    if in_cell or width < 2 or len(cells) < 2:
        yield from (line for row in cells for cell in row for line in cell)
        return
    yield from table_lines([[" ".join(cell) for cell in row] for row in cells])


def _deeper(depth: int) -> int:
    if depth > MAX_DEPTH * 4:
        raise DataError("nested too deeply: tables and groups inside one another, as no writer makes them")
    return depth + 1


def _office_metadata(archive: Archive, name: str) -> dict[str, str]:
    if name not in archive.names:
        return {}
    root, found = archive.xml(name), dict[str, str]()
    known = (("title", "title"), ("author", "creator"), ("date", "created"), ("date", "creation-date"))
    for key, tag in (*known, ("language", "language")):
        for node in elements_named(root, tag):
            if node.text and node.text.strip():
                found.setdefault(key, node.text.strip())
    return found
