"""Documents of 2 kB a CPU-second through `near_duplicates`; one JSON line."""

import json
import platform
import random
import statistics
import time

from octad_data import Document, near_duplicates


def main() -> None:
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(20_000)]
    texts = [" ".join(rng.choices(words, k=355)) for _ in range(2_000)]
    documents = [Document(text, str(number), "synthetic") for number, text in enumerate(texts)]
    near_duplicates(documents[:10])  # compiles
    rates = []
    for _ in range(5):
        start = time.process_time()
        clusters = near_duplicates(documents)
        rates.append(len(documents) / (time.process_time() - start))
        assert clusters.num_duplicates == 0
    result = {
        "what": "minhash",
        "n": len(documents),
        "mean_bytes": round(statistics.mean(map(len, texts))),
        "median": round(statistics.median(rates)),
        "spread": [round(min(rates)), round(max(rates))],
        "unit": "documents per CPU-second",
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
