from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from octad_tokenizer import BytePairTokenizer, load_gpt2_files, native

if native.engine is None:
    native._warned = True  # the reference is tested as well without the engine; its warning has a test of its own

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Callable[[str], Path]:
    """The path of a data file; the test is skipped where the data is not there."""

    def path(name: str) -> Path:
        if not (DATA / name).exists():
            pytest.skip(f"needs {name} of the shared test data")
        return DATA / name

    return path


@pytest.fixture(scope="session")
def gpt2(data: Callable[[str], Path]) -> BytePairTokenizer:
    return load_gpt2_files(data("tokenizer/gpt2_vocab.json"), data("tokenizer/gpt2_merges.txt"))


@pytest.fixture(scope="session")
def wild_texts() -> list[str]:
    """Texts of odd characters: scripts, marks, numbers, spaces of all kinds, contractions, emoji.

    Only characters assigned before Unicode 12, on which all regular expression engines agree.
    """
    generator = random.Random(7)
    pieces = [
        *"abcXYZ019 \t\n\r.,'’!?-_/<|>",
        *("  ", "\n\n", "\r\n", " \n", "'s", "'LL", "'ve", "don't", "ﬁ", "ſ", "'ſ", "K", "ß", "Ǆ", "ǅ"),
        *("\u00a0", "\u2003", "\u3000", "\u0085", "\u2028", "\u200b", "\u200d", "\ufeff", "\x00", "\x1c", "\x1f"),
        *(
            "é",
            "e\u0301",
            "क्षि",
            "שלום",
            "مرحبا",
            "日本語",
            "한국어",
            "ไทย",
            "Ω",
            "я",
            "½",
            "Ⅷ",
            "٣",
            "²",
            "👩‍👩‍👧",
            "🏳️‍🌈",
            "\U0001f600",
        ),
        *("https://", "foo_bar", "CamelCase", "HTTPServer", "123456", "3.14", "==", "//\n", "<|endoftext|>"),
    ]
    return ["".join(generator.choices(pieces, k=generator.randrange(1, 40))) for _ in range(1500)]
