import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octad_data import DataError, Document
from octad_data.bit_edits import edit_share
from octad_data.decontamination import ContaminationIndex, Decontaminate, Item, found_items, read_items
from octad_data.step import apply, to_batch

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprstv" for b in "aeiou" for c in ("n", "rd", "st", "l", "ck")]


def sentence(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(WORDS, k=count))


def items(count: int, seed: int = 0) -> list[Item]:
    rng = random.Random(seed)
    return [Item("quiz", number, sentence(rng, rng.choice([6, 9, 15, 30, 70, 150]))) for number in range(count)]


def edited(text: str, share: float, rng: random.Random) -> str:
    """Letters left out, put in or exchanged."""
    found = []
    for character in text:
        draw = rng.random()
        if draw < share / 3:
            continue
        found.append(rng.choice("abcdefgh ") if draw < 2 * share / 3 else character)
        if 2 * share / 3 <= draw < share:
            found.append(rng.choice("abcdefgh "))
    return "".join(found)


def hidden(index: ContaminationIndex, texts: list[str], seed: int) -> set[int]:
    """Which of the texts, put into documents of their own, were found as themselves."""
    rng = random.Random(seed)
    documents = [f"{sentence(rng, rng.randrange(300))}\n{text}\n{sentence(rng, rng.randrange(300))}" for text in texts]
    return {match.item for match in index.find(documents) if match.document == match.item}


def test_what_stands_there_verbatim_is_always_found() -> None:
    quiz = items(300)
    index = ContaminationIndex(quiz)
    assert hidden(index, [item.text for item in quiz], seed=1) == set(range(300))
    assert hidden(index, [item.text.upper().replace(" ", ",  ") + "?" for item in quiz], seed=2) == set(range(300))


def test_what_was_edited_a_little_is_found() -> None:
    quiz = [item for item in items(400) if len(item.text.split()) >= 8]
    quiz = [Item("quiz", number, item.text) for number, item in enumerate(quiz)]
    rng = random.Random(3)
    found = hidden(ContaminationIndex(quiz), [edited(item.text, 0.05, rng) for item in quiz], seed=4)
    assert len(found) >= 0.9 * len(quiz)


def test_other_text_of_the_same_words_is_not_found() -> None:
    index, rng = ContaminationIndex(items(300)), random.Random(5)
    assert index.find([sentence(rng, 400) for _ in range(1000)]) == []


def test_items_too_short_to_be_evidence_are_counted() -> None:
    index = ContaminationIndex(
        [Item("a", 0, "two words"), Item("a", 1, "five words are just enough"), Item("b", 0, "")]
    )
    assert index.not_checkable == {"a": 1, "b": 1}
    assert [match.item for match in index.find(["There are two words. But: five words are just enough!"])] == [1]
    assert index.find(["five words were just enough"]) == []
    with pytest.raises(DataError, match="no item has 5 words"):
        ContaminationIndex([Item("a", 0, "two words")])


def fewest_edits(pattern: list[int], text: list[int]) -> int:
    """The textbook's table: rows of the pattern, a stretch begins and ends anywhere."""
    before = [0] * (len(text) + 1)
    for row, symbol in enumerate(pattern, 1):
        column = [row]
        for place, other in enumerate(text):
            column.append(min(before[place] + (symbol != other), before[place + 1] + 1, column[place] + 1))
        before = column
    return min(before)


@given(
    pattern=st.lists(st.integers(1, 4), min_size=1, max_size=200),
    text=st.lists(st.integers(1, 5), max_size=150),
    copied=st.integers(0, 150),
)
def test_the_share_is_that_of_the_fewest_edits(pattern: list[int], text: list[int], copied: int) -> None:
    text[copied:copied] = pattern[: copied + 30]
    symbols = [np.array(row, dtype=np.uint64) * np.uint64(2**61 + 1) for row in (pattern, text)]
    assert edit_share(*symbols) == pytest.approx(1 - fewest_edits(pattern, text) / len(pattern))


def test_letters_of_a_word_count_and_not_what_is_between() -> None:
    index = ContaminationIndex([Item("a", 0, "naïve Ωmega, the strasse of all: café crème!")])
    (match,) = index.find(["so: NAÏVE — ωmega the straße of all café-crème and more"])
    assert match.share == 1 and match.start == 4
    (match,) = index.find(["so: naïve ωmeg the strasse of all café crème and more"])
    assert match.share == pytest.approx(1 - 1 / len("naïveΩmegathestrasseofallcafécrème"))
    assert index.find(["so: naïve mega tha strass off all cafe creme and more"]) == []


def test_the_step_drops_cuts_or_marks(tmp_path: Path) -> None:
    question = "How many clips did she sell altogether in April and May of that year"
    (tmp_path / "gsm.jsonl").write_text(json.dumps({"question": f"Question: {question}?", "answer": "72"}) + "\n")
    rows = [Document(f"Before it. {question}! After it, more words.", "a", "s"), Document("Nothing of that.", "b", "s")]
    path = str(tmp_path / "gsm.jsonl")
    kept, dropped = apply([Decontaminate(against=(path,))], to_batch(rows))
    assert kept.column("id").to_pylist() == ["b"]
    assert [(row["dropped_by"], row["dropped_value"]) for row in dropped[0].to_pylist()] == [
        ("decontamination.gsm", 1.0)
    ]
    kept, _ = apply([Decontaminate(against=(path,), action="mark")], to_batch(rows))
    assert kept.column("contamination").to_pylist() == [["gsm:0"], []]
    assert found_items(kept.column("contamination").to_pylist()) == {"gsm": {0}}
    kept, _ = apply([Decontaminate(against=(path,), action="cut")], to_batch(rows))
    left = kept.column("text").to_pylist()
    assert (
        question not in left[0]
        and left[0].startswith("Before")
        and left[0].endswith("words.")
        and left[1] == rows[1].text
    )
    for wrong in ({"against": ()}, {"against": (path,), "action": "hide"}):
        with pytest.raises(DataError):
            Decontaminate(**wrong)  # type: ignore[arg-type]


def test_evaluation_sets_are_read_or_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"What, then?",yes,no\nAnd now?,a,b\n')
    assert [item.text for item in read_items(tmp_path / "a.csv")] == ["What, then?", "And now?"]
    (tmp_path / "b.txt").write_text("one\n\ntwo\n")
    assert [(item.set_name, item.number, item.text) for item in read_items(tmp_path / "b.txt")] == [
        ("b", 0, "one"),
        ("b", 1, "two"),
    ]
    (tmp_path / "c.jsonl").write_text('{"query": "Passage: P.\\nQuestion: Q?", "gold": 0}\n')
    assert read_items(tmp_path / "c.jsonl")[0].text == "P.\nQ?"
    (tmp_path / "d.jsonl").write_text("{broken\n")
    for name, message in (
        ("d.jsonl", "not JSON: .*d.jsonl:1"),
        ("e.jsonl", "no evaluation set"),
        ("c.jsonl", "no items"),
    ):
        with pytest.raises(DataError, match=message):
            read_items(tmp_path / name, fields=("answer",))


def test_no_document_is_too_odd() -> None:
    index = ContaminationIndex(items(50))
    assert index.find(["", " ", "\0", "!" * 5000, "\ud800", "漢" * 1000, "a" * 100_000]) == []
