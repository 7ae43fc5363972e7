"""Decoders that the field knows by name, as compositions of this package's values."""

import math
from dataclasses import replace
from typing import Any

from ..activation import relu
from ..attention import Attention
from ..cross_attention import CrossAttention
from ..decoder import Decoder
from ..encoder import Encoder
from ..encoder_decoder import EncoderDecoder
from ..errors import require, require_positive
from ..feed_forward import MLP, SwiGLU
from ..layer import Layer
from ..norm import LayerNorm, RMSNorm
from ..position import LearnedPositions, SinusoidalPositions
from ..residual import PostNorm
from ..rope import RoPE
from ..variants.ngpt import SphereGLU, SphereStep, UnitNorm


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


def bert_encoder(
    vocab_size: int,
    d_model: int = 768,
    num_layers: int = 12,
    num_heads: int = 12,
    d_ff: int | None = None,
    segments: int = 2,
    context_length: int = 512,
) -> Encoder:
    """BERT's body: learned positions and segments, post-norm layers, GELU; put heads on it with `HeadedEncoder`.

    Args:
        vocab_size: number of token ids.
        d_model: width; the defaults are the paper's base model.
        num_layers: depth.
        num_heads: a divisor of d_model.
        d_ff: width of the feed-forward blocks; None means 4 d_model.
        segments: kinds of segments.
        context_length: the longest sequence.
    Source: Devlin et al. 2018 (arXiv 1810.04805).
    """
    require_positive(num_heads=num_heads)
    require(d_model % num_heads == 0, f"num_heads={num_heads} does not divide d_model={d_model}")
    norm, d_head = LayerNorm(1e-12), d_model // num_heads
    mixer = Attention(num_heads, num_heads, d_head, None, bias=True, output_bias=True, is_causal=False)
    layer = Layer(mixer, MLP(d_ff or 4 * d_model, bias=True), norm, PostNorm())
    return Encoder(
        vocab_size,
        d_model,
        (layer,) * num_layers,
        None,
        segments,
        context_length=context_length,
        position=LearnedPositions(context_length),
        embedding_norm=norm,
    )


def ngpt_decoder(
    vocab_size: int,
    d_model: int,
    num_layers: int,
    num_heads: int,
    d_ff: int | None = None,
    theta: float = 10_000.0,
    context_length: int = 2048,
) -> Decoder:
    """nGPT: all states and weights on the unit sphere; call `normalise_weights` after building and after each step.

    Args:
        vocab_size: number of token ids.
        d_model: width.
        num_layers: depth; the steps on the sphere start at 0.05 in all.
        num_heads: a divisor of d_model.
        d_ff: width of the feed-forward block; None means 8/3 d_model, rounded up to a multiple of 64.
        theta: base of the rotary embedding.
        context_length: a note for exporters and servers.
    The factors of queries and keys are apart and the same for all heads; in the paper q and k share one for each head.
    Source: Loshchilov et al. 2024 (arXiv 2410.01131); no weight decay, no warm-up.
    """
    require_positive(num_heads=num_heads)
    require(d_model % num_heads == 0, f"num_heads={num_heads} does not divide d_model={d_model}")
    d_head = d_model // num_heads
    mixer = Attention(num_heads, num_heads, d_head, RoPE(theta), UnitNorm(1.0), scale=d_head**0.5)
    block = SphereGLU(d_ff or (8 * d_model // 3 + 63) // 64 * 64)
    return Decoder(
        vocab_size,
        d_model,
        (Layer(mixer, block, UnitNorm(), SphereStep()),) * num_layers,
        None,
        tied_embeddings=False,
        context_length=context_length,
        embedding_norm=UnitNorm(),
        logit_gain=1.0,
    )


def transformer_2017(
    vocab_size: int,
    d_model: int = 512,
    num_layers: int = 6,
    num_heads: int = 8,
    d_ff: int = 2048,
    final_norms: bool = False,
    context_length: int = 512,
) -> EncoderDecoder:
    """The first transformer: post-norm layers, ReLU, sinusoids, one embedding for input, output and head.

    Args:
        vocab_size: token ids that both languages share.
        d_model: width; the defaults are the paper's base model.
        num_layers: of encoder and decoder each.
        num_heads: of every attention, a divisor of d_model.
        d_ff: width of the feed-forward blocks.
        final_norms: a LayerNorm behind each of the two, as in torch's `nn.Transformer`; the paper has none.
        context_length: the longest sequences it is meant for.
    Source: Vaswani et al. 2017 (arXiv 1706.03762).
    """
    require_positive(num_heads=num_heads)
    require(d_model % num_heads == 0, f"num_heads={num_heads} does not divide d_model={d_model}")
    d_head, norm = d_model // num_heads, LayerNorm()
    block, cross = MLP(d_ff, relu, bias=True), CrossAttention(num_heads, num_heads, d_head, True, True)
    seen = Attention(num_heads, num_heads, d_head, None, bias=True, output_bias=True, is_causal=False)
    common: dict[str, Any] = {
        "norm": norm if final_norms else None,
        "context_length": context_length,
        "position": SinusoidalPositions(),
        "embedding_scale": math.sqrt(d_model),
    }
    encoder = Encoder(vocab_size, d_model, (Layer(seen, block, norm, PostNorm()),) * num_layers, **common)
    past = Layer(replace(seen, is_causal=True), block, norm, PostNorm(), cross)
    return EncoderDecoder(encoder, Decoder(vocab_size, d_model, (past,) * num_layers, **common))
