"""Llama and its kin: RMSNorm, rotary positions, grouped queries and a gated feed-forward block."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..attention import AllHeads, Attention
from ..checkpoint_map import Weight, joined
from ..decoder import Decoder
from ..feed_forward import MLP, SwiGLU
from ..layer import Layer
from ..norm import RMSNorm
from ..residual import PreNorm, ReorderedNorm, Scaled
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
    rope_parameters,
    rotary,
    rotary_entries,
)

NAMES = {
    "mixer.input_norm": "input_layernorm",
    "mixer.block.query": "self_attn.q_proj",
    "mixer.block.key": "self_attn.k_proj",
    "mixer.block.value": "self_attn.v_proj",
    "mixer.block.query_norm": "self_attn.q_norm",
    "mixer.block.key_norm": "self_attn.k_norm",
    "mixer.block.output": "self_attn.o_proj",
    "feed_forward.input_norm": "post_attention_layernorm",
    "feed_forward.block.gate": "mlp.gate_proj",
    "feed_forward.block.up": "mlp.up_proj",
    "feed_forward.block.down": "mlp.down_proj",
}


def norm(config: Entries) -> RMSNorm:
    """The RMSNorm of the whole model."""
    return RMSNorm(config.get("rms_norm_eps", 1e-6))


def layer(config: Entries, index: int) -> Layer:
    """A layer of Llama itself."""
    num_heads, num_kv_heads, d_head = heads(config)
    bias = config.get("attention_bias", False)
    mixer = Attention(num_heads, num_kv_heads, d_head, rotary(config, d_head), bias=bias, output_bias=bias)
    feed_forward = SwiGLU(needed(config, "intermediate_size"), config.get("mlp_bias", False), activation(config))
    return Layer(mixer, feed_forward, norm(config))


def entries(spec: Decoder) -> Config | None:
    """What the families of this module write, from the first layer; None for layers of other kinds."""
    first = spec.layers[0]
    if not (isinstance(first, Layer) and isinstance(first.mixer, Attention) and isinstance(spec.norm, RMSNorm)):
        return None
    mixer, feed_forward = first.mixer, first.feed_forward
    if not (isinstance(feed_forward, SwiGLU | MLP) and isinstance(mixer.position, RoPE)):
        return None
    rope, act = rotary_entries(mixer.position, mixer.d_head), activation_name(feed_forward.activation, "silu")
    if rope is None or act is None:
        return None
    return {
        "intermediate_size": feed_forward.d_ff,
        "num_key_value_heads": mixer.num_kv_heads,
        "head_dim": mixer.d_head,
        "hidden_act": act,
        "rms_norm_eps": spec.norm.eps,
        "rope_theta": mixer.position.theta,
        "rope_parameters": rope,
        "attention_bias": mixer.bias,
        "mlp_bias": feed_forward.bias,
    }


def _whole_heads(spec: Decoder) -> Config | None:
    """For classes of transformers that refuse a hidden_size that the number of heads does not divide."""
    mixer = getattr(spec.layers[0], "mixer", None)
    return entries(spec) if isinstance(mixer, Attention) and spec.d_model % mixer.num_heads == 0 else None


def _llama_layer(config: Entries, index: int) -> Layer:
    refuse(config, "llama", layer_types=(None, ["full_attention"] * needed(config, "num_hidden_layers")))
    return layer(config, index)


LLAMA = DecoderFamily("llama", "LlamaForCausalLM", _llama_layer, norm, _whole_heads, NAMES)


def _windows(spec: Decoder) -> list[int | None]:
    return [getattr(getattr(each, "mixer", None), "window", None) for each in spec.layers]


def _mistral_layer(config: Entries, index: int) -> Layer:
    plain = layer(dict(config) | {"attention_bias": False, "mlp_bias": False}, index)
    assert isinstance(plain.mixer, Attention)
    return replace(plain, mixer=replace(plain.mixer, window=config.get("sliding_window")))


def _mistral_entries(spec: Decoder) -> Config | None:
    written = entries(spec)
    return None if written is None else written | {"sliding_window": _windows(spec)[0]}


MISTRAL = DecoderFamily("mistral", "MistralForCausalLM", _mistral_layer, norm, _mistral_entries, NAMES)


def _qwen(config: Entries, index: int, **changes: Any) -> Layer:
    uses_windows = bool(config.get("use_sliding_window"))
    first = config.get("max_window_layers", needed(config, "num_hidden_layers"))
    default = "sliding_attention" if uses_windows and index >= first else "full_attention"
    kind = layer_kind(config, index, default)
    plain = layer(config, index)
    assert isinstance(plain.mixer, Attention)
    window = config.get("sliding_window") if uses_windows and kind == "sliding_attention" else None
    return replace(plain, mixer=replace(plain.mixer, window=window, **changes))


def _qwen2_layer(config: Entries, index: int) -> Layer:
    plain = dict(config) | {"attention_bias": False, "mlp_bias": False, "head_dim": None}
    return _qwen(plain, index, bias=True)


def _qwen3_layer(config: Entries, index: int) -> Layer:
    plain = dict(config) | {"mlp_bias": False, "head_dim": config.get("head_dim") or 128}
    return _qwen(plain, index, qk_norm=norm(config))


def _qwen_entries(spec: Decoder) -> Config | None:
    written, windows = entries(spec), _windows(spec)
    if written is None:
        return None
    widths = set(windows) - {None}
    if not widths:
        return written | {"use_sliding_window": False}
    kinds = ["full_attention" if window is None else "sliding_attention" for window in windows]
    return written | {
        "use_sliding_window": True,
        "sliding_window": max(width for width in widths if width is not None),
        "layer_types": kinds,
    }


QWEN2 = DecoderFamily("qwen2", "Qwen2ForCausalLM", _qwen2_layer, norm, _qwen_entries, NAMES)
QWEN3 = DecoderFamily("qwen3", "Qwen3ForCausalLM", _qwen3_layer, norm, _qwen_entries, NAMES)


def _smollm3_layer(config: Entries, index: int) -> Layer:
    interval = config.get("no_rope_layer_interval", 4)
    turns = config.get("no_rope_layers") or [(at + 1) % interval != 0 for at in range(index + 1)]
    plain = _qwen(dict(config) | {"head_dim": None}, index)
    assert isinstance(plain.mixer, Attention)
    return plain if turns[index] else replace(plain, mixer=replace(plain.mixer, position=None))


def _smollm3_entries(spec: Decoder) -> Config | None:
    turns = [int(getattr(getattr(each, "mixer", None), "position", None) is not None) for each in spec.layers]
    if not any(turns):
        return None
    written = _qwen_entries(replace(spec, layers=(spec.layers[turns.index(1)],)))
    return None if written is None else written | {"no_rope_layers": turns, "pad_token_id": None}


SMOLLM3 = DecoderFamily("smollm3", "SmolLM3ForCausalLM", _smollm3_layer, norm, _smollm3_entries, NAMES, tied=True)


def _granite_layer(config: Entries, index: int) -> Layer:
    plain = layer(dict(config) | {"head_dim": None}, index)
    assert isinstance(plain.mixer, Attention)
    mixer = replace(plain.mixer, scale=float(config.get("attention_multiplier", 1.0)))
    return replace(plain, mixer=mixer, placement=Scaled(PreNorm(), float(config.get("residual_multiplier", 1.0))))


def _granite_options(config: Entries) -> dict[str, Any]:
    return {
        "embedding_scale": float(config.get("embedding_multiplier", 1.0)),
        "logit_scale": 1 / float(config.get("logits_scaling", 1.0)),
    }


def _granite_entries(spec: Decoder) -> Config | None:
    first, written = spec.layers[0], entries(spec)
    if written is None or not isinstance(first, Layer) or not isinstance(first.placement, Scaled):
        return None
    assert isinstance(first.mixer, Attention)
    return written | {
        "attention_multiplier": first.mixer.scale,
        "residual_multiplier": first.placement.factor,
        "embedding_multiplier": spec.embedding_scale,
        "logits_scaling": 1 / spec.logit_scale,
    }


_SCALED = {ours.replace(".block.", ".block.block."): theirs for ours, theirs in NAMES.items()}
GRANITE = DecoderFamily(
    "granite", "GraniteForCausalLM", _granite_layer, norm, _granite_entries, _SCALED, options=_granite_options
)

_OLMO2_NAMES = NAMES | {
    "mixer.block.query_norm.norm": "self_attn.q_norm",
    "mixer.block.key_norm.norm": "self_attn.k_norm",
    "mixer.branch_norm": "post_attention_layernorm",
    "feed_forward.branch_norm": "post_feedforward_layernorm",
}


def _olmo2_layer(config: Entries, index: int) -> Layer:
    plain = layer(dict(config) | {"mlp_bias": False, "head_dim": None}, index)
    assert isinstance(plain.mixer, Attention)
    return replace(plain, mixer=replace(plain.mixer, qk_norm=AllHeads(norm(config))), placement=ReorderedNorm())


OLMO2 = DecoderFamily("olmo2", "Olmo2ForCausalLM", _olmo2_layer, norm, entries, _OLMO2_NAMES)


def _arcee_layer(config: Entries, index: int) -> Layer:
    feed_forward = MLP(
        needed(config, "intermediate_size"), activation(config, default="relu2"), config.get("mlp_bias", False)
    )
    return replace(layer(config, index), feed_forward=feed_forward)


ARCEE = DecoderFamily("arcee", "ArceeForCausalLM", _arcee_layer, norm, _whole_heads, NAMES)


def _helium_layer(config: Entries, index: int) -> Layer:
    plain = layer(config, index)
    assert isinstance(plain.mixer, Attention)
    position = rotary(config, plain.mixer.d_head, theta=100_000.0, neighbours=True)
    return replace(plain, mixer=replace(plain.mixer, position=position, output_bias=False))


HELIUM = DecoderFamily("helium", "HeliumForCausalLM", _helium_layer, norm, entries, NAMES)


def _phi3_layer(config: Entries, index: int) -> Layer:
    plain = dict(config) | {"attention_bias": False, "mlp_bias": False, "head_dim": None}
    parameters = dict(rope_parameters(config))
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind != "default":  # "su" and "yarn" are old names, and the context of the first training stands outside
        context = config.get("original_max_position_embeddings") or parameters.get("original_max_position_embeddings")
        renamed = "longrope" if kind in ("su", "yarn") else kind
        parameters |= {"rope_type": renamed, "original_max_position_embeddings": context or 4096}
    return _mistral_layer(plain | {"rope_parameters": parameters}, index)


def _phi3_fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    first = spec.layers[int(ours.rpartition(".")[2])]
    assert isinstance(first, Layer) and isinstance(first.mixer, Attention) and isinstance(first.feed_forward, SwiGLU)
    inner, kv_inner = first.mixer.num_heads * first.mixer.d_head, first.mixer.num_kv_heads * first.mixer.d_head
    parts = [f"{ours}.mixer.block.{part}.weight" for part in ("query", "key", "value")]
    yield joined(f"{theirs}.self_attn.qkv_proj.weight", parts, (inner, kv_inner, kv_inner))
    halves = [f"{ours}.feed_forward.block.{part}.weight" for part in ("gate", "up")]
    yield joined(f"{theirs}.mlp.gate_up_proj.weight", halves, (first.feed_forward.d_ff,) * 2)


def _phi3_entries(spec: Decoder) -> Config | None:
    written = _mistral_entries(spec)
    if written is None:
        return None
    context = written["rope_parameters"].get("original_max_position_embeddings", spec.context_length)
    return written | {"pad_token_id": None, "original_max_position_embeddings": context}


PHI3 = DecoderFamily("phi3", "Phi3ForCausalLM", _phi3_layer, norm, _phi3_entries, NAMES, fused=_phi3_fused)
