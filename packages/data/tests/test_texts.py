import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data.characters import DIGIT, LETTER, SPACE, UNSPACED, UPPER, character_classes, decode_at, lower_case
from octad_data.errors import DataError
from octad_data.texts import Texts

ANY_TEXT = st.lists(st.text(st.characters(exclude_categories=["Cs"])))


@given(ANY_TEXT)
def test_texts_hold_what_they_were_given(texts: list[str]) -> None:
    assert list(Texts.of(texts)) == texts


@settings(deadline=None)  # the first example imports pyarrow
@given(ANY_TEXT, st.sampled_from([pa.string(), pa.large_string()]), st.integers(0, 3))
def test_texts_of_a_column_are_its_values(texts: list[str], kind: pa.DataType, start: int) -> None:
    assert list(Texts.from_arrow(pa.array(texts, kind).slice(start))) == texts[start:]


def test_a_null_reads_as_empty_and_a_lone_surrogate_as_the_replacement_character() -> None:
    assert list(Texts.from_arrow(pa.chunked_array([["a", None], ["b"]]))) == ["a", "", "b"]
    assert list(Texts.of(["a\ud800b"])) == ["a�b"]


def test_texts_of_a_column_without_text_name_its_type() -> None:
    with pytest.raises(DataError, match="int64"):
        Texts.from_arrow(pa.array([1, 2]))


@settings(deadline=None)  # the first example compiles
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_decode_at_walks_through_every_character(text: str) -> None:
    data, place, points = np.frombuffer(text.encode(), dtype=np.uint8), 0, []
    while place < len(data):
        point, place = decode_at(data, place)
        points.append(chr(point))
    assert "".join(points) == text


@settings(deadline=None)  # the first example builds the tables
@given(st.characters(exclude_categories=["Cs"]))
def test_classes_and_case_are_those_of_python(character: str) -> None:
    bits = int(character_classes()[ord(character)])
    assert bool(bits & SPACE) == character.isspace()
    assert bool(bits & LETTER) == character.isalpha()
    assert bool(bits & DIGIT) == (character.isnumeric() and not character.isalpha())
    assert not bits & UPPER or character.isupper() or character.istitle()
    lower = character.lower()
    assert chr(lower_case()[ord(character)]) == (lower if len(lower) == 1 else character)


def test_scripts_without_spaces_are_marked() -> None:
    classes = character_classes()
    assert all(classes[ord(character)] & UNSPACED for character in "漢かไမខ")
    assert not any(classes[ord(character)] & UNSPACED for character in "aéжہ한।。")
