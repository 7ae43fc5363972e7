"""The picture of the README: what GPT-2's vocabulary does, and what each language pays for it.

Run: python benchmarks/diagnosis.py ../../../shared/data docs/gpt2.svg
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

from octad_tokenizer import diagnose, load_gpt2_files, plot_diagnosis

LANGUAGES = {
    "English": "eng",
    "French": "fra",
    "Spanish": "spa",
    "Portuguese": "por_PT",
    "Italian": "ita",
    "Dutch": "nld",
    "Swahili": "swh",
    "Turkish": "tur",
    "Vietnamese": "vie",
    "Finnish": "fin",
    "Hungarian": "hun",
    "Polish": "pol",
    "Russian": "rus",
    "Greek": "ell_monotonic",
    "Hebrew": "heb",
    "Arabic": "arb",
    "Hindi": "hin",
    "Bengali": "ben",
    "Thai": "tha",
    "Burmese": "mya",
    "Amharic": "amh",
    "Chinese": "cmn_hans",
    "Japanese": "jpn",
    "Korean": "kor",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with text/ and tokenizer/")
    parser.add_argument("picture", type=Path, help="an .svg, .png or .pdf to write")
    options = parser.parse_args()
    folder = options.data / "tokenizer"
    tokenizer = load_gpt2_files(folder / "gpt2_vocab.json", folder / "gpt2_merges.txt")
    corpus = [
        (options.data / "text" / name).read_text(encoding="utf-8")
        for name in ("wikitext2_valid.txt", "tinyshakespeare.txt")
    ]
    with zipfile.ZipFile(options.data / "text" / "udhr2.zip") as archive:
        parallel = {name: archive.read(f"udhr2/{code}.txt").decode() for name, code in LANGUAGES.items()}
    found = diagnose(tokenizer, corpus, parallel=parallel)
    print(found.report())
    plot_diagnosis(found, options.picture, "GPT-2: WikiText and Shakespeare; the Universal Declaration")


if __name__ == "__main__":
    main()
