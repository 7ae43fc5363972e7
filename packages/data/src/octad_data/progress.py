"""What a run tells while it works: documents, megabytes, how fast, how long yet."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from octad_data.parts import Counts

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class Stage(Protocol):
    """One thing that is being done."""

    def advance(self, counts: Counts) -> None:
        """Another batch is done."""
        ...


class Progress(Protocol):
    """Somebody who wants to know."""

    def stage(self, name: str, total: int | None, done: int) -> "AbstractContextManager[Stage]":
        """Something begins: so many batches in all, where that is known, and so many done by an earlier run."""
        ...


class Silent:
    """Nobody."""

    @contextmanager
    def stage(self, name: str, total: int | None, done: int) -> Iterator[Stage]:
        """Says nothing."""
        yield self

    def advance(self, counts: Counts) -> None:
        """Says nothing."""


class Bar:
    """A bar on the terminal, and a line when a stage ends; in a file the lines alone.

    Args:
        console: where to.
    """

    def __init__(self, console: "Console | None" = None) -> None:
        from rich.console import Console

        self.console = console or Console(stderr=True)

    @contextmanager
    def stage(self, name: str, total: int | None, done: int) -> Iterator[Stage]:
        """A bar while the stage lasts."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[seen]}"), TimeElapsedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bars:
            task = bars.add_task(name, total=total, completed=done, seen="")
            stage = _BarStage(bars, task)
            yield stage
            elapsed = bars.tasks[0].elapsed or 0.0
        again = f", {done} batches were done before" if done else ""
        self.console.print(f"{name}: {stage.summary(elapsed)}{again}", highlight=False)


class _BarStage:
    def __init__(self, bars: "Bars", task: "TaskID") -> None:
        self._bars, self._task, self._counts = bars, task, Counts()

    def advance(self, counts: Counts) -> None:
        """Move the bar by a batch."""
        self._counts.add(counts)
        elapsed = max(self._bars.tasks[0].elapsed or 0.0, 1e-3)
        self._bars.update(self._task, advance=1, seen=f"{self._seen():,} documents, {self._seen() / elapsed:,.0f}/s")

    def summary(self, elapsed: float) -> str:
        """What was done in all."""
        if not self._seen():
            return f"{elapsed:.1f} s"
        megabytes = (self._counts.bytes + sum(size for _, size in self._counts.dropped.values())) / 1e6
        return (
            f"{self._seen():,} documents, {self._counts.documents:,} kept, {megabytes:,.1f} MB of text, {elapsed:.1f} s"
        )

    def _seen(self) -> int:
        return self._counts.documents + sum(documents for documents, _ in self._counts.dropped.values())
