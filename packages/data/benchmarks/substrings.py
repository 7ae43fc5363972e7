"""Exact substrings of real text: suffix array, spans and the way in shards; one JSON line.

Run: OMP_NUM_THREADS=1 python benchmarks/substrings.py TEXT_OR_ZIP... [--megabytes 32] [--rounds 3]

The texts are cut into documents of 2 kB and repeated, with every 7th word of a copy changed, until there is enough of
them; one document in ten is then put in twice. Both ways must give the same spans.
"""

import argparse
import json
import platform
import resource
import statistics
import tempfile
import time
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from octad_data.substrings import duplicate_substrings, duplicate_substrings_of_shards
from octad_data.suffix_array import suffix_array
from octad_data.texts import Texts

MIN_BYTES = 200


def read_text(path: Path) -> str:
    if path.suffix != ".zip":
        return path.read_text(encoding="utf-8")
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".txt"))
        return " ".join(archive.read(name).decode("utf-8", "replace") for name in names)


def make_documents(texts: list[str], num_bytes: int) -> list[str]:
    words = " ".join(texts).split(" ")
    rng = np.random.default_rng(0)
    documents, size = list[str](), 0
    while size < num_bytes:
        for start in range(0, len(words), 350):
            document = words[start : start + 350]
            if size:
                document[::7] = [words[place] for place in rng.integers(0, len(words), len(document[::7]))]
            documents.append(" ".join(document))
            size += len(documents[-1]) + 1
            if len(documents) % 10 == 0:
                documents.append(documents[rng.integers(0, len(documents))])
                size += len(documents[-1]) + 1
            if size >= num_bytes:
                break
    return documents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--megabytes", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    texts = Texts.of(make_documents([read_text(path) for path in options.texts], options.megabytes * 1_000_000))
    few = Texts.of(["some text", "some text"])
    duplicate_substrings(few, 4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    data, rates, shards = texts.data, {"suffix_array": [], "spans": [], "in_shards": []}, []
    bounds = np.linspace(0, len(texts), 5).astype(int)
    parts = [Texts(data, texts.offsets[a : b + 1]) for a, b in pairwise(bounds)]
    peaks = []
    for _ in range(options.rounds):
        start = time.process_time()
        suffix_array(data)
        middle = time.process_time()
        spans = duplicate_substrings(texts, MIN_BYTES)
        end = time.process_time()
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        with tempfile.TemporaryDirectory() as folder:
            memory = texts.num_bytes * 10
            shards = list(duplicate_substrings_of_shards(lambda: iter(parts), MIN_BYTES, memory, folder))
        seconds = {"suffix_array": middle - start, "spans": end - middle, "in_shards": time.process_time() - end}
        for name, value in seconds.items():
            rates[name].append(texts.num_bytes / 1e6 / value)
    assert (np.concatenate([part.starts for part in shards]) == spans.starts).all()
    assert (np.concatenate([part.ends for part in shards]) == spans.ends).all()
    result = {
        "what": "substrings",
        "n": texts.num_bytes,
        "repeated": round(float(spans.num_bytes.sum()) / texts.num_bytes, 4),
        **{name: round(statistics.median(values), 2) for name, values in rates.items()},
        "spread": {name: [round(min(values), 2), round(max(values), 2)] for name, values in rates.items()},
        "unit": "MB per CPU-second",
        "peak_bytes_a_byte": round((peaks[0] - before) * 1024 / texts.num_bytes, 1),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    line = json.dumps(result)
    print(line)
    with (Path(__file__).parent / "results.jsonl").open("a", encoding="utf-8") as results:
        results.write(line + "\n")


if __name__ == "__main__":
    main()
