import re
import unicodedata

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data.text_units import BREAK_UNIT, MARK_UNIT, WORD_UNIT, read_points, read_units, tables, unit_room
from octad_data.texts import Texts

UNSPACED = "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"


def units_of(text: str) -> list[tuple[str, int]]:
    texts = Texts.of([text])
    points, places, hashes, kinds, bounds = unit_room(texts.num_bytes)
    n = read_points(texts.data, 0, texts.num_bytes, points, places)
    count = read_units(points, n, *tables(), hashes, kinds, bounds)
    characters = [chr(point) for point in points[:n]]
    return [("".join(characters[bounds[2 * u] : bounds[2 * u + 1]]), int(kinds[u])) for u in range(count)]


def reference(text: str) -> list[tuple[str, int]]:
    out, i = [], 0

    def is_word(c: str) -> bool:
        return unicodedata.category(c)[0] in "LMN"

    def is_unspaced(c: str) -> bool:
        return unicodedata.category(c)[0] in "LM" and re.match(UNSPACED, c) is not None

    while i < len(text):
        first, c = i, text[i]
        i += 1
        if is_word(c):
            if is_unspaced(c):
                while i < len(text) and unicodedata.category(text[i])[0] == "M" and not is_unspaced(text[i]):
                    i += 1
            else:
                while i < len(text) and is_word(text[i]) and not is_unspaced(text[i]):
                    i += 1
            out.append((text[first:i], WORD_UNIT))
        elif c == "\n":
            while i < len(text) and text[i].isspace():
                i += 1
            out.append((text[first:i], BREAK_UNIT))
        elif not c.isspace():
            while i < len(text) and text[i] == c:
                i += 1
            out.append((text[first:i], MARK_UNIT))
    return out


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("aB \n\t.!é中ก์ิ")))
def test_units_match_the_reference(text: str) -> None:
    assert units_of(text) == reference(text)


def test_hashes_know_no_case_and_tell_words_signs_and_lengths_apart() -> None:
    texts = Texts.of(["Straße STRASSE Été éTÉ ab a b ! !! ?"])
    points, places, hashes, kinds, bounds = unit_room(texts.num_bytes)
    n = read_points(texts.data, 0, texts.num_bytes, points, places)
    count = read_units(points, n, *tables(), hashes, kinds, bounds)
    h = hashes[:count].tolist()
    assert h[2] == h[3] and h[7] == h[8] != h[9]
    assert len(set(h)) == count - 2


def test_any_bytes_are_read_without_leaving_the_buffer() -> None:
    rng = np.random.default_rng(0)
    for size in range(64):
        data = rng.integers(0, 256, size, dtype=np.uint8)
        points, places, hashes, kinds, bounds = unit_room(size)
        n = read_points(data, 0, size, points, places)
        assert n <= size and (points[:n] <= 0x10FFFF).all() and places[n] <= size
        read_units(points, n, *tables(), hashes, kinds, bounds)
