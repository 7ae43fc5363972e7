import sys
import types

import pytest
from octad_data import DataError, hub_documents


class Rows(list):
    column_names = ("text", "label")


def fake(monkeypatch, load_dataset):
    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))


def test_hub_rows_become_documents(monkeypatch):
    asked = []

    def load_dataset(*args, **kwargs):
        asked.append((args, kwargs))
        return Rows([{"text": "one"}, {"text": " "}, {"text": None}, {"text": "two"}])

    fake(monkeypatch, load_dataset)
    found = list(hub_documents("org/set", config="en", split="test", revision="abc"))
    assert [(d.id, d.text, d.source) for d in found] == [
        ("org/set/en/test/0", "one", "org/set"),
        ("org/set/en/test/3", "two", "org/set"),
    ]
    assert asked == [(("org/set", "en"), {"split": "test", "streaming": True, "revision": "abc"})]


def test_hub_names_the_missing_column(monkeypatch):
    fake(monkeypatch, lambda *_, **__: Rows([{"text": "one"}]))
    with pytest.raises(DataError, match="no column 'body'; its columns are text, label"):
        hub_documents("org/set", text_column="body")


def test_hub_names_a_column_that_is_no_text(monkeypatch):
    fake(monkeypatch, lambda *_, **__: Rows([{"text": "one", "label": 1}]))
    with pytest.raises(DataError, match="holds int, not text"):
        list(hub_documents("org/set", text_column="label"))


def test_hub_says_when_it_is_offline(monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("no route to host")

    fake(monkeypatch, load_dataset)
    with pytest.raises(DataError, match=r"cannot reach the Hub for data set 'org/set'.*read_documents"):
        hub_documents("org/set")


def test_hub_says_when_the_set_is_not_there(monkeypatch):
    def load_dataset(*_, **__):
        raise FileNotFoundError("no such data set")

    fake(monkeypatch, load_dataset)
    with pytest.raises(DataError, match="cannot load data set 'org/set', split 'train': no such data set"):
        hub_documents("org/set")


def test_hub_says_where_it_broke_off(monkeypatch):
    def rows():
        yield {"text": "one"}
        raise OSError("connection reset")

    fake(monkeypatch, lambda *_, **__: type("Stream", (), {"column_names": None, "__iter__": lambda _: rows()})())
    stream = hub_documents("org/set")
    assert next(stream).text == "one"
    with pytest.raises(DataError, match="broke off after row 0: connection reset"):
        next(stream)


@pytest.mark.parametrize("extra", ["hub", "html", "pdf"])
def test_missing_extras_are_named(monkeypatch, extra):
    from octad_data import extract_html, extract_pdf

    module, call = {
        "hub": ("datasets", lambda: hub_documents("org/set")),
        "html": ("resiliparse.extract.html2text", lambda: extract_html("<p>text</p>")),
        "pdf": ("pypdfium2", lambda: extract_pdf(b"%PDF-")),
    }[extra]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=rf"missing extra.*octad-data\[{extra}\]"):
        call()


@pytest.mark.slow
def test_hub_reads_a_local_folder_with_the_real_library(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    assert [d.text for d in hub_documents(str(tmp_path / "set"))] == ["one", "two"]
