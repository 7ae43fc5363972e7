"""Gemma 1 to 3: scaled embeddings, norms with 1 + weight, GeGLU; then sandwich norms, windows, caps and head norms."""

import math
from dataclasses import replace
from typing import Any

from ..attention import Attention
from ..decoder import Decoder
from ..feed_forward import SwiGLU
from ..layer import Layer
from ..norm import OffsetRMSNorm
from ..residual import SandwichNorm
from ..rope import RoPE
from .family import DecoderFamily
from .llama import NAMES
from .reading import Config, Entries, activation, activation_name, heads, layer_kind, needed, rotary, rotary_entries

_SANDWICH = NAMES | {
    "mixer.branch_norm": "post_attention_layernorm",
    "feed_forward.input_norm": "pre_feedforward_layernorm",
    "feed_forward.branch_norm": "post_feedforward_layernorm",
}


def _norm(config: Entries) -> OffsetRMSNorm:
    return OffsetRMSNorm(config.get("rms_norm_eps", 1e-6))


def _layer(config: Entries, index: int) -> Layer:
    num_heads, num_kv_heads, d_head = heads(config, 256)
    bias = config.get("attention_bias", False)
    mixer = Attention(num_heads, num_kv_heads, d_head, rotary(config, d_head), bias=bias, output_bias=bias)
    key = "hidden_activation" if config.get("hidden_activation") else "hidden_act"
    function = activation(config, key, "gelu_pytorch_tanh")
    return Layer(mixer, SwiGLU(needed(config, "intermediate_size"), activation=function), _norm(config))


def _options(config: Entries) -> dict[str, Any]:
    options = {"embedding_scale": math.sqrt(needed(config, "hidden_size"))}
    return options | {"logit_softcap": config.get("final_logit_softcapping")}


def _entries(spec: Decoder) -> Config | None:
    first = spec.layers[0]
    if not (isinstance(first, Layer) and isinstance(first.mixer, Attention) and isinstance(spec.norm, OffsetRMSNorm)):
        return None
    mixer, feed_forward = first.mixer, first.feed_forward
    if not (isinstance(feed_forward, SwiGLU) and isinstance(mixer.position, RoPE)):
        return None
    rope, act = (
        rotary_entries(mixer.position, mixer.d_head),
        activation_name(feed_forward.activation, "gelu_pytorch_tanh"),
    )
    if rope is None or act is None:
        return None
    return {
        "intermediate_size": feed_forward.d_ff,
        "num_key_value_heads": mixer.num_kv_heads,
        "head_dim": mixer.d_head,
        "hidden_activation": act,
        "rms_norm_eps": spec.norm.eps,
        "rope_parameters": rope,
        "attention_bias": mixer.bias,
    }


GEMMA = DecoderFamily("gemma", "GemmaForCausalLM", _layer, _norm, _entries, NAMES, options=_options, tied=True)


def _gemma2_layer(config: Entries, index: int) -> Layer:
    plain = _layer(config, index)
    assert isinstance(plain.mixer, Attention)
    kind = layer_kind(config, index, "full_attention" if index % 2 else "sliding_attention")
    mixer = replace(
        plain.mixer,
        window=config.get("sliding_window", 4096) if kind == "sliding_attention" else None,
        scale=config.get("query_pre_attn_scalar", 256) ** -0.5,
        softcap=config.get("attn_logit_softcapping"),
    )
    return replace(plain, mixer=mixer, placement=SandwichNorm())


def _mixers(spec: Decoder) -> list[Attention]:
    found = [getattr(each, "mixer", None) for each in spec.layers]
    return [mixer for mixer in found if isinstance(mixer, Attention)]


def _gemma2_entries(spec: Decoder) -> Config | None:
    written, mixers = _entries(spec), _mixers(spec)
    if written is None or len(mixers) != len(spec.layers) or mixers[0].scale is None:
        return None
    windows = [mixer.window for mixer in mixers if mixer.window is not None]
    return written | {
        "query_pre_attn_scalar": round(mixers[0].scale ** -2),
        "attn_logit_softcapping": mixers[0].softcap,
        "final_logit_softcapping": spec.logit_softcap,
        "sliding_window": windows[0] if windows else 4096,
        "layer_types": ["full_attention" if mixer.window is None else "sliding_attention" for mixer in mixers],
    }


GEMMA2 = DecoderFamily(
    "gemma2", "Gemma2ForCausalLM", _gemma2_layer, _norm, _gemma2_entries, _SANDWICH, options=_options, tied=True
)


def _gemma3_layer(config: Entries, index: int) -> Layer:
    pattern = config.get("sliding_window_pattern", 6)
    kind = layer_kind(config, index, "sliding_attention" if (index + 1) % pattern else "full_attention")
    plain = _gemma2_layer(dict(config) | {"layer_types": [kind] * (index + 1)}, index)
    assert isinstance(plain.mixer, Attention)
    theta = 1_000_000.0
    if kind == "sliding_attention":
        theta = config.get("rope_local_base_freq") or 10_000.0
        nested = config.get("rope_parameters") or {}
        plain_config = {"rope_parameters": nested.get(kind) or {"rope_theta": theta}}
    else:
        plain_config = dict(config)
    position = rotary(plain_config, plain.mixer.d_head, kind, theta)
    return replace(plain, mixer=replace(plain.mixer, position=position, qk_norm=_norm(config)))


def _gemma3_entries(spec: Decoder) -> Config | None:
    written = _gemma2_entries(spec)
    if written is None:
        return None
    ropes = {"sliding_attention": RoPE(10_000.0), "full_attention": RoPE(1_000_000.0)}
    for mixer in _mixers(spec):
        if isinstance(mixer.position, RoPE):
            ropes["full_attention" if mixer.window is None else "sliding_attention"] = mixer.position
    written_ropes = {kind: rotary_entries(rope, _mixers(spec)[0].d_head) for kind, rope in ropes.items()}
    return None if None in written_ropes.values() else written | {"rope_parameters": written_ropes}


GEMMA3 = DecoderFamily(
    "gemma3_text", "Gemma3ForCausalLM", _gemma3_layer, _norm, _gemma3_entries, _SANDWICH, options=_options, tied=True
)
