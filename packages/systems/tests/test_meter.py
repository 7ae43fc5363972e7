import dataclasses
import math
import os
from pathlib import Path

import pytest
import torch
from octad_systems import (
    Peak,
    StepMeter,
    SystemsError,
    available_cores,
    compute_dtype,
    machine,
    measure_peak,
    readable_time,
    roofline,
)


class Clock:
    """A clock that stands still unless told otherwise."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_measured_peak_is_of_this_device_and_in_the_right_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octad_systems.meter.peak._MATRIX_SIZES", {"cpu": (256, 512)})
    monkeypatch.setattr("octad_systems.meter.peak._COPY_BYTES", {"cpu": 1 << 26})
    peak = measure_peak("cpu", torch.float32, seconds=0.1)
    assert peak.dtype is torch.float32
    assert peak.threads == torch.get_num_threads()
    assert peak.device_name == machine().cpu_model
    # from one slow core (1 GFLOP/s, 0.2 GB/s) to the largest server (50 TFLOP/s, 5 TB/s): catches a wrong unit
    assert 1e9 < peak.flops_per_s < 5e13
    assert 2e8 < peak.bytes_per_s < 5e12
    assert peak.balance == peak.flops_per_s / peak.bytes_per_s


def test_measure_peak_counts_the_operations_and_bytes_it_times(monkeypatch: pytest.MonkeyPatch) -> None:
    # with every call lasting one second, the rates are the counts themselves
    monkeypatch.setattr("octad_systems.meter.peak._median_seconds", lambda work, device, budget: work() is None or 1.0)
    monkeypatch.setattr("octad_systems.meter.peak._MATRIX_SIZES", {"cpu": (64,)})
    monkeypatch.setattr("octad_systems.meter.peak._COPY_BYTES", {"cpu": 1 << 20})
    peak = measure_peak("cpu", torch.float64, seconds=1.0)
    assert (peak.flops_per_s, peak.bytes_per_s) == (2 * 64**3, 2 << 20)


def test_measure_peak_refuses_what_cannot_be_measured() -> None:
    with pytest.raises(SystemsError, match="seconds=0"):
        measure_peak("cpu", seconds=0)
    with pytest.raises(SystemsError, match=r"torch\.bool"):
        measure_peak("cpu", torch.bool, seconds=0.1)
    for rate in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(SystemsError, match="flops_per_s"):
            Peak(rate, 1.0)


@pytest.mark.gpu
def test_measured_peak_of_a_gpu_exceeds_the_cpus() -> None:
    assert measure_peak("cuda").flops_per_s > measure_peak("cpu").flops_per_s


def test_machine_tells_facts() -> None:
    facts = machine()
    assert facts.cpu_model
    assert 1 <= facts.num_cores == available_cores() <= (os.cpu_count() or 1)
    assert facts.memory_bytes > 1 << 28
    assert facts.torch_version == torch.__version__
    assert len(facts.gpus) == torch.cuda.device_count()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and facts.has_native_bf16:
        assert "bf16" in cpuinfo.read_text()


def test_compute_dtype_belongs_to_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compute_dtype("cpu") is torch.float32
    assert compute_dtype(torch.device("mps")) is torch.float32
    for is_supported, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, answer=is_supported: answer)
        assert compute_dtype("cuda:0") is dtype


def test_roofline_is_the_slower_of_arithmetic_and_traffic() -> None:
    peak = Peak(flops_per_s=100.0, bytes_per_s=10.0)
    memory_bound, compute_bound = roofline(100, 20, peak), roofline(300, 20, peak)
    assert (memory_bound.floor_s, memory_bound.is_compute_bound) == (2.0, False)
    assert (compute_bound.floor_s, compute_bound.is_compute_bound) == (3.0, True)
    assert roofline(10 * peak.balance, 10, peak).compute_s == roofline(10 * peak.balance, 10, peak).memory_s
    assert compute_bound.fraction_reached(6.0) == 0.5
    assert roofline(0, 0, peak).floor_s == 0
    with pytest.raises(SystemsError, match="flops=-1"):
        roofline(-1, 0, peak)
    with pytest.raises(SystemsError, match="measured_s=0"):
        compute_bound.fraction_reached(0)


def test_step_meter_averages_over_its_window() -> None:
    clock = Clock()
    meter = StepMeter(flops_per_token=5, peak=Peak(1000.0, 1.0), total_tokens=1000, window=3, clock=clock)
    assert meter.tokens_per_s is meter.utilisation is meter.time_left_s is None
    for seconds, tokens in ((100, 10), (1, 100), (1, 100), (2, 200)):
        clock.now += seconds
        meter.step(tokens)
    # the slow first step is outside of the window of three
    assert meter.tokens_per_s == 100.0
    assert meter.utilisation == 0.5
    assert meter.time_left_s == 5.9
    meter.step(590)
    assert meter.time_left_s == 0


def test_step_meter_leaves_out_pauses_and_resumes() -> None:
    clock = Clock()
    meter = StepMeter(total_tokens=300, done_tokens=100, clock=clock)
    clock.now += 1
    meter.step(50)
    with pytest.raises(KeyError), meter.paused():
        clock.now += 1000
        raise KeyError
    clock.now += 1
    meter.step(50)
    assert meter.tokens_per_s == 50
    assert meter.time_left_s == 2
    assert meter.utilisation is None


def test_step_meter_refuses_nonsense() -> None:
    for arguments in ({"window": 0}, {"done_tokens": -1}, {"total_tokens": -1}, {"flops_per_token": -1.0}):
        with pytest.raises(SystemsError, match=next(iter(arguments))):
            StepMeter(**arguments)
    with pytest.raises(SystemsError, match="num_tokens=-1"):
        StepMeter().step(-1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7620, "2 h 07 min"),
        (3 * 86400 + 4 * 3600, "3 d 04 h"),
    ],
)
def test_readable_time(seconds: float, text: str) -> None:
    assert readable_time(seconds) == text


def test_facts_and_peaks_are_frozen() -> None:
    for fact in (machine(), Peak(1.0, 1.0)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(fact, dataclasses.fields(fact)[0].name, "other")
