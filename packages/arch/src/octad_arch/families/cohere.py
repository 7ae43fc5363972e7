"""Cohere's Command R and R7B: one norm for two parallel branches, neighbouring rotary pairs, scaled logits."""

from dataclasses import replace
from typing import Any

from ..attention import Attention
from ..decoder import Decoder
from ..feed_forward import SwiGLU
from ..layer import ParallelLayer
from ..norm import LayerNorm
from ..rope import RoPE
from .family import DecoderFamily
from .reading import (
    Config,
    Entries,
    activation,
    activation_name,
    heads,
    layer_kind,
    needed,
    refuse,
    rotary,
    rotary_entries,
)

_NAMES = {
    "mixer_norm": "input_layernorm",
    "mixer.query": "self_attn.q_proj",
    "mixer.key": "self_attn.k_proj",
    "mixer.value": "self_attn.v_proj",
    "mixer.output": "self_attn.o_proj",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.down": "mlp.down_proj",
}


def _norm(config: Entries) -> LayerNorm:
    return LayerNorm(config.get("layer_norm_eps", 1e-5), bias=False)


def _layer(config: Entries, index: int) -> ParallelLayer:
    refuse(config, "cohere", use_qk_norm=(False,))
    num_heads, num_kv_heads, d_head = heads(dict(config) | {"head_dim": None})
    bias = config.get("attention_bias", False)
    position = rotary(config, d_head, neighbours=True)
    mixer = Attention(num_heads, num_kv_heads, d_head, position, bias=bias, output_bias=bias)
    return ParallelLayer(
        mixer, SwiGLU(needed(config, "intermediate_size"), activation=activation(config)), _norm(config)
    )


def _options(config: Entries) -> dict[str, Any]:
    return {"logit_scale": float(config.get("logit_scale", 0.0625))}


def _entries(spec: Decoder) -> Config | None:
    turning = [each for each in spec.layers if isinstance(each, ParallelLayer) and isinstance(each.mixer, Attention)]
    ropes = [(each, each.mixer.position) for each in turning if isinstance(each.mixer, Attention)]
    found = next(((each, rope) for each, rope in ropes if isinstance(rope, RoPE)), None)
    if found is None or not isinstance(found[0].feed_forward, SwiGLU) or not isinstance(spec.norm, LayerNorm):
        return None
    first, rope = found
    assert isinstance(first.mixer, Attention) and isinstance(first.feed_forward, SwiGLU)
    return {
        "intermediate_size": first.feed_forward.d_ff,
        "num_key_value_heads": first.mixer.num_kv_heads,
        "hidden_act": activation_name(first.feed_forward.activation, "silu"),
        "layer_norm_eps": spec.norm.eps,
        "rope_theta": rope.theta,
        "rope_parameters": rotary_entries(rope, first.mixer.d_head),
        "attention_bias": first.mixer.bias,
        "logit_scale": spec.logit_scale,
    }


COHERE = DecoderFamily("cohere", "CohereForCausalLM", _layer, _norm, _entries, _NAMES, options=_options, tied=True)


def _layer2(config: Entries, index: int) -> ParallelLayer:
    plain = _layer(config, index)
    assert isinstance(plain.mixer, Attention)
    pattern = config.get("sliding_window_pattern", 4)
    kind = layer_kind(config, index, "sliding_attention" if (index + 1) % pattern else "full_attention")
    if kind == "sliding_attention":
        return replace(plain, mixer=replace(plain.mixer, window=config.get("sliding_window", 4096)))
    return replace(plain, mixer=replace(plain.mixer, position=None))


def _entries2(spec: Decoder) -> Config | None:
    written = _entries(spec)
    windows = [getattr(getattr(each, "mixer", None), "window", None) for each in spec.layers]
    if written is None:
        return None
    kinds = ["full_attention" if window is None else "sliding_attention" for window in windows]
    return written | {"sliding_window": next(filter(None, windows), 4096), "layer_types": kinds}


COHERE2 = DecoderFamily("cohere2", "Cohere2ForCausalLM", _layer2, _norm, _entries2, _NAMES, options=_options, tied=True)
