import random
import re

import numpy as np
import pytest
from octad_data import Document
from octad_data.errors import DataError
from octad_data.step import to_batch
from octad_data.texts import Texts
from octad_data.word_lists import WINDOW, WordList, WordMatcher


def found(entries: list[str], text: str) -> list[tuple[str, str]]:
    return [(entry, text[a:b]) for entry, a, b in WordMatcher(entries).find(text)]


def test_entries_are_met_at_word_borders_in_any_case() -> None:
    assert (
        found(["cat"], "Cat, CAT! category bobcat cat_x cat's")
        == [("cat", "Cat"), ("cat", "CAT")] + [("cat", "cat")] * 2
    )
    assert found(["élan", "straße"], "ÉLAN Straße élans") == [("élan", "ÉLAN"), ("straße", "Straße")]
    assert found(["公园"], "我们今天去公园散步") == [("公园", "公园")]
    assert found(["हिन्दी"], "यह हिन्दी है") == [("हिन्दी", "हिन्दी")]


def test_phrases_span_white_space_and_signs_but_no_line_end() -> None:
    assert [b for _, b in found(["new york"], "New  York, new-york; new\tYORK. New\nYork newyork")] == [
        "New  York",
        "new-york",
        "new\tYORK",
    ]
    assert found(["a b", "b c", "b"], "a b c") == [("a b", "a b"), ("b", "b"), ("b c", "b c")]
    assert found(["a a"], "a a a") == [("a a", "a a")] * 2


def test_entries_of_signs_are_met_as_runs() -> None:
    assert found(["🖕", "%$"], "a 🖕🖕 %$ $% %%$$ b 🖕") == [("🖕", "🖕🖕"), ("%$", "%$"), ("%$", "%%$$"), ("🖕", "🖕")]


def test_counts_match_a_plain_reference() -> None:
    rng = random.Random(0)
    words = [f"{a}{b}" for a in "xyz" for b in "abé"]
    entries = [" ".join(rng.choices(words, k=rng.randint(1, 4))) for _ in range(30)]
    texts = ["".join(rng.choice(words) + rng.choice([" ", ", ", "\n", "  "]) for _ in range(200)) for _ in range(20)]
    hits, counts = WordMatcher(entries).count(Texts.of(texts))

    def reference(text: str) -> tuple[int, int]:
        total = size = 0
        for line in text.split("\n"):
            row = re.findall(r"\w+", line)
            size += len(row)
            for entry in set(entries):
                wanted = entry.split()
                total += sum(row[i : i + len(wanted)] == wanted for i in range(len(row)))
        return total, size

    assert [(int(h), int(c)) for h, c in zip(hits, counts, strict=True)] == [reference(text) for text in texts]


@pytest.mark.parametrize("separator", [" ", "\n", " , "])
def test_long_texts_are_met_across_windows(separator: str) -> None:
    words = [f"é{i % 97}" for i in range(4 * WINDOW // 5)]
    text = separator.join(words)
    matcher = WordMatcher(["é3 é4", "é96"])
    hits, counts = matcher.count(Texts.of([text, "é96"]))
    pairs = 0 if separator == "\n" else words.count("é3")
    assert counts.tolist() == [len(words), 1]
    assert hits.tolist() == [pairs + words.count("é96"), 1]
    entry, first, after = matcher.find(text)[-1]
    assert text[first:after].replace(separator, " ") == entry


def test_any_text_is_counted() -> None:
    matcher = WordMatcher(["a", "🙂"])
    strange = ["", "\x00", "\ud800 a", "a" * 200_000, " " * 200_000, "🙂" * 70_000, ("." * 70_000) + " a", "\u0301"]
    hits, _ = matcher.count(Texts.of(strange))
    assert hits.tolist()[:5] == [0, 0, 1, 0, 0] and hits[5] >= 1 and hits[6:].tolist() == [1, 0]
    for size in range(WINDOW - 4, WINDOW + 5):
        assert matcher.count(Texts.of(["é" * (size // 2) + " " * (size % 2) + "\na a"]))[0][0] == 2


def test_list_step_counts_and_drops(tmp_path) -> None:
    path = tmp_path / "bad.txt"
    path.write_text("# a comment\nfoo\n\nbar baz  # and why\nfoo\n", encoding="utf-8")
    texts = ["foo bar baz", "foo and " * 2 + "good " * 96, "clean", ""]
    batch = to_batch([Document(text, str(i), "s") for i, text in enumerate(texts)])
    out = WordList(str(path), at_most_share=0.5)(batch)
    assert out.column("words_bad").to_pylist() == [2, 2, 0, 0]
    assert out.column("dropped_by").to_pylist() == ["word_list.bad.share", None, None, None]
    out = WordList(str(path), name="x", at_most=0)(batch)
    assert out.column("dropped_by").to_pylist() == ["word_list.x", "word_list.x", None, None]
    assert out.column("dropped_value").to_pylist()[:2] == [2.0, 2.0]
    path.write_text("clean\n")  # a list that was edited is read again
    assert WordList(str(path))(batch).column("words_bad").to_pylist() == [0, 0, 1, 0]


def test_lists_that_say_nothing_are_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="no entry"):
        WordMatcher([" ", ""])
    with pytest.raises(DataError, match="17 words"):
        WordMatcher(["a " * 17])
    with pytest.raises(DataError, match="not readable"):
        WordList(str(tmp_path / "none"))(to_batch([]))
    with pytest.raises(DataError, match="at_most_share"):
        WordList("x", at_most_share=2)
    assert np.array(WordMatcher(["a"]).count(Texts.of([]))).size == 0
