"""The text model of Gemma 4: inputs a layer, shared keys and values, wide global heads, dense blocks beside experts."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from ..attention import Attention
from ..checkpoint_map import Weight, joined, same
from ..decoder import Decoder
from ..feed_forward import SwiGLU
from ..layer import Layer
from ..norm import RMSNorm
from ..residual import ReorderedNorm, SandwichNorm
from ..rope import RoPE
from ..variants.dense_experts import DenseAndExperts, NormedMoE
from ..variants.layer_inputs import InputLayer, LayerInputs
from ..variants.moe import SoftmaxRouter
from ..variants.rope_scaling import TurnedShare
from ..variants.shared_kv import BorrowingAttention, LendingAttention
from ..variants.value_residual import NormedValue
from .family import DecoderFamily
from .llama import norm
from .reading import Config, Entries, activation, activation_name, needed, refuse, rotary, rotary_entries

_FULL, _SLIDING = "full_attention", "sliding_attention"
_ROPES: dict[str, Config] = {
    _SLIDING: {"rope_type": "default", "rope_theta": 10_000.0},
    _FULL: {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1_000_000.0},
}


def _kinds(config: Entries) -> list[str]:
    count = needed(config, "num_hidden_layers")
    kinds = list(config.get("layer_types") or [_FULL if (i + 1) % 6 == 0 else _SLIDING for i in range(count)])
    return [*kinds[:-1], _FULL]


def _lender(kinds: list[str], shared: int, index: int) -> int | None:
    """The last layer of the same kind before those that borrow, which lends; None where nothing is shared."""
    first = len(kinds) - shared
    return None if not shared else max(i for i in range(first) if kinds[i] == kinds[index])


def _position(config: Entries, kind: str, d_head: int) -> RoPE:
    given: Mapping[str, Any] = (config.get("rope_parameters") or _ROPES).get(kind) or _ROPES[kind]
    if given.get("rope_type") != "proportional":
        return rotary({"rope_parameters": given}, d_head)
    scaling = TurnedShare(float(given.get("partial_rotary_factor", 1.0)), float(given.get("factor", 1.0)))
    return RoPE(float(given["rope_theta"]), scaling=scaling)


def _attention(config: Entries, index: int) -> Attention:
    kinds, eps = _kinds(config), config.get("rms_norm_eps", 1e-6)
    is_full, key_is_value = kinds[index] == _FULL, bool(config.get("attention_k_eq_v"))
    own = {"head_dim": config.get("head_dim", 256), "num_key_value_heads": config.get("num_key_value_heads", 4)}
    if "per_layer_config" in config:
        own |= (config["per_layer_config"] or {}).get(str(index), {})
    elif is_full:
        own["head_dim"] = config.get("global_head_dim") or 512
        if key_is_value and config.get("num_global_key_value_heads"):
            own["num_key_value_heads"] = config["num_global_key_value_heads"]
    mixer = Attention(
        needed(config, "num_attention_heads"),
        own["num_key_value_heads"],
        own["head_dim"],
        _position(config, kinds[index], own["head_dim"]),
        RMSNorm(eps),
        config.get("attention_bias", False),
        config.get("attention_bias", False),
        window=None if is_full else config.get("sliding_window", 512),
        scale=1.0,
        value_mix=NormedValue(RMSNorm(eps, gain=False)),
        key_is_value=key_is_value and is_full,
    )
    shared = config.get("num_kv_shared_layers") or 0
    lender = _lender(kinds, shared, index)
    parts = {each.name: getattr(mixer, each.name) for each in fields(Attention)}
    if index >= len(kinds) - shared:
        return BorrowingAttention(**parts | {"value_mix": None, "key_is_value": False, "lender": lender})
    return LendingAttention(**parts) if index == lender else mixer


def _layer(config: Entries, index: int) -> InputLayer:
    refuse(config, "gemma4_text", use_bidirectional_attention=(None, "vision"))
    function, mixer = activation(config, "hidden_activation", "gelu_pytorch_tanh"), _attention(config, index)
    is_wide = config.get("use_double_wide_mlp") and isinstance(mixer, BorrowingAttention)
    dense = SwiGLU(needed(config, "intermediate_size") * (2 if is_wide else 1), activation=function)
    layer = Layer(mixer, dense, norm(config), SandwichNorm())
    if config.get("enable_moe_block"):
        router = SoftmaxRouter(needed(config, "top_k_experts"))
        sizes = needed(config, "num_experts"), needed(config, "moe_intermediate_size")
        experts = NormedMoE(*sizes, router, function, norm=norm(config))
        both = DenseAndExperts(dense, experts, norm(config))
        layer = Layer(mixer, both, norm(config), ReorderedNorm(), mixer_placement=SandwichNorm())
    return InputLayer(layer, config.get("hidden_size_per_layer_input", 256) or None, norm(config), function)


def _options(config: Entries) -> dict[str, Any]:
    options: dict[str, Any] = {"embedding_scale": math.sqrt(needed(config, "hidden_size"))}
    width = config.get("hidden_size_per_layer_input", 256)
    if width:
        rows = config.get("vocab_size_per_layer_input", 262_144)
        options["layer_inputs"] = LayerInputs(rows, width, norm(config))
    return options | {"logit_softcap": config.get("final_logit_softcapping")}


def _rope_entries(mixer: Attention) -> Config | None:
    position = mixer.position
    if not isinstance(position, RoPE):
        return None
    if not isinstance(position.scaling, TurnedShare):
        return rotary_entries(position, mixer.d_head)
    share, factor = position.scaling.share, position.scaling.factor
    written: Config = {"rope_type": "proportional", "partial_rotary_factor": share, "rope_theta": position.theta}
    return written if factor == 1 else written | {"factor": factor}


def _entries(spec: Decoder) -> Config | None:
    layers = [each for each in spec.layers if isinstance(each, InputLayer)]
    mixers = [each.mixer for each in layers if isinstance(each.mixer, Attention)]
    if len(mixers) != len(spec.layers) or not isinstance(spec.norm, RMSNorm):
        return None
    block, inputs = layers[0].layer.feed_forward, spec.layer_inputs
    if not isinstance(inputs, LayerInputs | None):
        return None
    both = block if isinstance(block, DenseAndExperts) else None
    dense = both.dense if both is not None else block
    ropes = _ROPES | {_SLIDING if mixer.window else _FULL: _rope_entries(mixer) for mixer in mixers}
    act = activation_name(layers[0].activation, "gelu_pytorch_tanh")
    if not isinstance(dense, SwiGLU) or act is None or None in ropes.values():
        return None
    last, base = layers[-1].layer.feed_forward, mixers[0]
    last = last.dense if isinstance(last, DenseAndExperts) else last
    own = {
        str(index): {"head_dim": mixer.d_head, "num_key_value_heads": mixer.num_kv_heads}
        for index, mixer in enumerate(mixers)
        if (mixer.d_head, mixer.num_kv_heads) != (base.d_head, base.num_kv_heads)
    }
    return {
        "num_key_value_heads": base.num_kv_heads,
        "head_dim": base.d_head,
        "per_layer_config": own,
        "hidden_activation": act,
        "intermediate_size": dense.d_ff,
        "use_double_wide_mlp": isinstance(last, SwiGLU) and last.d_ff == 2 * dense.d_ff,
        "rms_norm_eps": spec.norm.eps,
        "attention_bias": base.bias,
        "attention_k_eq_v": any(mixer.key_is_value for mixer in mixers),
        "num_kv_shared_layers": sum(isinstance(mixer, BorrowingAttention) for mixer in mixers),
        "sliding_window": next((mixer.window for mixer in mixers if mixer.window), 512),
        "layer_types": [_SLIDING if mixer.window else _FULL for mixer in mixers],
        "rope_parameters": ropes,
        "hidden_size_per_layer_input": 0 if inputs is None else inputs.d_input,
        "vocab_size_per_layer_input": spec.vocab_size if inputs is None else inputs.vocab_size,
        "final_logit_softcapping": spec.logit_softcap,
        "enable_moe_block": both is not None,
        "num_experts": None if both is None else both.experts.num_experts,
        "top_k_experts": None if both is None else both.experts.router.top_k,
        "moe_intermediate_size": None if both is None else both.experts.d_ff,
    }


def _fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    """What is no module's weight: the number at the end of a layer, and the experts."""
    yield same(f"{theirs}.layer_scalar", f"{ours}.scale")
    layer = spec.layers[int(ours.rpartition(".")[2])]
    assert isinstance(layer, InputLayer)
    both = layer.layer.feed_forward
    if isinstance(both, DenseAndExperts):
        block = f"{ours}.layer.feed_forward.block.experts"
        halves = f"{block}.gate_EFD", f"{block}.up_EFD"
        yield joined(f"{theirs}.experts.gate_up_proj", halves, (both.experts.d_ff,) * 2, 1)
        yield same(f"{theirs}.experts.down_proj", f"{block}.down_EDF")
        yield same(f"{theirs}.router.scale", f"{block}.router_gain")
        yield same(f"{theirs}.router.per_expert_scale", f"{block}.factors")


_BLOCK = "layer.feed_forward.block"
_NAMES = {
    "gate": "per_layer_input_gate",
    "projection": "per_layer_projection",
    "norm": "post_per_layer_input_norm",
    "layer.mixer.input_norm": "input_layernorm",
    "layer.mixer.branch_norm": "post_attention_layernorm",
    "layer.mixer.block.query": "self_attn.q_proj",
    "layer.mixer.block.key": "self_attn.k_proj",
    "layer.mixer.block.value": "self_attn.v_proj",
    "layer.mixer.block.query_norm": "self_attn.q_norm",
    "layer.mixer.block.key_norm": "self_attn.k_norm",
    "layer.mixer.block.output": "self_attn.o_proj",
    "layer.feed_forward.input_norm": "pre_feedforward_layernorm",
    "layer.feed_forward.branch_norm": "post_feedforward_layernorm",
    f"{_BLOCK}.dense_norm": "pre_feedforward_layernorm",
    f"{_BLOCK}.dense_branch_norm": "post_feedforward_layernorm_1",
    f"{_BLOCK}.experts.norm": "pre_feedforward_layernorm_2",
    f"{_BLOCK}.experts_branch_norm": "post_feedforward_layernorm_2",
    f"{_BLOCK}.experts.router": "router.proj",
}
_NAMES |= {f"{_BLOCK}.{part}": f"mlp.{part}_proj" for part in ("gate", "up", "down")}
_NAMES |= {f"{_BLOCK}.dense.{part}": f"mlp.{part}_proj" for part in ("gate", "up", "down")}

GEMMA4 = DecoderFamily(
    "gemma4_text",
    "Gemma4ForCausalLM",
    _layer,
    norm,
    _entries,
    _NAMES,
    {
        "embedding": "model.embed_tokens",
        "layer_inputs.table": "model.embed_tokens_per_layer",
        "layer_inputs.projection": "model.per_layer_model_projection",
        "layer_inputs.norm": "model.per_layer_projection_norm",
        "norm": "model.norm",
        "head": "lm_head",
    },
    options=_options,
    tied=True,
    fused=_fused,
)
