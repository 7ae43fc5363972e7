import random
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data import DataError, Document
from octad_data.step import to_batch
from octad_data.substrings import CutRepeats, duplicate_substrings, duplicate_substrings_of_shards, remove_spans
from octad_data.suffix_array import common_prefixes, suffix_array
from octad_data.texts import Texts

SMALL_TEXTS = st.lists(st.text(alphabet="abé", max_size=30), max_size=8)


def shared(first: bytes, second: bytes) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(first), len(second)))


def check_suffixes(values: bytes) -> None:
    found = suffix_array(np.frombuffer(values, dtype=np.uint8))
    assert found.tolist() == sorted(range(len(values)), key=lambda place: values[place:])
    prefixes = common_prefixes(np.frombuffer(values, dtype=np.uint8), found)
    for before, place in pairwise(found):
        assert prefixes[place] == shared(values[before:], values[place:])


@settings(deadline=None)
@given(st.binary(max_size=200) | st.lists(st.sampled_from(b"ab"), max_size=200).map(bytes))
def test_suffix_array_sorts_suffixes(values):
    check_suffixes(values)


@pytest.mark.parametrize(
    "values", [b"", b"a", b"aaaa" * 50, b"mississippi" * 9, b"ab" * 99 + b"a", bytes(range(256)) * 2, b"\xff\x00" * 40]
)
def test_suffix_array_of_repetitive_texts(values):
    check_suffixes(values)


def test_suffix_array_of_tokens_keeps_their_order():
    tokens = np.random.default_rng(0).integers(0, 50_000, size=500) % 7 * 9000
    assert suffix_array(tokens).tolist() == sorted(range(500), key=lambda place: tokens[place:].tolist())
    with pytest.raises(DataError, match="-3"):
        suffix_array(np.array([5, -3]))


def reference_spans(texts: list[str], size: int) -> list[list[tuple[int, int]]]:
    """Window by window: what occurred before, in one text and without overlap; then unions, cut to characters."""
    first: dict[bytes, int] = {}
    base, result = 0, []
    for text in texts:
        data = text.encode()
        covered = [False] * (len(data) + 1)
        spans: list[list[int]] = []
        for place in range(len(data) - size + 1):
            window = data[place : place + size]
            if first.setdefault(window, base + place) + size <= base + place:
                if spans and place <= spans[-1][1]:
                    spans[-1][1] = place + size
                else:
                    spans.append([place, place + size])
        whole = [place == len(data) or data[place] & 0xC0 != 0x80 for place in range(len(covered))]
        inward = [(next(p for p in range(a, b + 1) if whole[p] or p == b), b) for a, b in spans]
        inward = [(a, next(p for p in range(b, a - 1, -1) if whole[p] or p == a)) for a, b in inward]
        result.append([(a, b) for a, b in inward if a < b])
        base += len(data)
    return result


@settings(deadline=None)
@given(SMALL_TEXTS, st.integers(1, 9))
def test_duplicate_substrings_match_a_dictionary_of_windows(texts, size):
    spans = duplicate_substrings(Texts.of(texts), size)
    assert [spans[index] for index in range(len(texts))] == reference_spans(texts, size)
    left = remove_spans(Texts.of(texts), spans)
    assert (np.diff(left.offsets) + spans.num_bytes == [len(text.encode()) for text in texts]).all()
    assert all("\ufffd" not in text for text in left)


@settings(deadline=None, max_examples=40)
@given(SMALL_TEXTS, st.integers(1, 9), st.integers(1, 4))
def test_shards_give_the_spans_of_all_at_once(tmp_path_factory, texts, size, count):
    parts = [texts[start::count] for start in range(count)]
    whole = duplicate_substrings(Texts.of([text for part in parts for text in part]), size)
    folder = tmp_path_factory.mktemp("shards")
    shards = duplicate_substrings_of_shards(lambda: map(Texts.of, parts), size, 1_000_000, folder)
    found = [spans[index] for spans in shards for index in range(len(spans))]
    assert found == [whole[index] for index in range(len(whole))]
    assert list(folder.iterdir()) == []


def test_shards_in_several_passes(tmp_path):
    rng = random.Random(0)
    texts = ["".join(rng.choices("abcdefgh ", k=2000)) for _ in range(60)]
    for number in range(0, 60, 3):
        texts[number] = texts[number][:700] + texts[number - 1][100:1100] + texts[number][700:]
    parts = [texts[:25], texts[25:]]
    whole = duplicate_substrings(Texts.of(texts), 100)
    shards = duplicate_substrings_of_shards(lambda: map(Texts.of, parts), 100, 1_000_000, tmp_path)  # 6 passes
    assert [spans[index] for spans in shards for index in range(len(spans))] == [whole[index] for index in range(60)]
    assert whole.num_bytes.sum() >= 19 * 1000


def test_the_first_occurrence_stays_and_the_second_goes():
    passage = "What is said once and is long enough to count — and said in words that nobody would say by chance. "
    texts = [f"One. {passage}Two.", f"Three, {passage}four.", passage]
    left = list(remove_spans(Texts.of(texts), duplicate_substrings(Texts.of(texts), 50)))
    assert left[0] == texts[0]
    assert left[1].startswith("Three,") and left[1].endswith("four.") and "nobody" not in left[1]
    assert len(left[2]) < 5


def test_a_text_that_repeats_itself_keeps_one_period():
    left = remove_spans(Texts.of(["ab" * 500]), duplicate_substrings(Texts.of(["ab" * 500]), 20))
    assert list(left) == ["ab" * 10]


def test_texts_that_start_inside_their_buffer():
    texts = Texts.from_arrow(pa.array(["x" * 30, "y" * 30 + "z", "y" * 30, "w"]).slice(1, 2))
    spans = duplicate_substrings(texts, 30)
    assert [spans[0], spans[1]] == [[], [(0, 30)]]
    assert list(remove_spans(texts, spans)) == ["y" * 30 + "z", ""]


def test_cut_repeats_drops_what_is_emptied_and_keeps_its_text():
    passage = "A sentence that is long enough to be taken for a repeat where it stands twice."
    batch = CutRepeats(min_bytes=40)(to_batch([Document(passage, "a", "s"), Document(passage, "b", "s")]))
    assert batch.column("dropped_by").to_pylist() == [None, "duplicates.substrings"]
    assert batch.column("dropped_value").to_pylist() == [None, 1.0]
    assert batch.column("text").to_pylist() == [passage, passage]
    assert batch.column("repeated_bytes").to_pylist() == [0, len(passage)]


def test_substrings_refuse_what_cannot_be(tmp_path):
    with pytest.raises(DataError, match="min_bytes=0"):
        duplicate_substrings(Texts.of(["a"]), 0)
    with pytest.raises(DataError, match="memory_bytes=5"):
        list(duplicate_substrings_of_shards(list, 10, 5, tmp_path))
    calls = iter([[Texts.of(["abc"])], [Texts.of(["abcd"])]])
    with pytest.raises(DataError, match="shard 0 has other texts"):
        list(duplicate_substrings_of_shards(lambda: next(calls), 10, 10**6, tmp_path))
    assert len(duplicate_substrings(Texts.of([]), 3)) == 0
