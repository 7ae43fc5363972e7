"""Ten million documents through `NearDuplicates` on one machine: peak memory, time, and the clusters that were known.

python benchmarks/near_duplicates_at_scale.py [documents] [folder]
"""

import json
import platform
import resource
import shutil
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
from octad_data.near_duplicate_step import CLUSTER, NearDuplicates
from octad_data.parts import write_part
from octad_data.step import Resources, apply, drop, schema

PART = 50_000
WORDS = 60
COPIES = 0.3  # of the documents are an earlier one with some words changed


def main() -> None:
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    root = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp())
    parts, into, scratch = (root / name for name in ("parts", "decisions", "scratch"))
    for folder in (parts, into, scratch):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    starts = range(0, total, PART)
    with get_context("spawn").Pool(2) as pool:
        begin = time.perf_counter()
        pool.starmap(write, [(parts, start, min(PART, total - start)) for start in starts], chunksize=1)
        signing = time.perf_counter() - begin
    with get_context("spawn").Pool(1) as pool:
        seconds, cpu, peak_mb = pool.apply(decide, (sorted(parts.iterdir()), into, scratch))
    truth, found = known(total), clusters(sorted(into.iterdir()))
    result = {
        "what": "near duplicates at scale",
        "documents": total,
        "signing_s": round(signing),
        "deciding_s": round(seconds),
        "deciding_cpu_s": round(cpu),
        "peak_mb": round(peak_mb),
        "clusters_found": len(np.unique(found)),
        "clusters_known": len(np.unique(truth)),
        "wrong": int((found != truth).sum()),
        "machine": platform.machine(),
    }
    print(json.dumps(result))
    with (Path(__file__).parent / "results.jsonl").open("a") as file:
        file.write(json.dumps(result) + "\n")
    if len(sys.argv) <= 2:
        shutil.rmtree(root)


def known(total: int) -> np.ndarray:
    """The first document that each is a copy of, itself for an original: decided by its number alone."""
    numbers = np.arange(total)
    draws = np.random.default_rng(0).random(total)
    is_copy = (draws < COPIES) & (numbers % PART > 0)
    originals = numbers - numbers % PART + (np.random.default_rng(1).random(total) * (numbers % PART)).astype(np.int64)
    parents = np.where(is_copy, originals, numbers)
    while (parents[parents] != parents).any():
        parents = parents[parents]
    return parents


def write(folder: Path, start: int, count: int) -> None:
    """One part: words of an original follow from its number; a copy changes one of its words."""
    truth = known(start + count)[start:]
    rows = []
    for number, original in zip(range(start, start + count), truth.tolist(), strict=True):
        words = np.random.default_rng(original).integers(0, 1 << 20, WORDS)
        if original != number:
            words[number % WORDS] = number  # at most 5 of 56 shingles: J >= .83 with the original, .70 with a sibling
        rows.append(" ".join(map(str, words.tolist())))
    ids = [str(number) for number in range(start, start + count)]
    same = ["s"] * count
    columns = [ids, rows, same, same, [None] * count, [None] * count, [None] * count]
    fields = schema()
    batch = pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, fields, strict=True)], schema=fields)
    kept, dropped = apply([NearDuplicates().signature()], drop(batch, np.zeros(count, dtype=bool), "none"))
    write_part(folder / f"part-{start:09d}.parquet", kept, dropped)


def decide(parts: list[Path], into: Path, scratch: Path) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak megabytes of a process that does nothing else."""
    begin, cpu = time.perf_counter(), time.process_time()
    NearDuplicates().decide(parts, into, Resources(1500, 2, scratch))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return time.perf_counter() - begin, time.process_time() - cpu, peak


def clusters(parts: list[Path]) -> np.ndarray:
    import pyarrow.parquet as pq

    return np.concatenate([pq.read_table(part, columns=[CLUSTER]).column(CLUSTER).to_numpy() for part in parts])


if __name__ == "__main__":
    main()
