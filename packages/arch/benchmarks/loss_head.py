"""The chunked loss head against `F.cross_entropy` on the full logits: forward and backward, interleaved.

Ours as it is, and with the kernel of octad-systems in the place of its passes over the logits. The matrix products
alone are measured too, on all rows at once: the rival's time over theirs is the `ceiling` of a head that makes them so.
"""

import argparse
import functools
import json
import platform
import statistics
import subprocess
import time
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from octad_arch import linear_cross_entropy, replace_by_gradient
from octad_systems.kernels import logits_to_gradient_or


def milliseconds(loss, hidden, weight, targets):
    hidden.grad = weight.grad = None
    start = time.process_time()
    value = loss(hidden, weight, targets)
    value.backward()
    elapsed = 1e3 * (time.process_time() - start)
    return elapsed, value.item(), weight.grad.clone()


def full_logits(hidden, weight, targets):
    return F.cross_entropy((hidden @ weight.T).float(), targets)


def products_alone(hidden, weight):
    """CPU ms of the three products that a head and its gradients are."""
    hidden, weight = hidden.detach(), weight.detach()
    start = time.process_time()
    logits = hidden @ weight.T
    logits @ weight, logits.T @ hidden
    return 1e3 * (time.process_time() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(0)
    dtype = getattr(torch, options.dtype)
    hidden = torch.randn(options.rows, options.width, generator=generator).to(dtype).requires_grad_()
    weight = (0.02 * torch.randn(options.vocab, options.width, generator=generator)).to(dtype).requires_grad_()
    targets = torch.randint(options.vocab, (options.rows,), generator=generator)
    contenders = {
        "ours": linear_cross_entropy,
        "kernels": functools.partial(linear_cross_entropy, to_gradient=logits_to_gradient_or(replace_by_gradient)),
        "torch": full_logits,
        "torch_compiled": torch.compile(full_logits),
    }
    times = {name: [] for name in (*contenders, "products")}
    for _ in range(options.rounds + 1):
        results = {}
        for name, loss in contenders.items():
            elapsed, *results[name] = milliseconds(loss, hidden, weight, targets)
            times[name].append(elapsed)
        times["products"].append(products_alone(hidden, weight))
        tolerance = {"rtol": 1e-3, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 0.05, "atol": 1e-4}
        for name in ("ours", "kernels"):
            torch.testing.assert_close(results[name][0], results["torch"][0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(results[name][1], results["torch"][1], **tolerance)
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    record = {
        "what": "loss_head",
        "unit": "CPU ms forward + backward",
        "n": options.rounds,
        "median": round(medians["ours"], 2),
        "spread": [round(value, 2) for value in statistics.quantiles(times["ours"][1:], n=4)[::2]],
        "rival": f"F.cross_entropy((hidden @ weight.T).float()), torch {torch.__version__}",
        "rival_median": round(medians["torch"], 2),
        "ratio": round(medians["torch"] / medians["ours"], 3),
        "ratio_kernels": round(medians["torch"] / medians["kernels"], 3),
        "ratio_to_compiled_torch": round(medians["torch_compiled"] / medians["ours"], 3),
        "ceiling": round(medians["torch"] / medians["products"], 3),
        "shape": {"rows": options.rows, "vocab": options.vocab, "width": options.width, "dtype": options.dtype},
        "machine": f"{platform.machine()}, {options.threads} threads, shared",
        "commit": commit.stdout.strip(),
        "date": date.today().isoformat(),
    }
    line = json.dumps(record)
    print(line)
    with Path(__file__).with_name("results.jsonl").open("a", encoding="utf-8") as results_file:
        results_file.write(line + "\n")


if __name__ == "__main__":
    main()
