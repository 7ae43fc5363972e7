"""Decoders that the field knows by name, as compositions of this package's values."""

from .attention import Attention
from .decoder import Decoder
from .errors import require, require_positive
from .feed_forward import SwiGLU
from .layer import Layer
from .norm import RMSNorm
from .rope import RoPE


def qwen3_decoder(
    vocab_size: int,
    d_model: int,
    num_layers: int,
    num_heads: int,
    num_kv_heads: int | None = None,
    d_head: int | None = None,
    d_ff: int | None = None,
    theta: float = 1_000_000.0,
    eps: float = 1e-6,
    tied_embeddings: bool = True,
    context_length: int = 2048,
) -> Decoder:
    """Qwen3: RMSNorm before each block, rotary positions, grouped queries, normalised queries and keys, SwiGLU.

    Args:
        vocab_size: number of token ids.
        d_model: width of the residual stream.
        num_layers: depth.
        num_heads: query heads.
        num_kv_heads: key and value heads; None means num_heads.
        d_head: width of a head; None means d_model / num_heads.
        d_ff: width of the feed-forward block; None means 8/3 d_model, rounded up to a multiple of 64.
        theta: base of the rotary wavelengths.
        eps: of every RMSNorm.
        tied_embeddings: the head reads the embedding's matrix.
        context_length: the longest sequence the model is meant for.

    Raises:
        ArchError: sizes that do not fit each other.
    Source: Yang et al. 2025 (arXiv 2505.09388).
    """
    require(num_layers >= 0, f"num_layers={num_layers} must not be negative")
    norm = RMSNorm(eps)
    d_head = head_size(d_model, num_heads) if d_head is None else d_head
    mixer = Attention(num_heads, num_heads if num_kv_heads is None else num_kv_heads, d_head, RoPE(theta), qk_norm=norm)
    layer = Layer(mixer, SwiGLU(swiglu_width(d_model) if d_ff is None else d_ff), norm)
    return Decoder(vocab_size, d_model, (layer,) * num_layers, norm, tied_embeddings, context_length=context_length)


def llama_decoder(
    vocab_size: int,
    d_model: int,
    num_layers: int,
    num_heads: int,
    num_kv_heads: int | None = None,
    d_head: int | None = None,
    d_ff: int | None = None,
    theta: float = 10_000.0,
    eps: float = 1e-5,
    tied_embeddings: bool = False,
    context_length: int = 2048,
) -> Decoder:
    """Llama: RMSNorm before each block, rotary positions, grouped queries, SwiGLU.

    Args:
        vocab_size: number of token ids.
        d_model: width of the residual stream.
        num_layers: depth.
        num_heads: query heads.
        num_kv_heads: key and value heads; None means num_heads.
        d_head: width of a head; None means d_model / num_heads.
        d_ff: width of the feed-forward block; None means 8/3 d_model, rounded up to a multiple of 64.
        theta: base of the rotary wavelengths.
        eps: of every RMSNorm.
        tied_embeddings: the head reads the embedding's matrix.
        context_length: the longest sequence the model is meant for.

    Raises:
        ArchError: sizes that do not fit each other.
    Source: Touvron et al. 2023 (arXiv 2302.13971).
    """
    require(num_layers >= 0, f"num_layers={num_layers} must not be negative")
    norm = RMSNorm(eps)
    d_head = head_size(d_model, num_heads) if d_head is None else d_head
    mixer = Attention(num_heads, num_heads if num_kv_heads is None else num_kv_heads, d_head, RoPE(theta))
    layer = Layer(mixer, SwiGLU(swiglu_width(d_model) if d_ff is None else d_ff), norm)
    return Decoder(vocab_size, d_model, (layer,) * num_layers, norm, tied_embeddings, context_length=context_length)


def head_size(d_model: int, num_heads: int) -> int:
    """d_model / num_heads.

    Raises:
        ArchError: num_heads does not divide d_model.
    """
    require_positive(d_model=d_model, num_heads=num_heads)
    below = d_model // num_heads * num_heads
    nearest = f"{below} or {below + num_heads}" if below else f"{num_heads}"
    require(below == d_model, f"num_heads={num_heads} does not divide d_model={d_model}; use d_model={nearest}")
    return d_model // num_heads


def swiglu_width(d_model: int) -> int:
    """8/3 d_model rounded up to a multiple of 64: three matrices then weigh as much as the two of a 4 d_model MLP."""
    return -(-8 * d_model // (3 * 64)) * 64
