import json
from pathlib import Path
from typing import Any

import pytest
from octad_data import DataError, Processes, Recipe, run, unique_paragraphs
from octad_data.document import Document
from octad_data.exact_duplicate_step import DuplicatePieces
from octad_data.parts import read_dropped, read_kept

LONG = [f"A paragraph, number {number}, that is long enough to be looked at." for number in range(30)]


def ran(tmp_path: Path, texts: list[str], *steps: dict[str, Any], documents: int = 3) -> Any:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    table = {
        "source": [{"use": "files", "path": str(tmp_path / "rows.jsonl")}],
        "step": list(steps),
        "batching": {"documents": documents},
    }
    return run(Recipe.from_table(table), tmp_path / f"run-{documents}", Processes(workers=0))


def texts_of(done: Any) -> list[str]:
    return [text for part in done.parts for text in read_kept(part, ["text"]).column("text").to_pylist()]


def test_one_of_equal_documents_stays(tmp_path: Path) -> None:
    texts = ["a b", "c", " a\n b ", "d", "c", "A b", "a b"]
    done = ran(tmp_path, texts, {"use": "exact_duplicates"})
    assert texts_of(done) == ["a b", "c", "d", "A b"]
    rows = [row for part in done.parts for row in read_dropped(part).to_pylist()]
    assert [(row["dropped_by"], row["dropped_value"]) for row in rows] == [
        ("exact_duplicates", 3.0),
        ("exact_duplicates", 2.0),
        ("exact_duplicates", 3.0),
    ]
    longest = ran(
        tmp_path, texts, {"use": "near_duplicates"}, {"use": "exact_duplicates", "keep": "-length"}, documents=2
    )
    assert "c" in texts_of(longest)


@pytest.mark.parametrize("documents", [2, 100])
def test_paragraphs_are_those_of_the_stream_in_memory(tmp_path: Path, documents: int) -> None:
    texts = [f"{LONG[n % 7]}\n\nshort\n\n{LONG[n % 11]}\n\n{LONG[(n * n) % 13]}" for n in range(40)]
    done = ran(tmp_path, texts, {"use": "duplicate_pieces"}, documents=documents)
    wanted = [d.text for d in unique_paragraphs(Document(text, str(n), "s") for n, text in enumerate(texts))]
    kept = texts_of(done)
    assert [text for text in kept if any(line in text for line in LONG)] == [
        text for text in wanted if any(line in text for line in LONG)
    ]
    assert all("piece_keys" not in read_kept(part).column_names for part in done.parts)


def test_lines_may_come_so_often(tmp_path: Path) -> None:
    texts = [f"{LONG[0]}\nown line {number}" for number in range(5)] + [LONG[0]]
    step = {"use": "duplicate_pieces", "unit": "line", "at_most": 2}
    done = ran(tmp_path, texts, step)
    assert texts_of(done) == [*texts[:2], "own line 2", "own line 3", "own line 4"]
    assert done.counts[-1].dropped == {"duplicate_lines": [1, len(LONG[0])]}
    with pytest.raises(DataError, match="use paragraph or line"):
        DuplicatePieces(unit="word")
