"""How much memory and disk this process holds and could still take, in bytes, from the system's own counters."""

import os
import shutil
import sys
from pathlib import Path

from octad_systems.errors import SystemsError

_PROC = Path("/proc/self")
_CGROUPS = (  # (limit, usage, statistics): a container's own limit, version 2 and version 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)


def resident_bytes() -> int:
    """Physical memory this process holds now (RSS), pages shared with other processes included.

    Raises:
        SystemsError: the system has no /proc (macOS, Windows).
    """
    return _kibibytes(_PROC / "status", "VmRSS")


def peak_resident_bytes() -> int:
    """The most physical memory this process ever held, or since `reset_peak_resident` where that is supported."""
    if (_PROC / "status").exists():
        return _kibibytes(_PROC / "status", "VmHWM")
    try:
        import resource
    except ImportError as error:  # Windows
        raise SystemsError(
            "peak_resident_bytes() needs /proc or the resource module; this system has neither"
        ) from error
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, the others KiB


def reset_peak_resident() -> None:
    """Start the peak anew at what is held now (Linux).

    Raises:
        SystemsError: the system does not offer it or forbids it.
    """
    try:
        (_PROC / "clear_refs").write_text("5")
    except OSError as error:
        raise SystemsError(
            f"the peak cannot be reset here: {error}; compare with the peak read before instead"
        ) from error


def total_memory_bytes() -> int:
    """Memory of the machine, or of the container's limit where that is smaller."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *(limit for limit, _ in _container_limits())])


def free_memory_bytes() -> int:
    """Memory that could be taken without swapping: the kernel's MemAvailable, and the container's rest if smaller.

    Raises:
        SystemsError: the system has no /proc.
    """
    available = _kibibytes(Path("/proc/meminfo"), "MemAvailable")
    return max(0, min([available, *(limit - used for limit, used in _container_limits())]))


def free_disk_bytes(path: str | Path) -> int:
    """Bytes an ordinary user can still write on the file system that holds `path`, or would hold it once created."""
    folder = Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _kibibytes(file: Path, field: str) -> int:
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise SystemsError(f"{field} is read from {file}, which this system does not have") from error
    for line in lines:
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise SystemsError(f"{file} has no field {field}")


def _container_limits() -> list[tuple[int, int]]:
    """(limit, memory in use that cannot be dropped) of each control group that sets a limit."""
    limits = []
    for limit_file, usage_file, statistics_file in _CGROUPS:
        try:
            limit, usage = Path(limit_file).read_text().strip(), int(Path(usage_file).read_text())
            statistics = dict(line.split() for line in Path(statistics_file).read_text().splitlines())
        except (OSError, ValueError):
            continue  # not in such a group, or the root group, which has no limit
        if limit != "max":
            limits.append((int(limit), usage - int(statistics.get("inactive_file", 0))))
    return limits
