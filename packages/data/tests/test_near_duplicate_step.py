import random
from pathlib import Path

import numpy as np
import pytest
from octad_data import DataError, Document, near_duplicates
from octad_data.near_duplicate_step import NearDuplicates, _pairs
from octad_data.parts import write_part
from octad_data.step import Resources, apply, to_batch, with_column


def corpus(count: int, seed: int) -> list[Document]:
    """Texts, edited copies of them and copies of copies."""
    rng = random.Random(seed)
    texts: list[list[str]] = []
    for _ in range(count):
        if texts and rng.random() < 0.4:
            words = rng.choice(texts).copy()
            for _ in range(rng.randrange(12)):
                words[rng.randrange(len(words))] = f"new{rng.randrange(1000)}"
        else:
            words = [f"w{rng.randrange(3000)}" for _ in range(rng.randrange(50, 200))]
        texts.append(words)
    texts[5], texts[6] = [], ["!", "!"]
    return [Document(" ".join(words), f"d{number:05d}", "s") for number, words in enumerate(texts)]


def decided(tmp_path: Path, documents: list[Document], step: NearDuplicates, size: int) -> list[dict[str, object]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder, into, scratch = tmp_path / f"parts-{size}", tmp_path / f"decisions-{size}", tmp_path / f"scratch-{size}"
    for path in (folder, into, scratch):
        path.mkdir()
    for number, start in enumerate(range(0, len(documents), size)):
        batch = to_batch(documents[start : start + size])
        batch = with_column(batch, "score", pa.array([float(len(d.text) % 7) for d in documents[start : start + size]]))
        kept, dropped = apply([step.signature()], batch)
        write_part(folder / f"part-{number:04d}.parquet", kept, dropped)
    parts = sorted(folder.iterdir())
    step.decide(parts, into, Resources(500, 1, scratch))
    return [row for part in parts for row in pq.read_table(into / part.name).to_pylist()]


@pytest.mark.parametrize("seed", [0, 1])
def test_clusters_of_a_corpus_on_disk_are_those_in_memory(tmp_path: Path, seed: int) -> None:
    documents = corpus(600, seed)
    step = NearDuplicates(threshold=0.7)
    rows = decided(tmp_path, documents, step, 70)
    clusters = near_duplicates(documents, step.config)
    found = {
        d.id: documents[int(str(row["near_duplicate_cluster"]))].id for d, row in zip(documents, rows, strict=True)
    }
    assert found == clusters.cluster_of
    kept = {d.id for d, row in zip(documents, rows, strict=True) if row["dropped_by"] is None}
    assert kept == clusters.survivors
    values = [float(str(row["dropped_value"])) for row in rows if row["dropped_by"] is not None]
    assert all(0.2 < value <= 1 for value in values) and np.median(values) > 0.7
    assert {row["dropped_by"] for row in rows} == {None, "near_duplicates"}


def test_the_size_of_batches_changes_nothing(tmp_path: Path) -> None:
    documents = corpus(300, seed=2)
    assert decided(tmp_path, documents, NearDuplicates(), 300) == decided(tmp_path, documents, NearDuplicates(), 17)


def test_a_column_decides_who_stays(tmp_path: Path) -> None:
    text = " ".join(f"w{number}" for number in range(60))
    documents = [Document(text + " end" * number, f"d{number}", "s") for number in range(5)]
    rows = decided(tmp_path, documents, NearDuplicates(keep=("-score",), threshold=0.5), 2)
    best = max(range(5), key=lambda number: (len(documents[number].text) % 7, -number))
    assert [row["dropped_by"] is None for row in rows] == [number == best for number in range(5)]
    with pytest.raises(DataError, match="no column 'beauty'"):
        decided(tmp_path, documents, NearDuplicates(keep=("beauty",)), 3)


def test_pairs_of_a_bucket() -> None:
    first, second = _pairs(np.array([7, 3, 7, 9, 7, 3], dtype=np.uint64))
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == {(1, 5), (0, 2), (0, 4), (2, 4)}
    first, second = _pairs(np.zeros(1000, dtype=np.uint64))
    wanted = {(0, later) for later in range(1, 1000)} | {(later - 1, later) for later in range(1, 1000)}
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == wanted and len(first) == len(wanted)
    assert len(_pairs(np.zeros(0, dtype=np.uint64))[0]) == 0
