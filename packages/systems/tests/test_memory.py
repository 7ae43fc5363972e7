import shutil
from pathlib import Path

import numpy as np
import pytest
from octad_systems import (
    SystemsError,
    free_disk_bytes,
    free_memory_bytes,
    peak_resident_bytes,
    reset_peak_resident,
    resident_bytes,
    total_memory_bytes,
)

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


@needs_proc
def test_resident_bytes_see_an_array_come_and_go() -> None:
    size = 64 << 20
    try:
        reset_peak_resident()
    except SystemsError as error:
        pytest.skip(str(error))
    before = resident_bytes()
    array = np.ones(size, dtype=np.uint8)  # above malloc's mapping threshold: goes back to the system when freed
    held = resident_bytes()
    del array
    # 8 MiB of tolerance: other threads and the allocator's own pages
    assert held - before == pytest.approx(size, abs=8 << 20)
    assert resident_bytes() - before < 8 << 20
    assert peak_resident_bytes() - before == pytest.approx(size, abs=8 << 20)


@needs_proc
def test_free_memory_is_within_the_machines() -> None:
    assert 0 < free_memory_bytes() <= total_memory_bytes()
    assert resident_bytes() <= peak_resident_bytes()


def test_free_disk_is_that_of_the_nearest_existing_folder(tmp_path: Path) -> None:
    # 1 GiB of tolerance: other processes write meanwhile
    assert free_disk_bytes(tmp_path / "not" / "yet") == pytest.approx(shutil.disk_usage(tmp_path).free, abs=1 << 30)
