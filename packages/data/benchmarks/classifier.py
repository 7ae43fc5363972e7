"""The linear classifier against fastText and scikit-learn: quality at equal data by cross-validation, and speed.

All three are trained and scored on the same folds (10, three times for pages; 5, once for messages). fastText: words
and pairs, 25 epochs, rate .5 (its defaults do worse on so few rows); scikit-learn: TF-IDF of words and pairs, logistic
regression. Speeds are CPU-seconds of one core, interleaved, medians of five.

Usage: OMP_NUM_THREADS=1 python benchmarks/classifier.py ../../../shared/data [--configs]
"""

import argparse
import csv
import json
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import fasttext
import numpy as np
from octad_data.calibration import area_under_curve, isotonic, platt, reliability
from octad_data.classifier import ClassifierConfig
from octad_data.classifier_training import PRESETS, choose_config, cross_validate, fold_of, train_classifier
from octad_data.texts import Texts
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

Scorer = Callable[[list[str]], np.ndarray]
RESULTS = Path(__file__).with_name("results.jsonl")


def record(what: str, n: int, values: list[float], unit: str, **more: object) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    line = {"what": what, "n": n, "median": round(statistics.median(values), 4), "unit": unit,
            "spread": [round(min(values), 4), round(max(values), 4)], **more,
            "machine": f"{platform.machine()} {platform.system()}", "python": platform.python_version(),
            "commit": commit}  # fmt: skip
    print(json.dumps(line))
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def train_fasttext(texts: list[str], labels: list[str], names: list[str]) -> Scorer:
    def plain(text: str) -> str:
        return " ".join(text.lower().split())

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        rows = (f"__label__{label} {plain(text)}\n" for text, label in zip(texts, labels, strict=True))
        path.write_text("".join(rows), encoding="utf-8")
        how = {"epoch": 25, "lr": 0.5, "wordNgrams": 2, "thread": 1, "verbose": 0, "bucket": 1 << 18}
        model = fasttext.train_supervised(str(path), **how)

    def score(fresh: list[str]) -> np.ndarray:
        out = np.zeros((len(fresh), len(names)))
        for i, text in enumerate(fresh):
            for chance, label in model.f.predict(plain(text) + "\n", len(names), 0.0, "strict"):
                out[i, names.index(label.removeprefix("__label__"))] = chance
        return out

    return score


def train_sklearn(texts: list[str], labels: list[str], names: list[str], balanced: bool = False) -> Scorer:
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
        LogisticRegression(C=10, max_iter=500, class_weight="balanced" if balanced else None),
    ).fit(texts, labels)
    return model.predict_proba


def quality_of(
    texts: list[str], labels: list[str], train: Callable[..., Scorer], folds: int, repeats: int
) -> dict[str, object]:
    names = sorted(set(labels))
    targets = np.array([names.index(label) for label in labels])
    areas, f1 = [], []
    for repeat in range(repeats):
        fold, scores = fold_of(targets, folds, repeat), np.zeros((len(texts), len(names)))
        for i in range(folds):
            inside = np.flatnonzero(fold == i)
            others = np.flatnonzero(fold != i)
            score = train([texts[j] for j in others], [labels[j] for j in others], names)
            scores[inside] = score([texts[j] for j in inside])
            areas.append([area_under_curve(scores[inside, k], targets[inside] == k) for k in range(len(names))])
        guesses = scores.argmax(axis=1)
        parts = [(guesses == k, targets == k) for k in range(len(names))]
        f1.append([2 * (g & t).sum() / max(g.sum() + t.sum(), 1) for g, t in parts])
    return {
        "areas": np.round(np.mean(areas, axis=0), 4).tolist(),
        "fold_deviation": np.round(np.std(areas, axis=0), 4).tolist(),
        "macro_f1": round(float(np.mean(f1)), 4),
        "f1": np.round(np.mean(f1, axis=0), 3).tolist(),
    }


def compare_quality(
    what: str, texts: list[str], labels: list[str], config: ClassifierConfig, folds: int, repeats: int
) -> None:
    found = cross_validate(texts, labels, config, folds, repeats)
    more = {"areas": np.round(found.areas, 4).tolist(), "fold_deviation": np.round(found.spreads, 4).tolist(),
            "f1": np.round(found.f1, 3).tolist(), "macro_f1": round(found.macro_f1, 4)}  # fmt: skip
    record(f"{what}, area under the curve", len(texts), [float(np.mean(found.areas))], "ours", **more)
    rivals = {"fasttext-wheel": train_fasttext, "scikit-learn": lambda *a: train_sklearn(*a, balanced=config.balanced)}
    for name, train in rivals.items():
        other = quality_of(texts, labels, train, folds, repeats)
        rival = f"{name} {version(name)}"
        record(f"{what}, area under the curve", len(texts), [float(np.mean(other["areas"]))], rival, **other)


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def compare_speed(texts: list[str], labels: list[str]) -> None:
    names, held = sorted(set(labels)), Texts.of(texts)
    ours = train_classifier(held, labels)
    ours.predict(held)
    rivals = {
        "fasttext-wheel": train_fasttext(texts, labels, names),
        "scikit-learn": train_sklearn(texts, labels, names),
    }
    times: dict[str, list[float]] = {name: [] for name in ("ours", "training", *rivals)}
    for _ in range(5):
        times["ours"].append(held.num_bytes / 1e6 / seconds(lambda: ours.predict(held)))
        times["training"].append(seconds(lambda: train_classifier(held, labels)))
        for name, score in rivals.items():
            times[name].append(held.num_bytes / 1e6 / seconds(lambda score=score: score(texts)))
    record("classifier, training with calibration", len(texts), times["training"], "CPU-seconds")
    record("classifier, prediction", len(texts), times["ours"], "MB per CPU-second")
    for name in rivals:
        ratio = round(statistics.median(times["ours"]) / statistics.median(times[name]), 2)
        record("classifier, prediction", len(texts), times[name], "MB per CPU-second",
               rival=f"{name} {version(name)}", ratio_of_speed=ratio)  # fmt: skip
    chances = np.clip(ours.held_out[:, 1].astype(np.float64), 1e-6, 1 - 1e-6)
    logits, truths = np.log(chances / (1 - chances)), ours.truths == 1
    for fit in (platt, isotonic):
        errors = []
        for repeat in range(20):  # the map from one half of the held-out scores, its error on the other
            half = np.random.default_rng(repeat).permutation(len(logits)) % 2 == 0
            errors.append(reliability(fit(logits[half], truths[half])(logits[~half]), truths[~half]).expected_error)
        record(f"classifier, expected calibration error, {fit.__name__}", len(logits) // 2, errors, "on the other half")


def search(texts: list[str], labels: list[str]) -> None:
    base = PRESETS["quality"]
    sizes = [(0, 1, 0), (1, 1, 0), (2, 1, 0), (0, 2, 3), (0, 2, 4), (1, 2, 3), (1, 2, 4)]
    grid = [
        replace(base, words=w, min_characters=a, max_characters=b, signal_scale=s, c=c)
        for w, a, b in sizes
        for s in ((0.0, 0.05, 0.1) if w or b else (0.1,))
        for c in (3.0, 10.0)
    ]
    best, found = choose_config(texts, labels, grid, folds=10, repeats=1)
    for config, result in sorted(found, key=lambda pair: -pair[1].areas[1]):
        print(round(result.areas[1], 4), round(result.spreads[1], 4), config)
    print("best:", best)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with quality/ and toxicity/")
    parser.add_argument("--configs", action="store_true", help="only the search that chose the quality preset")
    options = parser.parse_args()
    rows = [json.loads(line) for line in (options.data / "quality/dclm_majority.jsonl").read_text().split("\n") if line]
    pages, page_labels = [row["text"] for row in rows], [str(row["label"]) for row in rows]
    if options.configs:
        search(pages, page_labels)
        return
    compare_speed(pages, page_labels)
    compare_quality("quality of pages", pages, page_labels, PRESETS["quality"], 10, 3)
    with (options.data / "toxicity/hate_offensive_even.csv").open(encoding="utf-8", newline="") as file:
        messages = list(csv.DictReader(file))
    texts, labels = [row["tweet"] for row in messages], [row["class"] for row in messages]
    spent = seconds(lambda: train_classifier(texts, labels, "toxicity"))
    record("toxicity, training with calibration", len(texts), [spent], "CPU-seconds")
    compare_quality("toxicity of messages", texts, labels, PRESETS["toxicity"], 5, 1)


if __name__ == "__main__":
    main()
