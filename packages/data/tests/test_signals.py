import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from octad_data import DataError, Document
from octad_data.c4_lines import clean_lines
from octad_data.english_words import split_piece
from octad_data.sentence_marks import LINE_END, SYMBOLS, mark_classes
from octad_data.signals import Signals, compute_signals, signal_names
from octad_data.step import to_batch
from octad_data.stop_words import stop_words
from octad_data.texts import Texts
from octad_data.words import WordSplitter

PARTS = [
    *"abIi'’.,:;-–—!?()\"$%+*/<>=@_#19°cK…~^\\",
    "n't", "'s", "...", "http://", "www.", ".com", "US$", "km", "km/h", ":)", "—", "--", "Mr.", "e.g.", "é", "É", "漢",
    "©", "m²", "the", "of", "word",
]  # fmt: skip


def random_piece(rng: random.Random) -> str:
    return "".join(rng.choices(PARTS, k=rng.randint(1, 9)))


def random_text(rng: random.Random) -> str:
    """Lines of words, some repeated, with every kind of white space and odd line."""
    lines = []
    for _ in range(rng.randint(0, 14)):
        if lines and rng.random() < 0.3:
            lines.append(rng.choice(lines))
            continue
        words = [
            rng.choice(["the", "of", "word", "Long", "javascript", "x", random_piece(rng)])
            for _ in range(rng.randint(0, 12))
        ]
        line = rng.choice([" ", "  ", "\t", "\u00a0"]).join(words)
        line = (
            rng.choice(["", "", "- ", "• ", "   "]) + line + rng.choice(["", ".", "...", "…", "!", '."', "[1].", "。"])
        )
        if rng.random() < 0.1:
            line += rng.choice(
                [" lorem ipsum here.", " a { b.", " Privacy Policy here.", " see [edit] this.", "\u0915।"]
            )
        lines.append(line)
    return rng.choice(["\n", "\n\n", "\r\n", "\n"]).join(lines)


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        ("don't", ["do", "n't"]),
        ("(don’t)!", ["(", "do", "n’t", ")", "!"]),
        ("well-known", ["well", "-", "known"]),
        ("U.S.", ["U.S."]),
        ("Mr.", ["Mr."]),
        ("end.", ["end", "."]),
        ("$5.00,", ["$", "5.00", ","]),
        ("10km/h", ["10", "km/h"]),
        ("http://a.com/b?c=d-e", ["http://a.com/b?c=d-e"]),
        ("name@host.org", ["name@host.org"]),
        ("Anna's", ["Anna", "'s"]),
        ("wait...what", ["wait", "...", "what"]),
        (":-)", [":-)"]),
        ("cannot", ["can", "not"]),
        ("Ill", ["Ill"]),
        ("5pm", ["5", "pm"]),
        ("2013.", ["2013", "."]),
        ("a/somethin'", ["a", "/", "somethin'"]),
        ("x" * 300 + "...it's", ["x" * 300, "...", "it", "'s"]),
    ],
)
def test_english_pieces_are_cut_as_the_filters_expect(piece: str, words: list[str]) -> None:
    assert split_piece(piece) == words


def test_compiled_words_are_those_of_the_rules() -> None:
    rng = random.Random(0)
    pieces = [random_piece(rng) for _ in range(5000)]
    texts = Texts.of([*pieces, " ".join(pieces), "", " \n\u2028 "])
    words = WordSplitter()(texts)
    for index, piece in enumerate(pieces):
        assert words.strings(texts, index) == split_piece(piece)
    assert words.strings(texts, len(pieces)) == [word for piece in pieces for word in split_piece(piece)]
    assert words.strings(texts, len(pieces) + 1) == words.strings(texts, len(pieces) + 2) == []


def test_words_of_other_languages() -> None:
    texts = Texts.of(["Grüß Gott, 2026!", "漢字かな交じり abc", "สวัสดี", "नमस्ते दुनिया।"])
    words = WordSplitter("xx")(texts)
    assert words.strings(texts, 0) == ["Grüß", "Gott", ",", "2026", "!"]
    assert words.strings(texts, 1) == [*"漢字かな交じり", "abc"]
    assert words.strings(texts, 3) == ["नमस्ते", "दुनिया", "।"]


def reference(text: str) -> dict[str, float]:
    """The definitions, read off the papers and the filters built on them, one after the other."""
    words = [word for piece in text.split() for word in split_piece(piece)]
    marks = mark_classes()
    true = [word for word in words if any(not marks[ord(c)] & SYMBOLS for c in word)]
    lines, n, size = text.splitlines(), max(len(words), 1), max(len(text), 1)
    found: dict[str, float] = {
        "characters": len(text),
        "words": len(words),
        "true_words": len(true),
        "mean_word_length": sum(map(len, true)) / max(len(true), 1),
        "symbol_hash_ratio": text.count("#") / n if words else 0,
        "symbol_ellipsis_ratio": (text.count("...") + text.count("…")) / n if words else 0,
        "letter_word_ratio": sum(any(c.isalpha() for c in word) for word in words) / n,
        "stop_words": len(set(words) & set(stop_words("en"))),
        "unique_word_ratio": len(set(words)) / n,
        "word_entropy": -sum(c / n * np.log(c / n) for c in Counter(words).values()),
        "lines": len(lines),
        "bullet_line_ratio": sum(line.lstrip().startswith(("•", "-")) for line in lines) / max(len(lines), 1),
        "ellipsis_line_ratio": sum(line.rstrip().endswith(("...", "…")) for line in lines) / max(len(lines), 1),
    }
    import re

    for name, pieces in (
        ("line", re.split("\n+", text)),
        ("paragraph", re.split("\n{2,}", text.strip())),
    ):
        seen, repeats = set[str](), []
        for piece in pieces:
            if piece in seen:
                repeats.append(piece)
            seen.add(piece)
        found[f"repeated_{name}_ratio"] = len(repeats) / len(pieces) if text else 0
        found[f"repeated_{name}_share"] = sum(map(len, repeats)) / size
    full = [line for line in text.split("\n") if line.strip()]
    ends = [bool(marks[ord(line[-1])] & LINE_END) for line in full]
    found["marked_line_ratio"] = sum(ends) / max(len(full), 1)
    found["short_line_ratio"] = sum(len(line) <= 30 for line in full) / max(len(full), 1)
    seen, repeated = set(), 0
    for line in full:
        repeated += len(line) if line in seen else 0
        seen.add(line)
    found["repeated_full_line_share"] = repeated / max(len(text.replace("\n", "")), 1)
    found["new_line_ratio"] = text.count("\n") / n
    for top in (2, 3, 4):
        runs = Counter(" ".join(words[i : i + top]) for i in range(len(words) - top + 1))
        found[f"top_{top}gram_share"] = next((len(run) * c for run, c in runs.most_common(1)), 0) / size
    for length in range(5, 11):
        seen_runs, characters, at = set[str](), 0, 0
        while at < len(words) - length + 1:
            run = "\0".join(words[at : at + length])
            if run in seen_runs:
                characters += len(run) - length + 1
                at += length
            else:
                seen_runs.add(run)
                at += 1
        found[f"repeated_{length}gram_share"] = characters / size
    page = clean_lines(text)
    found["c4_lorem_ipsum"], found["c4_curly_bracket"] = float(page.lorem_ipsum), float(page.curly_bracket)
    found["c4_sentences"] = page.sentences
    return found


def odd_text(rng: random.Random) -> str:
    """A few pieces that come again and again, with breaks of lines among them."""
    pieces = [
        "\n",
        "\n\n",
        "\r\n",
        "\u2028",
        " ",
        "a",
        "b.",
        "C d e.",
        "…",
        "- x",
        "#",
        "We use cookies on it.",
        "x" * 1001,
    ]
    pieces += ["Terms of Use and so.", "lorem ipsum", "{", "[12]", "[edit]", "é" * 31, "a b c d e f g.", "can't", "(:"]
    chosen = rng.sample(pieces, rng.choice([3, 8, len(pieces)]))
    return "".join(rng.choice(chosen) + rng.choice(["", " "]) for _ in range(rng.randrange(40)))


def test_every_signal_is_its_definition() -> None:
    rng = random.Random(1)
    texts = [random_text(rng) for _ in range(400)] + [odd_text(rng) for _ in range(400)]
    found = compute_signals(Texts.of(texts))
    assert set(found) == set(signal_names())
    for row, text in enumerate(texts):
        for name, value in reference(text).items():
            assert found[name][row] == pytest.approx(value, abs=1e-9), (name, text)


def test_clean_lines_follow_c4() -> None:
    page = clean_lines(
        "One two three.\nno end mark here\nToo short.\nIt ends so...\nPlease enable javascript now.\n"
        'We use cookies on it.\nHe said "so it is."\nA cited fact[12] is here.\n' + "x" * 1001 + " is too long."
    )
    assert page.lines == ("One two three.", 'He said "so it is."', "A cited fact is here.")
    assert page.sentences == 3 and not page.lorem_ipsum and not page.curly_bracket
    assert clean_lines("A good line here.\nThen lorem ipsum dolor sit.\nMore lines to go.").lorem_ipsum
    assert clean_lines("A good line here.\nint main() { return 0.").curly_bracket
    assert clean_lines("First. Second! Third? (Fourth.) Fifth.").sentences == 5


def test_no_text_is_too_odd() -> None:
    texts = [
        "",
        " ",
        "\n\n\n",
        "\0",
        "....",
        "!" * 3000,
        "a" * 100_000,
        "\ud800",
        "[" * 500,
        "©" * 100,
        "-" * 5000 + "a",
    ]
    found = compute_signals(Texts.of(texts))
    assert all(np.isfinite(values).all() for values in found.values())


def test_the_step_adds_columns_and_takes_the_language_of_each_row() -> None:
    batch = to_batch([Document("the end of that", "a", "s"), Document("der Anfang und das Ende", "b", "s")])
    assert Signals(families=("lines",))(batch).column("lines").to_pylist() == [1.0, 1.0]
    with pytest.raises(DataError, match="needs a column"):
        Signals(language="*")(batch)
    batch = batch.append_column("language", pa.array(["en", "de"]))
    assert Signals(language="*", families=("words",))(batch).column("stop_words").to_pylist() == [3.0, 3.0]
    with pytest.raises(DataError, match="'word' is not known"):
        Signals(families=("word",))
