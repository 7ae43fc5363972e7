"""A gigabyte through `encode_iterable`: how far the process grows, and the speed against `encode`.

Usage: python benchmarks/stream.py gpt2_vocab.json gpt2_merges.txt TEXT [TEXT ...] [--gigabytes 1]
"""

from __future__ import annotations

import argparse
import json
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from octad_tokenizer import load_gpt2_files


def resident_kilobytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("vocab", type=Path)
    parser.add_argument("merges", type=Path)
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    arguments = parser.parse_args()
    ours = load_gpt2_files(arguments.vocab, arguments.merges)
    text = "".join(path.read_text(encoding="utf-8") for path in arguments.texts)
    size, chunks = len(text.encode()), [text[at : at + 65536] for at in range(0, len(text), 65536)]
    times = int(arguments.gigabytes * 1e9 / size) + 1
    most = 0

    def stream(count: int) -> Iterator[str]:
        nonlocal most
        for _ in range(count):
            yield from chunks
            most = max(most, resident_kilobytes())  # while the ids are being consumed

    deque(ours.encode_iterable(stream(5)), maxlen=0)
    before, most = resident_kilobytes(), 0
    start = time.process_time()
    deque(ours.encode_iterable(stream(times)), maxlen=0)
    streamed = time.process_time() - start
    start = time.process_time()
    for _ in range(times):
        deque(ours.encode(text), maxlen=0)
    at_once = time.process_time() - start
    record = {
        "what": "encode_iterable against encode, text by text",
        "size_bytes": times * size,
        "growth_kilobytes": most - before,
        "ratio_of_speed": round(at_once / streamed, 3),
        "cpu_s": round(streamed, 3),
    }
    line = json.dumps(record)
    print(line)
    with Path(__file__).with_name("results.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main()
