"""Chunked linear attention against Hugging Face's torch path: forward and backward, interleaved, CPU time.

python benchmarks/linear_attention.py            # Gated DeltaNet, Kimi Delta Attention and Mamba-2 at 1,024 tokens
"""

import argparse
import json
import logging
import platform
import statistics
import subprocess
import time
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from octad_arch import delta_rule, delta_rule_recurrent, linear_attention, linear_attention_recurrent


def delta_rules(length, heads, width, by_channel):
    """Ours, the recurrence and theirs on the same input, as functions of nothing."""
    from transformers.models.kimi_linear.modeling_kimi_linear import chunk_kimi_delta_attention
    from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule

    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, length, heads, width, generator=generator).requires_grad_() for _ in range(3))
    decay = torch.randn(1, length, heads, *([width] if by_channel else []), generator=generator)
    g = (-F.softplus(decay - 2)).requires_grad_()
    beta = torch.rand(1, length, heads, generator=generator).requires_grad_()

    def ours(rule=delta_rule):
        turned = [F.normalize(x, dim=-1).transpose(1, 2) for x in (q, k)]
        rest = [x.transpose(1, 2) for x in (v, g, beta)]
        return rule(turned[0] * width**-0.5, turned[1], *rest)[0].transpose(1, 2)

    theirs = chunk_kimi_delta_attention if by_channel else torch_chunk_gated_delta_rule
    options = {"g": g, "beta": beta, "use_qk_l2norm_in_kernel": True}
    return ours, lambda: ours(delta_rule_recurrent), lambda: theirs(q, k, v, **options)[0]


def state_space(length, heads, width):
    """The same for Mamba-2, with the chunks that its configuration has."""
    from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, length, heads, width, generator=generator).requires_grad_()
    step = torch.randn(1, length, heads, generator=generator).requires_grad_()
    B, C = (torch.randn(1, length, 1, width, generator=generator).requires_grad_() for _ in range(2))
    rate = -8 * torch.rand(heads, generator=generator)

    def ours(rule=linear_attention, shared=1):
        size = F.softplus(step).transpose(1, 2)
        keys = [y.transpose(1, 2).repeat_interleave(shared, 1) for y in (C, B)]
        read, _ = rule(*keys, x.transpose(1, 2) * size[..., None], size * rate[:, None])
        return read.transpose(1, 2)

    theirs = lambda: mamba2_chunk_scan(x, step, rate, B, C, 256, dt_softplus=True)  # noqa: E731
    return ours, lambda: ours(linear_attention_recurrent, heads), theirs


def cpu_milliseconds(function):
    begin = time.process_time()
    function().square().sum().backward()
    return 1e3 * (time.process_time() - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    sizes = (options.length, options.heads, options.width)
    contenders = {
        "gated_delta_net": delta_rules(*sizes, False),
        "kimi_delta_attention": delta_rules(*sizes, True),
        "mamba_2": state_space(*sizes),
    }
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    for name, (ours, recurrence, theirs) in contenders.items():
        with torch.no_grad():
            expected = recurrence()
            scale = expected.abs().max()
            worst = float((ours() - expected).abs().max() / scale)
            torch.testing.assert_close(ours() / scale, expected / scale, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(ours() / scale, theirs() / scale, rtol=1e-5, atol=1e-5)
        rounds = [(cpu_milliseconds(ours), cpu_milliseconds(theirs)) for _ in range(options.rounds + 1)][1:]
        mine, other = zip(*rounds, strict=True)
        record = {
            "what": name,
            "unit": "CPU ms forward + backward",
            "n": options.rounds,
            "median": round(statistics.median(mine), 2),
            "spread": [round(value, 2) for value in statistics.quantiles(mine, n=4)[::2]],
            "rival": f"torch path of transformers {transformers.__version__}",
            "rival_median": round(statistics.median(other), 2),
            "ratio": round(statistics.median(b / a for a, b in rounds), 3),
            "largest_difference_from_recurrence": worst,
            "shape": {"length": options.length, "heads": options.heads, "width": options.width},
            "machine": f"{platform.machine()}, 1 thread",
            "date": date.today().isoformat(),
            "commit": commit.stdout.strip(),
        }
        print(json.dumps(record))
        with (Path(__file__).parent / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
