"""Accuracy and calls a CPU-second of language detection beside py3langid and pycld2.

Sixty pieces of the Universal Declaration in each of the languages that the web is mostly written in, of 30 to 1,000
characters; once all of them, once those that are nobody's near twin.

python benchmarks/language.py udhr2.zip
"""

import json
import platform
import re
import statistics
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import py3langid
import pycld2
from octad_data.language import OTHER_NAMES, detect_language

LENGTHS = (30, 100, 300, 1000)
PIECES = 60
_NAMES_AND_FILES = """
    af afr am amh ar arb az azj_latn be bel bg bul bn ben bs bos_latn ca cat cs ces cy cym da dan de deu
    el ell_monotonic en eng es spa et est eu eus fa pes_1 fi fin fr fra ga gle gl glg gu guj he heb hi hin
    hr hrv hu hun hy hye id ind is isl it ita ja jpn ka kat kk kaz km khm kn kan ko kor ky kir lt lit lv lav
    mk mkd ml mal mn khk mr mar ms mly_latn my mya ne nep nl nld no nob pa pan pl pol pt por_PT ro ron ru rus
    sk slk sl slv sq als sr srp_cyrl sv swe sw swh ta tam th tha tl tgl tr tur uk ukr ur urd uz uzn_latn vi vie
    xh xho zh cmn_hans zu zul
"""
_WORDS = _NAMES_AND_FILES.split()
FILES = dict(zip(_WORDS[::2], _WORDS[1::2], strict=True))
TWINS = {"bs", "hr", "id", "ms"}
TITLE_LINES = 6
SHORT_LINE = 40  # headings and numbers, but in scripts that say a sentence in fewer characters
SHORT_LINE_OF = {"ja": 10, "ko": 10, "zh": 10}


def pieces(archive: zipfile.ZipFile, length: int) -> list[tuple[str, str]]:
    """Texts of so many characters and the codes of their languages."""
    found = list[tuple[str, str]]()
    for name, stem in FILES.items():
        lines = archive.read(f"udhr2/{stem}.txt").decode().split("\n")[TITLE_LINES:]
        text = re.sub(r"\s+", " ", " ".join(line for line in lines if len(line) > SHORT_LINE_OF.get(name, SHORT_LINE)))
        step = max((len(text) - length) // PIECES, 1)
        cuts = (text[start : start + length] for start in range(0, step * PIECES, step))
        found += [(cut, name) for cut in cuts if len(cut) == length]
    return found


def cld2(text: str) -> str:
    try:
        name = pycld2.detect(text, bestEffort=True)[2][0][1]
    except pycld2.error:
        return "und"
    return OTHER_NAMES.get(name, name)


def main() -> None:
    detect_language(["compiles"])
    ways: dict[str, Callable[[list[str]], list[str]]] = {
        "octad-data": lambda texts: list(detect_language(texts).names),
        "octad-data, a text a call": lambda texts: [detect_language([text]).names[0] for text in texts],
        "py3langid": lambda texts: [py3langid.classify(text)[0] for text in texts],
        "pycld2": lambda texts: [cld2(text) for text in texts],
    }
    with zipfile.ZipFile(sys.argv[1]) as archive:
        samples = {length: pieces(archive, length) for length in LENGTHS}
    for length, rows in samples.items():
        texts, codes = [text for text, _ in rows], [code for _, code in rows]
        rates: dict[str, list[float]] = {name: [] for name in ways}
        found: dict[str, list[str]] = {}
        for _ in range(3):
            for name, way in ways.items():
                start = time.process_time()
                found[name] = way(texts)
                rates[name].append(len(texts) / (time.process_time() - start))
        for what, kept in (
            ("language", list(range(len(codes)))),
            ("language, no twins", [i for i, code in enumerate(codes) if code not in TWINS]),
        ):
            result = {
                "what": what,
                "characters": length,
                "n": len(kept),
                "languages": len({codes[i] for i in kept}),
                "accuracy": {
                    name: round(sum(names[i] == codes[i] for i in kept) / len(kept), 4) for name, names in found.items()
                },
                "calls_per_cpu_s": {name: round(statistics.median(values)) for name, values in rates.items()},
                "machine": platform.machine(),
            }
            print(json.dumps(result))
            with (Path(__file__).parent / "results.jsonl").open("a") as file:
                file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
