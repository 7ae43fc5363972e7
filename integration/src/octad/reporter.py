"""What a person sees while a run works: one line that is rewritten on a terminal, plain lines elsewhere.

pretrain  ━━━━━━━━━━━╸━━━━  412/600  loss 3.214 · 9,312 tok/s · 41 % of peak · 0:48 left
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

PLAIN_EVERY_S = 10.0


def duration(seconds: float) -> str:
    """`0:48`, `12:03`, `1:02:03`."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


class Reporter:
    """Prints stages, progress and notes; silent on every process but the first."""

    def __init__(self, stream: TextIO | None = None, is_silent: bool = False) -> None:
        stream = stream or sys.stderr
        self.console = Console(file=stream, quiet=is_silent, highlight=False, soft_wrap=True)
        self.is_silent = is_silent
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""
        self._last_plain = 0.0

    def note(self, line: str) -> None:
        """One line that stays."""
        self.console.print(line, markup=False)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Everything inside belongs to the stage `name`."""
        self._stage, self._last_plain = name, time.monotonic()
        if not self.console.is_terminal or self.is_silent:
            yield
            return
        text, count = TextColumn("{task.description:<10}"), TextColumn("{task.fields[count]}")
        bar, facts = BarColumn(bar_width=24), TextColumn("{task.fields[facts]}")
        with Progress(text, bar, count, facts, console=self.console, transient=True) as progress:
            self._progress = progress
            self._task = progress.add_task(name, total=None, count="", facts="")
            try:
                yield
            finally:
                self._progress = None

    def update(
        self, done: int, total: int | None, facts: Sequence[str] = (), seconds_left: float | None = None
    ) -> None:
        """The stage is at `done` of `total`; `facts` are shown beside it."""
        shown = [*facts]
        if seconds_left is not None:
            shown.append(f"{duration(seconds_left)} left")
        count, line = (f"{done:,}/{total:,}" if total else f"{done:,}"), " · ".join(shown)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total, count=count, facts=line)
        elif time.monotonic() - self._last_plain >= PLAIN_EVERY_S:
            self._last_plain = time.monotonic()
            self.note(f"{self._stage}  {count}  {line}")
