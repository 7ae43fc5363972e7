import gzip
import json
import os
from pathlib import Path

import pytest
from octad_data import DataError, ReadReport, read_documents


def test_read_folder_keeps_order_ids_and_kinds(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "note.md").write_text("# Title\n\nText.")
    (tmp_path / "a.txt").write_bytes("grüße".encode("utf-16"))
    (tmp_path / "c.py").write_text("x = 1\n")
    (tmp_path / "z.txt.gz").write_bytes(gzip.compress(b"packed"))
    (tmp_path / "name without suffix").write_text("plain")
    report = ReadReport()
    found = list(read_documents(tmp_path, report=report))
    assert [(d.id, d.kind) for d in found] == [
        ("a.txt", "text"),
        ("c.py", "code"),
        ("name without suffix", "text"),
        ("z.txt.gz", "text"),
        ("b/note.md", "text"),
    ]
    assert found[0].text == "grüße" and found[0].metadata["encoding"] == "utf-16"
    assert found[3].text == "packed"
    assert (report.kept, report.num_skipped) == (5, 0) and report.formats == {"text": 5}


def test_read_one_file(tmp_path):
    (tmp_path / "book.txt").write_text("It was a dark and stormy night.")
    (document,) = read_documents(str(tmp_path / "book.txt"))
    assert (document.id, document.text) == ("book.txt", "It was a dark and stormy night.")


def test_read_counts_what_it_leaves_out(tmp_path):
    (tmp_path / "good.txt").write_text("good")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "blank.txt").write_text(" \n\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    (tmp_path / "long.txt").write_text("x" * 101)
    (tmp_path / "torn.txt.gz").write_bytes(gzip.compress(b"some text that is cut" * 4)[:-9])
    (tmp_path / "not.gz").write_bytes(b"no gzip at all")
    (tmp_path / ".hidden").write_text("secret")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("secret")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    report = ReadReport()
    assert [d.text for d in read_documents(tmp_path, report=report, max_bytes=100)] == ["good"]
    reasons = {"empty": 2, "binary file": 1, "too large": 1, "broken gzip": 2, "hidden": 1, "unreadable": 1}
    assert report.skipped == {**reasons, "not a file": 1}
    assert report.examples["empty"] == ["blank.txt", "empty.txt"]
    summary = report.summary()
    assert "kept 1 documents (1 text)" in summary and "skipped 2: empty: blank.txt, empty.txt" in summary


def test_read_bounds_an_unpacked_file(tmp_path):
    (tmp_path / "bomb.txt.gz").write_bytes(gzip.compress(b"x" * 10_000_000))
    with pytest.raises(DataError, match="too large"):
        list(read_documents(tmp_path, max_bytes=1000))


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_read_json_lines(tmp_path, suffix):
    rows = [{"text": "one"}, {"text": ""}, {"body": "x"}, {"text": 3}, [1], {"text": "two ü"}]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows] + ["{torn", "", json.dumps({"text": "y" * 200})]
    data = "\n".join([*lines, json.dumps({"text": "last"})]).encode()
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    report = ReadReport()
    found = list(read_documents(path, report=report, max_bytes=100))
    assert [(d.id, d.text) for d in found] == [
        (f"rows{suffix}:1", "one"),
        (f"rows{suffix}:6", "two ü"),
        (f"rows{suffix}:10", "last"),
    ]
    assert report.skipped == {
        "empty": 1,
        "no column 'text'": 1,
        "column 'text' is no text": 1,
        "broken JSON row": 2,
        "too large": 1,
    }
    assert "the row has 'body'" in report.examples["no column 'text'"][0]


def test_read_json_row_with_half_a_character_is_skipped(tmp_path):
    # such a text could be read, but never be written as UTF-8 by whoever took it
    (tmp_path / "rows.jsonl").write_text('{"text": "half \\ud83d pair"}\n{"text": "whole \\ud83c\\udf89 pair"}\n')
    report = ReadReport()
    assert [d.text for d in read_documents(tmp_path, report=report)] == ["whole 🎉 pair"]
    assert report.skipped == {"broken JSON row": 1}


def test_read_name_that_is_not_utf8_becomes_an_id_that_is(tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("old")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (document,) = read_documents(tmp_path)
    assert document.id == "caf\\udce9.txt" and document.id.encode()


def test_read_json_lines_of_another_column(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"body": "here"}\n')
    assert [d.text for d in read_documents(tmp_path, text_column="body")] == ["here"]


def test_read_empty_corpus_is_one_clear_error(tmp_path):
    with pytest.raises(DataError, match=r"no files.*accepted: text in any encoding"):
        list(read_documents(tmp_path))
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04\0\0\0\0\0\0")
    with pytest.raises(DataError, match=r"1 files.*binary file: a\.zip.*accepted"):
        list(read_documents(tmp_path))
    with pytest.raises(DataError, match="does not exist"):
        read_documents(tmp_path / "none")
    with pytest.raises(DataError, match="max_bytes=0"):
        read_documents(tmp_path, max_bytes=0)


def test_read_unreadable_file_is_counted(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    (tmp_path / "a.txt").chmod(0)
    if os.access(tmp_path / "a.txt", os.R_OK):
        pytest.skip("this user may read everything")
    report = ReadReport()
    assert [d.id for d in read_documents(tmp_path, report=report)] == ["b.txt"]
    assert report.skipped == {"unreadable": 1}


def test_read_does_not_follow_links_to_folders(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [d.id for d in read_documents(tmp_path)] == ["a.txt"]
