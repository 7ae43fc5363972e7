"""Counting the entries of word lists of 50 to 200,000 entries in web pages, against one regular expression; one core.

Usage: python benchmarks/word_lists.py ../../../shared/data
"""

import argparse
import json
import platform
import random
import re
import statistics
import subprocess
import time
from itertools import pairwise
from pathlib import Path

from octad_data.texts import Texts
from octad_data.word_lists import WordMatcher

RESULTS = Path(__file__).with_name("results.jsonl")


def record(what: str, n: int, values: list[float], unit: str, **more: object) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    line = {"what": what, "n": n, "median": round(statistics.median(values), 2), "unit": unit,
            "spread": [round(min(values), 2), round(max(values), 2)], **more,
            "machine": f"{platform.machine()} {platform.system()}", "python": platform.python_version(),
            "commit": commit}  # fmt: skip
    print(json.dumps(line))
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with quality/")
    options = parser.parse_args()
    rows = (options.data / "quality/dclm_majority.jsonl").read_text(encoding="utf-8").split("\n")
    texts = [json.loads(row)["text"] for row in rows if row]
    held, rng = Texts.of(texts), random.Random(0)
    words = sorted({word.lower() for text in texts for word in re.findall(r"[a-zA-Z]+", text)})
    for size in (50, 5_000, 200_000):
        made = [f"{rng.choice(words)}q{rng.randrange(10**6)}" for _ in range(size - size // 10)]
        entries = rng.sample(words, min(size // 20, 1000)) + [f"{a} {b}" for a, b in pairwise(made)][: size // 20]
        entries += made[: size - len(entries)]
        matcher = WordMatcher(entries)
        pattern = re.compile(r"\b(?:" + "|".join(entries) + r")\b", re.IGNORECASE) if size == 50 else None
        ours, theirs, counts = [], [], matcher.count(held)[0]
        for _ in range(5):
            started = time.process_time()
            matcher.count(held)
            ours.append(held.num_bytes / 1e6 / (time.process_time() - started))
            if pattern:
                started = time.process_time()
                found = sum(len(pattern.findall(text)) for text in texts)
                theirs.append(held.num_bytes / 1e6 / (time.process_time() - started))
        more = {}
        if pattern:
            more = {
                "ratio_of_speed": round(statistics.median(ours) / statistics.median(theirs), 1),
                "rival": "re",
                "found": found,
            }
        record(f"word list of {size:,} entries", len(texts), ours, "MB per CPU-second", hits=int(counts.sum()), **more)


if __name__ == "__main__":
    main()
