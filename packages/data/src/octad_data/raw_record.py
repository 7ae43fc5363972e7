"""What is read of a file before its text is taken out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Skip = Callable[[str, str], None]
"""Told the name of a record that is left out, and why."""


@dataclass(frozen=True)
class RawRecord:
    """One file or one record of a file, as bytes.

    Attributes:
        name: unique inside its source and the same on every run; becomes the document's id.
        data: as stored, unpacked; of a row of a table its text in UTF-8.
        content_type: as a server or an archive gave it (`text/html`), or `row` for a text that needs nothing done.
        charset: declared for the bytes, or empty.
        metadata: for the document (`url`, `date`, `path`, ...).
    """

    name: str
    data: bytes
    content_type: str = ""
    charset: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
