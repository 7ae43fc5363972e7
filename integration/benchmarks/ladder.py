"""Measure the scaling law behind the plan: train a ladder of sizes and lengths on the standard library.

    uv run python integration/benchmarks/ladder.py --out ladder.jsonl

Each point is a whole run with its own decay, and its loss is that of held-out text in nats a token, kinds mixed as in
training. Points that the file holds already are skipped, so that a stopped ladder goes on.
`src/octad/measurements/standard-library.jsonl` was made by it.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from octad.main_job import carry_out
from octad.recipe_files import load_recipe
from octad.run_folder import RunFolder
from octad_scaling import RunRecord, append_records, read_records

LADDER = {
    (64, 2): (400_000, 800_000, 1_600_000, 3_200_000),
    (128, 2): (300_000, 600_000, 1_200_000, 2_400_000),
    (128, 4): (200_000, 400_000, 800_000, 1_600_000),
    (192, 4): (150_000, 300_000, 600_000, 1_200_000),
}


def main() -> None:
    """Train every point that is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("ladder.jsonl"))
    parser.add_argument("--sizes", nargs="*", help="only these, such as 64x2 128x4")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        for size, lengths in LADDER.items():
            if not arguments.sizes or f"{size[0]}x{size[1]}" in arguments.sizes:
                for tokens in lengths:
                    measure(Path(folder) / "run", size, tokens, arguments.seed, arguments.out)


def measure(folder: Path, size: tuple[int, int], tokens: int, seed: int, out: Path) -> None:
    """One point, appended to `out` unless it is there."""
    name = f"{size[0]}x{size[1]}-{tokens}-seed{seed}"
    if out.exists() and name in {record.run for record in read_records(out)}:
        return
    overrides = [f"seed={seed}", f"model.sizes=[{list(size)}]", f"pretrain.tokens={tokens}", "checkpoint_seconds=1e9"]
    recipe = load_recipe("quickstart", overrides)
    carry_out(recipe, folder, until="pretrain")
    plan, shards, pretrain = (summary(RunFolder(folder), stage) for stage in ("plan", "shards", "pretrain"))
    record = RunRecord(
        parameters=plan["candidates"][0]["parameters"],
        tokens=plan["tokens"],
        loss=pretrain["held_out_loss"],
        run=name,
        unique_tokens=sum(n for side, n in shards["tokens"].items() if side.startswith("train-")),
        batch_size=recipe.pretrain.batch_size * recipe.model.context,
        learning_rate=recipe.pretrain.learning_rate,
        seed=seed,
        step=plan["steps"],
    )
    append_records(out, [record])
    shutil.rmtree(folder / "stale", ignore_errors=True)


def summary(run: RunFolder, stage: str) -> Mapping[str, Any]:
    """What a finished stage found."""
    record = run.stage(stage)
    assert record is not None and record.is_done
    return record.summary


if __name__ == "__main__":
    main()
