import dataclasses

import pytest
from octad_data import DataError, Document


def test_document_is_frozen_and_has_defaults():
    document = Document("text", "id", "source")
    assert (document.kind, dict(document.metadata)) == ("text", {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        document.text = "other"  # type: ignore[misc]


@pytest.mark.parametrize(("text", "name"), [(b"bytes", "id"), (None, "id"), ("text", ""), ("text", 3)])
def test_document_refuses_wrong_types(text, name):
    with pytest.raises(DataError, match=r"text is|id="):
        Document(text, name, "source")


def test_data_error_is_a_value_error():
    assert issubclass(DataError, ValueError)
