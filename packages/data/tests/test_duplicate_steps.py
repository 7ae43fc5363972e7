"""Duplicate finders as steps of a recipe: what they do over batches is what they do over everything at once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from octad_data import DataError, Processes, Recipe, run
from octad_data.bloom import BloomFilter, StreamDuplicates
from octad_data.clusters import UnionFind
from octad_data.document import Document
from octad_data.parts import read_dropped, read_kept
from octad_data.semantic import semantic_duplicates
from octad_data.shingles import Shingler
from octad_data.simhash import simhash
from octad_data.step import to_batch
from octad_data.substrings import duplicate_substrings, remove_spans
from octad_data.texts import Texts

MODULES = Path(__file__).parent / "modules"
WORDS = np.array("the lamp oil wick boat harbour fog bell keeper winter letter book city evening small old".split())  # noqa: SIM905


def corpus(count: int = 60, seed: int = 0) -> list[str]:
    """Texts of lines, of which many share lines, and some are changed copies of others."""
    generator = np.random.default_rng(seed)
    lines = [" ".join(generator.choice(WORDS, 20)) for _ in range(40)]
    texts = []
    for number in range(count):
        if number % 3 == 2:
            words = texts[generator.integers(len(texts))].split(" ")
            words[generator.integers(len(words))] = "changed"
            texts.append(" ".join(words))
        else:
            texts.append("\n".join(lines[place] for place in generator.choice(40, 4)))
    return [*texts, "", "one"]


def ran(tmp_path: Path, texts: list[str], *steps: dict[str, Any], documents: int = 7, engine: Any = None) -> Any:
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    table = {
        "source": [{"use": "files", "path": str(tmp_path / "rows.jsonl")}],
        "step": list(steps),
        "batching": {"documents": documents},
    }
    return run(Recipe.from_table(table), tmp_path / f"run-{documents}", engine or Processes(workers=0))


def rows_of(done: Any) -> dict[int, dict[str, Any]]:
    """Every row by the line of the file that it came from."""
    rows = [row for part in done.parts for table in (read_kept(part), read_dropped(part)) for row in table.to_pylist()]
    return {int(dict(row["metadata"])["line"]) - 1: row for row in rows}


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    monkeypatch.syspath_prepend(MODULES)


@pytest.fixture
def texts() -> list[str]:
    return [text for text in corpus() if text]


@pytest.mark.parametrize("documents", [7, 1000])
@pytest.mark.parametrize("distance", [0, 3, 9])
def test_simhash_clusters_are_the_components_of_all_pairs(tmp_path, texts, documents, distance):
    done = ran(tmp_path, texts, {"use": "simhash_duplicates", "distance": distance}, documents=documents)
    hashes = [int(value) for value in simhash(Shingler(3).sets(texts))]
    words = np.diff(Shingler(3).sets(texts).offsets)
    groups = UnionFind(len(texts))
    for a in range(len(texts)):
        for b in range(a):
            if words[a] and words[b] and (hashes[a] ^ hashes[b]).bit_count() <= distance:
                groups.union(a, b)
    rows = rows_of(done)
    for number, row in rows.items():
        members = [other for other in rows if groups.find(other) == groups.find(number)]
        survivor = min(members, key=lambda other: (-len(texts[other].encode()), other))
        assert row["simhash_cluster"] == min(members) or row["dropped_by"]
        assert (row["dropped_by"] is None) == (number == survivor)
        if row["dropped_by"]:
            assert row["dropped_by"] == "simhash_duplicates"
            assert row["dropped_value"] == (hashes[number] ^ hashes[survivor]).bit_count()


@pytest.mark.parametrize("documents", [7, 1000])
@pytest.mark.parametrize("min_bytes", [30, 100])
def test_substrings_are_cut_as_from_the_whole_corpus(tmp_path, texts, documents, min_bytes):
    done = ran(tmp_path, texts, {"use": "duplicate_substrings", "min_bytes": min_bytes}, documents=documents)
    together = Texts.of(texts)
    spans = duplicate_substrings(together, min_bytes)
    left = list(remove_spans(together, spans))
    rows = rows_of(done)
    assert len(rows) == len(texts) and spans.num_bytes.sum() > 0
    for number, row in rows.items():
        if left[number].strip():
            assert row["text"] == left[number] and row["dropped_by"] is None
            assert row["repeated_bytes"] == spans.num_bytes[number]
        else:
            assert row["text"] == texts[number] and row["dropped_by"] == "duplicates.substrings"
            assert row["dropped_value"] == spans.num_bytes[number] / len(texts[number].encode())
        assert "repeated_spans" not in row


@pytest.mark.parametrize("documents", [7, 1000])
@pytest.mark.parametrize("kind", ["line", "paragraph"])
def test_bloom_filter_over_batches_is_that_over_a_stream(tmp_path, texts, documents, kind):
    options = {"ngram": 5, "kind": kind}
    if kind == "paragraph":
        texts = [text.replace("\n", "\n\n") for text in texts]
    done = ran(tmp_path, texts, {"use": "bloom_duplicates", "capacity": 20_000, **options}, documents=documents)
    stream = StreamDuplicates(BloomFilter.sized(20_000, 0.001), **options)
    expected = stream(to_batch([Document(text, str(n), "s") for n, text in enumerate(texts)])).to_pylist()
    assert any(row["dropped_by"] for row in expected) and any(
        row["text"] != text for row, text in zip(expected, texts, strict=True)
    )
    for number, row in rows_of(done).items():
        for name in ("text", "dropped_by", "dropped_value"):
            assert row[name] == expected[number][name], (number, name)
        assert row["dropped_by"] or "bloom_pieces" not in row or row["bloom_pieces"] is None


def test_bloom_filter_of_another_corpus_removes_what_it_holds(tmp_path, texts):
    known = BloomFilter.sized(1000, 1e-6)
    known.add(Shingler(5).sets([texts[0]]).shingles)
    known.save(tmp_path / "known.npz")
    step = {"use": "bloom_duplicates", "known": str(tmp_path / "known.npz"), "learn": False, "ngram": 5}
    rows = rows_of(ran(tmp_path, [texts[1], texts[0], texts[1]], step))
    assert [rows[n]["dropped_by"] for n in range(3)] == [None, "duplicates.bloom", None]


@pytest.mark.parametrize("documents", [7, 1000])
@pytest.mark.parametrize("choice", [{"first": "far"}, {"first": "first", "keep": ["-length"]}])
def test_semantic_duplicates_of_a_corpus_by_a_column_of_embeddings(tmp_path, texts, documents, choice):
    embed = {"use": "steps_of_tests:CountWords"}
    step = {"use": "semantic_duplicates", "threshold": 0.9, "groups": 2, **choice}
    steps = [embed, {"use": "simhash_duplicates", "distance": 0}, step] if choice.get("keep") else [embed, step]
    rows = rows_of(ran(tmp_path, texts, *steps, documents=documents))
    stays = [n for n in sorted(rows) if rows[n]["dropped_by"] != "simhash_duplicates"]
    vectors = np.array([rows[n]["embedding"] for n in stays], dtype=np.float32)
    order = None
    if choice.get("keep"):
        order = np.argsort(np.argsort([-len(texts[n].encode()) for n in stays], kind="stable"))
    found = semantic_duplicates(vectors, 0.9, 2, choice["first"], order)
    assert 0 < found.keep.sum() < len(stays)
    for place, number in enumerate(stays):
        assert (rows[number]["dropped_by"] is None) == found.keep[place]
        if not found.keep[place]:
            assert rows[number]["dropped_by"] == "semantic_duplicates"
            assert rows[number]["dropped_value"] == pytest.approx(found.similarity[place], abs=1e-6)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"use": "semantic_duplicates"}], "no column 'embedding' of lists of numbers"),
        ([{"use": "semantic_duplicates", "first": "last"}], "first='last' is unknown"),
        ([{"use": "semantic_duplicates", "keep": ["length"]}], "columns order documents for first='first'"),
        ([{"use": "semantic_duplicates", "threshold": 2.0}], "threshold=2.0 is not a cosine"),
        ([{"use": "simhash_duplicates", "distance": 40}], r"distance=40 is not in \[0, 16\]"),
        ([{"use": "simhash_duplicates", "keep": ["score"]}], "there is no column 'score'"),
        ([{"use": "duplicate_substrings", "min_bytes": 0}], "min_bytes=0 is not positive"),
        ([{"use": "bloom_duplicates", "learn": False}], "without a known filter removes nothing"),
        ([{"use": "bloom_duplicates", "known": "gone.npz"}], "not a Bloom filter: gone.npz"),
        ([{"use": "bloom_duplicates", "capacity": 10**12}], "the filter takes 1,7.. ?.*MB, allowed are"),
        ([{"use": "bloom_duplicates", "kind": "page"}], "kind='page' is no kind of piece"),
        ([{"use": "bloom_duplicate"}], "unknown step 'bloom_duplicate'.*bloom_duplicates"),
    ],
)
def test_what_cannot_be_is_said(tmp_path, steps, message):
    with pytest.raises(DataError, match=message):
        ran(tmp_path, ["a b c d"], *steps)


STEPS = [
    {"use": "duplicate_substrings", "min_bytes": 60},
    {"use": "bloom_duplicates", "capacity": 20_000, "ngram": 5},
    {"use": "simhash_duplicates", "distance": 6},
    {"use": "steps_of_tests:CountWords"},
    {"use": "semantic_duplicates", "threshold": 0.99},
]


def test_worker_processes_give_the_same_rows(tmp_path, texts):
    texts = [*texts, texts[0]]
    alone = rows_of(ran(tmp_path / "a", texts, *STEPS))
    assert rows_of(ran(tmp_path / "b", texts, *STEPS, engine=Processes(workers=2))) == alone
    assert len(alone) < len(texts) and {row["dropped_by"] for row in alone.values()} >= {None, "semantic_duplicates"}


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_the_same_rows(tmp_path, texts, monkeypatch):
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # the workers need no environment of their own
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    from octad_data.ray_engine import RayData

    alone = rows_of(ran(tmp_path / "a", texts, *STEPS[:1], STEPS[2]))
    environment = {"env_vars": {"PYTHONPATH": str(MODULES)}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    try:
        assert rows_of(ran(tmp_path / "b", texts, *STEPS[:1], STEPS[2], engine=RayData())) == alone
    finally:
        ray.shutdown()
