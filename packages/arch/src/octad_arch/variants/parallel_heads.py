"""Multi-token prediction side by side: heads that all read what the decoder's last layer reads."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..building import Buildable
from ..context import context_of
from ..cost import Cost
from ..decoder import Decoder
from ..errors import require, require_positive
from ..initialization import Initialization
from ..layer import LayerSpec
from .ahead import AheadModel, heads_cost


@dataclass(frozen=True)
class ParallelHeads(Buildable["ParallelHeadsModel"]):
    """A decoder with heads d = 1, 2 ...: h_d = layer(z) predicts t_{i+d+1}, from z before the decoder's last layer.

    So the decoder's last layer is the head of the next token; last norm and output matrix are shared by all. The loss
    is that of the decoder plus weight times the sum of the heads' losses.

    Args:
        decoder: the main model, of one layer at least.
        layer: of each head.
        depth: heads, tokens beyond the next.
        weight: of their losses, > 0.
    Source: Gloeckle et al. 2024 (arXiv 2404.19737), section 2.
    """

    decoder: Decoder
    layer: LayerSpec
    depth: int = 3
    weight: float = 1.0

    def __post_init__(self) -> None:
        require_positive(depth=self.depth, weight=self.weight)
        require(len(self.decoder.layers) > 0, "heads stand beside the decoder's last layer, but it has layers=()")
        ours, theirs = getattr(self.layer, "copies", 1), getattr(self.decoder.layers[-1], "copies", 1)
        require(ours == theirs, f"a head works on copies={ours} of the stream, the decoder on {theirs}")

    @property
    def factor(self) -> float:
        """Of each head's loss."""
        return self.weight

    @property
    def initialization(self) -> Initialization:  # type: ignore[override]
        """The decoder's."""
        return self.decoder.initialization

    def module(self) -> "ParallelHeadsModel":
        """The module, with the parameters that its constructors leave."""
        return ParallelHeadsModel(self)

    def cost(self, context_length: int | None = None) -> Cost:
        """Of the decoder and all heads, each with the product of the output matrix."""
        return heads_cost(self, context_length)


class ParallelHeadsModel(AheadModel):
    """`ParallelHeads` with its weights."""

    def __init__(self, spec: ParallelHeads) -> None:
        super().__init__(spec)
        first, d_model = len(spec.decoder.layers), spec.decoder.d_model
        self.ahead = nn.ModuleList(spec.layer.build(d_model, first + index) for index in range(spec.depth))

    def seeds(self, tokens: Int[Tensor, "batch seq"], **past: Any) -> tuple[Tensor, Tensor]:
        """What the decoder's last layer reads and gives."""
        x, context = self.main.enter(tokens, **past)
        for layer in self.main.layers[:-1]:
            x = layer(x, context)
        return x, self.main.layers[-1](x, context)

    def states(self, tokens: Int[Tensor, "batch seq"]) -> list[Float[Tensor, "batch shorter d_model"]]:
        """Normalised states that predict 1, 2 ... 1 + depth tokens ahead; each is one position shorter."""
        trunk, last = self.seeds(tokens)
        heads = [last, *self._heads(trunk, tokens)]
        return [self.main.leave(head[:, : tokens.shape[1] - index]) for index, head in enumerate(heads)]

    def _heads(self, trunk: Tensor, tokens: Tensor, **past: Any) -> list[Tensor]:
        context = context_of(
            tokens, past.pop("positions", None), self.spec.layer.rotation_keys, self.main.embedding.weight.dtype, **past
        )
        return [head(trunk, context) for head in self.ahead]

    @torch.no_grad()
    def draft(
        self, seeds: Float[Tensor, "batch seq ..."], tokens: Int[Tensor, "batch seq+1"], **past: Any
    ) -> Int[Tensor, "batch depth"]:
        """As `AheadModel.draft`; the heads know nothing of each other's drafts."""
        heads = self._heads(seeds, tokens[:, :-1], **past)
        return torch.cat([self.likeliest(head) for head in heads], 1)
