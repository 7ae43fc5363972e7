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
from rich.progress import Progress, ProgressColumn, Task, TaskID
from rich.text import Text

from octad.errors import printable

PLAIN_EVERY_S = 10.0
BAR = 24  # columns, where there is room


def duration(seconds: float) -> str:
    """`0:48`, `12:03`, `1:02:03`."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def fitting(facts: Sequence[str], columns: int) -> str:
    """The facts in one line of at most so many columns: the first and the last stay, those before the last go first."""
    shown = [*facts]
    while len(shown) > 2 and len(" · ".join(shown)) > columns:
        del shown[-2]
    line = " · ".join(shown)
    return line if len(line) <= columns else line[: max(0, columns - 1)] + "…"[: max(0, columns)]


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
        self.console.print(printable(line), markup=False, emoji=False)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Everything inside belongs to the stage `name`."""
        self._stage, self._last_plain = name, time.monotonic()
        if not self.console.is_terminal or self.console.is_dumb_terminal or self.is_silent:
            yield
            return
        with Progress(_Line(self.console), console=self.console, transient=True) as progress:
            self._progress = progress
            self._task = progress.add_task(name, total=None, facts=())
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
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total, facts=shown)
        elif time.monotonic() - self._last_plain >= PLAIN_EVERY_S:
            self._last_plain = time.monotonic()
            self.note(f"{self._stage}  {_count(done, total)}  {' · '.join(shown)}")

    def stopping(self) -> None:
        """Say on the rewritten line that the wish to stop was heard; safe in a signal handler, as it writes nothing."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, facts=["stopping after this step; Ctrl-C again stops at once"])


class _Line(ProgressColumn):
    """Name, bar, count and facts in one line that is never wider than the terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def render(self, task: Task) -> Text:
        """The whole line; the bar gives way first, then facts."""
        total = None if task.total is None else int(task.total)
        count, width = _count(int(task.completed), total), self.console.width
        name = f"{task.description:<10} "
        facts = [printable(fact) for fact in task.fields["facts"]]
        room = width - len(name) - len(count) - 2
        bar = min(BAR, room - len(fitting(facts, room)) - 2) if total else 0
        line = Text(name, no_wrap=True, overflow="crop")
        if total and bar >= 8:
            full = min(bar, round(bar * task.completed / total))
            full_sign, empty_sign = ("#", "-") if self.console.options.ascii_only else ("━", "─")
            line.append(full_sign * full, style="bar.complete").append(empty_sign * (bar - full), style="bar.back")
            line.append("  ")
        return line.append(f"{count}  {fitting(facts, room)}")


def _count(done: int, total: int | None) -> str:
    return f"{done:,}/{total:,}" if total else f"{done:,}"
