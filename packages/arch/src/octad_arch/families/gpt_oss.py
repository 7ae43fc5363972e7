"""gpt-oss: experts with offsets and clamped gates, sinks, windows in every second layer; and MiniMax-M2."""

from collections.abc import Iterable
from dataclasses import replace

import torch

from ..attention import AllHeads, Attention
from ..checkpoint_map import Tensors, Weight, same
from ..decoder import Decoder
from ..layer import Layer
from ..norm import RMSNorm
from ..rope import RoPE
from ..variants.moe import ClampedGating, MoE, SigmoidRouter, SoftmaxRouter
from .family import DecoderFamily
from .llama import NAMES, layer, norm
from .moe import MOE_NAMES, moe_entries, stored_experts
from .reading import Config, Entries, activation, heads, layer_kind, needed, rotary, rotary_entries

_YARN = {
    "rope_type": "yarn",
    "rope_theta": 150_000.0,
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}


def _norm(config: Entries) -> RMSNorm:
    return RMSNorm(config.get("rms_norm_eps", 1e-5))


def _layer(config: Entries, index: int) -> Layer:
    num_heads, num_kv_heads, d_head = heads(config, 64)
    default = "full_attention" if index % 2 else "sliding_attention"
    window = config.get("sliding_window", 128) if layer_kind(config, index, default) == "sliding_attention" else None
    position = rotary({"rope_parameters": _YARN} | dict(config), d_head)
    bias = config.get("attention_bias", True)
    mixer = Attention(num_heads, num_kv_heads, d_head, position, None, bias, bias, window=window, sinks=True)
    gating = ClampedGating(config.get("swiglu_alpha", 1.702), config.get("swiglu_limit", 7.0))
    router = SoftmaxRouter(config.get("num_experts_per_tok", 4))
    experts, width = needed(config, "num_local_experts"), needed(config, "intermediate_size")
    return Layer(mixer, MoE(experts, width, router, bias=True, gating=gating), _norm(config))


def _entries(spec: Decoder) -> Config | None:
    layers = [each for each in spec.layers if isinstance(each, Layer)]
    mixers = [each.mixer for each in layers if isinstance(each.mixer, Attention)]
    sparse = layers[0].feed_forward if layers else None
    if len(mixers) != len(spec.layers) or not isinstance(sparse, MoE) or not isinstance(spec.norm, RMSNorm):
        return None
    first, gating = mixers[0], sparse.gating
    rope = rotary_entries(first.position, first.d_head) if isinstance(first.position, RoPE) else None
    if not isinstance(gating, ClampedGating) or rope is None or not isinstance(first.position, RoPE):
        return None
    windows = [mixer.window for mixer in mixers if mixer.window is not None]
    return {
        "num_key_value_heads": first.num_kv_heads,
        "head_dim": first.d_head,
        "attention_bias": first.bias,
        "rope_parameters": rope,
        "rms_norm_eps": spec.norm.eps,
        "sliding_window": windows[0] if windows else None,
        "layer_types": ["full_attention" if mixer.window is None else "sliding_attention" for mixer in mixers],
        "num_local_experts": sparse.num_experts,
        "num_experts_per_tok": sparse.router.top_k,
        "intermediate_size": sparse.d_ff,
        "swiglu_alpha": gating.alpha,
        "swiglu_limit": gating.limit,
    }


def _apart(tensors: Tensors) -> Tensors:
    """Gate and up, which alternate along the last axis, as (experts, out, in)."""
    return tuple(
        part.transpose(1, 2) if part.ndim == 3 else part for part in (tensors[0][..., ::2], tensors[0][..., 1::2])
    )


def _alternating(tensors: Tensors) -> Tensors:
    parts = [part.transpose(1, 2) if part.ndim == 3 else part for part in tensors]
    return (torch.stack(parts, -1).flatten(-2),)


def _fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    block, experts = f"{ours}.feed_forward.block", f"{theirs}.mlp.experts"
    yield Weight((f"{experts}.gate_up_proj",), (f"{block}.gate_EFD", f"{block}.up_EFD"), _apart, _alternating)
    biases = (f"{block}.gate_bias_EF", f"{block}.up_bias_EF")
    yield Weight((f"{experts}.gate_up_proj_bias",), biases, _apart, _alternating)
    turned = (lambda tensors: (tensors[0].transpose(1, 2),),) * 2
    yield Weight((f"{experts}.down_proj",), (f"{block}.down_EDF",), *turned)
    yield same(f"{experts}.down_proj_bias", f"{block}.down_bias_ED")


GPT_OSS = DecoderFamily(
    "gpt_oss",
    "GptOssForCausalLM",
    _layer,
    _norm,
    _entries,
    NAMES | {"mixer.block": "self_attn", "feed_forward.block.router": "mlp.router"},
    fused=_fused,
)


def _minimax_layer(config: Entries, index: int) -> Layer:
    plain = layer(dict(config) | {"attention_bias": False, "mlp_bias": False}, index)
    assert isinstance(plain.mixer, Attention)
    router = SigmoidRouter(needed(config, "num_experts_per_tok"))
    sparse = MoE(needed(config, "num_local_experts"), needed(config, "intermediate_size"), router, activation(config))
    return replace(plain, mixer=replace(plain.mixer, qk_norm=AllHeads(norm(config))), feed_forward=sparse)


def _minimax_entries(spec: Decoder) -> Config | None:
    written = moe_entries(spec)
    sparse = getattr(spec.layers[0], "feed_forward", None)
    if written is None or not isinstance(sparse, MoE) or not isinstance(sparse.router, SigmoidRouter):
        return None
    return written | {"num_local_experts": sparse.num_experts, "intermediate_size": sparse.d_ff}


def _minimax_fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    for weight in stored_experts("block_sparse_moe", "w1", "w3", "w2")(spec, ours, theirs):
        yield replace(weight, theirs=tuple(name.replace(".gate.e_score", ".e_score") for name in weight.theirs))


MINIMAX_M2 = DecoderFamily(
    "minimax_m2",
    "MiniMaxM2ForCausalLM",
    _minimax_layer,
    norm,
    _minimax_entries,
    MOE_NAMES
    | {
        "feed_forward.block.router": "block_sparse_moe.gate",
        "mixer.block.query_norm.norm": "self_attn.q_norm",
        "mixer.block.key_norm.norm": "self_attn.k_norm",
    },
    fused=_minimax_fused,
)
