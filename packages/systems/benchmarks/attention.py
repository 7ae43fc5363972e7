"""Causal attention on the CPU against torch's own, forward and backward, interleaved.

Usage: python benchmarks/attention.py [--batch 4 --heads 8 --seq 256 --width 32]
"""

import argparse
import json
import platform
import statistics
import subprocess
import time
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from octad_systems import machine
from octad_systems.kernels import attention


def milliseconds(function, inputs, grad):
    for x in inputs:
        x.grad = None
    start = time.process_time()
    mixed = function(*inputs, is_causal=True)
    mixed.backward(grad)
    return 1e3 * (time.process_time() - start), mixed.detach()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("batch", 4), ("heads", 8), ("seq", 256), ("width", 32), ("rounds", 30), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(0)
    rows = options.batch, options.seq, options.heads, options.width  # as the maps of a model leave them
    q, k, v, grad = (torch.randn(rows, generator=generator).transpose(1, 2) for _ in range(4))
    inputs = [x.requires_grad_() for x in (q, k, v)]
    contenders = {"ours": attention, "torch": F.scaled_dot_product_attention}
    times = {name: [] for name in contenders}
    for _ in range(options.rounds + 1):
        mixed = {}
        for name, function in contenders.items():
            elapsed, mixed[name] = milliseconds(function, inputs, grad)
            times[name].append(elapsed)
        torch.testing.assert_close(mixed["ours"], mixed["torch"], rtol=1e-4, atol=1e-5)
    ours, theirs = (statistics.median(times[name][1:]) for name in contenders)
    flops = 7 * options.batch * options.heads * options.seq * (options.seq + 1) * options.width
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    record = {
        "what": "attention",
        "unit": "CPU ms forward + backward",
        "n": options.rounds,
        "median": round(ours, 2),
        "spread": [round(value, 2) for value in statistics.quantiles(times["ours"][1:], n=4)[::2]],
        "gflops_per_s": round(flops / ours / 1e6, 1),
        "rival": f"F.scaled_dot_product_attention, torch {torch.__version__}",
        "rival_median": round(theirs, 2),
        "ratio": round(theirs / ours, 3),
        "shape": vars(options),
        "machine": f"{platform.machine()}, {machine().cpu_model}, {options.threads} threads, shared",
        "commit": commit.stdout.strip(),
        "date": date.today().isoformat(),
    }
    line = json.dumps(record)
    print(line)
    with Path(__file__).with_name("results.jsonl").open("a", encoding="utf-8") as results_file:
        results_file.write(line + "\n")


if __name__ == "__main__":
    main()
