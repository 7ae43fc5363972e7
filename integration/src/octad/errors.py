"""The one exception class of this package."""

from __future__ import annotations

import errno
import re

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NUMBERS = "|".join(map(str, DISK_FULL))


class OctadError(ValueError):
    """A recipe, a run folder or a command that cannot be carried out; the message says what to change."""


def require(holds: bool, name: str, value: object, rule: str) -> None:
    """Raise an OctadError that names the field, its value and the rule unless the rule holds."""
    if not holds:
        raise OctadError(f"{name} = {value!r}; it must be {rule}")


def disk_is_full(error: BaseException | None) -> bool:
    """Whether a write failed for want of space: the disk's, the person's quota or the longest file allowed."""
    while error is not None:
        # the writer of safetensors gives the system's number in its message only
        if getattr(error, "errno", None) in DISK_FULL or re.search(rf"os error ({NUMBERS})\)", str(error)):
            return True
        error = error.__cause__
    return False


def printable(text: str) -> str:
    """The text with what would steer a terminal spelled out: messages quote names of files, which may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
