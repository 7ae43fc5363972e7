"""Accuracy and calls a CPU-second of language detection beside py3langid and pycld2, on texts of 30 and 100 characters.

python benchmarks/language.py SAMPLES.json   ({"30": [[text, code], ...], "100": ...})
"""

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import py3langid
import pycld2
from octad_data.language import OTHER_NAMES, detect_language


def cld2(text: str) -> str:
    try:
        name = pycld2.detect(text, bestEffort=True)[2][0][1]
    except pycld2.error:
        return "und"
    return OTHER_NAMES.get(name, name)


def main() -> None:
    samples = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    detect_language(["compiles"])
    ways: dict[str, Callable[[list[str]], list[str]]] = {
        "octad-data": lambda texts: list(detect_language(texts).names),
        "octad-data, a text a call": lambda texts: [detect_language([text]).names[0] for text in texts],
        "py3langid": lambda texts: [py3langid.classify(text)[0] for text in texts],
        "pycld2": lambda texts: [cld2(text) for text in texts],
    }
    for length, rows in samples.items():
        texts, codes = [text for text, _ in rows], [code for _, code in rows]
        rates: dict[str, list[float]] = {name: [] for name in ways}
        accuracy = {}
        for _ in range(3):
            for name, way in ways.items():
                start = time.process_time()
                found = way(texts)
                rates[name].append(len(texts) / (time.process_time() - start))
                accuracy[name] = sum(a == b for a, b in zip(found, codes, strict=True)) / len(codes)
        result = {
            "what": "language",
            "characters": int(length),
            "n": len(texts),
            "languages": len(set(codes)),
            "accuracy": {name: round(value, 4) for name, value in accuracy.items()},
            "calls_per_cpu_s": {name: round(statistics.median(values)) for name, values in rates.items()},
            "machine": platform.machine(),
        }
        print(json.dumps(result))
        with (Path(__file__).parent / "results.jsonl").open("a") as file:
            file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
