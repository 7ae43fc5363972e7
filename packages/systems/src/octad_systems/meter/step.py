"""The pace of a running training: tokens a second, share of the device's peak, time left."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from octad_systems.errors import SystemsError
from octad_systems.meter.peak import Peak


class StepMeter:
    """Rates over the last `window` steps, so that a slow start or a pause is forgotten.

    Args:
        flops_per_token: of training, `training_flops_per_token(...)`; without it there is no utilisation.
        peak: of all devices together that the tokens are counted for; without it there is no utilisation.
        total_tokens: the run's length; without it there is no time left.
        done_tokens: tokens already trained when a run resumes.
        window: steps to average over.
        clock: seconds, monotonic. The caller synchronises an accelerator before `step`, or accepts a lag.

    Raises:
        SystemsError: a negative count or a window below 1.
    """

    def __init__(
        self,
        *,
        flops_per_token: float | None = None,
        peak: Peak | None = None,
        total_tokens: int | None = None,
        done_tokens: int = 0,
        window: int = 50,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        for name, value in (
            ("flops_per_token", flops_per_token),
            ("total_tokens", total_tokens),
            ("done_tokens", done_tokens),
        ):
            if value is not None and value < 0:
                raise SystemsError(f"{name}={value} must be at least 0")
        if window < 1:
            raise SystemsError(f"window={window} must be at least 1")
        self.flops_per_token = flops_per_token
        self.peak = peak
        self.total_tokens = total_tokens
        self.done_tokens = done_tokens
        self._clock = clock
        self._paused_s = 0.0
        self._marks: deque[tuple[float, int]] = deque([(self._now(), done_tokens)], maxlen=window + 1)

    def step(self, num_tokens: int) -> None:
        """Count one finished step of `num_tokens` tokens.

        Raises:
            SystemsError: num_tokens is negative.
        """
        if num_tokens < 0:
            raise SystemsError(f"num_tokens={num_tokens} must be at least 0")
        self.done_tokens += num_tokens
        self._marks.append((self._now(), self.done_tokens))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what happens inside: an evaluation, a checkpoint."""
        start = self._clock()
        try:
            yield
        finally:
            self._paused_s += self._clock() - start

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens over seconds between the window's first and last mark; None before the first step."""
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - start) if end > start else None

    @property
    def utilisation(self) -> float | None:
        """Model FLOPs utilisation, tokens/s * FLOPs a token / peak, 0 to 1; None where one of the three is unknown."""
        rate = self.tokens_per_s
        if rate is None or self.flops_per_token is None or self.peak is None:
            return None
        return rate * self.flops_per_token / self.peak.flops_per_s

    @property
    def time_left_s(self) -> float | None:
        """Seconds until `total_tokens` at the window's pace; 0 when done, None where pace or length is unknown."""
        if self.total_tokens is None:
            return None
        left = max(0, self.total_tokens - self.done_tokens)
        rate = self.tokens_per_s
        return 0.0 if not left else left / rate if rate else None

    def _now(self) -> float:
        return self._clock() - self._paused_s


def readable_time(seconds: float) -> str:
    """A duration in its two largest units: "42 s", "3 min 05 s", "2 h 07 min", "3 d 04 h".

    Raises:
        SystemsError: seconds is negative or not finite.
    """
    if not 0 <= seconds < float("inf"):
        raise SystemsError(f"seconds={seconds} must be at least 0 and finite")
    minutes, s = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour:02d} h"
    if hours:
        return f"{hour} h {minute:02d} min"
    return f"{minute} min {s:02d} s" if minutes else f"{s} s"
