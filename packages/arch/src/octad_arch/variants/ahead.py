"""Heads that look further ahead than the next token: one loss with the decoder's, and drafts that it verifies."""

from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..cost import UNCOUNTED, Cost
from ..decoder import Decoder, DecoderModel
from ..errors import require, require_positive
from ..layer import LayerSpec
from ..past import DynamicCache


class AheadSpec(Protocol):
    """A decoder with heads that look further ahead: `MultiToken`, `ParallelHeads`."""

    @property
    def decoder(self) -> Decoder:
        """The main model."""
        ...

    @property
    def layer(self) -> LayerSpec:
        """Of each head."""
        ...

    @property
    def depth(self) -> int:
        """Heads, tokens beyond the next."""
        ...

    @property
    def factor(self) -> float:
        """Of each head's loss beside the decoder's."""
        ...


def heads_cost(spec: AheadSpec, context_length: int | None) -> Cost:
    """What the decoder costs, and at each depth a layer and the product of the head."""
    length = spec.decoder.context_length if context_length is None else context_length
    total = spec.decoder.cost(length)
    for _ in range(spec.depth):
        total += spec.layer.cost(spec.decoder.d_model, length)
        total += Cost(matmul_flops=2 * spec.decoder.d_model * spec.decoder.vocab_size)
    return total + UNCOUNTED


class AheadModel(nn.Module):
    """A decoder, `main`, to be used and saved alone, and its heads, `ahead`."""

    ahead: nn.ModuleList

    def __init__(self, spec: AheadSpec) -> None:
        super().__init__()
        self.spec = spec
        self.main = DecoderModel(spec.decoder)

    def seeds(self, tokens: Tensor, **past: Any) -> tuple[Tensor, Tensor]:
        """What the heads read of the decoder, and what its last layer gives; positions and a cache as in `hidden`."""
        raise NotImplementedError

    def states(self, tokens: Int[Tensor, "batch seq"]) -> list[Float[Tensor, "batch shorter d_model"]]:
        """Normalised states that predict 1, 2 ... 1 + depth tokens ahead; each is one position shorter."""
        raise NotImplementedError

    def draft(
        self, seeds: Float[Tensor, "batch seq ..."], tokens: Int[Tensor, "batch seq+1"], **past: Any
    ) -> Int[Tensor, "batch depth"]:
        """The likeliest tokens after those given, one of each head, to be verified by the decoder.

        Args:
            seeds: what `seeds` gave for all tokens but the last.
            tokens: the text, with the next token, already chosen, at its end.
            past: `positions` of the seeds and a `cache` that holds those before, rewound to them.
        """
        raise NotImplementedError

    def loss(self, tokens: Int[Tensor, "batch seq"]) -> tuple[Float[Tensor, ""], list[Float[Tensor, ""]]]:
        """The training loss, and the cross-entropy at each distance 1, 2 ... in nats.

        Args:
            tokens: with at least depth + 2 a row, no padding.
        """
        length = tokens.shape[1]
        require(length >= self.spec.depth + 2, f"{length} tokens a row; depth={self.spec.depth} needs 2 more than that")
        losses = [
            self.main.cross_entropy(states[:, :-1], tokens[:, distance:])
            for distance, states in enumerate(self.states(tokens), start=1)
        ]
        return losses[0] + self.spec.factor * torch.stack(losses[1:]).sum(), losses

    def likeliest(self, states: Tensor) -> Int[Tensor, "batch 1"]:
        """At the last position."""
        return self.main.logits_at(self.main.leave(states[:, -1:])).argmax(-1)

    @torch.no_grad()
    def generate(self, tokens: Int[Tensor, "1 seq"], max_tokens: int) -> tuple[Int[Tensor, "1 new"], float]:
        """The decoder's greedy continuation, several tokens a pass: drafts that it would have chosen itself are kept.

        Each pass of the decoder reads what it has not yet read and the drafts, on a cache that forgets those refused.

        Returns:
            The new tokens, those of one-by-one greedy decoding, and how many a pass of the decoder gave on average.
        """
        require(len(tokens) == 1, f"{len(tokens)} rows; drafts are verified for one row at a time")
        require_positive(max_tokens=max_tokens, prompt=tokens.shape[1])
        cache, first, depth = DynamicCache(), len(self.main.layers), self.spec.depth
        start, read, passes = tokens.shape[1], 0, 0
        drafts, kept = tokens[:, :0], None
        while tokens.shape[1] < start + max_tokens:
            given = torch.cat((tokens[:, read:], drafts), 1)
            positions = torch.arange(read, read + given.shape[1], device=tokens.device)[None]
            seeds, last = self.seeds(given, positions=positions, cache=cache)
            choices = self.main.logits_at(self.main.leave(last))[:, tokens.shape[1] - read - 1 :].argmax(-1)
            agreeing = int((choices[:, :-1] == drafts).long().cumprod(1).sum())
            kept = seeds if kept is None else torch.cat((kept, seeds), 1)
            tokens = torch.cat((tokens, choices[:, : agreeing + 1]), 1)
            read, passes = tokens.shape[1] - 1, passes + 1
            cache.rewind(read)
            kept = kept[:, : kept.shape[1] - (drafts.shape[1] - agreeing)]
            window = slice(read - kept.shape[1], read)
            positions = torch.arange(window.start, read, device=tokens.device)[None]
            drafts = self.draft(kept, tokens[:, window.start :], positions=positions, cache=cache)
            # What a head made of tokens that were only drafted is forgotten, and made again from the states kept.
            sure = max(read + 1 - depth, 0)
            cache.rewind(sure, first)
            kept = kept[:, max(sure - window.start, 0) :]
        return tokens[:, start : start + max_tokens], (tokens.shape[1] - start) / passes
