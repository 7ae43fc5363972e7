from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data.text_features import NUM_SIGNALS, SIGNALS, Ngrams, features
from octad_data.texts import Texts

WORDS = Ngrams(words=3, min_characters=1, max_characters=0, bits=24, max_bytes=1 << 20)
CHARACTERS = Ngrams(words=0, min_characters=2, max_characters=4, bits=24, max_bytes=1 << 20)


def word_ngrams(words: list[str], longest: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + k]) for k in range(1, longest + 1) for i in range(len(words) - k + 1))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(["the", "cat", "sat", "été", "12", "Δ"]), max_size=30))
def test_word_counts_are_those_of_the_ngrams(words: list[str]) -> None:
    found = features(Texts.of([" ".join(words), " ".join(words).upper()]), WORDS)
    wanted = sorted(word_ngrams(words, 3).values())
    first = found.counts[: found.starts[1]]
    assert sorted(first.tolist()) == wanted
    assert (np.diff(found.columns[: found.starts[1]]) > 0).all()
    assert found.counts[found.starts[1] :].tolist() == first.tolist()


def test_character_counts_take_white_space_as_one_and_no_case() -> None:
    text = "Ab  c\tab\n\nAB ä"
    plain = "ab c ab\nab ä"
    wanted = Counter(plain[i : i + k] for k in (2, 3, 4) for i in range(len(plain) - k + 1))
    found = features(Texts.of([text]), CHARACTERS)
    assert sorted(found.counts.tolist()) == sorted(wanted.values())


def test_only_the_first_bytes_are_read_and_a_cut_character_is_left_out() -> None:
    ngrams = Ngrams(words=1, min_characters=1, max_characters=0, bits=20, max_bytes=4)
    found = features(Texts.of(["ab é and much more", "ab "]), ngrams)
    assert np.diff(found.starts).tolist() == [1, 1]  # the fifth byte would have ended the é
    assert found.columns[0] == found.columns[1]


def test_signals_are_what_their_names_say() -> None:
    found = features(Texts.of(["The cat sat.\nNo. 7, NASA!\nNo. 7, NASA!\n\n", ""]), WORDS).signals
    signals = dict(zip(SIGNALS, found[0].tolist(), strict=True))
    assert len(SIGNALS) == NUM_SIGNALS == found.shape[1]
    assert signals["log_lines"] == pytest.approx(np.log1p(3))
    assert signals["log_words"] == pytest.approx(np.log1p(9))
    assert signals["distinct_lines"] == pytest.approx(2 / 3)
    assert signals["distinct_words"] == pytest.approx(6 / 9)
    assert signals["lines_that_end_a_sentence"] == 1
    assert signals["all_upper_words"] == pytest.approx(2 / 9)
    assert signals["full_stops"] == pytest.approx(3 / 9)
    assert signals["digits"] == pytest.approx(2 / 40)
    assert np.isfinite(found).all() and not found[1].any()
