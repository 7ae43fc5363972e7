"""What this machine is: processor, cores, memory, accelerators, and the dtype that suits each device."""

import functools
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from octad_systems.memory import total_memory_bytes

_NATIVE_BF16 = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}


@dataclass(frozen=True)
class Machine:
    """Facts about the machine that a measurement must carry to mean anything later.

    Args:
        cpu_model: the processor's own name, or its architecture where it gives none.
        num_cores: cores this process may run on (affinity and a container's quota), at least 1.
        memory_bytes: of the machine, or of the container's limit.
        has_native_bf16: the processor has bfloat16 instructions (AVX512-BF16, AMX, Arm BF16). Without them bfloat16 is
            emulated and several times slower than float32.
        gpus: names of the accelerators torch sees.
    """

    cpu_model: str
    num_cores: int
    memory_bytes: int
    has_native_bf16: bool
    torch_version: str
    python_version: str
    system: str
    gpus: tuple[str, ...]


def machine() -> Machine:
    """The facts of this machine, read anew (a few milliseconds; the processor's name is kept)."""
    gpus = tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    model, flags = _cpu()
    return Machine(
        cpu_model=model,
        num_cores=available_cores(),
        memory_bytes=total_memory_bytes(),
        has_native_bf16=bool(flags & _NATIVE_BF16),
        torch_version=torch.__version__,
        python_version=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        gpus=gpus,
    )


def available_cores() -> int:
    """Cores this process may use: its affinity, cut by a container's quota, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return max(1, cores)
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def compute_dtype(device: str | torch.device) -> torch.dtype:
    """The dtype to compute in on a device: bfloat16 on accelerators that have it, float32 everywhere else.

    A CPU gets float32 even where it has bfloat16 instructions: results then agree between machines, and where it has
    none bfloat16 is a trap (a training step measured 18 times slower). `machine().has_native_bf16` tells which. A GPU
    without bfloat16 (before Ampere) gets float32 and not float16, which needs a loss scale.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if device.type == "xpu" else torch.float32


def device_name(device: str | torch.device) -> str:
    """The name of the hardware behind a device: the GPU's, or the processor's."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return _cpu()[0] if device.type == "cpu" else f"{device.type} of {_cpu()[0]}"


@functools.cache
def _cpu() -> tuple[str, frozenset[str]]:
    """The processor's name and its flags; no flags where the system does not tell."""
    if sys.platform == "darwin":
        name = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False)
        bf16 = subprocess.run(
            ["sysctl", "-n", "hw.optional.arm.FEAT_BF16"], capture_output=True, text=True, check=False
        )
        return name.stdout.strip() or platform.machine(), frozenset({"bf16"} if bf16.stdout.strip() == "1" else ())
    fields: dict[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():  # Windows has none
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    flags = frozenset((fields.get("flags") or fields.get("features") or "").split())
    return fields.get("model name") or platform.processor() or platform.machine(), flags
