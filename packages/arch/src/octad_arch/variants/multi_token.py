"""Multi-token prediction in a chain: each module reads the states of the one before and one token more."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..building import Buildable
from ..context import context_of
from ..cost import Cost, dense
from ..decoder import Decoder
from ..errors import require, require_positive
from ..initialization import Initialization
from ..layer import LayerSpec
from ..norm import Norm, RMSNorm
from .ahead import AheadModel, heads_cost


@dataclass(frozen=True)
class MultiToken(Buildable["MultiTokenModel"]):
    """A decoder with modules d = 1, 2 ...: h_d[i] = layer(W [norm(h_{d-1}[i]) ; norm'(E[t_{i+d}])]) predicts t_{i+d+1}.

    h_0 is what the last layer of the decoder gives; embedding, last norm and head are the decoder's. The loss is that
    of the decoder plus weight / depth times the sum of the modules' losses.

    Args:
        decoder: the main model.
        layer: of each module.
        depth: modules, tokens beyond the next.
        weight: of their losses, > 0.
        norm: of the two halves of what a module reads.
    Source: DeepSeek-V3 (arXiv 2412.19437), section 2.2.
    """

    decoder: Decoder
    layer: LayerSpec
    depth: int = 1
    weight: float = 0.3
    norm: Norm = field(default=RMSNorm())

    def __post_init__(self) -> None:
        require_positive(depth=self.depth, weight=self.weight)
        require(self.decoder.stream is None, "modules read one vector a token; use a decoder with stream=None")

    @property
    def factor(self) -> float:
        """Of each module's loss."""
        return self.weight / self.depth

    @property
    def initialization(self) -> Initialization:  # type: ignore[override]
        """The decoder's."""
        return self.decoder.initialization

    def module(self) -> "MultiTokenModel":
        """The module, with the parameters that its constructors leave."""
        return MultiTokenModel(self)

    def cost(self, context_length: int | None = None) -> Cost:
        """Of the decoder and all modules, each with the product of the head."""
        d_model, total = self.decoder.d_model, heads_cost(self, context_length)
        for _ in range(self.depth):
            total += dense(2 * d_model * d_model) + self.norm.cost(d_model) + self.norm.cost(d_model)
        return total


class MultiTokenModel(AheadModel):
    """`MultiToken` with its weights."""

    def __init__(self, spec: MultiToken) -> None:
        super().__init__(spec)
        first = len(spec.decoder.layers)
        self.ahead = nn.ModuleList(AheadModule(spec, first + index) for index in range(spec.depth))

    def seeds(self, tokens: Int[Tensor, "batch seq"], **past: Any) -> tuple[Tensor, Tensor]:
        """What the last layer gives, twice."""
        hidden = self.main.hidden_states(tokens, **past)
        return hidden, hidden

    def states(self, tokens: Int[Tensor, "batch seq"]) -> list[Float[Tensor, "batch shorter d_model"]]:
        """Normalised states that predict 1, 2 ... 1 + depth tokens ahead; each is one position shorter."""
        hidden = self.main.hidden_states(tokens)
        found = [self.main.leave(hidden)]
        for distance, module in enumerate(self.ahead, start=1):
            length = tokens.shape[1] - distance
            hidden = module(hidden[:, :length], self.main.embedding(tokens[:, distance:]), tokens[:, :length])
            found.append(self.main.leave(hidden))
        return found

    @torch.no_grad()
    def draft(
        self, seeds: Float[Tensor, "batch seq d_model"], tokens: Int[Tensor, "batch seq+1"], **past: Any
    ) -> Int[Tensor, "batch depth"]:
        """As `AheadModel.draft`; each module reads what the one before has drafted."""
        hidden, length, known = seeds, seeds.shape[1], tokens
        for distance, module in enumerate(self.ahead, start=1):
            embedded = self.main.embedding(known[:, distance : distance + length])
            hidden = module(hidden, embedded, tokens[:, :length], **past)
            known = torch.cat((known, self.likeliest(hidden)), 1)
        return known[:, length + 1 :]


class AheadModule(nn.Module):
    """One module of `MultiToken`: two norms, a map from both to one, a layer."""

    def __init__(self, spec: MultiToken, layer: int) -> None:
        super().__init__()
        d_model = spec.decoder.d_model
        self.rotation_keys = spec.layer.rotation_keys
        self.state_norm = spec.norm.build(d_model)
        self.token_norm = spec.norm.build(d_model)
        self.map = nn.Linear(2 * d_model, d_model, bias=False)
        self.layer = spec.layer.build(d_model, layer)

    def forward(
        self, states: Tensor, embedded: Tensor, tokens: Tensor, positions: Tensor | None = None, cache: Any = None
    ) -> Float[Tensor, "batch seq d_model"]:
        """The states one token further ahead."""
        x: Tensor = self.map(torch.cat((self.state_norm(states), self.token_norm(embedded)), -1))
        y: Tensor = self.layer(x, context_of(tokens, positions, self.rotation_keys, x.dtype, cache=cache))
        return y
