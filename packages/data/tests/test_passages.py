import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data import DataError, Document, passages


@settings(deadline=None)  # a busy machine may pause anywhere
@given(st.text("ab .\n", max_size=80), st.integers(1, 30))
def test_passages_joined_are_the_document(text, max_chars):
    pieces = list(passages([Document(text, "d", "s")], max_chars))
    assert "".join(piece.text for piece in pieces) == text
    assert all(len(piece.text) <= max_chars for piece in pieces)
    assert len({piece.id for piece in pieces}) == len(pieces)


def test_passages_cut_at_the_best_place(documents):
    def cut(text, size):
        return [piece.text for piece in passages(documents(text), size)]

    assert cut("One two three.\n\nFour. Five", 20) == ["One two three.\n\n", "Four. Five"]
    assert cut("One two. Three\nfour five", 20) == ["One two. Three\n", "four five"]
    assert cut("One two three. Four five", 20) == ["One two three. ", "Four five"]
    assert cut("aaaaabbbbbc", 5) == ["aaaaa", "bbbbb", "c"]


def test_passages_pass_short_documents_on(documents):
    found = documents("short", "")
    assert list(passages(found, 10)) == found
    with pytest.raises(DataError, match="max_chars=0"):
        list(passages(found, 0))
