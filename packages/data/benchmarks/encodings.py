"""Old encodings of windows of the Universal Declaration: ours and charset-normalizer, and how the tables are made.

    uv run --with charset-normalizer python packages/data/benchmarks/encodings.py udhr2.zip [--train]

The archive is nltk_data's, in UTF-8. Each language's text is written in every encoding that can hold it. The tables are
counted on the odd lines (`--train` writes them), the figures taken on windows of the even ones. A window counts as
found where it decodes to what it was, whatever the name.
"""

import argparse
import json
import platform
import statistics
import subprocess
import time
import zipfile
from collections import Counter
from datetime import date
from itertools import pairwise
from pathlib import Path
from unicodedata import normalize

import numpy as np
import octad_data.encoding_letters as letters
from octad_data import DataError, decode_text

FILES = {
    "deu": "deu_1901 deu",
    "ron": "ron_1993 ron",
    "por": "por_PT por_BR",
    "nld": "nld",
    "ell_monotonic": "ell_monotonic",
}
RARE = {  # letters that a language has, but the Declaration hardly
    "rus": "ё", "eng": "éèêëàâïîôöüçñ", "deu": "éèàçêî", "nld": "éëèïöüê", "ita": "éîóú", "fra": "œæÿüëïñ",
    "spa": "üçº", "por": "üïè", "swe": "éàü", "dan": "éü", "nob": "éòôü", "pol": "éüö", "tur": "âîû",
    "afr": "áèïôúý", "ces": "óďťňö", "slk": "ďťĺŕô", "cat": "ïü", "ell_monotonic": "ΐΰϊϋ", "ukr": "ґ", "hun": "ä",
}  # fmt: skip
RARELY = 3e-4
WINDOWS, SIZES = 6, (60, 300, 1500)


def text_of(archive: zipfile.ZipFile, language: str) -> list[str]:
    """Lines of a language, without the heading in English."""
    names = FILES.get(language, language).split()
    found = [archive.read(f"udhr2/{name}.txt").decode("utf-8", "replace") for name in names]
    lines = [" ".join(normalize("NFC", line).split()) for text in found for line in text.splitlines()]
    return [line for line in lines if line]


def tables(archive: zipfile.ZipFile) -> letters.LetterTables:
    """Counted on the odd lines."""
    pairs = np.full((len(letters.LANGUAGES), letters.PAIRS), letters.UNSEEN, dtype=np.uint8)
    singles = np.full((len(letters.LANGUAGES), letters.LETTERS), letters.UNSEEN, dtype=np.uint8)
    for row, language in enumerate(letters.LANGUAGES):
        lines = text_of(archive, language)[1::2]
        whole = "\n".join(lines)
        before, after = Counter(" " + whole.lower()), Counter(whole.lower())
        total = sum(after.values())
        both, alone = Counter(), Counter()
        lower = " " + whole.lower().replace("\n", " ")
        seen = Counter(pairwise(lower))
        for (a, b), count in seen.items():
            if ord(a) > 127 or ord(b) > 127:
                key = int(letters.chain_of(a + b).pairs[-1])
                both[key] += (count + 5 * after[b] / total) / (before[a] + 5)
        for b, count in after.items():
            chain = letters.chain_of(b)
            if len(chain.letters):
                alone[int(chain.letters[0])] += count / total
        for b in RARE.get(language, ""):
            key = int(letters.chain_of(b).letters[0])
            alone[key] = max(alone[key], RARELY)
        for key, p in both.items():
            pairs[row, key] = min(round(-letters.STEP * np.log(min(p, 1.0))), letters.UNSEEN - 1)
        for key, p in alone.items():
            if p:
                singles[row, key] = min(round(-letters.STEP * np.log(min(p, 1.0))), letters.UNSEEN - 1)
    return letters.LetterTables(pairs, singles)


def windows(archive: zipfile.ZipFile) -> list[tuple[str, str, str]]:
    """(encoding, language, text) of held-out windows that are not ASCII and that the encoding can hold."""
    generator = np.random.default_rng(0)
    made = []
    for encoding, languages in letters.ENCODINGS.items():
        for language in languages:
            lines = text_of(archive, language)[0::2]
            whole = "\n".join(lines)
            for size in SIZES:
                for _ in range(WINDOWS):
                    start = int(generator.integers(max(len(whole) - size, 1)))
                    window = whole[start : start + size]
                    if encoding == "cp1258":
                        window = normalize("NFD", window).replace("d\u0335", "đ")
                    data = window.encode(encoding, "ignore")
                    text = data.decode(encoding)
                    if not text.isascii() and sum(a != b for a, b in zip(text, window, strict=False)) == 0:
                        made.append((encoding, language, text))
    return made


def ours(data: bytes) -> str:
    try:
        return decode_text(data)[0]
    except DataError:
        return ""


def charset_normalizer(data: bytes) -> str:
    import charset_normalizer as rival

    best = rival.from_bytes(data).best()
    return "" if best is None else data.decode(best.encoding, "replace")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--train", action="store_true", help="write the tables first")
    parser.add_argument("--show", action="store_true", help="where ours errs")
    given = parser.parse_args()
    archive = zipfile.ZipFile(given.archive)
    if given.train:
        made = tables(archive)
        file = Path(letters.__file__).with_name("encoding_letters.npz")
        np.savez_compressed(file, pairs=made.pairs, letters=made.letters)
        letters.letter_tables.cache_clear()
        print(f"{file.name}: {file.stat().st_size:,} bytes")
    held_out = windows(archive)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    record = {"what": "old encodings", "n": len(held_out), "unit": "share of windows decoded as they were"}
    for name, decode in {"octad": ours, "charset_normalizer": charset_normalizer}.items():
        right, seconds, wrong = [], [], Counter()
        for encoding, language, text in held_out:
            data = text.encode(encoding)
            start = time.process_time()
            found = decode(data)
            seconds.append(time.process_time() - start)
            right.append(found == text.replace("\r", "\n"))
            if not right[-1]:
                wrong[encoding, language, len(text)] += 1
        record[name] = round(statistics.mean(right), 4)
        record[f"{name}_ms"] = round(1000 * statistics.median(seconds), 2)
        for size in SIZES:
            mine = [r for r, (_, _, text) in zip(right, held_out, strict=True) if len(text) == size]
            record[f"{name}_{size}"] = round(statistics.mean(mine), 4)
        if given.show and name == "octad":
            print(wrong.most_common(40))
    record |= {"machine": platform.machine(), "commit": commit, "date": date.today().isoformat()}
    print(json.dumps(record))
    with Path(__file__).with_name("results.jsonl").open("a", encoding="utf-8") as results:
        results.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
