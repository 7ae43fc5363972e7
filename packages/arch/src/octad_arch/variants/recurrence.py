"""What mixers with a state have in common: where the state is kept, padding, short convolutions, gated norms."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..cache import StateCache
from ..context import Context
from ..errors import ArchError

Read = Callable[[str], Tensor | None]


class Kept(NamedTuple):
    """Where a layer of a forward pass finds its states, and how its rows are ordered.

    Args:
        cache: keeper of the states; None without one.
        layer: under which index.
        order: each row's real tokens first, in their order; None where no slot is padding.
        counts: real tokens of each row, likewise.
    """

    cache: StateCache | None
    layer: int
    order: Int[Tensor, "batch seq"] | None
    counts: Int[Tensor, "batch"] | None

    def state(self, name: str) -> Tensor | None:
        """The state after the tokens before these."""
        return None if self.cache is None else self.cache.state(self.layer, name)

    def keep(self, name: str, state: Tensor) -> None:
        """Keep the state after these tokens."""
        if self.cache is not None:
            self.cache.set_state(self.layer, name, state)

    def gather(self, x: Float[Tensor, "batch seq d"]) -> Float[Tensor, "batch seq d"]:
        """Every row's real tokens at its start."""
        return x if self.order is None else x.gather(1, self.order[..., None].expand_as(x))

    def scatter(self, x: Float[Tensor, "batch seq d"]) -> Float[Tensor, "batch seq d"]:
        """Back to where they came from."""
        if self.order is None:
            return x
        return torch.empty_like(x).scatter(1, self.order[..., None].expand_as(x), x)

    def silence(self, x: Float[Tensor, "batch heads seq ..."]) -> Float[Tensor, "batch heads seq ..."]:
        """Zero behind every row's real tokens: there nothing is written and nothing decays."""
        if self.counts is None:
            return x
        is_real = torch.arange(x.shape[2], device=x.device) < self.counts[:, None]
        return x * is_real.view(len(x), 1, -1, *[1] * (x.ndim - 3))


def kept_by(context: Context, layer: int, batch: int) -> Kept:
    """The states of a layer in this forward pass.

    Raises:
        ArchError: a cache that keeps no states.
    """
    if context.cache is None:
        return Kept(None, layer, None, None)
    if not isinstance(context.cache, StateCache):
        raise ArchError(
            f"layer {layer} has a state, but {type(context.cache).__name__} keeps only keys and values; use a cache "
            "with `state` and `set_state`, such as DynamicCache"
        )
    is_real = (context.positions >= 0).expand(batch, -1)
    if bool(is_real.all()):
        return Kept(context.cache, layer, None, None)
    return Kept(context.cache, layer, (~is_real).int().argsort(stable=True, dim=1), is_real.sum(1))


class ShortConvolution(nn.Module):
    """y_t = silu(Σ_j w_j x_{t-j} + b), each channel by itself, over the last few tokens.

    Args:
        channels: of the input and output.
        width: tokens seen, the own one included.
        bias: an offset a channel.
    """

    def __init__(self, channels: int, width: int, bias: bool = False) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.empty(channels, 1, width))
        self.bias = nn.Parameter(torch.empty(channels)) if bias else None

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """Uniform within ±1 / sqrt(width), the offsets at 0."""
        drawn = torch.empty(self.weight.shape, device=generator.device).uniform_(-1, 1, generator=generator)
        self.weight.detach().copy_(drawn * self.width**-0.5)
        if self.bias is not None:
            self.bias.detach().zero_()

    def forward(self, x: Float[Tensor, "batch seq channels"], kept: Kept) -> Float[Tensor, "batch seq channels"]:
        """Continue behind the tokens that the cache has seen last."""
        past = kept.state("convolution")
        if past is None:
            past = x.new_zeros(len(x), self.width - 1, x.shape[-1])
        seen = torch.cat((past.to(x.dtype), x), 1)
        if kept.cache is not None:
            ends = x.new_full((len(x),), x.shape[1], dtype=torch.long) if kept.counts is None else kept.counts
            last = ends[:, None] + torch.arange(self.width - 1, device=x.device)
            kept.keep("convolution", seen.gather(1, last[..., None].expand(-1, -1, x.shape[-1])))
        mixed = F.conv1d(seen.transpose(1, 2), self.weight, self.bias, groups=x.shape[-1])
        return F.silu(mixed).transpose(1, 2)


def kept_by_convolution(channels: int, width: int, length: int) -> int:
    """Numbers of a row that the backward pass of a `ShortConvolution` needs, what it gives left out."""
    return channels * (2 * length + width - 1)


def inverse_softplus(x: Tensor) -> Tensor:
    """The y with log(1 + exp(y)) = x, for x > 0."""
    return x + torch.log(-torch.expm1(-x))


def uniform(shape: torch.Size, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Numbers drawn evenly from low to high."""
    return torch.empty(shape, device=generator.device).uniform_(low, high, generator=generator)


def split_heads(x: Float[Tensor, "batch seq inner"], d_head: int) -> Float[Tensor, "batch seq heads d_head"]:
    """The channels of each head."""
    return x.reshape(*x.shape[:-1], -1, d_head)


def wide(x: Tensor) -> Tensor:
    """In float32 or wider, which decays and lengths need."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
