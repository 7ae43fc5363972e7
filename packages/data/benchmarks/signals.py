"""Every signal of real pages, MB a CPU-second; and, where datatrove is installed, its filters' decisions beside ours.

python benchmarks/signals.py PAGES.jsonl   (a `text` in each line)
The rival needs `pip install datatrove[processing] spacy`, and is run on the first 500 pages.
"""

import json
import platform
import statistics
import sys
import time
from pathlib import Path

from octad_data.rules import PRESETS, first_broken
from octad_data.signals import compute_signals
from octad_data.texts import Texts


def main() -> None:
    pages = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    texts = [page if isinstance(page, str) else page["text"] for page in pages]
    compute_signals(Texts.of(texts[:20]))  # compiles
    rates, buffer = [], Texts.of(texts)
    for _ in range(5):
        start = time.process_time()
        signals = compute_signals(buffer)
        rates.append(buffer.num_bytes / 1e6 / (time.process_time() - start))
    result = {
        "what": "all signals",
        "n": len(texts),
        "megabytes": round(buffer.num_bytes / 1e6, 1),
        "median": round(statistics.median(rates), 1),
        "spread": [round(min(rates), 1), round(max(rates), 1)],
        "unit": "MB per CPU-second",
        "machine": platform.machine(),
        **rival(texts, signals),
    }
    print(json.dumps(result))
    with (Path(__file__).parent / "results.jsonl").open("a") as file:
        file.write(json.dumps(result) + "\n")


def rival(texts: list[str], signals: dict) -> dict:
    try:
        from datatrove.data import Document
        from datatrove.pipeline import filters
    except ModuleNotFoundError:
        return {}
    found = {}
    for preset, name in (
        ("gopher", "GopherQualityFilter"),
        ("gopher_repetition", "GopherRepetitionFilter"),
        ("c4", "C4QualityFilter"),
        ("fineweb", "FineWebQualityFilter"),
    ):
        rule = getattr(filters, name)()
        rule.stat_update = lambda *args, **kwargs: None
        start, theirs = time.process_time(), []
        for number, text in enumerate(texts):
            theirs.append(rule.filter(Document(text=text, id=str(number))) is True)
        rate = sum(len(text.encode()) for text in texts) / 1e6 / (time.process_time() - start)
        ours = first_broken(signals, PRESETS[preset])[0] < 0
        equal = sum(bool(a) == b for a, b in zip(ours, theirs, strict=True)) / len(texts)
        found[preset] = {"same_decisions": round(equal, 5), "datatrove_mb_per_s": round(rate, 2)}
    return {"rival": found}


if __name__ == "__main__":
    main()
