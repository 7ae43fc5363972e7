"""How large a batch is worth its examples, from the noise of the gradient, and a batch that grows in a run.

With G the true gradient and Σ the covariance of one example's, a batch of B gives E|g_B|² = |G|² + tr(Σ)/B. Two
batch sizes give both unknowns, and their ratio, B_simple = tr(Σ)/|G|², is the batch where noise and signal are
equal: well below it twice the batch halves the steps, well above it only wastes examples.
"""

from dataclasses import dataclass

from octad_optim.errors import require
from octad_optim.optimizer import check_fraction
from octad_optim.schedules import check_count, check_step


@dataclass(frozen=True)
class GradientNoise:
    """Estimates of |G|² and tr(Σ); either may come out negative by chance, and is then too noisy to use.

    Args:
        signal: |G|², the squared norm of the true gradient.
        noise: tr(Σ), the variance of one example's gradient, summed over the parameters.
    """

    signal: float
    noise: float

    @property
    def scale(self) -> float:
        """B_simple = tr(Σ) / |G|², in examples; infinite where no signal was seen, 0 where no noise was."""
        if self.signal <= 0:
            return float("inf")
        return max(self.noise, 0.0) / self.signal


def gradient_noise(
    small_batch: int, big_batch: int, small_squared_norm: float, big_squared_norm: float
) -> GradientNoise:
    """|G|² = (B|g_B|² − b|g_b|²) / (B − b);  tr(Σ) = (|g_b|² − |g_B|²) / (1/b − 1/B).  Both are unbiased.

    In data-parallel training b is one device's batch before the all-reduce and B all of them after it; with
    gradient accumulation b is a micro-batch. Average |g_b|² over all small batches of the step.

    Args:
        small_batch: b, examples (or sequences, or tokens), >= 1.
        big_batch: B > b, in the same unit.
        small_squared_norm: |g_b|², >= 0, of gradients averaged over the batch.
        big_squared_norm: |g_B|², >= 0.

    Returns:
        The two estimates.

    Raises:
        OptimError: B <= b, or a negative norm.

    Source: McCandlish et al. 2018, appendix A.1 (arXiv 1812.06162).
    """
    check_count("small_batch", small_batch, 1)
    check_count("big_batch", big_batch, 1)
    given = f"small_batch={small_batch}, big_batch={big_batch}"
    require(big_batch > small_batch, given, "two sizes are needed: compare a micro-batch with the whole batch")
    for name, norm in (("small", small_squared_norm), ("big", big_squared_norm)):
        require(norm >= 0, f"{name}_squared_norm={norm}", "it must be at least 0; a NaN step is to be left out")
    signal = (big_batch * big_squared_norm - small_batch * small_squared_norm) / (big_batch - small_batch)
    noise = (small_squared_norm - big_squared_norm) / (1.0 / small_batch - 1.0 / big_batch)
    return GradientNoise(signal, noise)


class NoiseScale:
    """The ratio of running means of tr(Σ) and |G|², because the mean of the ratios is biased.

    Args:
        decay: of the running means, in [0, 1); they are corrected for their zero start.

    Raises:
        OptimError: decay is out of its range.
    """

    def __init__(self, decay: float = 0.99) -> None:
        check_fraction("decay", decay)
        self.decay = decay
        self.updates = 0
        self._signal = 0.0
        self._noise = 0.0

    def update(self, measured: GradientNoise) -> None:
        """Take in one step's estimates."""
        self.updates += 1
        self._signal = self.decay * self._signal + (1 - self.decay) * measured.signal
        self._noise = self.decay * self._noise + (1 - self.decay) * measured.noise

    @property
    def mean(self) -> GradientNoise:
        """The running means.

        Raises:
            OptimError: nothing was measured yet.
        """
        require(self.updates > 0, "updates=0", "call update with a gradient_noise(...) first")
        weight = 1.0 - self.decay**self.updates
        return GradientNoise(self._signal / weight, self._noise / weight)


def examples_and_steps(batch_size: float, critical_batch_size: float) -> tuple[float, float]:
    """E/E_min = 1 + B/B_crit and S/S_min = 1 + B_crit/B: what a batch costs in data and in time.

    At B = B_crit a run takes twice the examples of a tiny batch and twice the steps of a huge one.

    Args:
        batch_size: B > 0.
        critical_batch_size: B_crit > 0, in the same unit; B_simple estimates it.

    Returns:
        The ratio of examples and the ratio of steps, both > 1; (E/E_min − 1)(S/S_min − 1) = 1.

    Raises:
        OptimError: either is not above 0.

    Source: McCandlish et al. 2018, eq. 2.11.
    """
    require(batch_size > 0, f"batch_size={batch_size}", "it must be above 0")
    require(critical_batch_size > 0, f"critical_batch_size={critical_batch_size}", "it must be above 0")
    return 1.0 + batch_size / critical_batch_size, 1.0 + critical_batch_size / batch_size


@dataclass(frozen=True)
class BatchRamp:
    """start + (stop − start)·step/steps, rounded down to a multiple of `multiple`; `stop` from step `steps` on.

    Args:
        start: examples in a batch at step 0, a multiple of `multiple`.
        stop: examples from step `steps` on, >= start, a multiple too.
        steps: of the ramp, >= 0; with 0 the batch is `stop` at once.
        multiple: what a batch must divide into, e.g. devices times micro-batch.

    Raises:
        OptimError: a count is out of its range or no multiple.

    Source: Brown et al. 2020, section 2.3 ramp the batch linearly (arXiv 2005.14165).
    """

    start: int
    stop: int
    steps: int
    multiple: int = 1

    def __post_init__(self) -> None:
        check_count("multiple", self.multiple, 1)
        check_count("start", self.start, 1)
        check_count("stop", self.stop, self.start)
        check_count("steps", self.steps, 0)
        for name, size in (("start", self.start), ("stop", self.stop)):
            near = max(round(size / self.multiple), 1) * self.multiple
            require(size % self.multiple == 0, f"{name}={size} with multiple={self.multiple}", f"use {name}={near}")

    def __call__(self, step: int) -> int:
        """Return the batch size of a step, counted from 0."""
        if check_step(step) >= self.steps:
            return self.stop
        grown = (self.stop - self.start) * step // self.steps
        return self.start + grown // self.multiple * self.multiple
