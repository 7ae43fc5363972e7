"""Continuous batching: finished rows leave the batch, waiting prompts take their place.

The order of work never shows in the results: a row's noise is a function of (seed, prompt's key, sample, step), and
attention looks at its own row only.
"""

import math
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from octad_infer.cache import KVCache
from octad_infer.completion import Event, FinishReason
from octad_infer.errors import InferError
from octad_infer.forward import decode, evaluating, modules_of, prefill, right_padded
from octad_infer.noise import keyed_uniform
from octad_infer.protocol import Model
from octad_infer.sampling import Sampling, sample, seen_tokens


@dataclass
class _Row:
    prompt_index: int
    sample_index: int
    length: int
    generated: int = 0


@dataclass
class _Group:
    """Rows that advance together: their cache, the logits of their next tokens, and the tokens they have seen."""

    rows: list[_Row]
    cache: KVCache
    logits: Float[Tensor, "rows vocab"]
    seen: Bool[Tensor, "rows vocab"] | None


class Engine:
    """Draws tokens for many prompts, `batch_size` rows at a time.

    Args:
        model: keeps the seam of `octad_infer.Model`.
        prompts: token ids, none empty.
        n: samples a prompt; the prompt is prefilled once and forked.
        max_new_tokens: most tokens a sample.
        sampling: how tokens are drawn.
        stop_ids: tokens that end a sample.
        batch_size: most rows decoded together.
        max_len: most tokens of prompt and completion together, the model's context.
        device: where token ids go.
        seed: of the noise.
        noise_keys: stand for the prompts in the noise; None takes their indices.
    """

    def __init__(
        self,
        model: Model,
        prompts: Sequence[Sequence[int]],
        *,
        n: int,
        max_new_tokens: int,
        sampling: Sampling,
        stop_ids: Collection[int],
        batch_size: int,
        max_len: int | None,
        device: torch.device,
        seed: int,
        noise_keys: Sequence[int] | None = None,
    ) -> None:
        for name, count in (("n", n), ("max_new_tokens", max_new_tokens), ("batch_size", batch_size)):
            if count < 1:
                raise InferError(f"{name}={count}; use {name} >= 1")
        longest = max(map(len, prompts), default=0)
        if max_len is not None and longest + max_new_tokens > max_len:
            raise InferError(
                f"a prompt of {longest} tokens and max_new_tokens={max_new_tokens} pass max_len={max_len}; "
                f"use max_new_tokens <= {max_len - longest} or shorten the prompt"
            )
        self._noise_keys = range(len(prompts)) if noise_keys is None else noise_keys
        if len(self._noise_keys) != len(prompts) or any(key < 0 for key in self._noise_keys):
            raise InferError(f"noise_keys={noise_keys!r}; give one integer >= 0 for each of the {len(prompts)} prompts")
        self._model, self._prompts, self._device, self._seed = model, prompts, device, seed
        self._n, self._max_new_tokens, self._batch_size, self._max_len = n, max_new_tokens, batch_size, max_len
        self._sampling, self._stop_ids = sampling, frozenset(stop_ids)
        self._modules = modules_of(model)
        # Longest first: neighbours in the queue are alike, so a padded prefill wastes little.
        self._waiting = deque(sorted(range(len(prompts)), key=lambda index: -len(prompts[index])))
        self._prefilled: _Group | None = None
        self._unforked: deque[tuple[int, _Row]] = deque()
        self._running: _Group | None = None

    @property
    def is_done(self) -> bool:
        """Whether every sample is finished."""
        return self._running is None and not self._unforked and not self._waiting

    def step(self) -> list[Event]:
        """Admit what waits, draw one token for every running row, and run those that go on.

        Raises:
            InferError: the model gave logits that are not numbers.
        """
        with evaluating(self._modules):
            self._admit()
            if self._running is None:
                return []
            events, tokens = self._draw(self._running)
            self._advance(
                self._running, tokens, [index for index, event in enumerate(events) if not event.finish_reason]
            )
        return events

    def _admit(self) -> None:
        """Fill free rows with samples of prefilled prompts, prefilling more prompts when those run out."""
        while (free := self._batch_size - (len(self._running.rows) if self._running else 0)) > 0:
            if not self._unforked:
                if not self._waiting:
                    break
                self._prefill(min(len(self._waiting), math.ceil(free / self._n)))
            assert self._prefilled is not None
            taken = [self._unforked.popleft() for _ in range(min(free, len(self._unforked)))]
            self._join(_forked(self._prefilled, [source for source, _ in taken], [row for _, row in taken]))
            if not self._unforked:
                self._prefilled = None

    def _prefill(self, count: int) -> None:
        indices = [self._waiting.popleft() for _ in range(count)]
        prompts = [self._prompts[index] for index in indices]
        cache, logits = prefill(self._model, prompts, device=self._device, max_len=self._max_len)
        seen = None
        if self._sampling.repetition_penalty != 1:
            seen = seen_tokens(right_padded(prompts, -1, self._device), logits.shape[1])
        self._prefilled = _Group([], cache, logits, seen)
        for source, index in enumerate(indices):
            self._unforked.extend((source, _Row(index, k, len(self._prompts[index]))) for k in range(self._n))

    def _join(self, group: _Group) -> None:
        running = self._running
        if running is None:
            self._running = group
            return
        running.rows += group.rows
        running.cache.join(group.cache)
        running.logits = torch.cat([running.logits, group.logits])
        if running.seen is not None and group.seen is not None:
            running.seen = torch.cat([running.seen, group.seen])

    def _draw(self, group: _Group) -> tuple[list[Event], Tensor]:
        logits = group.logits if group.logits.dtype == torch.float64 else group.logits.float()
        keys = [(self._noise_keys[row.prompt_index], row.sample_index, row.generated) for row in group.rows]
        uniform = None
        if not self._sampling.is_greedy:
            uniform = torch.tensor([keyed_uniform(self._seed, *key) for key in keys], dtype=torch.float64)
        tokens = sample(logits, self._sampling, uniform=uniform, seen=group.seen)
        chosen = logits.gather(1, tokens.clamp(max=logits.shape[1] - 1)[:, None])[:, 0] - logits.logsumexp(1)
        events = []
        for row, token, log_prob in zip(group.rows, tokens.tolist(), chosen.tolist(), strict=True):
            if math.isnan(log_prob) or token >= logits.shape[1]:
                raise InferError(
                    f"logits of prompt {row.prompt_index} after {row.length} tokens are not numbers; check the weights"
                )
            row.generated += 1
            is_last = row.generated == self._max_new_tokens
            reason: FinishReason | None = "stop" if token in self._stop_ids else "length" if is_last else None
            events.append(Event(row.prompt_index, row.sample_index, token, log_prob, reason))
        if group.seen is not None:
            group.seen[torch.arange(len(tokens), device=tokens.device), tokens] = True
        return events, tokens

    def _advance(self, group: _Group, tokens: Tensor, kept: list[int]) -> None:
        if not kept:
            self._running = None
            return
        if len(kept) < len(group.rows):
            group = self._running = _forked(group, kept, [group.rows[index] for index in kept])
            tokens = tokens[torch.tensor(kept, device=tokens.device)]
        positions = torch.tensor([row.length for row in group.rows], device=self._device)
        group.logits = decode(self._model, tokens.to(self._device), positions, group.cache)
        for row in group.rows:
            row.length += 1


def _forked(group: _Group, sources: list[int], rows: list[_Row]) -> _Group:
    index = torch.tensor(sources, device=group.logits.device)
    seen = None if group.seen is None else group.seen[index]
    return _Group(rows, group.cache.fork(sources), group.logits[index], seen)
