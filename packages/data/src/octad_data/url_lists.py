"""Documents dropped by where they come from: domains with their subdomains, parts of URLs, patterns."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np

from octad_data.errors import DataError
from octad_data.list_files import domain_of_line, plain_domain, read_lines, without_comment
from octad_data.step import drop, with_column

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("domains", "substrings", "words", "patterns")
MAX_URL = 2048
_WORDS = re.compile(r"[^\W_]+")
_NESTED = re.compile(r"\([^()]*[+*}][^()]*\)[+*{]|[+*}][+*]|\\[1-9]")


class UrlMatcher:
    """A list, ready to be asked about URLs.

    Args:
        lines: the entries; comments and empty lines are left out.
        entries: `domains` (the domain and all below it), `substrings` (of the URL in lower case), `words` (runs of
            letters and digits of the URL), or `patterns` (regular expressions, searched in the lower-case URL).

    Raises:
        DataError: unknown format, no entry, or a pattern that is wrong or could take more than linear time.
    """

    def __init__(self, lines: list[str], entries: str = "domains") -> None:
        if entries not in FORMATS:
            raise DataError(f"entries={entries!r} is unknown; use one of {', '.join(FORMATS)}")
        read = domain_of_line if entries == "domains" else without_comment
        found = {read(line) for line in lines} - {""}
        found = found if entries == "patterns" else {each.lower() for each in found}
        if not found:
            raise DataError(f"the list has no {entries}; a line an entry is expected")
        self.entries, self._set, self._pattern = entries, frozenset(found), None
        if entries == "substrings":
            self._pattern = re.compile("|".join(sorted(map(re.escape, found), key=lambda e: (-len(e), e))))
        elif entries == "patterns":
            self._pattern = re.compile("|".join(f"(?:{_checked(each).pattern})" for each in sorted(found)))

    def __len__(self) -> int:
        return len(self._set)

    def find(self, url: str) -> str:
        """The entry (for patterns: the part of the URL) that a URL meets, empty if none. The first 2,048 characters."""
        url = url[:MAX_URL]
        if self.entries == "domains":
            return self._parent(host_of(url))
        plain = unquote(url).lower()
        if self._pattern is not None:
            match = self._pattern.search(plain)
            return match.group() if match else ""
        return next((word for word in _WORDS.findall(plain) if word in self._set), "")

    def _parent(self, host: str) -> str:
        while host:
            if host in self._set:
                return host
            host = host.partition(".")[2]
        return ""


@dataclass(frozen=True)
class UrlList:
    """Drop the rows whose URL meets a list (or, with `keep_only`, those that do not).

    Attributes:
        path: the list; see `UrlMatcher` and `list_files` for its forms.
        entries: `domains`, `substrings`, `words` or `patterns`.
        column: a column of strings, or a key of `metadata`, that holds the URL.
        name: of the column that gets the entry met (null if none), and of the rule (`url_list.<name>`).
        keep_only: the list says what may stay; rows without a URL then go.

    Raises:
        DataError: unknown format; when called, the list is missing or wrong.
    """

    path: str
    entries: str = "domains"
    column: str = "url"
    name: str = ""
    keep_only: bool = False

    def __post_init__(self) -> None:
        if self.entries not in FORMATS:
            raise DataError(f"entries={self.entries!r} is unknown; use one of {', '.join(FORMATS)}")

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with the entry that each URL meets, and the rows marked that go."""
        import pyarrow as pa

        matcher = _matcher(self.path, *state_of(self.path), self.entries)
        found = [matcher.find(url) for url in urls_of(batch, self.column)]
        name = self.name or Path(self.path).stem
        batch = with_column(batch, f"url_list_{name}", pa.array([each or None for each in found], pa.string()))
        met = np.array([bool(each) for each in found], dtype=np.bool_)
        return drop(batch, ~met if self.keep_only else met, f"url_list.{name}")


def urls_of(batch: "pa.RecordBatch", column: str) -> list[str]:
    """The URL of each row, empty where it has none.

    Raises:
        DataError: there is no such column, and no row has such a key in its metadata.
    """
    if batch.schema.get_field_index(column) >= 0:
        return [value if isinstance(value, str) else "" for value in batch.column(column).to_pylist()]
    rows = [dict(metadata or ()) for metadata in batch.column("metadata").to_pylist()]
    if rows and not any(column in row for row in rows):
        raise DataError(f"column={column!r} is neither a column nor a key of metadata; name the one that holds the URL")
    return [row.get(column) or "" for row in rows]


def host_of(url: str) -> str:
    """The host of a URL, lower-case, without user, port and final dot; empty if there is none."""
    rest = url.strip().partition("://")[2] or url.strip().removeprefix("//")
    return plain_domain(re.split(r"[/?#\\]", rest, maxsplit=1)[0])


def state_of(path: str) -> tuple[int, int]:
    """When a file was changed, and its size: what a cache of it hangs on.

    Raises:
        DataError: it is missing.
    """
    try:
        state = Path(path).stat()
    except OSError as error:
        raise DataError(f"list not readable: {path} ({error.strerror})") from error
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=16)
def _matcher(path: str, modified_ns: int, size: int, entries: str) -> UrlMatcher:
    return UrlMatcher(read_lines(path), entries)


def _checked(pattern: str) -> re.Pattern[str]:
    if _NESTED.search(pattern):
        raise DataError(f"pattern {pattern!r} repeats a repetition, which can take exponential time; write it flat")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise DataError(f"pattern {pattern!r} is no regular expression: {error}") from error
