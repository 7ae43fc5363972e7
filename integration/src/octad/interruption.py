"""Ctrl-C, and the signals by which a system asks a process to end: raised at once, or granted after a step."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(SystemExit):
    """The system asked this process to end, by SIGTERM say; the exit code is the one that a shell expects, 143.

    Not a KeyboardInterrupt: what takes a Ctrl-C as "no more of this answer" must still end.
    """


def stop(number: int, frame: FrameType | None = None) -> NoReturn:
    """Raise what belongs to the signal: KeyboardInterrupt for Ctrl-C, else `Stopped`."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Stopped(128 + number)


class Wish:
    """Whether somebody has asked to stop, and by which signal."""

    number: int = 0

    @property
    def is_asked(self) -> bool:
        """Whether a signal has come."""
        return self.number > 0


def stop_at_once() -> None:
    """From now on stop signals raise in the main thread, each as `stop` says; an ignored one (nohup) stays ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


@contextmanager
def stop_after_step(tell: Callable[[], None]) -> Iterator[Wish]:
    """Turn a stop signal into a wish that is granted after the step; a second Ctrl-C stops at once.

    Only Ctrl-C counts as impatience: torchrun passes a SIGTERM on to processes that have had the Ctrl-C already.

    Args:
        tell: called when the wish is heard, inside a signal handler.
    """
    wish = Wish()

    def ask(number: int, frame: FrameType | None) -> None:
        if wish.is_asked and number == signal.SIGINT:
            stop(number)
        if not wish.is_asked:
            wish.number = number
            tell()

    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    try:
        previous = {number: signal.signal(number, ask) for number in heard}
    except ValueError:  # not the main thread: whoever runs this handles its signals
        yield wish
        return
    try:
        yield wish
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
