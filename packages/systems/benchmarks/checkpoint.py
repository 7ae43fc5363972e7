"""Save and load of a model with its AdamW states: ours against torch.save + fsync and torch.load, interleaved.

Ours also checksums every byte, when it writes and when it reads. Run: python benchmarks/checkpoint.py [megabytes]
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from octad_systems import load_checkpoint, machine, save_checkpoint

ROUNDS = 7
State = dict[str, dict[str, torch.Tensor]]


def build_state(size_bytes: int) -> State:
    count, width = 48, 1024
    rows = max(1, size_bytes // (count * width * 4))
    generator = torch.Generator().manual_seed(0)
    return {"model": {f"layer.{i}": torch.randn(rows, width, generator=generator) for i in range(count)}}


def torch_save(path: Path, state: State) -> None:
    with path.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def check_same(left: State, right: State) -> None:
    for name, tensor in left["model"].items():
        assert torch.equal(tensor, right["model"][name])


def main() -> None:
    size_bytes = int(sys.argv[1] if len(sys.argv) > 1 else 256) << 20
    state, folder = build_state(size_bytes), Path(tempfile.mkdtemp())
    ours, theirs = folder / "ours", folder / "theirs.pt"
    works: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "save": (lambda: save_checkpoint(ours, state), lambda: torch_save(theirs, state)),
        "load": (lambda: load_checkpoint(ours), lambda: torch.load(theirs)),
    }
    lines = []
    try:
        for what, (our_work, their_work) in works.items():
            pairs = [(seconds(our_work), seconds(their_work)) for _ in range(ROUNDS)]
            ratios = [theirs_s / ours_s for ours_s, theirs_s in pairs]
            quartiles = statistics.quantiles(ratios, n=4)
            lines.append(
                {
                    "what": f"checkpoint {what}", "n": ROUNDS, "size_bytes": size_bytes,
                    "median": size_bytes / statistics.median(pair[0] for pair in pairs) / 1e9, "unit": "GB/s",
                    "ratio": statistics.median(ratios), "spread": [quartiles[0], quartiles[2]],
                    "machine": machine().cpu_model, "commit": commit(), "rival": f"torch.{what} {torch.__version__}",
                }
            )  # fmt: skip
        check_same(load_checkpoint(ours), torch.load(theirs))
    finally:
        shutil.rmtree(folder)
    with (Path(__file__).parent / "results.jsonl").open("a") as file:
        for line in lines:
            print(json.dumps(line))
            file.write(json.dumps(line) + "\n")


def commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "uncommitted"


if __name__ == "__main__":
    main()
