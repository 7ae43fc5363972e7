"""Compressed entries: every window of m tokens as one vector, a mean with learned weights for each channel.

With c = W_c x and z = W_z x of each token, and b an offset for each place in a window, entry w is

    rope(norm(Σ_j softmax_j(z_j + b_j) ⊙ c_j))      over the tokens j of window w, turned as its first token

Where windows overlap, c and z have two halves: the second halves of window w are weighed together with the first halves
of window w - 1. Shapes: B batch, S seq, G windows, M tokens of a window, E d_head, F channels of c (E or 2 E).
"""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..cache import AttentionCache, ListCache, StateCache
from ..context import Context, Rotary
from ..cost import Cost, dense
from ..errors import ArchError, require_positive
from ..norm import Norm, RMSNorm
from ..rope import RoPE, Rotation


@dataclass(frozen=True)
class Compressor:
    """One entry for every `rate` tokens; a query sees it once the window's last token is not behind the query.

    Args:
        rate: m, tokens of a window.
        overlaps: an entry is made of two windows.
        d_rope: channels that turn, the last ones of an entry.
        position: rotary embedding of those.
        norm: of the entries.
    Source: DeepSeek-V4, as transformers builds it (`DeepseekV4HCACompressor`, `DeepseekV4CSACompressor`).
    """

    rate: int
    d_rope: int
    overlaps: bool = False
    position: Rotary = field(default=RoPE(neighbours=True))
    norm: Norm = field(default=RMSNorm())

    def __post_init__(self) -> None:
        require_positive(rate=self.rate, d_rope=self.d_rope)
        self.position.check(self.d_rope)

    def build(self, d_model: int, d_head: int, layer: int, name: str) -> "CompressorModule":
        """The module that makes entries of `d_head` numbers; a cache keeps them under `layer` and `name`."""
        return CompressorModule(self, d_model, d_head, layer, name)

    def entries(self, context_length: int) -> int:
        """How many a query sees after so many tokens."""
        return context_length // self.rate

    def kept(self, d_head: int, length: int) -> float:
        """What the backward pass of a row needs besides its input, a token's share: tokens, weights, norms of entries.

        Without overlap what is weighed is a part of the tokens' own; with it, a copy.
        """
        channels, count = d_head * (1 + self.overlaps), self.entries(length)
        weighed = count * self.rate * channels
        norms = count * self.norm.cost(d_head).activation_elements
        if not count:
            return 0.0
        return (weighed + (weighed if self.overlaps else 2 * channels * length) + norms) / length

    def cost(self, d_model: int, d_head: int) -> Cost:
        """Two matrices, the offsets and the norm; a cache keeps 1 / rate of an entry a token, and the open windows."""
        channels = d_head * (1 + self.overlaps)
        total = dense(2 * d_model * channels, self.rate * channels + self.norm.cost(d_head).parameters)
        held = self.rate * (1 + self.overlaps) * 2 * channels
        return total + Cost(cache_elements=-(-d_head // self.rate), state_elements=held)


class CompressorModule(nn.Module):
    """`Compressor` with its weights."""

    def __init__(self, spec: Compressor, d_model: int, d_head: int, layer: int, name: str) -> None:
        super().__init__()
        self.spec, self.layer, self.name = spec, layer, name
        channels = d_head * (1 + spec.overlaps)
        self.value = nn.Linear(d_model, channels, bias=False)
        self.gate = nn.Linear(d_model, channels, bias=False)
        self.place_bias = nn.Parameter(torch.empty(spec.rate, channels))
        self.norm = spec.norm.build(d_head)

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """Every place weighs the same."""
        self.place_bias.detach().zero_()

    def forward(
        self, x_BSD: Float[Tensor, "batch seq d_model"], context: Context
    ) -> tuple[Float[Tensor, "batch entries d_head"], Int[Tensor, "batch entries"]]:
        """All entries so far, and the position of each window's last token (-1: an empty slot).

        Without a cache windows count from the start of the row; with one, from position 0 on, and the positions of a
        row must follow one another.
        """
        tokens = torch.cat((self.value(x_BSD), self.gate(x_BSD)), -1)
        if context.cache is None:
            return self._by_order(tokens, context.positions)
        cache = _keeping(context.cache, self.layer)
        entries, ends = self._continued(tokens, context.positions.expand(len(tokens), -1), cache)
        return cache.append(self.layer, self.name, entries, ends)

    def _by_order(self, tokens: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        rate, count = self.spec.rate, tokens.shape[1] // self.spec.rate
        windows, is_filled = _windows_in_order(tokens, count, rate, self.spec.overlaps)
        ends = torch.arange(1, count + 1, device=tokens.device) * rate - 1
        return self._pool(windows, is_filled, positions[:, : count * rate : rate]), ends.expand(len(tokens), -1)

    def _continued(self, tokens: Tensor, positions: Tensor, cache: StateCache) -> tuple[Tensor, Tensor]:
        """The windows that these tokens close, with what the cache held of them before."""
        rate, before = self.spec.rate, int(self.spec.overlaps)
        held = cache.state(self.layer, self.name)
        if held is None:
            held = tokens.new_zeros(len(tokens), rate * (1 + before), tokens.shape[-1])
        held, is_new, last = held.to(tokens.dtype), positions >= 0, positions.amax(1, keepdim=True)
        first = torch.where(is_new, positions, last + 1).amin(1, keepdim=True)
        slots = torch.arange(held.shape[1], device=tokens.device)
        held_positions = first - 1 - (first - 1 - slots) % held.shape[1]  # the latest before `first` in each slot
        at, given = torch.cat((held_positions, positions), 1), torch.cat((held, tokens), 1)
        window = first // rate - before
        count = (tokens.shape[1] + rate - 2) // rate + 1 + before
        windows, is_filled = _windows(given, torch.where(at >= 0, at - window * rate, -1), count, rate)
        cache.set_state(self.layer, self.name, _latest(held, tokens, positions, last))
        starts = (window + before + torch.arange(count - before, device=tokens.device)) * rate
        entries = self._pool(windows, is_filled, starts)
        is_closed = is_filled[:, before:, -1]
        used = is_closed.any(0)
        return entries[:, used], torch.where(is_closed, starts + rate - 1, -1)[:, used]

    def _pool(
        self,
        tokens_BGMF: Float[Tensor, "batch windows rate channels"],
        is_filled_BGM: Bool[Tensor, "batch windows rate"],
        starts: Int[Tensor, "rows entries"],
    ) -> Float[Tensor, "batch entries d_head"]:
        """One entry a window that is closed, 0 before the norm for others; with overlap the first window has none."""
        c, z = tokens_BGMF.chunk(2, -1)
        z = z + self.place_bias
        if self.spec.overlaps:
            c, z = _overlapped(*c.chunk(2, -1)), _overlapped(*z.chunk(2, -1))
            is_filled_BGM = _overlapped(is_filled_BGM, is_filled_BGM)
        is_closed = is_filled_BGM[..., -1, None, None]
        z = z.masked_fill(~is_filled_BGM[..., None], -torch.inf).masked_fill(~is_closed, 0.0)
        weights = z.softmax(2, dtype=torch.promote_types(z.dtype, torch.float32)).to(c.dtype)
        entries: Tensor = self.norm((c * weights).sum(2))
        return turn_last(entries, self.spec.position, self.spec.position.rotation(starts, self.spec.d_rope, c.dtype))


@runtime_checkable
class _Cache(ListCache, StateCache, Protocol):
    """A cache that keeps both entries and the tokens of open windows."""


def _keeping(cache: AttentionCache, layer: int) -> _Cache:
    if not isinstance(cache, _Cache):
        raise ArchError(
            f"layer {layer} compresses its past, but {type(cache).__name__} keeps only keys and values; use a cache "
            "with `append` and `state`, such as DynamicCache"
        )
    return cache


def _windows_in_order(tokens: Tensor, count: int, rate: int, overlaps: bool) -> tuple[Tensor, Tensor]:
    """Tokens (B, N, F) as `count` windows, all filled; where they overlap, behind one that is empty."""
    windows = tokens[:, : count * rate].reshape(len(tokens), count, rate, tokens.shape[-1])
    is_filled = torch.ones(windows.shape[:3], dtype=torch.bool, device=tokens.device)
    if overlaps:
        windows, is_filled = F.pad(windows, (0, 0, 0, 0, 1, 0)), F.pad(is_filled, (0, 0, 1, 0))
    return windows, is_filled


def _windows(given: Tensor, places: Tensor, count: int, rate: int) -> tuple[Tensor, Tensor]:
    """Tokens (B, N, F) put at their places in `count` windows, and which places are filled; others are dropped."""
    batch, _, channels = given.shape
    places = places.masked_fill((places < 0) | (places >= count * rate), count * rate)
    grid = given.new_zeros(batch, count * rate + 1, channels)
    grid = grid.scatter(1, places[..., None].expand(-1, -1, channels), given)
    is_filled = torch.zeros(grid.shape[:2], dtype=torch.bool, device=given.device).scatter(1, places, True)
    return grid[:, :-1].reshape(batch, count, rate, channels), is_filled[:, :-1].reshape(batch, count, rate)


def _overlapped(former: Tensor, own: Tensor) -> Tensor:
    """Every window behind the first, with what it reads of the one before it in front of its own."""
    return torch.cat((former[:, :-1], own[:, 1:]), 2)


def _latest(held: Tensor, tokens: Tensor, positions: Tensor, last: Tensor) -> Tensor:
    """The tokens of the latest positions, each in the slot of its position modulo the slots; others as they were."""
    count = held.shape[1]
    slots = torch.where((positions >= 0) & (positions > last - count), positions % count, count)  # the last is dropped
    return F.pad(held, (0, 0, 0, 1)).scatter(1, slots[..., None].expand_as(tokens), tokens)[:, :-1]


def turn_last(x: Float[Tensor, "... seq d_head"], position: Rotary, rotation: Rotation) -> Tensor:
    """Rotate the last channels of a head, as many as the rotation has."""
    still = x.shape[-1] - 2 * rotation.cos.shape[-1]
    return torch.cat((x[..., :still], position.rotate(x[..., still:], rotation)), -1)
