"""Lightning attention: linear attention with a fixed decay a head, as MiniMax-01 has it."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..activation import Activation, kept_numbers, silu
from ..context import Context, RotationKey
from ..cost import Cost, dense
from ..errors import require_positive
from ..linear import ResidualOutput
from ..norm import Norm, RMSNorm
from .linear_attention import CHUNK, chunks_of, linear_attention, linear_attention_recurrent
from .recurrence import kept_by, split_heads


@dataclass(frozen=True)
class LightningAttention:
    """S = exp(-r_h) S + k vᵀ; output norm(Sᵀ q) * sigmoid(W x), with q, k, v = activation(W x).

    The rate of head h = 1 ... H is r_h = share * 2^(-8 h / H), ALiBi's slopes, so that heads forget at different speeds
    and, with shares that fall with depth, later layers more slowly.

    Args:
        num_heads: each with its own state of (d_head, d_head).
        d_head: width of a head.
        share: of the rates, > 0.
        activation: of queries, keys and values.
        norm: of what all heads read, together.
    Source: Qin et al. 2024 (arXiv 2401.04658); MiniMax-01 (arXiv 2501.08313), section 2.2.
    """

    num_heads: int
    d_head: int
    share: float = 1.0
    activation: Activation = silu
    norm: Norm = field(default=RMSNorm())

    def __post_init__(self) -> None:
        require_positive(num_heads=self.num_heads, d_head=self.d_head, share=self.share)

    def build(self, d_model: int, layer: int = 0) -> "LightningAttentionModule":
        """The module for a model of that width; a cache keeps its states under `layer`."""
        return LightningAttentionModule(self, d_model, layer)

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """None: the state knows the order."""
        return ()

    def rates(self) -> Float[Tensor, "heads"]:
        """r_h, in float32 as MiniMax computes them."""
        base = torch.tensor(1 / 2 ** (8 / self.num_heads), device="cpu")
        return base ** torch.arange(1, self.num_heads + 1, device="cpu") * self.share

    def cost(self, d_model: int, context_length: int) -> Cost:
        """Five matrices, and 2 products with the state a token, whatever the context."""
        inner, state = self.num_heads * self.d_head, self.num_heads * self.d_head**2
        total = dense(5 * d_model * inner) + self.norm.cost(inner)
        activations = self._kept(d_model, max(context_length, 2))
        return total + Cost(attention_flops=4 * state, state_elements=state, activation_elements=activations)

    def _kept(self, d_model: int, length: int) -> float:
        """Of a row in chunks, a token's share: the maps, the products of the chunks, the gate."""
        (count, padded), inner = chunks_of(length), self.num_heads * self.d_head
        maps = d_model + 3 * inner * (1 + kept_numbers(self.activation, with_result=True))
        products = padded * (5 * inner + 2 * self.num_heads * (CHUNK + 1)) + count * self.num_heads * (
            1 + self.d_head**2
        )
        if count == 1:  # nothing is read of a state that is 0
            products -= padded * inner + self.num_heads
        return maps + products / length


class LightningAttentionModule(nn.Module):
    """`LightningAttention` with its weights. Shapes: B batch, S seq, D d_model, H heads, E d_head."""

    def __init__(self, spec: LightningAttention, d_model: int, layer: int) -> None:
        super().__init__()
        self.spec, self.layer, self.linear_attention = spec, layer, linear_attention
        inner = spec.num_heads * spec.d_head
        self.query = nn.Linear(d_model, inner, bias=False)
        self.key = nn.Linear(d_model, inner, bias=False)
        self.value = nn.Linear(d_model, inner, bias=False)
        self.gate = nn.Linear(d_model, inner, bias=False)
        self.norm = spec.norm.build(inner)
        self.output = ResidualOutput(inner, d_model, bias=False)

    def forward(
        self, x_BSD: Float[Tensor, "batch seq d_model"], context: Context
    ) -> Float[Tensor, "batch seq d_model"]:
        """Read and write the state, token by token."""
        spec, kept = self.spec, kept_by(context, self.layer, len(x_BSD))
        x_BSD = kept.gather(x_BSD)
        parts = (spec.activation(part(x_BSD)) for part in (self.query, self.key, self.value))
        q, k, v = (split_heads(part, spec.d_head).transpose(1, 2) for part in parts)
        g_BHS = -spec.rates().to(x_BSD)[None, :, None].expand(q.shape[:3])
        run = self.linear_attention if q.shape[2] > 1 else linear_attention_recurrent
        read_BHSE, state = run(q, kept.silence(k), v, kept.silence(g_BHS), kept.state("linear"))
        kept.keep("linear", state)
        read_BSF = self.norm(read_BHSE.transpose(1, 2).flatten(2))
        output: Tensor = self.output(torch.sigmoid(self.gate(x_BSD)) * read_BSF)
        return kept.scatter(output)
