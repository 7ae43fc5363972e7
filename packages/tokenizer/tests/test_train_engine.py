"""The C trainer against the pure Python one, gigatoken and Hugging Face; blocks, threads, memory, superwords."""

from __future__ import annotations

import gc
import io
import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import IO, Any, get_args

import pytest
import regex
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_tokenizer import (
    CL100K,
    GPT2,
    O200K,
    QWEN2,
    SUPERWORDS,
    BytePairTokenizer,
    Column,
    PreTokenizer,
    TieBreak,
    TokenizerError,
    native,
    progress_bar,
    train_bpe,
    train_engine,
    train_runs,
)
from octad_tokenizer.byte_spelling import BYTE_ORDER
from octad_tokenizer.pair_index import PairIndex
from octad_tokenizer.patterns import CL100K_TIKTOKEN, last_line_cut
from octad_tokenizer.special import SpecialTokens

TIE_BREAKS = get_args(TieBreak)
PATTERNS = {"gpt2": GPT2, "cl100k": CL100K, "o200k": O200K, "qwen2": QWEN2, "own": r"\w+|\W"}
NO_LIMIT = 1 << 62

pytestmark = pytest.mark.skipif(native.engine is None, reason="the C engine is not built here")


@pytest.fixture(scope="module")
def engine() -> ModuleType:
    assert native.engine is not None
    return native.engine


def both(texts: Any, vocab_size: int, **options: Any) -> BytePairTokenizer:
    """What the engine learns, after a check that the reference learns the same."""
    options.setdefault("allow_smaller", True)
    ours = train_bpe(texts, vocab_size, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "engine", None)
        patch.setattr(native, "_warned", True)
        reference = train_bpe(texts, vocab_size, **options)
    assert ours.merges == reference.merges
    assert ours.fingerprint == reference.fingerprint
    return ours


corpora = st.lists(
    st.one_of(
        st.text(alphabet="ab \n", max_size=80),
        st.text(alphabet="aé日 \t's1\r\n<|x>", max_size=60),
        st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40),
    ),
    min_size=1,
    max_size=5,
).filter(lambda texts: any(text.replace("<|x|>", "").replace("<|x|>>", "") for text in texts))


@settings(max_examples=80, deadline=None)
@given(corpora, st.sampled_from(TIE_BREAKS), st.sampled_from(sorted(PATTERNS)), st.integers(1, 3))
def test_engine_learns_what_the_reference_learns(
    texts: list[str], tie_break: TieBreak, pattern: str, min_frequency: int
) -> None:
    both(
        texts,
        330,
        special_tokens=["<|x|>", "<|x|>>"],
        tie_break=tie_break,
        pattern=PATTERNS[pattern],
        min_frequency=min_frequency,
    )


@pytest.mark.parametrize("tie_break", TIE_BREAKS)
def test_engine_equals_reference_on_real_text(tie_break: TieBreak, data: Callable[[str], Path]) -> None:
    text = data("tokenizer/corpus.en").read_text(encoding="utf-8")
    both([text, data("text/ud_zh_gsd_dev.conllu").read_text(encoding="utf-8")[:60_000]], 1500, tie_break=tie_break)


def test_engine_equals_hugging_face_on_wikitext(data: Callable[[str], Path]) -> None:
    text = data("text/wikitext2_valid.txt").read_text(encoding="utf-8")
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=3000, show_progress=False, initial_alphabet=alphabet)
    theirs.train_from_iterator([text], trainer)
    ours = train_bpe([text], 3000, tie_break="lowest_ids")
    for line in text[:100_000].splitlines():
        assert ours.encode(line) == theirs.encode(line).ids
    assert {spelled: i for spelled, i in theirs.get_vocab().items() if i < 256} == {
        spelling: at for at, spelling in enumerate(sorted(alphabet))
    }
    model = json.loads(theirs.to_str())["model"]
    assert len(model["merges"]) == len(ours.merges) == 3000 - 256
    assert [model["vocab"][left + right] for left, right in model["merges"]] == list(range(256, 3000))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("lowest_raw_ids", "raw_token_ids"), ("lowest_ids", "huggingface"), ("least", "assembled_bytes")],
)
def test_engine_equals_gigatoken(
    ours: TieBreak, theirs: str, data: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """It merges pairs that occur no more when it runs out of others, so the texts must suffice."""
    gigatoken = pytest.importorskip("gigatoken.gigatoken_rs")
    text = data("text/tinyshakespeare.txt").read_bytes() + data("tokenizer/corpus.en").read_bytes()
    _, merges = gigatoken.train_bpe(text, 3000, [], theirs)
    capfd.readouterr()
    assert list(train_bpe([text.decode()], 3000, tie_break=ours).merges) == list(merges)


def counted(engine: ModuleType, counts: dict[bytes, int], size: int, memory: int = NO_LIMIT) -> list[tuple[int, int]]:
    counter = engine.counter_new(5, (), NO_LIMIT, None)
    engine.counter_pieces(counter, counts)
    pairs: list[tuple[int, int]] = engine.learn_merges(counter, [], BYTE_ORDER, size, 0, 1, [], memory, None)
    return pairs


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(alphabet="abc", min_size=1, max_size=40).map(str.encode),
        st.one_of(st.integers(1, 9), st.integers(2**31 - 3, 2**31 + 3), st.integers(2**40, 2**55)),
        min_size=1,
        max_size=12,
    )
)
def test_counts_have_64_bits(counts: dict[bytes, int]) -> None:
    """A piece that occurs 2**31 times or more has its weight beside the cells."""
    assert native.engine is not None
    index = PairIndex([[BYTE_ORDER.index(byte) for byte in piece] for piece in counts], list(counts.values()))
    index.start(list(range(256)))
    expected = []
    while len(expected) < 40 and (pair := index.most_frequent(1)):
        expected.append(pair)
        index.add_order_key(255 + len(expected))
        index.merge(pair, 255 + len(expected))
    assert counted(native.engine, counts, 256 + 40) == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(alphabet="ab", max_size=60), min_size=1), st.integers(0, 2))
def test_a_short_list_of_occurrences_changes_nothing(texts: list[str], size: int) -> None:
    """Where not all pairs fit, the rarer ones wait; each time the list is full the pairs are surveyed anew."""
    assert native.engine is not None
    counts = Counter(text.encode() for text in texts if text)
    cells = sum(len(piece) + 1 for piece in counts if len(piece) > 1) + 1
    tight = 4 * cells + cells // 3 * 4 + 64 * size + 8
    assert counted(native.engine, dict(counts), 300, tight) == counted(native.engine, dict(counts), 300)


def test_pieces_of_any_length_are_counted(engine: ModuleType) -> None:
    generator = random.Random(5)
    pieces = [
        generator.randbytes(length).replace(b"\0", b"x") for length in (1, 7, 8, 14, 15, 16, 17, 255, 256, 70_000)
    ]
    pieces += [b"a" * length for length in range(1, 40)] + [b"\0", b"\0\0", b"a\0", b"a\0\0"]
    expected: Counter[bytes] = Counter()
    counter = engine.counter_new(5, (), NO_LIMIT, None)
    for piece in generator.choices(pieces, k=3000):
        engine.counter_pieces(counter, {piece: 3})
        expected[piece] += 3
    assert engine.counter_items(counter) == expected
    assert engine.counter_size(counter)[0] == len(expected)


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_blocks_threads_and_files_change_nothing(
    pattern: str, wild_texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    special = ["<|endoftext|>", "<|end", "\n\n"]
    options: dict[str, Any] = {"special_tokens": special, "pattern": PATTERNS[pattern]}
    text = "".join(wild_texts[:700])
    path = tmp_path / "text"
    path.write_bytes(text.encode())
    whole = both([text, *wild_texts[700:900]], 600, threads=1, **options)
    for block in (40, 2000):
        monkeypatch.setattr(train_engine, "_BLOCK", block)
        for threads in (1, 4):
            for first in (text, path):
                again = train_bpe([first, *wild_texts[700:900]], 600, threads=threads, **options)
                assert again.fingerprint == whole.fingerprint


def test_a_block_is_cut_where_no_piece_is(wild_texts: list[str]) -> None:
    special = SpecialTokens({"<|endoftext|>": 0, "aa": 1, " b": 2})
    text = "".join(wild_texts[:200]) + "a" * 999 + " b" * 99
    for pattern in (GPT2, CL100K, O200K, QWEN2, SUPERWORDS):
        pre_tokenizer = PreTokenizer(pattern)
        blocks = train_engine.Blocks(special, pre_tokenizer.last_cut, 50).of([text])
        texts = [block.decoded() for block in blocks]
        assert "".join(texts) == text
        assert len(texts) > 20

        def pieces(part: str, pre_tokenizer: PreTokenizer = pre_tokenizer) -> list[str]:
            return [
                piece for one, _ in special.split(part, frozenset(special.ids)) for piece in pre_tokenizer.split(one)
            ]

        assert [piece for part in texts for piece in pieces(part)] == pieces(text)


@pytest.mark.parametrize("pattern", ["gpt2", "own"])
def test_little_memory_changes_nothing(
    pattern: str, wild_texts: list[str], data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables go to disk again and again, and are merged from there."""
    path = data("text/tinyshakespeare.txt")
    options: dict[str, Any] = {"pattern": PATTERNS[pattern], "special_tokens": ["\n\n"]}
    long_pieces = ["x" * 30_000, "é" * 20_000, "x" * 30_000]
    texts = [path, *wild_texts, *long_pieces]
    free = train_bpe(texts, 2000, **options)
    files: list[IO[bytes]] = []
    new_file = train_runs._temporary_file
    monkeypatch.setattr(train_runs, "_temporary_file", lambda: files.append(new_file()) or files[-1])
    monkeypatch.setattr(train_runs, "_JOINED", 2)
    for threads in (1, 3):
        files.clear()
        tight = train_bpe(texts, 2000, threads=threads, max_memory_bytes=1_500_000, **options)
        assert tight.fingerprint == free.fingerprint
        assert len(files) > 1
        assert all(file.closed for file in files)
    with pytest.raises(TokenizerError, match=r"max_memory_bytes=100 is too little for these texts; give \d{6,}"):
        train_bpe(texts, 2000, max_memory_bytes=100, **options)


def test_memory_limit_holds_while_counting(engine: ModuleType, tmp_path: Path) -> None:
    limit = 1_000_000
    files: list[io.FileIO] = []

    def new_run() -> int:
        files.append(io.FileIO(tmp_path / str(len(files)), "w+"))
        return files[-1].fileno()

    counter = engine.counter_new(0, (), limit, new_run)
    generator = random.Random(2)
    expected = 0
    for _ in range(30):
        text = " ".join(str(generator.getrandbits(60)) for _ in range(5000))
        engine.counter_texts(counter, [text])
        expected += 5000
        assert engine.counter_size(counter)[1] <= limit
    engine.counter_spill(counter)
    assert engine.counter_size(counter)[0] == 0
    assert len(files) > 5
    for file in files:
        file.seek(0)
    seen = []
    pairs = engine.learn_merges(
        counter, [file.fileno() for file in files], BYTE_ORDER, 300, 0, 1, [], NO_LIMIT, lambda *done: seen.append(done)
    )
    assert len(pairs) == 44
    assert seen == [(at, 44) for at in range(1, 45)]
    for file in files:
        file.close()


def test_thousands_of_runs_leave_few_files_open(engine: ModuleType) -> None:
    """Two levels of 31 runs and one being written; each run used to stay open until the end."""
    generator = random.Random(4)
    runs, whole = train_runs.Runs(engine), engine.counter_new(5, (), NO_LIMIT, None)
    counter = engine.counter_new(5, (), NO_LIMIT, runs.writer())
    for _ in range(1100):
        pieces = {bytes(generator.choices(b"abcd", k=generator.randrange(1, 40))): 1 << generator.randrange(40)}
        engine.counter_pieces(counter, pieces)
        engine.counter_pieces(whole, pieces)
        engine.counter_spill(counter)
        assert len(runs) <= 31 + 31 + 1 + 1
    merges = engine.learn_merges(counter, runs.finish(), BYTE_ORDER, 400, 1, 1, [], NO_LIMIT, None)
    runs.close()
    assert len(merges) == 144
    assert merges == engine.learn_merges(whole, [], BYTE_ORDER, 400, 1, 1, [], NO_LIMIT, None)


def test_a_run_that_cannot_be_joined_is_an_error(engine: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_runs, "_JOINED", 2)
    runs = train_runs.Runs(engine)
    counter = engine.counter_new(5, (), NO_LIMIT, runs.writer())
    for _ in range(2):
        engine.counter_pieces(counter, {b"a piece, which is long": 1})
        engine.counter_spill(counter)
    os.truncate(runs._being_written[0].fileno(), 5)
    engine.counter_pieces(counter, {b"another": 1})
    with pytest.raises(OSError):
        engine.counter_spill(counter)
    runs.close()


def test_more_pieces_than_can_be_learned_from_are_an_error(monkeypatch: pytest.MonkeyPatch, engine: ModuleType) -> None:
    def overflow(*_: object) -> None:
        raise OverflowError("the distinct pre-tokens have more than 2**31 bytes")

    monkeypatch.setattr(native, "engine", SimpleNamespace(**{**vars(engine), "learn_merges": overflow}))
    with pytest.raises(TokenizerError, match=r"more than 2\*\*31 bytes, .* train on a sample"):
        train_bpe(["some text"], 260)


def test_a_run_that_is_cut_off_is_an_error(engine: ModuleType, tmp_path: Path) -> None:
    file = io.FileIO(tmp_path / "run", "w+")
    counter = engine.counter_new(5, (), NO_LIMIT, file.fileno)
    engine.counter_pieces(counter, {b"abcdefgh": 5, b"xyz" * 50: 7})
    engine.counter_spill(counter)
    file.truncate(file.tell() - 1)
    file.seek(0)
    with pytest.raises(OSError):
        engine.learn_merges(counter, [file.fileno()], BYTE_ORDER, 300, 0, 1, [], NO_LIMIT, None)
    file.close()
    with pytest.raises(OSError):
        engine.learn_merges(counter, [-1], BYTE_ORDER, 300, 0, 1, [], NO_LIMIT, None)


def test_a_failing_run_or_progress_passes_its_exception_on(engine: ModuleType) -> None:
    def fail(*_: object) -> int:
        raise LookupError("mine")

    counter = engine.counter_new(0, (), 1, fail)
    with pytest.raises(LookupError, match="mine"):
        engine.counter_texts(counter, [" ".join(map(str, range(100_000)))])
    for _ in range(3):
        with pytest.raises(LookupError, match="mine"):
            train_bpe(["some text to learn from"], 260, progress=fail)
    gc.collect()


def test_ctrl_c_ends_the_learning() -> None:
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        pytest.skip("signals come to the main thread, on systems that have them")
    generator = random.Random(1)
    text = "".join(generator.choices("abcdefgh", k=3_000_000))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            while True:
                train_bpe([text], 30_000, threads=2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_engine_refuses_what_it_cannot_read(engine: ModuleType, tmp_path: Path) -> None:
    counter = engine.counter_new(0, (b"<x>",), NO_LIMIT, None)
    assert engine.counter_texts(counter, [b"ab", "cd", bytearray(b"\xc3\xa9"), memoryview(b"ab<x>ab")]) == -1
    assert engine.counter_texts(counter, ["cd", b"ab\xff", b"zz"]) == 1
    assert engine.counter_items(counter) == {b"ab": 3, b"cd": 2, "é".encode(): 1}
    for bad in ([1], ["\ud800"], 7, None):
        with pytest.raises((TypeError, UnicodeEncodeError)):
            engine.counter_texts(counter, bad)
    with pytest.raises(ValueError, match="pattern"):
        engine.counter_new(99, (), NO_LIMIT, None)
    with pytest.raises(ValueError):
        engine.counter_size(object())
    with pytest.raises(ValueError, match="itself"):
        engine.counter_merge(counter, counter)
    with pytest.raises(ValueError, match="known merge 0"):
        engine.learn_merges(counter, [], BYTE_ORDER, 300, 0, 1, [(256, 1)], NO_LIMIT, None)
    with pytest.raises(ValueError, match="known merges"):
        engine.learn_merges(counter, [], BYTE_ORDER, 256, 0, 1, [(0, 1)], NO_LIMIT, None)


def test_threads_and_memory_are_checked() -> None:
    for name in ("threads", "max_memory_bytes"):
        with pytest.raises(TokenizerError, match=f"{name}=0"):
            train_bpe(["text"], 256, **{name: 0})


# Superwords


def test_superwords_span_words_and_encode_as_they_were_learned(data: Callable[[str], Path], tmp_path: Path) -> None:
    text = data("tokenizer/corpus.en").read_text(encoding="utf-8")
    ours = both([text], 1500, superwords_from=900, special_tokens=["<|x|>"])
    plain = train_bpe([text], 1500, special_tokens=["<|x|>"])
    assert ours.merges[: 900 - 256] == train_bpe([text], 900).merges
    assert ours.pattern == SUPERWORDS
    assert any(token.strip().count(b" ") for token in ours.vocabulary)
    assert not any(token.strip().count(b" ") for token in plain.vocabulary)
    ids = ours.encode(text)
    assert ours.decode(ids) == text
    assert len(ids) < len(plain.encode(text))
    assert list(ours.encode_iterable(text[at : at + 7] for at in range(0, len(text), 7))) == ids
    again = BytePairTokenizer.load(ours.save(tmp_path))
    assert again.fingerprint == ours.fingerprint
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode(text).ids == ids
    assert len({left + right for left, right in ours.merges}) == len(ours.merges)


@settings(max_examples=50, deadline=None)
@given(corpora, st.sampled_from(TIE_BREAKS), st.integers(256, 300), st.sampled_from(sorted(PATTERNS)))
def test_superwords_equal_the_reference_and_lose_nothing(
    texts: list[str], tie_break: TieBreak, superwords_from: int, pattern: str
) -> None:
    ours = both(
        texts,
        310,
        superwords_from=superwords_from,
        tie_break=tie_break,
        pattern=PATTERNS[pattern],
        special_tokens=["<|x|>"],
    )
    for text in texts:
        assert ours.decode(ours.encode(text)) == text


def test_superwords_may_be_split_otherwise_and_lose_known_merges() -> None:
    """Merges of the first phase that no piece of the second has still take ids."""
    options: dict[str, Any] = {"tie_break": "lowest_ids", "superwords_from": 266, "superword_pattern": GPT2}
    ours = both(["||y|D👩J?b&t!N5<"], 700, pattern=CL100K, **options)
    assert len(ours.merges) == 11
    both(["👩J " * 3], 300, pattern=CL100K, superwords_from=280, superword_pattern="(?s).")
    assert train_bpe(["ab"], 10**12, allow_smaller=True).merges == ((b"a", b"b"),)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab1 ./'\t\n\r\x0b\u2028\u3000é日", max_size=40))
def test_superwords_split_only_where_published_patterns_do(text: str) -> None:
    lines = PreTokenizer(SUPERWORDS).split(text)
    assert "".join(lines) == text
    for pattern in (GPT2, CL100K, QWEN2):
        borders = set(ends(PreTokenizer(pattern).split(text)))
        assert set(ends(lines)) <= borders
    cut = PreTokenizer(SUPERWORDS).last_cut(text)
    if cut is not None:
        assert PreTokenizer(SUPERWORDS).split(text[:cut]) + PreTokenizer(SUPERWORDS).split(text[cut:]) == lines
    cut = last_line_cut(text)
    for pattern in (GPT2, CL100K, QWEN2, O200K, CL100K_TIKTOKEN, SUPERWORDS):
        split = PreTokenizer(pattern).split
        assert cut is None or split(text[:cut]) + split(text[cut:]) == split(text)


def ends(pieces: list[str]) -> Iterator[int]:
    at = 0
    for piece in pieces:
        at += len(piece)
        yield at


def test_superwords_are_checked_and_report_one_progress() -> None:
    for bad in (255, 301):
        with pytest.raises(TokenizerError, match=f"superwords_from={bad} is not between"):
            train_bpe(["text"], 300, superwords_from=bad)
    seen: list[tuple[int, int]] = []
    train_bpe(["of the of the of the"] * 3, 264, superwords_from=261, progress=lambda *done: seen.append(done))
    assert seen == [(at, 8) for at in range(1, 9)]
    assert regex.fullmatch(SUPERWORDS, "of the")


# Columns


def test_columns_of_parquet_and_json_lines_are_texts(tmp_path: Path, wild_texts: list[str]) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    wild_texts = wild_texts[:300]
    pq.write_table(pa.table({"text": wild_texts, "n": list(range(len(wild_texts)))}), tmp_path / "a.parquet")
    lines = "\n".join(json.dumps({"text": text}, ensure_ascii=at % 2 == 0) for at, text in enumerate(wild_texts))
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    plain = train_bpe(wild_texts, 600)
    for column in (Column(tmp_path / "a.parquet", "text"), Column(str(tmp_path / "a.jsonl"), "text")):
        assert list(column) == wild_texts
        assert both(column, 600).fingerprint == plain.fingerprint
        assert train_bpe([column, "", column], 600).vocab_size == 600
    with pytest.raises(TokenizerError, match=r"has no column 'x'; its columns are \['text', 'n'\]"):
        list(Column(tmp_path / "a.parquet", "x"))
    with pytest.raises(TokenizerError, match="row 1: 'n' is a int, not a text"):
        list(Column(tmp_path / "a.parquet", "n"))
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    with pytest.raises(TokenizerError, match="not a Parquet file"):
        list(Column(tmp_path / "b.parquet", "x"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": ', "line 2 is not JSON"),
        (b'{"a": "b"}', r"line 2 has no 'text'; its keys are \['a'\]"),
        (b"[1]", "it is no object"),
        (b'{"text": 3}', "row 2: 'text' is a int"),
        (b'{"text": "\xff"}', "line 2 is not JSON"),
    ],
)
def test_columns_name_the_bad_line(line: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"text": "good"}\n' + line + b"\n")
    with pytest.raises(TokenizerError, match=message):
        train_bpe([Column(path, "text")], 256)


def test_columns_warn_of_missing_texts(tmp_path: Path) -> None:
    path = tmp_path / "gaps.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": null}\n{"text": null}\n')
    with pytest.warns(UserWarning, match="2 rows have no 'text'"):
        assert list(Column(path, "text")) == ["a"]
    with pytest.raises(TokenizerError, match="neither"):
        Column("texts.csv", "text")


def test_progress_bar_draws_one_line() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, file = Terminal(), io.StringIO()
    train_bpe(["low lower lowest"], 262, progress=progress_bar(stream=terminal))
    train_bpe(["low lower lowest"], 262, progress=progress_bar("joins", file))
    assert terminal.getvalue().startswith("\r[#")
    assert file.getvalue().startswith("[##############################] 6/6 joins, 0.0 s")
    assert terminal.getvalue().count("\n") == file.getvalue().count("\n") == 1
