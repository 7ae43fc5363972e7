"""One AdamW step on a 10.6M-parameter decoder: ours against torch's fused, foreach and plain loops, interleaved.

Run: uv run --no-sync python packages/optim/benchmarks/adamw.py [rounds]
"""

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from octad_optim import AdamW
from torch import nn

# width 256, 8 layers, vocabulary 8192
SHAPES = [(8192, 256), *[(256, 256)] * 32, *[(682, 256)] * 16, *[(256, 682)] * 8, *[(256,)] * 17, (8192, 256)]
OPTIONS = {"lr": 1e-3, "betas": (0.9, 0.95), "weight_decay": 0.1}


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    made = [nn.Parameter(torch.randn(shape, generator=generator) * 0.02) for shape in SHAPES]
    for parameter in made:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return made


def main(rounds: int) -> None:
    makers: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
        "ours": lambda p: AdamW(p, **OPTIONS),
        "ours textbook": lambda p: AdamW(p, fused=False, **OPTIONS),
        "torch fused": lambda p: torch.optim.AdamW(p, fused=True, **OPTIONS),
        "torch foreach": lambda p: torch.optim.AdamW(p, foreach=True, **OPTIONS),
        "torch loop": lambda p: torch.optim.AdamW(p, foreach=False, **OPTIONS),
    }
    held = {name: parameters() for name in makers}
    optimizers = {name: make(held[name]) for name, make in makers.items()}
    times: dict[str, list[float]] = {name: [] for name in makers}
    for round_number in range(rounds + 2):
        for name, optimizer in optimizers.items():
            start = time.perf_counter()
            optimizer.step()
            if round_number >= 2:  # the first steps allocate the state
                times[name].append(1e3 * (time.perf_counter() - start))
    for name in makers:
        for a, b in zip(held[name], held["torch loop"], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    medians = {name: round(statistics.median(t), 2) for name, t in times.items()}
    quartiles = {name: [round(q, 2) for q in statistics.quantiles(t, n=4)[::2]] for name, t in times.items()}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    line = json.dumps(
        {
            "what": "AdamW step",
            "parameters": sum(p.numel() for p in held["ours"]),
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
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
