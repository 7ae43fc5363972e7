"""Recall of inserted evaluation items (verbatim, 5 % of letters or words edited), false finds, MB a CPU-second.

python benchmarks/decontamination.py FOLDER_OF_EVALUATION_SETS DOCUMENTS...   (.jsonl with `text`, or text files)
"""

import json
import platform
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from octad_data.decontamination import SMALLEST, ContaminationIndex, read_items

LETTERS = "abcdefghijklmnopqrstuvwxyz "
SIZE = 2000  # characters of a document


def main() -> None:
    files = sorted(path for path in Path(sys.argv[1]).rglob("*") if path.suffix in (".jsonl", ".csv"))
    index = ContaminationIndex([item for path in files for item in read_items(path)])
    documents = [piece for name in sys.argv[2:] for piece in pieces(Path(name))]
    index.find(documents[:50])  # compiles
    start = time.process_time()
    false = index.find(documents)
    rate = sum(len(document.encode()) for document in documents) / 1e6 / (time.process_time() - start)
    rng = random.Random(0)
    flagged = {match.document for match in false}
    clean = [document for number, document in enumerate(documents) if number not in flagged]
    checkable = [number for number, item in enumerate(index.items) if len(item.text.split()) >= SMALLEST]
    edits: dict[str, Callable[[str], str]] = {
        "verbatim": lambda text: text,
        "letters": lambda text: edited_letters(text, rng),
        "words": lambda text: edited_words(text, rng),
    }
    recall = {}
    for name, edit in edits.items():
        chosen = rng.sample(checkable, min(4000, len(checkable)))
        hosts = [inserted(rng.choice(clean), edit(index.items[number].text), rng) for number in chosen]
        found = {(match.document, match.item) for match in index.find(hosts)}
        recall[name] = sum((row, number) in found for row, number in enumerate(chosen)) / len(chosen)
    result = {
        "what": "decontamination",
        "items": len(index.items),
        "not_checkable": sum(index.not_checkable.values()),
        "documents": len(documents),
        "false": len(flagged),
        "recall": {name: round(value, 4) for name, value in recall.items()},
        "mb_per_cpu_s": round(rate, 1),
        "machine": platform.machine(),
    }
    print(json.dumps(result))
    for match in false[:5]:
        item = index.items[match.item]
        place = documents[match.document].lower()[match.start : match.stop]
        print(f"  {item.set_name}:{item.number} {match.share:.2f} {item.text[:70]!r} in {place[:70]!r}")
    with (Path(__file__).parent / "results.jsonl").open("a") as file:
        file.write(json.dumps(result) + "\n")


def pieces(path: Path) -> list[str]:
    content = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in content.splitlines()]
        content = "\n".join(row if isinstance(row, str) else row["text"] for row in rows)
    return [content[start : start + SIZE] for start in range(0, len(content), SIZE)]


def inserted(host: str, text: str, rng: random.Random) -> str:
    cut = rng.randrange(len(host))
    return f"{host[:cut]}\n{text}\n{host[cut:]}"


def edited_letters(text: str, rng: random.Random) -> str:
    found = []
    for letter in text:
        draw = rng.random()
        if draw < 0.05 / 3:
            continue
        found.append(rng.choice(LETTERS) if draw < 0.1 / 3 else letter)
        if 0.1 / 3 <= draw < 0.05:
            found.append(rng.choice(LETTERS))
    return "".join(found)


def edited_words(text: str, rng: random.Random) -> str:
    found = []
    for word in text.split():
        draw = rng.random()
        if draw < 0.05 / 3:
            continue
        found.append(f"w{rng.randrange(99)}" if draw < 0.1 / 3 else word)
        if 0.1 / 3 <= draw < 0.05:
            found.append("extra")
    return " ".join(found)


if __name__ == "__main__":
    main()
