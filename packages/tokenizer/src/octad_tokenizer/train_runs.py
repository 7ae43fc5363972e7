"""Sorted runs of counts in temporary files, joined in rounds, so that few are open however many there are."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from threading import Lock
from types import ModuleType
from typing import IO

_JOINED = 32
"""How many runs become one. A million runs have four levels, and macOS lets a process open 256 files."""


class Runs:
    """The runs of one counter's tables. A run of level k + 1 is made of 32 of level k.

    Args:
        engine: the C engine.
    """

    def __init__(self, engine: ModuleType) -> None:
        self._engine = engine
        self._lock = Lock()
        self._being_written: list[IO[bytes]] = []
        self._levels: list[list[IO[bytes]]] = []

    def writer(self) -> Callable[[], int]:
        """A function that opens the next run of one table, whose last one is complete by then."""
        last: list[IO[bytes]] = []

        def new_run() -> int:
            with self._lock:
                if last:
                    self._being_written.remove(last[0])
                    self._put(last.pop(), 0)
                last.append(_temporary_file())
                self._being_written += last
                return last[0].fileno()

        return new_run

    def __len__(self) -> int:
        return len(self._all())

    def finish(self) -> list[int]:
        """The files of all runs, to be read from their beginnings; no table writes any more."""
        for run in self._all():
            run.seek(0)
        return [run.fileno() for run in self._all()]

    def close(self) -> None:
        """Remove all files."""
        for run in self._all():
            run.close()

    def _all(self) -> list[IO[bytes]]:
        return [*self._being_written, *chain.from_iterable(self._levels)]

    def _put(self, run: IO[bytes], level: int) -> None:
        if level == len(self._levels):
            self._levels.append([])
        runs = self._levels[level]
        runs.append(run)
        if len(runs) < _JOINED:
            return
        joined = _temporary_file()
        try:
            for one in runs:
                one.seek(0)
            self._engine.runs_join([one.fileno() for one in runs], joined.fileno())
        except BaseException:
            joined.close()
            raise
        for one in runs:
            one.close()
        runs.clear()
        self._put(joined, level + 1)


def _temporary_file() -> IO[bytes]:
    import tempfile  # 4 ms, which a training without a limit of memory need not pay

    return tempfile.TemporaryFile(buffering=0)
