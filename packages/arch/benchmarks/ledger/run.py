"""The ledger: each variant against one baseline at equal parameters, equal tokens and equal FLOPs, on real text.

    python benchmarks/ledger/run.py            # all rows, both cores, about a quarter of an hour; goes on where it was
    python benchmarks/ledger/run.py --report   # the table and the picture from the results that are there

Every variant has the baseline's parameters (to 1 %, by the width of its feed-forward block), the same text in the same
order and the same AdamW. The loss on held-out text is taken after equal tokens and after equal forward and backward
FLOPs; differences are paired by seed, with the 95 % interval of Student's t over the seeds.
"""

import argparse
import ast
import functools
import json
import math
import statistics
import sysconfig
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from octad_arch import Decoder, linear_cross_entropy, update_router_biases
from octad_arch.variants.moe import MoEModule
from variants import BASELINE, CONTEXT, VARIANTS, baseline, matched

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.jsonl"
STEPS, BATCH, SEEDS, PEAK = 400, 8, 3, 4e-3


@functools.cache
def text() -> tuple[torch.Tensor, torch.Tensor]:
    """Documentation of the standard library as bytes, and every tenth file's held out."""
    seen, held_out = bytearray(), bytearray()
    for index, path in enumerate(sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))):
        if {"site-packages", "test", "tests", "idlelib"} & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        for node in ast.walk(tree):
            found = ast.get_docstring(node) if isinstance(node, kinds) else None
            if found:
                (held_out if index % 10 == 0 else seen).extend(found.encode() + b"\n\n")
    return torch.tensor(list(seen)), torch.tensor(list(held_out))


def training_flops(spec: Decoder) -> int:
    """Of one token in the middle of the context, forward and backward."""
    cost = spec.cost(CONTEXT // 2)
    return cost.forward_flops + cost.backward_flops


def held_out_loss(model: Any, tokens: torch.Tensor) -> float:
    """Bits a byte over 200 windows that lie side by side."""
    windows = tokens[: 200 * (CONTEXT + 1)].view(200, CONTEXT + 1)
    with torch.no_grad():
        losses = [linear_cross_entropy_of(model, rows) for rows in windows.split(50)]
    return float(sum(losses) / len(losses) / math.log(2))


def linear_cross_entropy_of(model: Any, rows: torch.Tensor) -> torch.Tensor:
    """The loss of a batch; with a soft cap the logits are made whole."""
    hidden = model.hidden(rows[:, :-1])
    if model.spec.logit_softcap is None:
        return linear_cross_entropy(hidden, model.output_weight, rows[:, 1:])
    return torch.nn.functional.cross_entropy(model.logits_at(hidden).flatten(0, 1), rows[:, 1:].flatten())


def train(name: str, seed: int) -> dict[str, Any]:
    """One row with one seed."""
    torch.set_num_threads(1)
    seen, held_out = text()
    reference = baseline()
    spec = matched(VARIANTS[name], reference.cost().parameters)
    equal_flops = round(STEPS * training_flops(reference) / training_flops(spec))
    model = spec.build(generator=torch.Generator().manual_seed(seed))
    optimizer = torch.optim.AdamW(model.parameters(), PEAK, (0.9, 0.95), weight_decay=0.1)
    order, times, losses = torch.Generator().manual_seed(1000 + seed), [], {}
    for step in range(1, max(STEPS, equal_flops) + 1):
        starts = torch.randint(len(seen) - CONTEXT - 1, (BATCH,), generator=order)
        rows = torch.stack([seen[start : start + CONTEXT + 1] for start in starts])
        begin = time.process_time()
        # A constant rate behind the warm-up, so that the curve can be cut anywhere.
        for group in optimizer.param_groups:
            group["lr"] = PEAK * min(step / 25, 1)
        loss = linear_cross_entropy_of(model, rows)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if any(isinstance(module, MoEModule) and module.router_bias is not None for module in model.modules()):
            update_router_biases(model)
        times.append(time.process_time() - begin)
        if step in (STEPS, equal_flops):
            losses[step] = held_out_loss(model, held_out)
    cost = spec.cost(CONTEXT)
    return {
        "name": name,
        "seed": seed,
        "bits_equal_tokens": losses[STEPS],
        "bits_equal_flops": losses[equal_flops],
        "tokens_per_cpu_s": BATCH * CONTEXT / statistics.median(times),
        "parameters": cost.parameters,
        "active_parameters": cost.active_parameters,
        "flops": training_flops(spec),
        "kv_bytes": cost.kv_bytes(2),
        "state_bytes": 2 * cost.state_elements,
    }


def interval(differences: list[float]) -> tuple[float, float]:
    """Mean and half of the 95 % interval."""
    t = {2: 12.71, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}[len(differences)]
    return statistics.mean(differences), t * statistics.stdev(differences) / len(differences) ** 0.5


def rows() -> list[dict[str, Any]]:
    """The finished rows, each with its differences from the baseline, best first."""
    results = [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()]
    by_name = {name: {each["seed"]: each for each in results if each["name"] == name} for name in VARIANTS}
    reference, found = by_name[BASELINE], []
    for runs in by_name.values():
        seeds = sorted(runs.keys() & reference.keys())
        if len(seeds) < 2:
            continue
        row = dict(runs[seeds[0]]) | {"seeds": len(seeds)}
        for key in ("bits_equal_tokens", "bits_equal_flops"):
            row[key] = statistics.mean(runs[seed][key] for seed in seeds)
            row[f"{key}_change"], row[f"{key}_half"] = interval([runs[s][key] - reference[s][key] for s in seeds])
        speed = [runs[seed]["tokens_per_cpu_s"] / reference[seed]["tokens_per_cpu_s"] for seed in seeds]
        row["speed"] = statistics.median(speed)
        row["flops_ratio"] = row["flops"] / reference[seeds[0]]["flops"]
        found.append(row)
    return sorted(found, key=lambda row: row["bits_equal_tokens_change"])


def report() -> None:
    """README.md and ledger.svg from the results."""
    found = rows()
    reference = next(row for row in found if row["name"] == BASELINE)
    lines = [
        "# The ledger",
        "",
        f"Each variant against one baseline ({reference['parameters']:,} parameters, 4 layers of width 64, bytes) at",
        f"equal parameters (to 1 %): {STEPS} steps of {BATCH * CONTEXT:,} bytes of Python's documentation,",
        f"held-out bits a byte, {reference['seeds']} seeds, differences paired by seed with their 95 % interval",
        "(Student's t). Remade by `python benchmarks/ledger/run.py`. The scale is small: it shows what one costs and",
        "that it learns, not what it does at a billion parameters. Speed is training tokens a CPU second against",
        "the baseline's. Runs this short differ most by when their loss first falls, so that many intervals are wide:",
        "a row is a finding where its interval leaves out 0.",
        "",
        "| variant | bits a byte | equal tokens | equal FLOPs | FLOPs | speed | cache B a token | state B |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        change = [f"{row[f'{key}_change']:+.3f} ± {row[f'{key}_half']:.3f}" for key in KEYS]
        is_reference = row["name"] == BASELINE
        lines.append(
            f"| {row['name']} | {row['bits_equal_tokens']:.3f} | {'' if is_reference else change[0]} "
            f"| {'' if is_reference else change[1]} | {row['flops_ratio']:.2f} | {row['speed']:.2f} "
            f"| {row['kv_bytes']:,.0f} | {row['state_bytes']:,} |"
        )
    lines += ["", "![changes with their intervals](ledger.svg)", ""]
    (FOLDER / "README.md").write_text("\n".join(lines), encoding="utf-8")
    picture(found)


KEYS = ("bits_equal_tokens", "bits_equal_flops")


def picture(found: list[dict[str, Any]]) -> None:
    """The changes as points with intervals, best on top."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rest = [row for row in found if row["name"] != BASELINE][::-1]
    figure, axes = plt.subplots(figsize=(9, 0.26 * len(rest) + 1))
    for offset, key, label, color in ((0.12, KEYS[0], "equal tokens", "C0"), (-0.12, KEYS[1], "equal FLOPs", "C1")):
        changes = [row[f"{key}_change"] for row in rest]
        halves = [row[f"{key}_half"] for row in rest]
        places = [index + offset for index in range(len(rest))]
        axes.errorbar(changes, places, xerr=halves, fmt="o", ms=3, lw=1, label=label, color=color)
    axes.axvline(0, color="0.6", lw=0.8)
    axes.set_yticks(range(len(rest)), [row["name"] for row in rest], fontsize=7)
    axes.set_xlabel("change of held-out bits a byte against the baseline (left is better)", fontsize=8)
    axes.set_ylim(-0.7, len(rest) - 0.3)
    axes.legend(fontsize=7, frameon=False)
    figure.tight_layout()
    figure.savefig(FOLDER / "ledger.svg", metadata={"Date": None})


def main() -> None:
    """Train what is missing, then report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--report", action="store_true", help="only the table and the picture")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    done = [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()] if RESULTS.exists() else []
    known = {(each["name"], each["seed"]) for each in done}
    jobs = [(name, seed) for seed in range(SEEDS) for name in VARIANTS if (name, seed) not in known]
    if not arguments.report:
        begin = time.monotonic()
        with ProcessPoolExecutor(arguments.processes, get_context("spawn")) as pool:
            for count, job in enumerate(as_completed([pool.submit(train, *job) for job in jobs]), start=1):
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(job.result()) + "\n")
                left = (time.monotonic() - begin) / count * (len(jobs) - count)
                print(f"{count}/{len(jobs)}, {left / 60:.0f} min left: {job.result()['name']}", flush=True)
    report()


if __name__ == "__main__":
    main()
