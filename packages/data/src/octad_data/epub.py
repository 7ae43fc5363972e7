"""EPUB: the chapters of a book in their reading order."""

import posixpath

from octad_data.errors import DataError
from octad_data.package import Archive, elements_named

FACTS = {"title": "title", "creator": "author", "date": "date", "language": "language"}


def extract_epub(data: bytes, max_bytes: int = 256 << 20) -> tuple[str, dict[str, str]]:
    """The chapters of a book, an empty line between them, without its table of contents; title, author and date.

    Paragraphs are lines; items of lists begin with `- `, tables are rows of Markdown, code keeps its lines.

    Raises:
        DataError: `broken archive`, `zip bomb`, `broken EPUB`, `broken XML` or `encrypted archive`.
    """
    from octad_data.html_write import page_text  # its compiled parts are loaded only where there are books

    archive = Archive(data, max_bytes)
    roots = [node.get("full-path", "") for node in elements_named(archive.xml("META-INF/container.xml"), "rootfile")]
    if not roots or not roots[0]:
        raise DataError("broken EPUB: META-INF/container.xml names no package")
    package = archive.xml(roots[0])
    folder, names = posixpath.dirname(roots[0]), set(archive.names)
    items = {node.get("id"): node for node in elements_named(package, "item")}
    chapters = []
    for node in elements_named(package, "itemref"):
        item = items.get(node.get("idref"))
        if item is None or node.get("linear") == "no" or "nav" in item.get("properties", "").split():
            continue
        name = posixpath.normpath(posixpath.join(folder, item.get("href", "").split("#")[0]))
        if name in names:
            chapters.append(page_text(archive.read(name)))
    metadata: dict[str, str] = {}
    for tag, key in FACTS.items():
        values = (" ".join("".join(node.itertext()).split()) for node in elements_named(package, tag))
        value = next(filter(None, values), "")
        metadata |= {key: value} if value else {}
    return "\n\n".join(chapter for chapter in chapters if chapter), metadata
