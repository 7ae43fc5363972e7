"""What `octad doctor` says: the machine, its measured speed, and which recipe fits it."""

from __future__ import annotations

from pathlib import Path

import torch
from octad_systems import Machine, Peak, free_disk_bytes, free_memory_bytes, machine, measure_peak

GIB = 2**30
NEEDED_MEMORY = 4 * GIB
NEEDED_DISK = 1 * GIB
NEEDED_GPU_MEMORY = 20 * GIB


def examine(folder: Path = Path()) -> str:
    """Measure for a few seconds and describe this machine in lines."""
    facts = machine()
    devices = ["cpu", *(f"cuda:{index}" for index in range(len(facts.gpus)))]
    peaks = {device: measure_peak(device, seconds=1.0) for device in devices}
    lines = [*describe(facts, peaks), f"free memory   {free_memory_bytes() / GIB:.1f} GiB"]
    lines += [f"free disk     {free_disk_bytes(folder) / GIB:.1f} GiB here", *problems(folder), "", advice(facts)]
    return "\n".join(lines)


def describe(facts: Machine, peaks: dict[str, Peak]) -> list[str]:
    """Processor, cores, accelerators, versions, and the measured limits of each device."""
    bf16 = "has" if facts.has_native_bf16 else "lacks"
    lines = [
        f"processor     {facts.cpu_model}, {facts.num_cores} cores ({bf16} bfloat16 instructions)",
        f"accelerators  {', '.join(facts.gpus) or 'none'}",
        f"software      Python {facts.python_version}, torch {facts.torch_version}, {facts.system}",
    ]
    for device, peak in peaks.items():
        dtype = str(peak.dtype).removeprefix("torch.")
        rate, copy = peak.flops_per_s / 1e9, peak.bytes_per_s / 1e9
        lines.append(f"{device:<13} {rate:,.0f} GFLOP/s in {dtype} matrix products, {copy:,.0f} GB/s in copies")
    return lines


def problems(folder: Path) -> list[str]:
    """What would stop a run here."""
    found = []
    if free_memory_bytes() < NEEDED_MEMORY:
        found.append(f"too little memory: a run needs about {NEEDED_MEMORY / GIB:.0f} GiB; close other programs")
    if free_disk_bytes(folder) < NEEDED_DISK:
        found.append(f"too little disk: a run needs about {NEEDED_DISK / GIB:.0f} GiB; use --out on another disk")
    return found


def advice(facts: Machine) -> str:
    """The command to begin with."""
    if facts.gpus:
        memory = torch.cuda.get_device_properties(0).total_memory
        if memory >= NEEDED_GPU_MEMORY:
            larger = "--set pretrain.seconds=1800 --set 'model.sizes=[[512, 8], [768, 12]]'"
            return f"This GPU fits larger models: octad quickstart {larger}"
    return "This machine fits: octad quickstart"
