"""The speed limits of a device, measured and not read from a data sheet."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from octad_systems.errors import SystemsError
from octad_systems.memory import free_memory_bytes
from octad_systems.meter.machine import compute_dtype, device_name

_MATRIX_SIZES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192, 16384)}
_COPY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30}  # several times the largest cache
_LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Peak:
    """What one device reaches at best: operations a second in a matrix product, bytes a second in a copy.

    Args:
        bytes_per_s: bytes read plus bytes written.
        threads: CPU threads the measurement used; a peak holds for that number only.

    Raises:
        SystemsError: a rate that is not positive and finite.
    """

    flops_per_s: float
    bytes_per_s: float
    device_name: str = "unnamed"
    threads: int = 1
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        for name in ("flops_per_s", "bytes_per_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise SystemsError(f"{name}={getattr(self, name)} must be positive and finite")

    @property
    def balance(self) -> float:
        """Operations a byte at which arithmetic and memory take equally long: the ridge of the roofline."""
        return self.flops_per_s / self.bytes_per_s


def measure_peak(
    device: str | torch.device = "cpu", dtype: torch.dtype | None = None, seconds: float = 2.0, *, seed: int = 0
) -> Peak:
    """Measure a device: the best of several sizes of square matrix product, and a copy too large for any cache.

    Args:
        device: what to measure.
        dtype: of the product; by default `compute_dtype(device)`.
        seconds: time to spend, about; at least three rounds of the smallest product and of the copy are always run.
        seed: of the matrices' random values (constant ones draw less power, and then GPUs run faster than in earnest).

    Returns:
        For each size the median round counts; of the sizes the fastest.

    Raises:
        SystemsError: seconds is not positive, or the device cannot multiply matrices of this dtype.
    """
    if not seconds > 0:
        raise SystemsError(f"seconds={seconds} must be positive")
    device = torch.device(device)
    dtype = dtype or compute_dtype(device)
    try:
        flops_per_s = _product_rate(device, dtype, seconds * 0.7, seed)
        bytes_per_s = _copy_rate(device, seconds * 0.3)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SystemsError(f"cannot measure {dtype} on {device}: {error}") from error
    return Peak(flops_per_s, bytes_per_s, device_name(device), torch.get_num_threads(), dtype)


def _product_rate(device: torch.device, dtype: torch.dtype, seconds: float, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    sizes = _MATRIX_SIZES.get(device.type, _MATRIX_SIZES["cpu"])
    best, deadline = 0.0, time.perf_counter() + seconds
    for index, size in enumerate(sizes):
        flops = 2.0 * size**3
        left = deadline - time.perf_counter()
        if best and flops / best * (_LEAST_ROUNDS + 1) > left:
            break  # even at the best rate so far it would not end in time
        left_matrix, right_matrix = (torch.randn(size, size, generator=generator).to(device, dtype) for _ in range(2))
        product = torch.empty(size, size, device=device, dtype=dtype)

        def multiply(
            a: torch.Tensor = left_matrix, b: torch.Tensor = right_matrix, out: torch.Tensor = product
        ) -> None:
            torch.mm(a, b, out=out)

        budget = (deadline - time.perf_counter()) / (len(sizes) - index)
        best = max(best, flops / _median_seconds(multiply, device, budget))
    return best


def _copy_rate(device: torch.device, seconds: float) -> float:
    size = _COPY_BYTES.get(device.type, _COPY_BYTES["cpu"])
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory_bytes()
    size = max(1 << 20, min(size, free // 8))
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / _median_seconds(lambda: target.copy_(source), device, seconds)


def _median_seconds(work: Callable[[], object], device: torch.device, budget_s: float) -> float:
    """Median time of one call; the first, which pays for set-up and page faults, is not counted."""
    work()
    synchronize(device)
    rounds: list[float] = []
    deadline = time.perf_counter() + budget_s
    while len(rounds) < _LEAST_ROUNDS or time.perf_counter() < deadline:
        start = time.perf_counter()
        work()
        synchronize(device)
        rounds.append(time.perf_counter() - start)
    return statistics.median(rounds)


def synchronize(device: str | torch.device) -> None:
    """Wait until the device has done all it was given; a CPU always has."""
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type not in ("cpu", "meta"):
        torch.accelerator.synchronize(device)
