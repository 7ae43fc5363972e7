"""A bar for long work, without a library: one line that is written anew at most ten times a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

_WIDTH = 30
_BETWEEN_S = 0.1


def progress_bar(what: str = "merges", stream: TextIO | None = None) -> Callable[[int, int], None]:
    """A function (done, wanted) that draws how far the work is, for `train_bpe(..., progress=progress_bar())`.

    Args:
        what: the unit, written behind the numbers.
        stream: where to draw; standard error if None. Where it is no terminal, only the last line is written.
    """
    out = sys.stderr if stream is None else stream
    is_terminal = out.isatty()
    start = time.monotonic()
    due = start

    def draw(done: int, wanted: int) -> None:
        nonlocal due
        now = time.monotonic()
        is_done = done >= wanted
        if not is_done and (now < due or not is_terminal):
            return
        due = now + _BETWEEN_S
        filled = _WIDTH * done // wanted if wanted else _WIDTH
        left_s = (now - start) * (wanted - done) / done if done else 0.0
        time_text = f"{now - start:.1f} s" if is_done else f"{left_s:.0f} s left"
        bar = "#" * filled + "-" * (_WIDTH - filled)
        line = f"[{bar}] {done:,}/{wanted:,} {what}, {time_text:<12}"
        out.write(("\r" if is_terminal else "") + line + ("\n" if is_done else ""))
        out.flush()

    return draw
