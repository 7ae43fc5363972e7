"""The n-gram model against KenLM: both read the same model and must give the same numbers; speed on one core.

We train, write our model as ARPA, and KenLM reads that. It is given the units with spaces between them, so that its
time has no tokenisation in it; ours begins at the raw text.

Usage: python benchmarks/perplexity.py ../../../shared/data
"""

import argparse
import json
import math
import platform
import statistics
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import kenlm
import numpy as np
from octad_data.ngram_model import (
    NgramModel,
    begin_hash,
    mix_all,
    rolling_hashes,
    slot_of,
    tokens_of,
    train_ngram_model,
)
from octad_data.text_units import BREAK_UNIT, read_points, read_units, tables, unit_room
from octad_data.texts import Texts

RESULTS = Path(__file__).with_name("results.jsonl")


def record(what: str, n: int, values: list[float], unit: str, **more: object) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    line = {"what": what, "n": n, "median": float(f"{statistics.median(values):.4g}"), "unit": unit,
            "spread": [float(f"{v:.4g}") for v in (min(values), max(values))], **more,
            "machine": f"{platform.machine()} {platform.system()}", "python": platform.python_version(),
            "commit": commit}  # fmt: skip
    print(json.dumps(line))
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def lines_of_units(text: str) -> list[list[str]]:
    """The units as strings (a repeated sign once, lower-case as the model sees it), a list a line."""
    texts, lines = Texts.of([text]), [[]]
    points, places, hashes, kinds, bounds = unit_room(texts.num_bytes)
    n = read_points(texts.data, 0, texts.num_bytes, points, places)
    lower = tables()[1]
    for u in range(read_units(points, n, *tables(), hashes, kinds, bounds)):
        a, b = int(bounds[2 * u]), int(bounds[2 * u + 1])
        if kinds[u] == BREAK_UNIT:
            lines.append([])
        else:
            unit = "".join(chr(lower[p]) for p in points[a:b])
            lines[-1].append(unit if kinds[u] == 1 else unit[0])
    return [line for line in lines if line]


def write_arpa(model: NgramModel, text: str, path: Path) -> None:
    tokens, positions = tokens_of(Texts.of([text]), "word")
    names = [name for line in lines_of_units(text) for name in ("<s>", *line, "</s>")]
    assert len(names) == len(tokens)
    hashes = rolling_hashes(tokens, positions, model.order)
    start = slot_of(begin_hash(), model.keys)
    grams = [{("<unk>",): (model.log_unknown, 0.0), ("<s>",): (-99 * math.log(10), float(model.log_backoffs[start]))}]
    for k in range(1, model.order + 1):
        found = grams[0] if k == 1 else {}
        ends = np.flatnonzero(positions >= max(k - 1, 1))
        _, first = np.unique(mix_all(hashes[k - 1, ends]), return_index=True)
        for i in ends[first].tolist():
            slot = slot_of(hashes[k - 1, i], model.keys)
            found[tuple(names[i - k + 1 : i + 1])] = float(model.log_chances[slot]), float(model.log_backoffs[slot])
        if k > 1:
            grams.append(found)
    with path.open("w", encoding="utf-8") as file:
        file.write("\\data\\\n" + "".join(f"ngram {k}={len(g)}\n" for k, g in enumerate(grams, 1)))
        for k, found in enumerate(grams, 1):
            file.write(f"\n\\{k}-grams:\n")
            for gram, (chance, backoff) in found.items():
                end = f"\t{backoff / math.log(10):.7f}" if k < model.order else ""
                file.write(f"{chance / math.log(10):.7f}\t{' '.join(gram)}{end}\n")
        file.write("\n\\end\\\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with quality/ and text/")
    options = parser.parse_args()
    reference = (options.data / "text/wikitext2_valid.txt").read_text(encoding="utf-8")
    rows = (options.data / "quality/dclm_majority.jsonl").read_text(encoding="utf-8").split("\n")
    texts = [json.loads(row)["text"] for row in rows if row]
    train_ngram_model([reference[:1000]], 5)
    started = time.process_time()
    model = train_ngram_model([reference], 5)
    spent = time.process_time() - started
    record("n-gram model, training, order 5", 1, [len(reference.encode()) / 1e6 / spent], "MB per CPU-second")
    with tempfile.TemporaryDirectory() as folder:
        arpa = Path(folder) / "model.arpa"
        write_arpa(model, reference, arpa)
        rival = kenlm.Model(str(arpa))
    held, split = Texts.of(texts), [[" ".join(line) for line in lines_of_units(text)] for text in texts]
    ours = model.log_likelihood(held, 1 << 30)[:, 0] / math.log(10)
    theirs = np.array([sum(rival.score(line) for line in lines) for lines in split])
    worst = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    record("n-gram model, largest difference of log p, as a share", len(texts), [worst], "KenLM reads our ARPA")
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(5):
        for name, work in (("ours", lambda: model.perplexity(held, 1 << 30)),
                           ("theirs", lambda: [[rival.score(line) for line in lines] for lines in split])):  # fmt: skip
            started = time.process_time()
            work()
            times[name].append(held.num_bytes / 1e6 / (time.process_time() - started))
    ratio = round(statistics.median(times["ours"]) / statistics.median(times["theirs"]), 2)
    name = f"kenlm {version('kenlm')}"
    record(
        "n-gram model, perplexity, order 5",
        len(texts),
        times["ours"],
        "MB per CPU-second",
        rival=name,
        ratio_of_speed=ratio,
    )
    record("n-gram model, perplexity, order 5", len(texts), times["theirs"], "MB per CPU-second", of=name)


if __name__ == "__main__":
    main()
