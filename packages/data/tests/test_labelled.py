import gzip

import pytest
from octad_data.errors import DataError
from octad_data.labelled import read_labelled


def test_jsonl_csv_and_tsv_give_the_same(tmp_path) -> None:
    wanted = (["a, b", "é\nc"], ["1", "0"])
    (tmp_path / "x.jsonl").write_text('{"text": "a, b", "label": true}\n\n{"text": "é\\nc", "label": 0}\n', "utf-8")
    (tmp_path / "x.csv").write_text('label,text\n1,"a, b"\n0,"é\nc"\n', "utf-8")
    (tmp_path / "x.tsv.gz").write_bytes(gzip.compress('text\tlabel\na, b\t1\n"é\nc"\t0\n'.encode()))
    for name in ("x.jsonl", "x.csv", "x.tsv.gz"):
        assert read_labelled(tmp_path / name) == wanted
    assert read_labelled(tmp_path / "x.csv", text="label", label="text") == wanted[::-1]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", b'{"text": "a"', "broken line: .*a.jsonl:1"),
        ("a.jsonl", b"[1]", "broken line: .*not an object"),
        ("a.jsonl", b'{"text": "a"}', "missing field: .*'label', only text"),
        ("a.csv", b"text\na\n", "missing field: .*:2 has no 'label'"),
        ("a.txt", b"a", "unknown kind"),
        ("a.csv.gz", b"no gzip", "not readable"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_labelled(tmp_path / name)
    with pytest.raises(DataError, match="not readable"):
        read_labelled(tmp_path / "missing.csv")


def test_real_labels_are_read(shared_data) -> None:
    texts, labels = read_labelled(shared_data("toxicity/hate_offensive_even.csv"), text="tweet", label="class")
    assert len(texts) > 12_000 and set(labels) == {"0", "1", "2"}
    assert set(read_labelled(shared_data("quality/dclm_majority.jsonl"))[1]) == {"0", "1"}
