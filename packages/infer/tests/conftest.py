"""A small plain-torch decoder that keeps the seam: rotary positions, grouped queries, a few layers."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import settings
from octad_infer import AttentionCache
from torch import Tensor, nn

settings.register_profile("octad_infer", deadline=None)  # a busy machine is no failure
settings.load_profile("octad_infer")

torch.set_num_threads(1)


def rotate(x: Tensor, positions: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    frequencies = 10_000.0 ** (-torch.arange(half, dtype=torch.float64, device=x.device) / half)
    angles = (positions[:, None, :, None].double() * frequencies).to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat(
        [first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], dim=-1
    )


class TinyAttention(nn.Module):
    def __init__(self, layer: int, width: int, heads: int, kv_heads: int, d_head: int) -> None:
        super().__init__()
        self.layer, self.heads, self.kv_heads, self.d_head = layer, heads, kv_heads, d_head
        self.q = nn.Linear(width, heads * d_head, bias=False)
        self.k = nn.Linear(width, kv_heads * d_head, bias=False)
        self.v = nn.Linear(width, kv_heads * d_head, bias=False)
        self.out = nn.Linear(heads * d_head, width, bias=False)

    def forward(self, x: Tensor, positions: Tensor, cache: AttentionCache | None) -> Tensor:
        q = rotate(self.q(x).unflatten(-1, (self.heads, self.d_head)).transpose(1, 2), positions)
        k = rotate(self.k(x).unflatten(-1, (self.kv_heads, self.d_head)).transpose(1, 2), positions)
        v = self.v(x).unflatten(-1, (self.kv_heads, self.d_head)).transpose(1, 2)
        if cache is not None:
            mixed = cache.attend(self.layer, q, k, v, positions)
        else:
            group = self.heads // self.kv_heads
            scores = q @ k.repeat_interleave(group, 1).transpose(-1, -2) * self.d_head**-0.5
            future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
            mixed = scores.masked_fill(future, float("-inf")).softmax(-1) @ v.repeat_interleave(group, 1)
        return self.out(mixed.transpose(1, 2).flatten(2))


class TinyModel(nn.Module):
    def __init__(self, vocab: int, heads: int, kv_heads: int, d_head: int, layers: int, dropout: float) -> None:
        super().__init__()
        width = heads * d_head
        self.embed = nn.Embedding(vocab, width)
        self.attentions = nn.ModuleList(TinyAttention(i, width, heads, kv_heads, d_head) for i in range(layers))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.Dropout(dropout))
            for _ in range(layers)
        )
        self.head = nn.Linear(width, vocab)

    def forward(
        self, tokens: Tensor, *, positions: Tensor | None = None, cache: AttentionCache | None = None
    ) -> Tensor:
        positions = (
            torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape) if positions is None else positions
        )
        x = self.embed(tokens)
        for attention, mlp in zip(self.attentions, self.mlps, strict=True):
            x = x + attention(F.layer_norm(x, x.shape[-1:]), positions, cache)
            x = x + mlp(F.layer_norm(x, x.shape[-1:]))
        return self.head(F.layer_norm(x, x.shape[-1:]))


@pytest.fixture(scope="session")
def make_model() -> Callable[..., TinyModel]:
    def make(
        *,
        vocab: int = 37,
        heads: int = 4,
        kv_heads: int = 2,
        d_head: int = 6,
        layers: int = 3,
        dropout: float = 0.0,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> TinyModel:
        model = TinyModel(vocab, heads, kv_heads, d_head, layers, dropout).to(dtype)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                scale = 2.0 / parameter.shape[-1] ** 0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * scale)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def model(make_model: Callable[..., TinyModel]) -> TinyModel:
    return make_model()
