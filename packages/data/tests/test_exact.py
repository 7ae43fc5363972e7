import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data import DataError, Document, exact_duplicates, normalised, unique_documents, unique_paragraphs


@settings(deadline=None)  # a busy machine may pause anywhere
@given(st.text())
def test_normalised_is_idempotent(text):
    assert normalised(normalised(text)) == normalised(text)


def test_exact_duplicates_ignore_composition_and_white_space_only(documents):
    clusters = exact_duplicates(documents("caf\u00e9 au lait", " cafe\u0301\n au  lait ", "Caf\u00e9 au lait", "", " "))
    assert clusters.cluster_of == {"d000": "d000", "d001": "d000", "d002": "d002", "d003": "d003", "d004": "d003"}
    assert clusters.survivors == {"d001", "d002", "d004"}  # the longest
    assert clusters.num_duplicates == 2


def test_exact_duplicates_keep_survivors_in_order(documents):
    found = documents("b", "a", "b", "c", "a")
    assert [d.id for d in exact_duplicates(found).keep(found)] == ["d000", "d001", "d003"]
    with pytest.raises(DataError, match="was not clustered"):
        list(exact_duplicates(found).keep([Document("x", "other", "s")]))


def test_exact_duplicates_refuse_an_id_given_twice():
    with pytest.raises(DataError, match="'same' is given twice"):
        exact_duplicates([Document("a", "same", "s"), Document("b", "same", "s")])


def test_exact_duplicates_of_nothing():
    assert exact_duplicates([]).cluster_of == {}


@settings(deadline=None)  # a busy machine may pause anywhere
@given(st.lists(st.sampled_from(["a b", "a  b", "a\nb", "b a", "", " ", "é", "e\u0301"])))
def test_unique_documents_matches_a_dictionary(texts):
    found = [Document(text, str(number), "s") for number, text in enumerate(texts)]
    first = {}
    for document in found:
        first.setdefault(normalised(document.text), document.id)
    assert [d.id for d in unique_documents(found)] == list(first.values())
    assert exact_duplicates(found).num_duplicates == len(found) - len(first)


def test_unique_paragraphs_drops_repeats_and_emptied_documents(documents):
    notice = "This notice is at the end of every page of the site, always."
    found = documents(f"First text of some kind.\n\n{notice}", f"Second.\n\n{notice}\n \n\nThird.", notice, "Second.")
    texts = [d.text for d in unique_paragraphs(found)]
    assert texts == [found[0].text, "Second.\n\nThird.", "Second."]


def test_unique_paragraphs_drops_a_repeat_inside_one_document(documents):
    paragraph = "A paragraph long enough to count as one that must not repeat."
    assert [d.text for d in unique_paragraphs(documents(f"{paragraph}\n\n{paragraph}"))] == [paragraph]
