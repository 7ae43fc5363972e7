"""Training with the C engine: threads count pre-tokens in blocks, full tables go to disk, then merges are learned."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.patterns import PreTokenizer, engine_pattern
from octad_tokenizer.pre_token_counts import segments, shared_cut
from octad_tokenizer.special import SpecialTokens, utf8
from octad_tokenizer.train_blocks import Block, Blocks
from octad_tokenizer.train_plan import NOTHING_TO_LEARN, Pairs, TrainingPlan, nothing_matched
from octad_tokenizer.train_runs import Runs
from octad_tokenizer.train_sources import Texts

if TYPE_CHECKING:
    from concurrent.futures import Future

Batch: TypeAlias = list[Block]

_BLOCK = 1 << 18
_SMALLEST_BLOCK = 1 << 16
_NO_LIMIT = 1 << 62
_WHOLE = 5
"""The engine's scanner that never splits: for tables that are given pieces."""

_TIE_BREAKS = {"lowest_ids": 0, "lowest_raw_ids": 0, "greatest": 1, "least": 2}


def learn_by_engine(
    engine: ModuleType, texts: Texts, special: SpecialTokens, plan: TrainingPlan, threads: int, memory: int | None
) -> Pairs:
    """The merges of `plan`, as pairs of ids of which the k-th makes 256 + k.

    Args:
        engine: the C engine.
        texts: what to learn from.
        special: the special tokens, which are borders.
        plan: what to learn.
        threads: how many count.
        memory: bytes to stay within; None for no limit. A half is for tables, and later for what is learned from.

    Raises:
        TokenizerError: no text, something that is no text, a pattern that matches nothing, too little memory, or more
            distinct pre-tokens than can be learned from.
        OSError: a file cannot be read or written.
    """
    with ExitStack() as files:
        limit = None if memory is None else memory // (2 * threads * len(plan.patterns))
        counters = [PieceCounter(engine, special, pattern, limit) for pattern in plan.patterns]
        for counter in counters:
            files.callback(counter.runs.close)
        count_all(counters, texts, special, threads, memory)
        pairs: Pairs = []
        for counter, size in zip(counters, plan.sizes, strict=True):
            pairs = _learned(engine, counter, pairs, size, plan, memory)
        return pairs


def _learned(
    engine: ModuleType, counter: PieceCounter, known: Pairs, size: int, plan: TrainingPlan, memory: int | None
) -> Pairs:
    """The merges until there are `size` tokens, `known` ones first, from one phase's counts."""
    table, runs = counter.finish()
    if not runs and not engine.counter_size(table)[0]:
        raise TokenizerError(NOTHING_TO_LEARN)
    if not counter.has_matched:
        raise nothing_matched(counter.pre_tokenizer.pattern)
    try:
        pairs: Pairs | int = engine.learn_merges(
            table,
            runs,
            plan.byte_order,
            min(size, _NO_LIMIT),
            _TIE_BREAKS[plan.tie_break],
            min(plan.min_frequency, _NO_LIMIT),
            known,
            _NO_LIMIT if memory is None else min(memory, _NO_LIMIT),
            plan.progress_of(size),
        )
    except OverflowError as error:
        raise TokenizerError(
            f"{error}, which is what the engine can learn from; train on a sample of the texts, or with a pattern that "
            "splits them into smaller pieces"
        ) from error
    if isinstance(pairs, int):
        raise TokenizerError(f"max_memory_bytes={memory} is too little for these texts; give {pairs}")
    return pairs


class PieceCounter:
    """The counts of one pattern's pre-tokens: tables in memory, one a thread, and sorted runs in temporary files.

    Args:
        engine: the C engine.
        special: the special tokens, which are borders.
        pattern: the pre-tokens' regular expression.
        limit: bytes that each table may use; None for no limit.
    """

    def __init__(self, engine: ModuleType, special: SpecialTokens, pattern: str, limit: int | None) -> None:
        self.pre_tokenizer = PreTokenizer(pattern)
        self.runs = Runs(engine)
        self._engine, self._special, self._limit = engine, special, limit
        self._scanner = engine_pattern(pattern)
        self.has_matched = self._scanner is not None
        self._tables: SimpleQueue[object] = SimpleQueue()

    def add(self, batch: Batch) -> None:
        """Count the blocks of a batch; threads may do so at the same time.

        Raises:
            TokenizerError: a block is not UTF-8.
        """
        table = self._table()
        try:
            if self._scanner is None:
                self._engine.counter_pieces(table, self._counted(batch))
                return
            bad = self._engine.counter_texts(table, [_as_utf8(block.text) for block in batch])
            if bad >= 0:
                batch[bad].decoded()
        finally:
            self._tables.put(table)

    def finish(self) -> tuple[object, list[int]]:
        """One table with all counts; or, if there are runs, an empty one and their files."""
        whole = self._table()
        while not self._tables.empty():
            self._engine.counter_merge(whole, self._tables.get())
        if self.runs:
            self._engine.counter_spill(whole)
        return whole, self.runs.finish()

    def _table(self) -> object:
        try:
            return self._tables.get_nowait()
        except Empty:
            scanner = _WHOLE if self._scanner is None else self._scanner
            names = tuple(utf8(name) for name in self._special.ids)
            if self._limit is None:
                return self._engine.counter_new(scanner, names, _NO_LIMIT, None)
            return self._engine.counter_new(scanner, names, min(self._limit, _NO_LIMIT), self.runs.writer())

    def _counted(self, batch: Batch) -> dict[bytes, int]:
        """The counts of a batch by the regular expression."""
        allowed = frozenset(self._special.ids)
        counts: Counter[str] = Counter()
        for block in batch:
            for text, _ in self._special.split(block.decoded(), allowed):
                counts.update(self.pre_tokenizer.split(text))
                self.has_matched = self.has_matched or self.pre_tokenizer.matches(text)
        return {utf8(piece): count for piece, count in counts.items()}


def _as_utf8(text: str | bytes) -> str | bytes:
    """ASCII is UTF-8 as it lies in memory; another str would keep its UTF-8 as long as it lives."""
    return text if isinstance(text, bytes) or text.isascii() else utf8(text)


def count_all(
    counters: list[PieceCounter], texts: Texts, special: SpecialTokens, threads: int, memory: int | None
) -> None:
    """Count all texts in each counter, which reads them once."""
    size = _BLOCK if memory is None else max(_SMALLEST_BLOCK, min(_BLOCK, memory // (32 * threads)))
    last_cut = shared_cut([counter.pre_tokenizer for counter in counters])
    if last_cut is None:
        blocks: Iterable[Block] = (Block(segment, None) for segment in segments(texts, special, None))
    else:
        blocks = Blocks(special, last_cut, size).of(texts)

    def count(batch: Batch) -> None:
        for counter in counters:
            counter.add(batch)

    _for_each(count, _batches(blocks, size), threads)


def _batches(blocks: Iterable[Block], size: int) -> Iterator[Batch]:
    batch: Batch = []
    held = 0
    for block in blocks:
        batch.append(block)
        held += len(block.text)
        if held >= size:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _for_each(work: Callable[[Batch], None], batches: Iterator[Batch], threads: int) -> None:
    """Do `work` for each batch; in this thread, unless there are several batches and threads."""
    first = list(islice(batches, 2))
    if threads == 1 or len(first) < 2:
        for batch in chain(first, batches):
            work(batch)
        return
    from concurrent.futures import ThreadPoolExecutor  # 6 ms, because of its logging

    waiting: deque[Future[None]] = deque()
    pool = ThreadPoolExecutor(threads, "octad-count")
    try:
        for batch in chain(first, batches):
            if len(waiting) == 2 * threads:  # so that reading does not run ahead and fill the memory
                waiting.popleft().result()
            waiting.append(pool.submit(work, batch))
        for future in waiting:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)
