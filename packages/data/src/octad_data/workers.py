"""Worker processes that may die: each task is done once, given up after a time, and looked into when it kills."""

import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from octad_data.errors import DataError

READY = "ready"  # what a worker says first

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Lost(Generic[Task]):
    """A task whose worker died or ran out of time."""

    task: Task
    reason: str  # `crashed`, `too slow` or `out of memory`


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    task: Any = None
    is_busy: bool = False
    since: float = 0.0


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    timeout_s: float,
    instead: Callable[[Lost[Task]], Task],
    memory_mb: int = 0,
) -> Iterator[Result]:
    """function(task) for each task, in whatever order they end.

    Tasks are drawn one ahead of the workers, so that a long iterator is not read into memory. A worker that dies (a
    parser that crashed, the system that wanted its memory back) or does not answer in time is replaced, and `instead`
    says what is to be done instead of the task that was lost.

    Args:
        function: importable, as are tasks and results: they travel by pickle.
        tasks: read as workers become free.
        workers: processes; 0 runs everything in this one, where nothing can be given up.
        timeout_s: of one task.
        instead: the task in place of the lost one; it raises where there is none.
        memory_mb: of data that a worker may hold; 0 is no limit.

    Raises:
        DataError: what the function raised; workers are stopped first, tasks that are under way are lost.
    """
    if workers == 0:
        yield from map(function, tasks)
        return
    pool = Pool(function, workers, timeout_s, memory_mb)
    try:
        yield from pool.run(iter(tasks), instead)
    finally:
        pool.stop()


class Pool:
    """Worker processes that stay for many tasks; see `run_tasks`."""

    def __init__(self, function: Callable[[Any], Any], workers: int, timeout_s: float, memory_mb: int) -> None:
        self._function, self._timeout_s, self._memory_mb = function, timeout_s, memory_mb
        self._context = multiprocessing.get_context("spawn")  # threads of numba and Arrow do not survive a fork
        self._workers = [self._start() for _ in range(workers)]

    def run(self, tasks: Iterator[Any], instead: Callable[[Lost[Any]], Any]) -> Iterator[Any]:
        """function(task) for each task, in whatever order they end."""
        again: list[Any] = []
        more = True
        while True:
            for worker in self._workers:
                if not worker.is_busy and (again or more):
                    task = again.pop() if again else next(tasks, self)
                    if task is self:
                        more = False
                    else:
                        self._give(worker, task)
            busy = [worker for worker in self._workers if worker.is_busy]
            if not busy:
                return
            for outcome in self._outcomes(busy):
                if isinstance(outcome, Lost):
                    again.append(instead(outcome))
                elif isinstance(outcome, BaseException):
                    raise outcome
                else:
                    yield outcome

    def stop(self) -> None:
        """End the processes, whatever they are doing."""
        for worker in self._workers:
            worker.pipe.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._function, self._memory_mb), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _give(self, worker: _Worker, task: Any) -> None:
        worker.task, worker.is_busy, worker.since = task, True, time.monotonic()
        with suppress(OSError):  # it is dead: `_outcomes` sees that next
            worker.pipe.send(task)

    def _outcomes(self, busy: list[_Worker]) -> Iterator[Any]:
        deadline = min(worker.since for worker in busy) + self._timeout_s
        ready = wait([worker.pipe for worker in busy], timeout=max(deadline - time.monotonic(), 0))
        for worker in busy:
            if worker.pipe in ready:
                try:
                    outcome = worker.pipe.recv()
                    if isinstance(outcome, str) and outcome == READY:
                        worker.since = time.monotonic()  # its start does not count as time of its task
                        continue
                    worker.is_busy = False
                    if isinstance(outcome, MemoryError):
                        outcome = self._replace(worker, "out of memory")
                except (EOFError, OSError):
                    outcome = self._replace(worker, "crashed")
                yield outcome
            elif time.monotonic() - worker.since >= self._timeout_s:
                yield self._replace(worker, "too slow")

    def _replace(self, worker: _Worker, reason: str) -> Lost[Any]:
        lost = Lost(worker.task, reason)
        worker.pipe.close()
        worker.process.kill()
        worker.process.join()
        self._workers[self._workers.index(worker)] = self._start()
        return lost


def _serve(pipe: Connection, function: Callable[[Any], Any], memory_mb: int) -> None:
    pipe.send(READY)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends us
    if memory_mb:
        _limit_memory(memory_mb)
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return  # the parent is gone
        try:
            outcome = function(task)
        except (DataError, MemoryError) as error:
            outcome = error
        except Exception:
            outcome = RuntimeError(f"in a worker process:\n{traceback.format_exc()}")
        try:
            pipe.send(outcome)
        except OSError:
            return


def _limit_memory(memory_mb: int) -> None:
    try:
        import resource
    except ModuleNotFoundError:
        raise DataError("a limit of memory needs Linux or macOS; leave memory_mb at 0") from None
    resource.setrlimit(resource.RLIMIT_DATA, (memory_mb << 20, memory_mb << 20))
