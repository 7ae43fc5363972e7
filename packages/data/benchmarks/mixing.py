"""Held-out loss of the mixture chosen for each of five targets, against random mixtures of the same budget.

python benchmarks/mixing.py FOLDER_OF_SHARED_DATA
Sources and targets share no document; the targets' questions are first looked for in the sources, and documents that
hold one are left out.
"""

import csv
import json
import platform
import random
import re
import sys
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from octad_data import standard_library_documents
from octad_data.decontamination import ContaminationIndex, Item
from octad_data.mixture import temperature_weights
from octad_data.mixture_search import search_mixture
from octad_data.proxy_model import ByteNgrams
from octad_data.texts import Texts

BUDGET = 300_000  # bytes a proxy is trained on
ORDER = 4
RANDOM = 24  # mixtures


def main() -> None:
    corpora = read(Path(sys.argv[1]))
    held_out, sources = {}, {}
    for name, documents in corpora.items():
        random.Random(name).shuffle(documents)
        cut = max(len(documents) // 5, 1)
        held_out[name], sources[name] = documents[:cut], documents[cut:]
    targets = ["math", "code", "encyclopaedia", "dialogue", "german"]
    index = ContaminationIndex(
        [Item(name, number, text) for name in targets for number, text in enumerate(held_out[name])]
    )
    dropped = 0
    for name, documents in sources.items():
        found = {match.document for match in index.find(documents)}
        dropped += len(found)
        sources[name] = [document for number, document in enumerate(documents) if number not in found]
    joined = {name: "\n\n".join(documents)[:2_000_000] for name, documents in sources.items()}
    sizes = {name: len(text.encode()) for name, text in joined.items()}
    rng = np.random.default_rng(1)
    rows = [dict(zip(sizes, row.tolist(), strict=True)) for row in rng.dirichlet(np.ones(len(sizes)), RANDOM)]
    results = {}
    for target in targets:
        text = Texts.of(held_out[target])
        # Half of what is held out chooses, the other half judges.
        choosing = Texts(text.data, text.offsets[: len(text) // 2 + 1])
        judging = Texts(text.data, text.offsets[len(text) // 2 :])
        search = search_mixture(sizes, partial(loss_of, joined, choosing), seed=0)
        chosen = trained(joined, search.weights).loss(judging)
        others = [trained(joined, row).loss(judging) for row in rows]
        natural = trained(joined, temperature_weights(sizes)).loss(judging)
        assert np.isfinite([chosen, natural, *others]).all()
        results[target] = {
            "chosen": round(chosen, 4),
            "random": round(float(np.mean(others)), 4),
            "best_random": round(min(others), 4),
            "natural": round(natural, 4),
            "below_random": round(1 - chosen / float(np.mean(others)), 4),
            "weights": {name: round(weight, 3) for name, weight in search.weights.items() if weight >= 0.01},
            "regression_error": round(search.model.error, 4),
        }
        print(target, search.verdict, results[target])
    result = {
        "what": "mixing",
        "sources": len(sizes),
        "budget_bytes": BUDGET,
        "contaminated_documents_left_out": dropped,
        "targets": results,
        "machine": platform.machine(),
    }
    with (Path(__file__).parent / "results.jsonl").open("a") as file:
        file.write(json.dumps(result) + "\n")


def loss_of(joined: Mapping[str, str], texts: Texts, weights: Mapping[str, float]) -> float:
    return trained(joined, weights).loss(texts)


def trained(joined: Mapping[str, str], weights: Mapping[str, float]) -> ByteNgrams:
    """A proxy that read so much of each source, small ones again and again."""
    model = ByteNgrams.empty(ORDER, 20)
    for name, weight in weights.items():
        data = joined[name].encode()
        wanted = int(weight * BUDGET)
        whole, rest = divmod(wanted, len(data))
        for piece, times in ((data, whole), (data[:rest], 1)):
            if piece and times:
                buffer = np.frombuffer(piece, dtype=np.uint8)
                model.train(Texts(buffer, np.array([0, len(buffer)], dtype=np.int64)), float(times))
    return model


def read(folder: Path) -> dict[str, list[str]]:
    def rows(name: str) -> list[dict]:
        return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]

    def archive(name: str, wanted: str) -> list[str]:
        with zipfile.ZipFile(folder / name) as file:
            names = sorted(n for n in file.namelist() if re.search(wanted, n) and n.endswith(".txt"))
            return [piece for n in names for piece in pieces(file.read(n).decode("utf-8", "replace"))]

    library = list(standard_library_documents())
    dialogues = [
        json.dumps(row, ensure_ascii=False) for path in sorted((folder / "preferences").iterdir()) for row in gz(path)
    ]
    with (folder / "toxicity" / "hate_offensive_even.csv").open(encoding="utf-8") as file:
        posts = [row["tweet"] for row in csv.DictReader(file)]
    return {
        "math": [f"{row['question']}\n{row['answer']}" for row in rows("benchmarks/gsm8k_train.jsonl")],
        "code": [d.text[:4000] for d in library if d.kind == "code"],
        "manuals": [d.text[:4000] for d in library if d.kind == "prose"],
        "encyclopaedia": pieces((folder / "text/wikitext2_valid.txt").read_text(encoding="utf-8")),
        "dialogue": dialogues,
        "german": archive("text/udhr2.zip", r"/(deu|nld|dan|swe|lux|ltz|afr|nob)"),
        "romance": archive("text/udhr2.zip", r"/(fra|spa|ita|por|ron|cat|glg)"),
        "plays": pieces((folder / "text/tinyshakespeare.txt").read_text(encoding="utf-8")),
        "speeches": archive("text/state_union.zip", "state_union/"),
        "web": [row["text"][:4000] for row in rows("quality/dclm_majority.jsonl")],
        "posts": posts,
        "science": [row["query"] + " " + " / ".join(row["choices"]) for row in rows("benchmarks/arc_easy.jsonl")],
        "passages": [row["query"] for row in rows("benchmarks/boolq.jsonl")],
    }


def gz(path: Path) -> list[dict]:
    import gzip

    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def pieces(text: str, size: int = 2000) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size) if text[start : start + size].strip()]


if __name__ == "__main__":
    main()
