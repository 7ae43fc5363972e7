"""Books and documents that are zip archives of XML: EPUB, DOCX and ODT."""

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from octad_data.errors import DataError

MAX_RATIO = 200  # an honest XML file packs to a hundredth at the most
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
DOCTYPE = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)


class Archive:
    """A zip archive whose members are read with a bound on what they unpack to.

    Args:
        data: the whole archive.
        max_bytes: of all that is read of it.

    Raises:
        DataError: `broken archive`.
    """

    def __init__(self, data: bytes, max_bytes: int) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise DataError(f"broken archive: {error}") from None
        self._left = min(max_bytes, MAX_RATIO * len(data) + (1 << 20))

    @property
    def names(self) -> list[str]:
        """Of the members."""
        return self._zip.namelist()

    def read(self, name: str) -> bytes:
        """A member.

        Raises:
            DataError: `no such part`, `broken archive`, `encrypted archive`, or `zip bomb`.
        """
        try:
            with self._zip.open(name) as member:
                content = member.read(self._left + 1)
        except KeyError:
            raise DataError(f"no such part: {name} is not in the archive") from None
        except RuntimeError:
            raise DataError("encrypted archive: it opens only with its password; save it without one") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            raise DataError(f"broken archive: {name}: {error}") from None
        if len(content) > self._left:
            raise DataError("zip bomb: it unpacks to far more than any document does")
        self._left -= len(content)
        return content

    def xml(self, name: str) -> Element:
        """A member as XML, which may define no entities.

        Raises:
            DataError: as `read`, or `broken XML`.
        """
        content = self.read(name)
        if DOCTYPE.search(content[:4096]) and b"<!ENTITY" in content:
            raise DataError(f"broken XML: {name} defines entities, which no document needs")
        try:
            return ElementTree.fromstring(content)
        except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
            raise DataError(f"broken XML: {name}: {error}") from None


def extract_epub(data: bytes, max_bytes: int = 256 << 20) -> tuple[str, dict[str, str]]:
    """The chapters of a book in their reading order, an empty line between them; title, author and date.

    Raises:
        DataError: `broken archive`, `zip bomb`, or `encrypted archive`.
    """
    archive = Archive(data, max_bytes)
    roots = [node.get("full-path", "") for node in _all(archive.xml("META-INF/container.xml"), "rootfile")]
    if not roots or not roots[0]:
        raise DataError("broken EPUB: META-INF/container.xml names no package")
    package = archive.xml(roots[0])
    folder = posixpath.dirname(roots[0])
    places = {node.get("id"): node.get("href", "") for node in _all(package, "item")}
    chapters = []
    for node in _all(package, "itemref"):
        href = places.get(node.get("idref"))
        if href and node.get("linear") != "no":
            name = posixpath.normpath(posixpath.join(folder, href.split("#")[0]))
            if name in archive.names:
                chapters.append(_chapter(archive.read(name)))
    metadata = {}
    for key, tag in (("title", "title"), ("author", "creator"), ("date", "date"), ("language", "language")):
        found = [" ".join("".join(node.itertext()).split()) for node in _all(package, tag)]
        if found and found[0]:
            metadata[key] = found[0]
    return "\n\n".join(chapter for chapter in chapters if chapter), metadata


def _chapter(page: bytes) -> str:
    """The text of a page of a book, all of which is main text."""
    try:
        root = ElementTree.fromstring(page)
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
        from octad_data.html import extract_html

        return extract_html(page)
    lines: list[str] = []
    for node in root.iter():
        if _tag(node) in ("p", "h1", "h2", "h3", "h4", "h5", "h6", "li", "blockquote", "pre", "td", "figcaption"):
            has_blocks = any(_tag(inner) in ("p", "li", "td", "blockquote") for inner in node if inner is not node)
            if not has_blocks:
                text = " ".join("".join(node.itertext()).split())
                if text:
                    lines.append(text)
    return "\n".join(lines) or " ".join("".join(root.itertext()).split())


def extract_docx(data: bytes, max_bytes: int = 256 << 20) -> tuple[str, dict[str, str]]:
    """Paragraphs a line each, items of lists with `- `, rows of tables with ` | `; footnotes at the end.

    Raises:
        DataError: `broken archive`, `zip bomb`, `encrypted archive` or `broken XML`.
    """
    archive = Archive(data, max_bytes)
    body = archive.xml("word/document.xml").find(f"{W}body")
    lines = [] if body is None else list(_docx_lines(body))
    if "word/footnotes.xml" in archive.names:
        notes = archive.xml("word/footnotes.xml")
        lines += [text for note in notes for text in _docx_lines(note) if text.strip()]
    return "\n".join(lines).strip(), _office_metadata(archive, "docProps/core.xml")


def _docx_lines(parent: Element) -> Iterator[str]:
    for node in parent:
        if node.tag == f"{W}p":
            text = _docx_text(node)
            if text.strip():
                yield ("- " if node.find(f"{W}pPr/{W}numPr") is not None else "") + text.strip()
        elif node.tag == f"{W}tbl":
            for row in node.iter(f"{W}tr"):
                cells = [" ".join(_docx_lines(cell)) for cell in row.iter(f"{W}tc")]
                if any(cells):
                    yield " | ".join(cells)
        elif node.tag in (f"{W}sdt", f"{W}sdtContent", f"{W}ins"):
            yield from _docx_lines(node)


def _docx_text(paragraph: Element) -> str:
    found = []
    for node in paragraph.iter():
        if node.tag == f"{W}t":
            found.append(node.text or "")
        elif node.tag == f"{W}tab":
            found.append("\t")
        elif node.tag in (f"{W}br", f"{W}cr"):
            found.append("\n")
        elif node.tag == f"{W}noBreakHyphen":
            found.append("-")
    return "".join(found)


def extract_odt(data: bytes, max_bytes: int = 256 << 20) -> tuple[str, dict[str, str]]:
    """Paragraphs and headings, a line each.

    Raises:
        DataError: as `extract_docx`.
    """
    archive = Archive(data, max_bytes)
    lines = []
    for node in archive.xml("content.xml").iter():
        if node.tag in (f"{TEXT}p", f"{TEXT}h"):
            text = " ".join("".join(node.itertext()).split())
            if text:
                lines.append(text)
    return "\n".join(lines), _office_metadata(archive, "meta.xml")


def _office_metadata(archive: Archive, name: str) -> dict[str, str]:
    if name not in archive.names:
        return {}
    root, found = archive.xml(name), dict[str, str]()
    for key, tag in (("title", "title"), ("author", "creator"), ("date", "created"), ("date", "creation-date")):
        for node in _all(root, tag):
            if node.text and node.text.strip():
                found.setdefault(key, node.text.strip())
    return found


def _all(root: Element, tag: str) -> Iterator[Element]:
    """Elements of a name in any namespace."""
    return (node for node in root.iter() if _tag(node) == tag)


def _tag(node: Element) -> str:
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""
