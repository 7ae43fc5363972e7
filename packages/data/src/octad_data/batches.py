"""Batches of packed sequences: shuffled, mixed, the same on any number of processes, and resumed exactly."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.permutation import Permutation
from octad_data.shards import TokenShards

STATE_VERSION = 1


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
    ) -> None:
        sources = dict(shards) if isinstance(shards, Mapping) else {shards: 1.0}
        _check(sources, batch_size, seq_len, seed, rank, world_size)
        self.batch_size, self.seq_len, self.seed = batch_size, seq_len, seed
        self.rank, self.world_size = rank, world_size
        self._sources = list(sources)
        weights = np.array(list(sources.values()), dtype=np.float64)
        self._shares = weights / weights.sum()
        self._sizes = [(source.num_tokens - 1) // seq_len for source in self._sources]
        self._drawn = np.zeros(len(self._sources), dtype=np.int64)

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
        sources, draws = self._draw(self.batch_size)
        per_rank = self.batch_size // self.world_size
        mine = slice(self.rank * per_rank, (self.rank + 1) * per_rank)
        sources, sequences = sources[mine], self._sequences(sources[mine], draws[mine])
        batch = np.empty((per_rank, self.seq_len + 1), dtype=np.int64)
        for row, (source, sequence) in enumerate(zip(sources.tolist(), sequences.tolist(), strict=True)):
            start = sequence * self.seq_len
            batch[row] = self._sources[source].tokens(start, start + self.seq_len + 1)
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Where the reader stands, as JSON: global, so that it can be resumed on another number of processes."""
        return {"version": STATE_VERSION, "drawn": self._drawn.tolist(), **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken. batch_size, rank and world_size may differ from then.

        Raises:
            DataError: the state is of another version, seed, seq_len, mix or corpus.
        """
        if state.get("version") != STATE_VERSION:
            raise DataError(f"reader state has version {state.get('version')!r}, this reader knows {STATE_VERSION}")
        for name, own in self._identity().items():
            if state.get(name) != own:
                raise DataError(f"reader state has {name}={state.get(name)!r}, this reader {own!r}; make it the same")
        drawn = state.get("drawn")
        if not isinstance(drawn, list) or not all(type(count) is int and count >= 0 for count in drawn):
            raise DataError(f"reader state has drawn={drawn!r}; give a list of counts >= 0")
        if len(drawn) != len(self._sources):
            raise DataError(f"reader state has drawn={drawn!r}; {len(self._sources)} counts are needed")
        self._drawn = np.array(drawn, dtype=np.int64)

    def _identity(self) -> dict[str, Any]:
        corpora = [
            [file.tokens_sha256[:16] for file in source.manifest.files if file.tokens] for source in self._sources
        ]
        return {"seed": self.seed, "seq_len": self.seq_len, "shares": self._shares.tolist(), "corpora": corpora}

    def _draw(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The next rows: their source, and how many were drawn from it before. Shapes (count,)."""
        sources = np.zeros(count, dtype=np.int64)
        if len(self._sources) == 1:
            draws = np.arange(count) + self._drawn[0]
            self._drawn[0] += count
            return sources, draws
        draws, total = np.zeros(count, dtype=np.int64), int(self._drawn.sum())
        for row in range(count):
            source = int(np.argmax(self._shares * (total + row + 1) - self._drawn))
            sources[row], draws[row] = source, self._drawn[source]
            self._drawn[source] += 1
        return sources, draws

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
