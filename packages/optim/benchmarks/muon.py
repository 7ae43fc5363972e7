"""One Muon step on the hidden matrices of a 10.6M-parameter decoder: ours against torch's and the textbook.

torch.optim.Muon computes in bfloat16, so each dtype is compared with its own: torch with float32 in its place, and
ours in bfloat16. Which dtype is faster depends on whether the CPU has bf16 instructions. CPU time, one thread.

Run: uv run --no-sync python packages/optim/benchmarks/muon.py [rounds]
"""

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from octad_optim import Muon, newton_schulz, orthogonalise
from torch import nn

# width 256, 8 layers
SHAPES = [*[(256, 256)] * 32, *[(682, 256)] * 16, *[(256, 682)] * 8]


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    made = [nn.Parameter(torch.randn(shape, generator=generator) * 0.02) for shape in SHAPES]
    for parameter in made:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return made


@contextmanager
def torch_muon_in(dtype: torch.dtype) -> Iterator[None]:
    """Let torch.optim.Muon, which names torch.bfloat16, compute in another dtype."""
    native = torch.bfloat16
    torch.bfloat16 = dtype
    try:
        yield
    finally:
        torch.bfloat16 = native


def median(times: list[float]) -> float:
    return round(statistics.median(times), 1)


def timed(work: Callable[[], object], into: list[float]) -> None:
    start = time.process_time()
    work()
    into.append(1e3 * (time.process_time() - start))


def main(rounds: int) -> None:
    torch.set_num_threads(1)
    held = {name: parameters() for name in ("ours", "torch float32", "ours bfloat16", "torch bfloat16")}
    ours = Muon(held["ours"], scale="original", compute_dtype="float32")
    ours16 = Muon(held["ours bfloat16"], scale="original", compute_dtype="bfloat16")
    torch32, torch16 = torch.optim.Muon(held["torch float32"]), torch.optim.Muon(held["torch bfloat16"])
    matrices = [p.grad for p in held["ours"] if p.grad is not None]
    names = ("ours", "torch float32", "ours bfloat16", "torch bfloat16", "newton_schulz each", "orthogonalise each")
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds + 1):
        timed(ours.step, times["ours"])
        with torch_muon_in(torch.float32):
            timed(torch32.step, times["torch float32"])
        timed(ours16.step, times["ours bfloat16"])
        timed(torch16.step, times["torch bfloat16"])
        timed(lambda: [newton_schulz(m) for m in matrices], times["newton_schulz each"])
        timed(lambda: [orthogonalise(m) for m in matrices], times["orthogonalise each"])
    for a, b in zip(held["ours"], held["torch float32"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    for a, b in zip(held["ours bfloat16"], held["torch bfloat16"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3)
    medians = {name: median(t[1:]) for name, t in times.items()}
    quartiles = {name: [round(q, 1) for q in statistics.quantiles(t[1:], n=4)[::2]] for name, t in times.items()}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    line = json.dumps(
        {
            "what": "Muon step",
            "parameters": sum(m.numel() for m in matrices),
            "n": rounds,
            "unit": "ms",
            "median": medians,
            "quartiles": quartiles,
            "ratio": {name: round(m / medians["ours"], 2) for name, m in medians.items()},
            "machine": f"{platform.machine()} {torch.get_num_threads()} threads",
            "commit": commit.stdout.strip(),
            "rival": f"torch {torch.__version__}",
        }
    )
    print(line)
    with (Path(__file__).parent / "results.jsonl").open("a") as results:
        results.write(line + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
