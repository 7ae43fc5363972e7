"""Main text of web pages: ours, trafilatura and resiliparse on pages with marked segments, interleaved, in CPU time.

    uv run python packages/data/benchmarks/main_text.py FOLDER [--rounds 3] [--folds 7,8,9] [--weights TABLE]
    uv run python packages/data/benchmarks/main_text.py CHECKOUT --public

With `--public` CHECKOUT is one of scrapinghub/article-extraction-benchmark (181 pages): `ground-truth.json` and
`html/*.html.gz`; the figure is its own, the F1 of 4-grams of words.

Else FOLDER holds `segments.json` (for each page what its main text must and must not hold) and `pages/*.html.gz`.
Precision, recall and F1 count segments. Each extractor gets the bytes of a page and decodes them by its own means.
The models that are shipped were trained on these pages; `--folds` with a `--weights` that `main_text_training.py`
made without them measures pages never seen. `shingles` is the F1 of 4-grams of words against the `articleBody` that a
publisher states in JSON-LD, where at least nine tenths of that are on the page; ours does not look at it then.
"""

import argparse
import gc
import gzip
import json
import platform
import re
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from html import unescape
from importlib.metadata import version
from pathlib import Path

import numpy as np
import octad_data.html as ours
import octad_data.html_model as html_model
from main_text_training import fold_of
from octad_data import extract_html
from octad_data.html_encoding import to_utf8
from octad_data.html_metadata import read_metadata
from octad_data.html_scan import scan

CHUNK = 20  # pages before the next extractor's turn


def with_trafilatura(data: bytes) -> str:
    import trafilatura

    return trafilatura.extract(data, include_comments=False) or ""


def with_resiliparse(data: bytes) -> str:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    return extract_plain_text(bytes_to_str(data, detect_encoding(data)), main_content=True, alt_texts=False)


EXTRACTORS: dict[str, Callable[[bytes], str]] = {
    "octad": extract_html,
    "trafilatura": with_trafilatura,
    "resiliparse": with_resiliparse,
}


def segments(pages: list[dict], texts: list[str]) -> dict[str, float]:
    found = sum(segment in text for page, text in zip(pages, texts, strict=True) for segment in page["with"])
    wrong = sum(segment in text for page, text in zip(pages, texts, strict=True) for segment in page["without"])
    wanted, unwanted = (sum(len(page[kind]) for page in pages) for kind in ("with", "without"))
    precision, recall = found / max(found + wrong, 1), found / wanted
    accuracy = (found + unwanted - wrong) / (wanted + unwanted)
    f1 = 2 * precision * recall / (precision + recall)
    found_of = {"precision": precision, "recall": recall, "f1": f1, "accuracy": accuracy}
    return {name: round(value, 4) for name, value in found_of.items()}


def grams(text: str) -> Counter:
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[n : n + 4]) for n in range(max(1, len(words) - 3)) if words)


def stated_body(data: bytes) -> str:
    """The body of the article that a page states, empty where it is not on the page."""
    data = to_utf8(data, None, len(data) * 4)
    _, body = read_metadata(data, scan(np.frombuffer(data, dtype=np.uint8)))
    body = re.sub(r"<[^>]+>", " ", unescape(unescape(body)))
    if len(body) < 500:
        return ""
    shown = re.sub(r"<(script|style).*?</\1>", " ", data.decode("utf-8", "replace"), flags=re.DOTALL | re.IGNORECASE)
    wanted = grams(body)
    found = (wanted & grams(unescape(re.sub(r"<[^>]+>", " ", shown)))).total()
    return body if found >= 0.9 * wanted.total() else ""


def shingles(bodies: list[str], texts: list[str]) -> dict[str, float]:
    """Precision and recall of 4-grams and the F1 of the two, with 1.96 deviations over 1,000 draws of the pages.

    As article-extraction-benchmark has it: precision is the mean over pages of which something was extracted, recall
    that over pages that have a body; a text of fewer words than four is one gram.
    """
    each = []
    for body, text in zip(bodies, texts, strict=True):
        wanted, found = grams(body), grams(text)
        same = (wanted & found).total()
        each.append((same, found.total(), wanted.total()))
    counts = np.array(each, dtype=np.float64)

    def mean(pages: np.ndarray) -> tuple[float, float, float]:
        same, found, wanted = pages.T
        precision = (same[found > 0] / found[found > 0]).mean() if (found > 0).any() else 0.0
        recall = (same[wanted > 0] / wanted[wanted > 0]).mean() if (wanted > 0).any() else 0.0
        return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)

    precision, recall, f1 = mean(counts)
    drawn = np.random.default_rng(0).integers(len(counts), size=(1000, len(counts)))
    spread = 1.96 * np.std([mean(counts[rows])[2] for rows in drawn])
    found_of = {"precision": precision, "recall": recall, "f1": f1, "f1_spread": spread}
    return {name: round(float(value), 4) for name, value in found_of.items()}


def public_pages(folder: Path) -> tuple[list[bytes], list[str]]:
    """Pages and bodies of scrapinghub/article-extraction-benchmark."""
    truth = json.loads((folder / "ground-truth.json").read_text(encoding="utf-8"))
    data = [gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes()) for name in truth]
    return data, [page["articleBody"] for page in truth.values()]


def timed(data: list[bytes], rounds: int) -> tuple[dict[str, list[float]], dict[str, list[str]]]:
    """CPU seconds of each extractor in each round, and the texts."""
    for extract in EXTRACTORS.values():
        extract(data[0])
    seconds: dict[str, list[float]] = {name: [0.0] * rounds for name in EXTRACTORS}
    texts: dict[str, list[str]] = {}
    for turn in range(rounds):
        texts = {name: [] for name in EXTRACTORS}
        for first in range(0, len(data), CHUNK):
            for name, extract in EXTRACTORS.items():
                gc.collect()
                start = time.process_time()
                texts[name] += [extract(page) for page in data[first : first + CHUNK]]
                seconds[name][turn] += time.process_time() - start
    return seconds, texts


def report(what: str, data: list[bytes], seconds: dict[str, list[float]], scores: dict[str, dict]) -> None:
    """Print a line for each extractor and add it to the results."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    with (Path(__file__).parent / "results.jsonl").open("a", encoding="utf-8") as results:
        for name in EXTRACTORS:
            rates = [len(data) / spent for spent in seconds[name]]
            line = {
                "what": what,
                "extractor": name,
                "version": version("octad-data" if name == "octad" else name),
                "n": len(data),
                "mean_bytes": round(statistics.mean(map(len, data))),
                **scores[name],
                "median": round(statistics.median(rates), 1),
                "spread": [round(min(rates), 1), round(max(rates), 1)],
                "unit": "pages per CPU-second",
                "ratio_of_speed": round(statistics.median(rates) * statistics.median(seconds["octad"]) / len(data), 3),
                "machine": platform.machine(),
                "python": platform.python_version(),
                "commit": commit,
            }
            print(json.dumps(line))
            results.write(json.dumps(line) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--public", action="store_true", help="a checkout of article-extraction-benchmark")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folds", default="0,1,2,3,4,5,6,7,8,9")
    parser.add_argument("--weights", type=Path)
    given = parser.parse_args()
    if given.weights:
        table = html_model.parse_model(given.weights.read_text(encoding="utf-8"))
        html_model.model = lambda: table
    if given.public:
        data, bodies = public_pages(given.folder)
        seconds, texts = timed(data, given.rounds)
        scores = {name: shingles(bodies, texts[name]) for name in EXTRACTORS}
        report("main text of public pages", data, seconds, scores)
        return
    folds = {int(fold) for fold in given.folds.split(",")}
    marked = json.loads((given.folder / "segments.json").read_text(encoding="utf-8"))
    pages = [page for url, page in sorted(marked.items()) if fold_of(url) in folds]
    data = [gzip.decompress((given.folder / "pages" / f"{page['file']}.gz").read_bytes()) for page in pages]
    seconds, texts = timed(data, given.rounds)
    stated = [(n, body) for n, page in enumerate(data) if (body := stated_body(page))]
    ours._heard = lambda texts, blocks, chances, body: chances
    unaided = {**texts, "octad": [extract_html(page) if n in dict(stated) else "" for n, page in enumerate(data)]}
    scores = {}
    for name in EXTRACTORS:
        overlap = shingles([body for _, body in stated], [unaided[name][n] for n, _ in stated]) if stated else {}
        scores[name] = {
            "seen_in_training": not given.weights,
            **segments(pages, texts[name]),
            "shingles": overlap.get("f1"),
            "shingle_pages": len(stated),
        }
    report("main text of pages", data, seconds, scores)


if __name__ == "__main__":
    main()
