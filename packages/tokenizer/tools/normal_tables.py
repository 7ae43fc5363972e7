"""Write `normal_tables.py`: what Hugging Face's `tokenizers` holds every character to be, as ranges of code points.

That library's tables are of several Unicode versions at once (its general categories are older than its cases). So we
do not ask a Unicode file but the library itself, once for each scalar value, and ship the answer.

Run: python tools/normal_tables.py
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import tokenizers
from tokenizers import normalizers, pre_tokenizers

MODULE = Path(__file__).resolve().parents[1] / "src" / "octad_tokenizer" / "normal_tables.py"
SCALARS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
HEAD = '''"""Pinned tables of characters, as ranges of code points in hexadecimal; made by `tools/normal_tables.py`.

They are those of Hugging Face's `tokenizers` {version}, whatever Unicode version the running Python has.
"""
'''


def bert(**switch: bool) -> Callable[[str], str]:
    """One part of BERT's normalizer alone."""
    off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    return normalizers.BertNormalizer(**{**off, **switch}).normalize_str


def ranges(characters: Iterable[str]) -> str:
    """`9-d,20` for the characters; neighbours are joined."""
    codes = sorted(map(ord, characters))
    starts = [code for before, code in pairwise([-2, *codes]) if code != before + 1]
    ends = [code for code, after in pairwise([*codes, 0x110001]) if after != code + 1]
    return ",".join(f"{a:x}" if a == b else f"{a:x}-{b:x}" for a, b in zip(starts, ends, strict=True))


def lower_runs() -> str:
    """`first-last/step:shift` for the capitals whose small letters are `shift` further on."""
    lower = bert(lowercase=True)
    single = [(ord(c), ord(lower(c)) - ord(c)) for c in SCALARS if lower(c) != c and len(lower(c)) == 1]
    runs: list[list[int]] = []
    for code, shift in single:
        if runs and runs[-1][3] == shift and code - runs[-1][1] == runs[-1][2]:
            runs[-1][1] = code
        elif runs and runs[-1][0] == runs[-1][1] and runs[-1][3] == shift and code - runs[-1][1] <= 2:
            runs[-1][1:3] = [code, code - runs[-1][1]]
        else:
            runs.append([code, code, 1, shift])
    return ",".join(f"{first:x}-{last:x}/{step}:{shift}" for first, last, step, shift in runs)


def moved(normalize: Callable[[str], str]) -> list[str]:
    """The characters that `normalize` changes, alone or by putting them before a mark of another class."""
    probes = ("\u0334", "\u302a", "\u05b0", "\u0316", "\u0301", "\u0345")  # classes 1, 218, 10, 220, 230, 240
    return [c for c in SCALARS if normalize(c) != c or any(reordered(normalize, c, probe) for probe in probes)]


def reordered(normalize: Callable[[str], str], character: str, probe: str) -> bool:
    """Whether the two change places, in one order or the other."""
    return normalize(character + probe) == probe + character or normalize(probe + character) == character + probe


def constant(name: str, value: str, comment: str) -> str:
    """One constant, in lines of at most 120 characters."""
    lines = [f'    "{value[at : at + 112]}"' for at in range(0, len(value), 112)]
    body = lines[0].strip() if len(lines) == 1 else "(\n" + "\n".join(lines) + "\n)"
    return f'\n{name} = {body}\n"""{comment}"""\n'


def main() -> None:
    """Ask, check the promises that `normalization.py` builds on, and write the module."""
    clean, chinese = bert(clean_text=True), bert(handle_chinese_chars=True)
    accents, lower = bert(strip_accents=True), bert(lowercase=True)
    nfd, nfkd = normalizers.NFD().normalize_str, normalizers.NFKD().normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    marks = normalizers.StripAccents().normalize_str
    assert [c for c in SCALARS if lower(c) != c and len(lower(c)) > 1] == ["\u0130"]
    canonical, compatible = moved(nfd), moved(nfkd)
    assert all(nfd(c) == unicodedata.normalize("NFD", c) for c in canonical)
    assert all(nfkd(c) == unicodedata.normalize("NFKD", c) for c in compatible)
    parts = [HEAD.format(version=tokenizers.__version__)]
    parts += [
        constant("CONTROL", ranges(c for c in SCALARS if clean(f"a{c}b") == "ab"), "Removed by `clean_text`."),
        constant("SPACE", ranges(c for c in SCALARS if len(split(f"a{c}b")) == 2), "White space."),
        constant("CHINESE", ranges(c for c in SCALARS if chinese(c) != c), "Spaced out by `handle_chinese_chars`."),
        constant(
            "PUNCTUATION", ranges(c for c in SCALARS if len(split(f"a{c}b")) == 3), "Split off by BERT's pre-tokenizer."
        ),
        constant("NONSPACING", ranges(c for c in SCALARS if accents(f"a{c}b") == "ab"), "Removed by `strip_accents`."),
        constant("MARK", ranges(c for c in SCALARS if marks(f"a{c}b") == "ab"), "Removed by `StripAccents`."),
        constant("CANONICAL", ranges(canonical), "What NFD replaces or reorders."),
        constant("COMPATIBLE", ranges(compatible), "What NFKD replaces or reorders."),
        constant("LOWER", lower_runs(), "Capitals: first-last/step:distance to the small letter; U+0130 apart."),
    ]
    MODULE.write_text("".join(parts))


if __name__ == "__main__":
    main()
