"""Zip archives of XML, such as EPUB, DOCX and ODT: members, with a bound on what they unpack to."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from octad_data.errors import DataError

MAX_RATIO = 200  # an honest XML file packs to a hundredth at the most
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


def elements_named(root: Element, name: str) -> Iterator[Element]:
    """Elements of a name in any namespace."""
    return (node for node in root.iter() if local_name(node) == name)


def local_name(node: Element) -> str:
    """The name of an element without its namespace; empty for a comment."""
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""


def attribute(node: Element, name: str) -> str:
    """The value of an attribute in any namespace, or empty."""
    return next((value for key, value in node.attrib.items() if key.rpartition("}")[2] == name), "")
