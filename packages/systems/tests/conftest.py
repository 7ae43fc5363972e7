"""A plain transformer in torch, written without this package's account in mind: the account is checked against it."""

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import settings
from octad_systems import TransformerShape
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

settings.register_profile("octad_systems", deadline=None)  # a busy machine is no failure
settings.load_profile("octad_systems")


class Block(nn.Module):
    def __init__(self, shape: TransformerShape, is_causal: bool, has_fused_attention: bool) -> None:
        super().__init__()
        self.shape, self.is_causal, self.has_fused_attention = shape, is_causal, has_fused_attention
        norm = nn.LayerNorm if shape.has_norm_bias else nn.RMSNorm
        self.norms = nn.ModuleList(norm(shape.d_model) for _ in range(2))
        self.q_norm, self.k_norm = (norm(shape.d_head) if shape.has_qk_norm else nn.Identity() for _ in range(2))
        self.q = nn.Linear(shape.d_model, shape.num_heads * shape.d_head, bias=shape.has_qkv_bias)
        self.k = nn.Linear(shape.d_model, shape.num_kv_heads * shape.d_head, bias=shape.has_qkv_bias)
        self.v = nn.Linear(shape.d_model, shape.num_kv_heads * shape.d_head, bias=shape.has_qkv_bias)
        self.o = nn.Linear(shape.num_heads * shape.d_head, shape.d_model, bias=shape.has_output_bias)
        self.gate = nn.Linear(shape.d_model, shape.d_ff, bias=shape.has_mlp_bias) if shape.is_gated else None
        self.up = nn.Linear(shape.d_model, shape.d_ff, bias=shape.has_mlp_bias)
        self.down = nn.Linear(shape.d_ff, shape.d_model, bias=shape.has_mlp_bias)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.has_fused_attention:
            return F.scaled_dot_product_attention(q, k, v, is_causal=self.is_causal)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if self.is_causal:
            scores = scores + torch.full(scores.shape[-2:], float("-inf")).triu(1)
        return scores.softmax(-1) @ v

    def forward(self, x: Tensor) -> Tensor:
        batch, seq, _ = x.shape
        h = self.norms[0](x)
        q, k, v = (p(h).view(batch, seq, -1, self.shape.d_head) for p in (self.q, self.k, self.v))
        q, k, v = (t.transpose(1, 2) for t in (self.q_norm(q), self.k_norm(k), v))
        group = self.shape.num_heads // self.shape.num_kv_heads
        if group > 1:
            k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        x = x + self.o(self.attend(q, k, v).transpose(1, 2).reshape(batch, seq, -1))
        h = self.norms[1](x)
        hidden = self.up(h) * F.silu(self.gate(h)) if self.gate is not None else F.gelu(self.up(h))
        return x + self.down(hidden)


class Transformer(nn.Module):
    def __init__(
        self, shape: TransformerShape, is_causal: bool, has_fused_attention: bool, has_recomputation: bool
    ) -> None:
        super().__init__()
        self.has_recomputation = has_recomputation
        self.embedding = nn.Embedding(shape.vocab_size, shape.d_model)
        self.positions = nn.Embedding(shape.num_positions, shape.d_model) if shape.num_positions else None
        self.blocks = nn.ModuleList(Block(shape, is_causal, has_fused_attention) for _ in range(shape.num_layers))
        norm = nn.LayerNorm if shape.has_norm_bias else nn.RMSNorm
        self.norm = norm(shape.d_model) if shape.has_final_norm else nn.Identity()
        self.head = nn.Linear(shape.d_model, shape.vocab_size, bias=False)
        if shape.tied_embeddings:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        if self.positions is not None:
            x = x + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.has_recomputation else block(x)
        return self.head(self.norm(x))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products gain nothing from threads, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def build_transformer() -> Callable[..., nn.Module]:
    def build(
        shape: TransformerShape,
        *,
        is_causal: bool = True,
        has_fused_attention: bool = True,
        has_recomputation: bool = False,
    ) -> nn.Module:
        torch.manual_seed(0)
        return Transformer(shape, is_causal, has_fused_attention, has_recomputation)

    return build
