"""Speed, against what the hardware could do.

`measure_peak(device)` finds a device's limits, `roofline(flops, bytes_moved, peak)` the least time of a piece of work,
`StepMeter` the pace of a training run; `machine()` and `compute_dtype(device)` say what the hardware is and prefers.
"""

from octad_systems.meter.machine import Machine, available_cores, compute_dtype, device_name, machine
from octad_systems.meter.peak import Peak, measure_peak, synchronize
from octad_systems.meter.roofline import Roofline, roofline
from octad_systems.meter.step import StepMeter, readable_time

__all__ = [
    "Machine",
    "Peak",
    "Roofline",
    "StepMeter",
    "available_cores",
    "compute_dtype",
    "device_name",
    "machine",
    "measure_peak",
    "readable_time",
    "roofline",
    "synchronize",
]
