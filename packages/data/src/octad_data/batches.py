"""Batches of packed sequences: shuffled, mixed, the same on any number of processes, and resumed exactly."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.permutation import Permutation
from octad_data.shards import TokenShards

STATE_VERSION = 2
READABLE_VERSIONS = (1, 2)  # the first knew no other weights than those given at the start


@dataclass(frozen=True)
class PackedBatch:
    """Rows of tokens, and which document each token belongs to.

    Attributes:
        tokens: ids, int64, (rows, seq_len + 1): inputs `[:, :-1]`, targets `[:, 1:]`.
        documents: number of the document inside its source, the same shape. Two tokens of a row may attend to each
            other where these are equal: `documents[:, :, None] == documents[:, None, :]`.
    """

    tokens: NDArray[np.int64]
    documents: NDArray[np.int64]

    @property
    def positions(self) -> NDArray[np.int64]:
        """Place of each token since the row or its document began, whichever was later; (rows, seq_len + 1)."""
        places = np.arange(self.tokens.shape[1])
        begins = np.zeros(self.tokens.shape, dtype=np.int64)
        begins[:, 1:] = np.where(self.documents[:, 1:] != self.documents[:, :-1], places[1:], 0)
        return places - np.maximum.accumulate(begins, axis=1)

    @property
    def is_target(self) -> NDArray[np.bool_]:
        """Whether a target continues the document of its input; (rows, seq_len). The others cannot be foreseen."""
        return np.equal(self.documents[:, 1:], self.documents[:, :-1])


class BatchReader:
    """An endless iterator over int64 arrays (batch_size / world_size, seq_len + 1) of token ids.

    Sequence i of a source is its tokens i * seq_len .. (i + 1) * seq_len, both ends included: inputs are `[:, :-1]`,
    targets `[:, 1:]`, and every token but the first is a target once an epoch (the last num_tokens - 1 mod seq_len
    ones never, as they fill no sequence). Each epoch goes through all sequences in another order, chosen by
    (seed, source, epoch); a batch may end one epoch and begin the next.

    With several sources, the next row comes from the source that is furthest behind its weight, so that each prefix
    of the run has its share to within one row a source; a small source is repeated, and `epochs` says how often.

    Rank r gets rows r * n .. (r + 1) * n - 1 of the global batch, n = batch_size / world_size: the ranks' arrays laid
    one on the other are the batch that one process would get.

    Args:
        shards: one source, or a mapping of source to weight (> 0, any scale).
        batch_size: rows of the global batch.
        seq_len: tokens a row is trained on.
        seed: of the order.
        rank: of this process.
        world_size: number of processes; divides batch_size.
        max_epochs: passes over a source after which it gives no more rows; its share goes to the others, in
            proportion. None repeats without end.

    Raises:
        DataError: an argument is out of range, or a source is shorter than seq_len + 1 tokens.
    """

    def __init__(
        self,
        shards: TokenShards | Mapping[TokenShards, float],
        batch_size: int,
        seq_len: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        max_epochs: float | None = None,
    ) -> None:
        sources = dict(shards) if isinstance(shards, Mapping) else {shards: 1.0}
        _check(sources, batch_size, seq_len, seed, rank, world_size)
        self.batch_size, self.seq_len, self.seed = batch_size, seq_len, seed
        self.rank, self.world_size = rank, world_size
        self._sources = list(sources)
        weights = np.array(list(sources.values()), dtype=np.float64)
        self._first_shares = self._shares = weights / weights.sum()
        self._sizes = [(source.num_tokens - 1) // seq_len for source in self._sources]
        self._drawn = np.zeros(len(self._sources), dtype=np.int64)
        self._since = self._drawn.copy()  # what was drawn when the present weights began
        if max_epochs is not None and not max_epochs > 0:
            raise DataError(f"max_epochs={max_epochs} is not positive; use None to repeat without end")
        self.max_epochs = max_epochs
        most = np.iinfo(np.int64).max if max_epochs is None else 0
        self._most = np.array([most or int(max_epochs * size) for size in self._sizes], dtype=np.int64)  # type: ignore[operator]

    @property
    def sequences_per_epoch(self) -> tuple[int, ...]:
        """Rows in one pass over each source."""
        return tuple(self._sizes)

    @property
    def epochs(self) -> tuple[float, ...]:
        """Passes over each source so far; 1.5 is half-way through the second."""
        return tuple(int(drawn) / size for drawn, size in zip(self._drawn, self._sizes, strict=True))

    @property
    def epoch(self) -> int:
        """Passes completed over the source that was passed over least."""
        return int(min(self.epochs))

    @property
    def tokens_seen(self) -> int:
        """Targets handed out so far, over all ranks."""
        return int(self._drawn.sum()) * self.seq_len

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return self

    def __next__(self) -> NDArray[np.int64]:
        return self._tokens(self._next_rows())

    def next_packed(self) -> PackedBatch:
        """The next batch with the document of each token, for models that must not look across documents.

        Raises:
            StopIteration: every source was passed over `max_epochs` times.
        """
        rows = self._next_rows()
        length = self.seq_len + 1
        documents = np.empty((len(rows), length), dtype=np.int64)
        for row, (source, start) in enumerate(rows):
            documents[row] = self._sources[source].documents_at(start, start + length)
        return PackedBatch(self._tokens(rows), documents)

    def skip(self, batches: int) -> None:
        """Go past so many global batches without reading them; what a data-loader worker does with the others' turns.

        Worker w of n that skips w batches, then takes one and skips n - 1 again and again, sees every n-th batch.

        Raises:
            DataError: batches is negative.
            StopIteration: every source was passed over `max_epochs` times.
        """
        if batches < 0:
            raise DataError(f"batches={batches} is negative; a reader goes back by `load_state_dict`")
        for _ in range(batches):
            self._draw(self.batch_size)

    def reweight(self, weights: Sequence[float]) -> None:
        """Mix by other weights from the next row on, as a schedule or a last phase on the best data asks for.

        Args:
            weights: > 0, one a source in the order given, of any scale.

        Raises:
            DataError: a weight too many or too few, or not positive.
        """
        found = np.array(list(weights), dtype=np.float64)
        if found.shape != self._shares.shape or not np.all((found > 0) & (found < np.inf)):
            raise DataError(f"weights={list(weights)}: give {len(self._shares)} positive and finite ones")
        self._shares = found / found.sum()
        self._since = self._drawn.copy()

    def state_dict(self) -> dict[str, Any]:
        """Where the reader stands, as JSON: global, so that it can be resumed on another number of processes."""
        counts = {"drawn": self._drawn.tolist(), "since": self._since.tolist(), "weights": self._shares.tolist()}
        return {"version": STATE_VERSION, **counts, **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken, by its weights; batch_size, rank and world_size may differ.

        Raises:
            DataError: the state is of another version, seed, seq_len, mix or corpus.
        """
        version = state.get("version")
        if version not in READABLE_VERSIONS:
            raise DataError(f"reader state has version {version!r}, this reader knows {STATE_VERSION}")
        for name, own in self._identity().items():
            if state.get(name) != own:
                raise DataError(f"reader state has {name}={state.get(name)!r}, this reader {own!r}; make it the same")
        drawn = self._counts(state, "drawn")
        since = np.zeros_like(drawn) if version == 1 else self._counts(state, "since")
        shares = np.array(state.get("shares" if version == 1 else "weights", ()), dtype=np.float64)
        if shares.shape != drawn.shape or not np.all(shares > 0) or np.any(since > drawn):
            raise DataError(f"reader state has weights={state.get('weights')!r}; give one above 0 a source")
        self._drawn, self._since, self._shares = drawn, since, shares

    def _counts(self, state: Mapping[str, Any], name: str) -> NDArray[np.int64]:
        counts = state.get(name)
        if not isinstance(counts, list) or not all(type(count) is int and count >= 0 for count in counts):
            raise DataError(f"reader state has {name}={counts!r}; give a list of counts >= 0")
        if len(counts) != len(self._sources):
            raise DataError(f"reader state has {name}={counts!r}; {len(self._sources)} counts are needed")
        return np.array(counts, dtype=np.int64)

    def _identity(self) -> dict[str, Any]:
        corpora = [
            [file.tokens_sha256[:16] for file in source.manifest.files if file.tokens] for source in self._sources
        ]
        return {"seed": self.seed, "seq_len": self.seq_len, "shares": self._first_shares.tolist(), "corpora": corpora}

    def _next_rows(self) -> list[tuple[int, int]]:
        """This rank's rows of the next global batch: source, and where in it the row starts."""
        sources, draws = self._draw(self.batch_size)
        per_rank = self.batch_size // self.world_size
        mine = slice(self.rank * per_rank, (self.rank + 1) * per_rank)
        starts = self._sequences(sources[mine], draws[mine]) * self.seq_len
        return list(zip(sources[mine].tolist(), starts.tolist(), strict=True))

    def _tokens(self, rows: list[tuple[int, int]]) -> NDArray[np.int64]:
        batch = np.empty((len(rows), self.seq_len + 1), dtype=np.int64)
        for row, (source, start) in enumerate(rows):
            batch[row] = self._sources[source].tokens(start, start + self.seq_len + 1)
        return batch

    def _draw(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The next rows: their source, and how many were drawn from it before. Shapes (count,)."""
        left = self._most - self._drawn
        if left.min() > count and len(self._sources) == 1:
            draws = np.arange(count) + self._drawn[0]
            self._drawn[0] += count
            return np.zeros(count, dtype=np.int64), draws
        if int(np.minimum(left, count).sum()) < count:
            raise StopIteration
        sources, draws = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        for row in range(count):
            source = self._next_source()
            sources[row], draws[row] = source, self._drawn[source]
            self._drawn[source] += 1
        return sources, draws

    def _next_source(self) -> int:
        """The source that is furthest behind its share, of those that may still give rows."""
        has_more = self._drawn < self._most
        if not has_more.all() and np.any(self._since[~has_more] < self._drawn[~has_more]):
            self._since = self._drawn.copy()  # the others' shares are counted from here on
        taken = self._drawn - self._since
        shares = np.where(has_more, self._shares, 0.0)
        behind = shares / shares.sum() * (int(taken.sum()) + 1) - taken
        return int(np.argmax(np.where(has_more, behind, -np.inf)))

    def _sequences(self, sources: NDArray[np.int64], draws: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which sequence of its source each draw is. Shape (rows,)."""
        epochs, positions = np.divmod(draws, np.array(self._sizes)[sources])
        sequences = np.empty_like(draws)
        for source, epoch in sorted(set(zip(sources.tolist(), epochs.tolist(), strict=True))):
            rows = (sources == source) & (epochs == epoch)
            sequences[rows] = Permutation(self._sizes[source], (self.seed, source, epoch))(positions[rows])
        return sequences


def _check(
    sources: Mapping[TokenShards, float], batch_size: int, seq_len: int, seed: int, rank: int, world_size: int
) -> None:
    for name, value in (("batch_size", batch_size), ("seq_len", seq_len), ("world_size", world_size)):
        if value < 1:
            raise DataError(f"{name}={value} is not positive")
    if seed < 0:
        raise DataError(f"seed={seed} is negative; use 0 or more")
    if not 0 <= rank < world_size:
        raise DataError(f"rank={rank} is not in 0 .. {world_size - 1} (world_size={world_size})")
    if batch_size % world_size:
        fits = batch_size - batch_size % world_size
        near = f"{fits} or {fits + world_size}" if fits else f"{world_size}"
        raise DataError(f"world_size={world_size} does not divide batch_size={batch_size}; use batch_size={near}")
    if not sources:
        raise DataError("no sources are given; pass TokenShards or a mapping of them to weights")
    if len({source.vocab_size for source in sources}) > 1 or len({_tokenizer(source) for source in sources}) > 1:
        raise DataError("the sources were written with different tokenizers; write their shards with one")
    for source, weight in sources.items():
        if not 0 < weight < float("inf"):
            raise DataError(f"weight {weight} of {source.folder} is not positive and finite; leave the source out")
        if source.num_tokens < seq_len + 1:
            raise DataError(
                f"{source.folder} has {source.num_tokens} tokens, fewer than seq_len + 1 = {seq_len + 1}; "
                "use a shorter seq_len or more text"
            )


def _tokenizer(source: TokenShards) -> str:
    return source.manifest.tokenizer_fingerprint
