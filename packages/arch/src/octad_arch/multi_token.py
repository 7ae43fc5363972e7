"""Multi-token prediction: further heads that predict the tokens after the next, trained along and used as drafts."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .building import Buildable
from .context import context_of
from .cost import Cost, dense
from .decoder import Decoder, DecoderModel
from .errors import require, require_positive
from .initialization import Initialization
from .layer import LayerSpec
from .norm import Norm, RMSNorm
from .past import DynamicCache


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


def _heads_cost(spec: AheadSpec, context_length: int | None) -> Cost:
    """Of the decoder, and of a layer and the product of the head at each depth."""
    length = spec.decoder.context_length if context_length is None else context_length
    total = spec.decoder.cost(length)
    for _ in range(spec.depth):
        total += spec.layer.cost(spec.decoder.d_model, length)
        total += Cost(matmul_flops=2 * spec.decoder.d_model * spec.decoder.vocab_size)
    return total


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
        d_model, total = self.decoder.d_model, _heads_cost(self, context_length)
        for _ in range(self.depth):
            total += dense(2 * d_model * d_model) + self.norm.cost(d_model) + self.norm.cost(d_model)
        return total


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
        return _heads_cost(self, context_length)


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

    def _likeliest(self, states: Tensor) -> Int[Tensor, "batch 1"]:
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
            known = torch.cat((known, self._likeliest(hidden)), 1)
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
        return torch.cat([self._likeliest(head) for head in heads], 1)
