"""The unit that every source yields and every filter takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from octad_data.errors import DataError


@dataclass(frozen=True)
class Document:
    """One text with a name.

    Attributes:
        text: the content, already decoded.
        id: unique inside its source and the same on every run; splits and duplicate clusters hang on it.
        source: the corpus it came from.
        kind: `text`, `prose` or `code`; what a mix is weighted by.
        metadata: strings worth keeping (path, encoding, line, ...).

    Raises:
        DataError: text or id is not a string, or id is empty.
    """

    text: str
    id: str
    source: str
    kind: str = "text"
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise DataError(f"text is {type(self.text).__name__}, not str; decode bytes with `decode_text` first")
        if not isinstance(self.id, str) or not self.id:
            raise DataError(f"id={self.id!r} is not a non-empty string; give each document a stable name")
