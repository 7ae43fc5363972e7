"""The least time a piece of work can take on a device, and how near a measured time comes."""

from dataclasses import dataclass

from octad_systems.errors import SystemsError
from octad_systems.meter.peak import Peak


@dataclass(frozen=True)
class Roofline:
    """Floor of a piece of work: arithmetic and traffic overlap at best, so the longer of the two."""

    compute_s: float
    memory_s: float

    @property
    def floor_s(self) -> float:
        """max(flops / peak rate, bytes / bandwidth), in seconds."""
        return max(self.compute_s, self.memory_s)

    @property
    def is_compute_bound(self) -> bool:
        """Whether arithmetic takes at least as long as traffic."""
        return self.compute_s >= self.memory_s

    def fraction_reached(self, measured_s: float) -> float:
        """Floor / measured: 1.0 is perfect; above 1.0 the peak was measured too low or work was counted twice.

        Raises:
            SystemsError: measured_s is not positive.
        """
        if not measured_s > 0:
            raise SystemsError(f"measured_s={measured_s} must be positive")
        return self.floor_s / measured_s


def roofline(flops: float, bytes_moved: float, peak: Peak) -> Roofline:
    """Floor of work of `flops` operations that must move `bytes_moved` bytes between memory and processor.

    Raises:
        SystemsError: a negative count.
    Source: Williams, Waterman, Patterson 2009, "Roofline: an insightful visual performance model".
    """
    if not (flops >= 0 and bytes_moved >= 0):
        raise SystemsError(f"flops={flops} and bytes_moved={bytes_moved} must be at least 0")
    return Roofline(flops / peak.flops_per_s, bytes_moved / peak.bytes_per_s)
