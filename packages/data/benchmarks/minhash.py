"""Near duplicates of real documents of 2.3 kB: ours, rensa, datasketch and datatrove; one JSON line.

Run: OMP_NUM_THREADS=1 python benchmarks/minhash.py TEXT_OR_ZIP... [--rounds 5] [--rivals SITE_PACKAGES]

The texts are cut into documents of 380 words; a third of those get a copy with up to 60 edits, and another third a
document that shares its first 60 % and ends like a third one, as pages of one site do. The truth is the Jaccard
similarity of all pairs by sets of five lower-case words in Python. Everything from text to pairs is timed, in CPU
seconds, one tool after the other in each round. Recall is of the pairs with J >= .8, precision of the pairs found, with
J >= .7 as truth; the rivals' pairs are those that share one of 14 bands of 8, which is how they are used.
"""

import argparse
import json
import platform
import random
import re
import statistics
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from octad_data import Document, near_duplicates

BANDS, ROWS, NGRAM, WORDS = 14, 8, 5, 380
WORD = re.compile(r"[^\W_]+")
Pairs = set[tuple[int, int]]


def make_documents(words: list[str], rng: random.Random) -> list[str]:
    """No two documents share text but those that are made to."""
    parts = [words[at : at + WORDS] for at in range(0, len(words) - WORDS, WORDS)]
    rng.shuffle(parts)
    documents = []
    for number, first in enumerate(parts):
        documents.append(first)
        if number % 3 == 1:
            edited = first.copy()
            for _ in range(rng.choice([0, 1, 2, 3, 4, 6, 8, 10, 15, 20, 30, 60])):
                place = rng.randrange(len(edited))
                edited[place : place + rng.randrange(2)] = [rng.choice(words)][: rng.randrange(2) + 1]
            documents.append(edited)
        elif number % 3 == 2:
            documents.append(first[: WORDS * 3 // 5] + parts[number - 1][WORDS * 3 // 5 :])
    rng.shuffle(documents)
    return [" ".join(document) for document in documents]


def read_words(path: Path) -> list[str]:
    if path.suffix != ".zip":
        return path.read_text(encoding="utf-8").split()
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".txt"))
        return " ".join(archive.read(name).decode("utf-8", "replace") for name in names).split()


def shingles(text: str) -> set[str]:
    words = WORD.findall(text.lower())
    return {" ".join(words[at : at + NGRAM]) for at in range(len(words) - NGRAM + 1)}


def true_similarities(documents: list[str]) -> dict[tuple[int, int], float]:
    sets = [shingles(document) for document in documents]
    holders = defaultdict(list)
    for number, members in enumerate(sets):
        for member in members:
            holders[member].append(number)
    shared: dict[tuple[int, int], int] = defaultdict(int)
    for numbers in holders.values():
        for place, later in enumerate(numbers):
            for earlier in numbers[:place]:
                shared[earlier, later] += 1
    return {(a, b): n / (len(sets[a]) + len(sets[b]) - n) for (a, b), n in shared.items()}


def pairs_of_buckets(signatures: list[list[bytes]]) -> Pairs:
    found = set()
    for band in range(BANDS):
        buckets = defaultdict(list)
        for number, keys in enumerate(signatures):
            buckets[keys[band]].append(number)
        for numbers in buckets.values():
            found.update((a, b) for place, b in enumerate(numbers) for a in numbers[:place])
    return found


def ours(documents: list[str]) -> Pairs:
    clusters = near_duplicates(Document(text, f"{number:09d}", "s") for number, text in enumerate(documents))
    groups = defaultdict(list)
    for name, cluster in clusters.cluster_of.items():
        groups[cluster].append(int(name))
    return {(a, b) for group in groups.values() for a in group for b in group if a < b}


def rensa(documents: list[str]) -> Pairs:
    from rensa import RMinHash

    matrix = RMinHash.digest_matrix_from_token_sets([list(shingles(text)) for text in documents], BANDS * ROWS, 42)
    rows = np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(documents), BANDS, ROWS)
    return pairs_of_buckets([[band.tobytes() for band in row] for row in rows])


def datasketch(documents: list[str]) -> Pairs:
    from datasketch import MinHash, MinHashLSH

    index, found = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS)), set()
    for number, text in enumerate(documents):
        sketch = MinHash(num_perm=BANDS * ROWS)
        sketch.update_batch([shingle.encode() for shingle in shingles(text)])
        found.update((other, number) for other in index.query(sketch))
        index.insert(number, sketch)
    return found


def datatrove(documents: list[str]) -> Pairs:
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.hashing import HashConfig

    with tempfile.TemporaryDirectory() as folder:
        step = MinhashDedupSignature(folder, MinhashConfig(NGRAM, BANDS, ROWS, hash_config=HashConfig(hash_fc="sha1")))
        signatures = [step.get_signature(step.get_shingles(text)) for text in documents]
    return pairs_of_buckets([[bytes(np.array(band, dtype=np.uint64)) for band in bands] for bands in signatures])


def quality(found: Pairs, truth: dict[tuple[int, int], float]) -> dict[str, float]:
    alike = {pair for pair, similarity in truth.items() if similarity >= 0.8}
    return {
        "recall": round(len(found & alike) / len(alike), 4),
        "precision": round(sum(truth.get(pair, 0) >= 0.7 for pair in found) / max(len(found), 1), 4),
        "merged_below_half": sum(truth.get(pair, 0) < 0.5 for pair in found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rivals", help="a folder in which rensa, datasketch and datatrove are installed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tools: dict[str, Callable[[list[str]], Pairs]] = {"octad-data": ours}
    if options.rivals:
        sys.path.append(options.rivals)
        tools |= {"rensa": rensa, "datasketch": datasketch, "datatrove": datatrove}
    words = [word for path in options.texts for word in read_words(path)]
    documents = make_documents(words, random.Random(options.seed))
    truth = true_similarities(documents)
    found = {name: tool(documents) for name, tool in tools.items()}  # compiles and warms up
    rates = {name: list[float]() for name in tools}
    for _ in range(options.rounds):
        for name, tool in tools.items():
            few = documents if name == "octad-data" else documents[: len(documents) // 8]
            start = time.process_time()
            tool(few)
            rates[name].append(len(few) / (time.process_time() - start))
    result = {
        "what": "minhash",
        "n": len(documents),
        "mean_bytes": round(statistics.mean(len(document.encode()) for document in documents)),
        "pairs_from_.8": sum(similarity >= 0.8 for similarity in truth.values()),
        "pairs_from_.3_to_.5": sum(0.3 <= similarity < 0.5 for similarity in truth.values()),
        "unit": "documents per CPU-second",
        "tools": {
            name: {
                "version": version(name),
                "median": round(statistics.median(rates[name])),
                "spread": [round(min(rates[name])), round(max(rates[name]))],
                **quality(found[name], truth),
            }
            for name in tools
        },
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    line = json.dumps(result)
    print(line)
    with (Path(__file__).parent / "results.jsonl").open("a", encoding="utf-8") as results:
        results.write(line + "\n")


if __name__ == "__main__":
    main()
