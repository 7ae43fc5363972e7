import errno
import json
import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data import DataError, ShardWriter, TokenDocument, TokenShards, write_shards
from octad_data.open_shard import OpenShard


def write(folder, documents, vocab_size=100, **options):
    return write_shards(documents, folder, vocab_size=vocab_size, tokenizer_fingerprint="abc", **options)


@settings(deadline=None, max_examples=25)  # every example writes and syncs files
@given(
    st.lists(st.lists(st.integers(0, 99), max_size=9), max_size=12),
    st.sampled_from([None, 0, 99]),
    st.integers(1, 20),
    st.sampled_from([100, 65_536, 65_537]),
)
def test_shards_round_trip(tmp_path_factory, documents, separator, shard_tokens, vocab_size):
    folder = tmp_path_factory.mktemp("shards") / "tokens"
    shards = write(folder, documents, vocab_size, separator_id=separator, shard_tokens=shard_tokens)
    end = [] if separator is None else [separator]
    flat = [token for document in documents for token in document + end]
    assert len(shards) == len(documents)
    assert [shards.document(i).tolist() for i in range(len(shards))] == documents
    assert shards.num_tokens == len(flat)
    assert shards.tokens(0, len(flat)).tolist() == flat
    for start in range(0, len(flat), 3):
        for stop in (start, start + 1, len(flat)):
            assert shards.tokens(start, stop).tolist() == flat[start:stop]
    assert shards.tokens(0, len(flat)).dtype == (np.uint16 if vocab_size <= 65_536 else np.uint32)
    shards.verify()
    longest = max((len(document) + len(end) for document in documents), default=0)
    assert all(file.tokens <= max(shard_tokens, longest) for file in shards.manifest.files)


def test_shards_files_are_plain_little_endian(tmp_path):
    write(tmp_path / "s", [[1, 2, 3], [], [258]], vocab_size=300, separator_id=7)
    assert (tmp_path / "s" / "shard-00000.bin").read_bytes() == bytes([1, 0, 2, 0, 3, 0, 7, 0, 7, 0, 2, 1, 7, 0])
    assert np.fromfile(tmp_path / "s" / "shard-00000.idx", "<u8").tolist() == [4, 5, 7]
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert manifest["version"] == 1 and manifest["dtype"] == "uint16"
    assert manifest["num_tokens"] == 7 and manifest["num_documents"] == 3
    assert manifest["tokenizer_fingerprint"] == "abc" and manifest["separator_id"] == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]


def test_shards_keep_byte_counts_and_mix(tmp_path):
    told = [TokenDocument([1, 2], 10), TokenDocument([3], 5)]
    shards = write(tmp_path / "a", told, mix={"web": 0.5, "list": [1]})
    assert shards.manifest.source_bytes == 15 and shards.manifest.mix == {"web": 0.5, "list": [1]}
    assert write(tmp_path / "b", [*told, [4]]).manifest.source_bytes is None
    assert write(tmp_path / "c", []).manifest.source_bytes == 0


def test_shards_take_arrays_of_any_whole_type(tmp_path):
    documents = [np.array([1, 2], np.uint8), np.arange(20, dtype=np.int32)[::3], (5, 6), np.array([9], np.uint64)]
    shards = write(tmp_path / "s", documents)
    assert [shards.document(i).tolist() for i in range(4)] == [[1, 2], [0, 3, 6, 9, 12, 15, 18], [5, 6], [9]]
    assert shards.document(-1).tolist() == [9]
    shards = write(tmp_path / "t", documents, vocab_size=np.int64(100), separator_id=np.int32(3))
    assert shards.manifest.separator_id == 3 and shards.document(0).tolist() == [1, 2]


@pytest.mark.parametrize(
    "tokens", [[100], [-1], [1.5], [[1, 2]], ["a"], [True], [2**70], [[1], [2, 3]], np.zeros((0, 2)), 3, None]
)
def test_shards_refuse_what_is_not_ids(tmp_path, tokens):
    with pytest.raises(DataError, match=r"token"):
        write(tmp_path / "s", [[1], tokens])
    assert list(tmp_path.iterdir()) == []


def test_shards_survive_a_pickle(tmp_path):
    shards = pickle.loads(pickle.dumps(write(tmp_path / "s", [[1, 2], [3]])))
    assert shards.document(1).tolist() == [3]


@pytest.mark.parametrize("number", [2, -3, 10**9])
def test_shards_refuse_documents_outside(tmp_path, number):
    with pytest.raises(DataError, match="does not exist"):
        write(tmp_path / "s", [[1, 2], [3]]).document(number)


@pytest.mark.parametrize("span", [(-1, 2), (2, 1), (0, 4)])
def test_shards_refuse_tokens_outside(tmp_path, span):
    with pytest.raises(DataError, match="not inside"):
        write(tmp_path / "s", [[1, 2], [3]]).tokens(*span)


@pytest.mark.parametrize(
    "options", [{"separator_id": 100}, {"shard_tokens": 0}, {"vocab_size": 0}, {"mix": {"a": {1}}}]
)
def test_writer_names_the_wrong_argument(tmp_path, options):
    with pytest.raises(DataError, match=next(iter(options))):
        write(tmp_path / "s", [], **options)
    assert list(tmp_path.iterdir()) == []


def test_writer_replaces_shards_only_when_told(tmp_path):
    write(tmp_path / "s", [[1]])
    with pytest.raises(DataError, match="overwrite=True"):
        write(tmp_path / "s", [[2]])
    assert write(tmp_path / "s", [[2]], overwrite=True).document(0).tolist() == [2]
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_writer_never_replaces_other_folders(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(DataError, match="holds no token shards"):
        write(tmp_path / "thesis", [[1]], overwrite=True)
    (tmp_path / "empty").mkdir()
    assert len(write(tmp_path / "empty", [[1]])) == 1


def test_writer_leaves_the_good_folder_when_interrupted(tmp_path):
    write(tmp_path / "s", [[1]])

    def documents():
        yield [2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "s", documents(), overwrite=True)
    assert TokenShards(tmp_path / "s").document(0).tolist() == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("place", ["append", "fsync"])
def test_writer_tells_of_a_full_disk(tmp_path, monkeypatch, place):
    write(tmp_path / "s", [[1]])
    monkeypatch.setattr(OpenShard if place == "append" else os, place, full)
    with pytest.raises(DataError, match="no space left on the disk"):
        write(tmp_path / "s", [[2]], overwrite=True)
    monkeypatch.undo()
    assert TokenShards(tmp_path / "s").document(0).tolist() == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_writer_puts_the_old_folder_back_when_the_rename_fails(tmp_path, monkeypatch):
    write(tmp_path / "s", [[1]])
    rename, calls = type(tmp_path).rename, []

    def second_fails(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.EIO, "input/output error")
        return rename(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", second_fails)
    with pytest.raises(DataError, match="input/output"):
        write(tmp_path / "s", [[2]], overwrite=True)
    assert TokenShards(tmp_path / "s").document(0).tolist() == [1]


def test_writer_is_a_context_manager(tmp_path):
    with ShardWriter(tmp_path / "deep" / "s", 100, "abc") as writer:
        writer.add([1, 2], source_bytes=3)
        assert not (tmp_path / "deep" / "s").exists()
    assert TokenShards(tmp_path / "deep" / "s").manifest.source_bytes == 3
    for late in (lambda: writer.add([1]), writer.close):
        with pytest.raises(DataError, match="is closed"):
            late()
    writer.abort()  # after a close it must not touch the folder
    assert (tmp_path / "deep" / "s" / "manifest.json").exists()


def test_shards_name_what_is_missing(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        TokenShards(tmp_path / "none")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("a")
    with pytest.raises(DataError, match=r"no manifest\.json \(found: a\.txt\)"):
        TokenShards(tmp_path / "other")
    write(tmp_path / "s", [[1]])
    (tmp_path / "s").rename(tmp_path / ".s.previous-xyz")
    with pytest.raises(DataError, match="an earlier copy lies at"):
        TokenShards(tmp_path / "s")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "other version"),
        ({"format": "else"}, "not token shards"),
        ({"num_tokens": 5}, "damaged manifest"),
        ({"files": [{}]}, "damaged manifest"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"vocab_size": "many"}, "manifest"),
        ({"files": 3}, "damaged manifest"),
        (None, "unreadable manifest"),
    ],
)
def test_shards_name_a_wrong_manifest(tmp_path, change, message):
    write(tmp_path / "s", [[1, 2]])
    path = tmp_path / "s" / "manifest.json"
    path.write_text("{torn" if change is None else json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=message):
        TokenShards(tmp_path / "s")


def test_shards_name_torn_missing_and_changed_files(tmp_path):
    write(tmp_path / "s", [[1, 2], [3, 4, 5]])
    path = tmp_path / "s" / "shard-00000.bin"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(DataError, match="torn shard"):
        TokenShards(tmp_path / "s")
    path.write_bytes(bytes([9]) + data[1:])
    with pytest.raises(DataError, match="differs from its checksum"):
        TokenShards(tmp_path / "s").verify()
    path.unlink()
    with pytest.raises(DataError, match="missing shard"):
        TokenShards(tmp_path / "s")


def test_shards_verify_finds_ids_out_of_range(tmp_path):
    """A manifest edited to a smaller vocabulary passes every checksum."""
    write(tmp_path / "s", [[1, 2], [90]])
    path = tmp_path / "s" / "manifest.json"
    path.write_text(path.read_text().replace('"vocab_size": 100', '"vocab_size": 50'))
    with pytest.raises(DataError, match="holds id 90"):
        TokenShards(tmp_path / "s").verify()
