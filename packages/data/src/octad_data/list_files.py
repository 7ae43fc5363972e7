"""Lists that a user brings: a line an entry, with comments, as hosts files, and as ad-block domain rules."""

import gzip
import os
from pathlib import Path

from octad_data.encoding import decode_text
from octad_data.errors import DataError

MAX_LINE = 4096
HOSTS_ADDRESSES = ("0.0.0.0", "127.0.0.1", "::1", "::", "255.255.255.255", "fe80::1%lo0", "::0")


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a list (gzip if it ends in .gz) in any encoding, stripped; empty ones are left out.

    Raises:
        DataError: the file is missing or unreadable.
    """
    path = Path(path)
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DataError(f"list not readable: {path} ({type(error).__name__}: {error})") from error
    text = decode_text(data)
    lines = (line.strip().strip("\ufeff") for line in (text if isinstance(text, str) else text[0]).splitlines())
    return [line for line in lines if line and len(line) <= MAX_LINE]


def without_comment(line: str) -> str:
    """A line without a comment: one that begins with `#`, `!` or `;`, or follows ` #`."""
    if line.startswith(("#", "!", ";")):
        return ""
    return line.split(" #", 1)[0].split("\t#", 1)[0].strip()


def domain_of_line(line: str) -> str:
    """The domain that a line of a domain list names, lower-case; empty if none.

    Plain (`example.com`, `.example.com`, `*.example.com`), as in a hosts file (`0.0.0.0 example.com`), as a rule of an
    ad blocker (`||example.com^`, with options after `$`), or the host of a URL.
    """
    if line.startswith("@@") or "##" in line or "#@#" in line:
        return ""  # exceptions, and rules about parts of a page
    if line.startswith("||"):
        line, _, options = line[2:].partition("$")
        host, _, rest = line.partition("^")
        return "" if rest or "domain=" in options else plain_domain(host)
    words = without_comment(line).split()
    if len(words) > 1 and words[0] in HOSTS_ADDRESSES:
        words = words[1:2]
    if len(words) != 1:
        return ""
    word = words[0].partition("://")[2].partition("/")[0] if "://" in words[0] else words[0]
    return plain_domain(word)


def plain_domain(word: str) -> str:
    """A domain in lower case and ASCII (IDNA), without `*.`, dots at the ends, port and user; empty if it is none."""
    word = word.rpartition("@")[2].strip().lower().removeprefix("*.").strip(".")
    word = word.partition(":")[0] if word.count(":") == 1 else word
    if not word.isascii():
        try:
            word = word.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    good = word and "." in word and len(word) <= 253 and all(c.isalnum() or c in "-._" for c in word)
    return word if good and not word.startswith("-") else ""
