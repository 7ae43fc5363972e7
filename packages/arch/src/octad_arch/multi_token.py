"""Multi-token prediction: further modules that predict the tokens after the next, trained along and used as drafts."""

from dataclasses import dataclass, field

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
from .loss_head import linear_cross_entropy
from .norm import Norm, RMSNorm


@dataclass(frozen=True)
class MultiToken(Buildable["MultiTokenModel"]):
    """A decoder with modules d = 1, 2 ...: h_d[i] = layer(W [norm(h_{d-1}[i]) ; norm'(E[t_{i+d}])]) predicts t_{i+d+1}.

    h_0 are the states of the decoder; embedding, last norm and head are the decoder's. The loss is that of the decoder
    plus weight / depth times the sum of the modules' losses.

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
    def initialization(self) -> Initialization:  # type: ignore[override]
        """The decoder's."""
        return self.decoder.initialization

    def module(self) -> "MultiTokenModel":
        """The module, with the parameters that its constructors leave."""
        return MultiTokenModel(self)

    def cost(self, context_length: int | None = None) -> Cost:
        """Of the decoder and all modules, each with the product of the head."""
        length = self.decoder.context_length if context_length is None else context_length
        d_model, total = self.decoder.d_model, self.decoder.cost(length)
        for _ in range(self.depth):
            total += self.layer.cost(d_model, length) + dense(2 * d_model * d_model)
            total += self.norm.cost(d_model) + self.norm.cost(d_model)
            total += Cost(matmul_flops=2 * d_model * self.decoder.vocab_size)
        return total


class MultiTokenModel(nn.Module):
    """`MultiToken` with its weights; `main` is the decoder, to be used and saved alone."""

    def __init__(self, spec: MultiToken) -> None:
        super().__init__()
        self.spec = spec
        self.main = DecoderModel(spec.decoder)
        d_model, first = spec.decoder.d_model, len(spec.decoder.layers)
        self.ahead = nn.ModuleList(AheadModule(spec, d_model, first + index) for index in range(spec.depth))

    def states(self, tokens: Int[Tensor, "batch seq"]) -> list[Float[Tensor, "batch shorter d_model"]]:
        """Normalised states that predict 1, 2 ... 1 + depth tokens ahead; each is one position shorter."""
        return self._from(self.main.hidden_states(tokens), tokens)

    def _from(self, hidden: Tensor, tokens: Tensor) -> list[Tensor]:
        found = [self.main.leave(hidden)]
        for distance, module in enumerate(self.ahead, start=1):
            length = tokens.shape[1] - distance
            hidden = module(hidden[:, :length], self.main.embedding(tokens[:, distance:]), tokens[:, :length])
            found.append(self.main.leave(hidden))
        return found

    def loss(self, tokens: Int[Tensor, "batch seq"]) -> tuple[Float[Tensor, ""], list[Float[Tensor, ""]]]:
        """The training loss, and the cross-entropy at each distance 1, 2 ... in nats.

        Args:
            tokens: with at least depth + 2 a row, no padding.
        """
        length = tokens.shape[1]
        require(length >= self.spec.depth + 2, f"{length} tokens a row; depth={self.spec.depth} needs 2 more than that")
        weight, losses = self.main.output_weight, []
        for distance, states in enumerate(self.states(tokens), start=1):
            losses.append(linear_cross_entropy(states[:, :-1], weight, tokens[:, distance:]))
        extra = torch.stack(losses[1:]).mean()
        return losses[0] + self.spec.weight * extra, losses

    @torch.inference_mode()
    def draft(self, tokens: Int[Tensor, "batch seq"]) -> Int[Tensor, "batch ahead"]:
        """The likeliest next token, and for each module the one after it: depth + 1 tokens from one main pass.

        The first is the decoder's own greedy choice; the others are to be verified by it (`generate`).
        """
        hidden = self.main.hidden_states(tokens)
        drafted = self.main.logits_at(self.main.leave(hidden[:, -1:])).argmax(-1)
        for distance, module in enumerate(self.ahead, start=1):
            known = torch.cat((tokens, drafted), 1)[:, distance:]
            hidden = module(hidden, self.main.embedding(known), tokens)
            drafted = torch.cat((drafted, self.main.logits_at(self.main.leave(hidden[:, -1:])).argmax(-1)), 1)
        return drafted

    @torch.inference_mode()
    def generate(self, tokens: Int[Tensor, "1 seq"], max_tokens: int) -> tuple[Int[Tensor, "1 new"], float]:
        """The decoder's greedy continuation, several tokens a pass: drafts that it would have chosen itself are kept.

        Returns:
            The new tokens, exactly those of one-by-one greedy decoding, and the share of drafts that were kept.
        """
        require(len(tokens) == 1, f"{len(tokens)} rows; drafts are verified for one row at a time")
        start, kept, drafts = tokens.shape[1], 0, 0
        while tokens.shape[1] - start < max_tokens:
            drafted = self.draft(tokens)
            choices = self.main(torch.cat((tokens, drafted), 1))[:, tokens.shape[1] :].argmax(-1)
            agreeing = (choices[:, :-1] == drafted[:, 1:]).long().cumprod(1).sum().item()
            kept, drafts = kept + int(agreeing), drafts + self.spec.depth
            tokens = torch.cat((tokens, drafted[:, : 1 + int(agreeing)]), 1)
        return tokens[:, start : start + max_tokens], kept / max(drafts, 1)


class AheadModule(nn.Module):
    """One module: two norms, a map from both to one, a layer."""

    def __init__(self, spec: MultiToken, d_model: int, layer: int) -> None:
        super().__init__()
        self.spec = spec
        self.state_norm = spec.norm.build(d_model)
        self.token_norm = spec.norm.build(d_model)
        self.map = nn.Linear(2 * d_model, d_model, bias=False)
        self.layer = spec.layer.build(d_model, layer)

    def forward(self, states: Tensor, embedded: Tensor, tokens: Tensor) -> Float[Tensor, "batch seq d_model"]:
        """The states one token further ahead."""
        x: Tensor = self.map(torch.cat((self.state_norm(states), self.token_norm(embedded)), -1))
        context = context_of(tokens, None, self.spec.layer.rotation_keys, x.dtype)
        y: Tensor = self.layer(x, context)
        return y
