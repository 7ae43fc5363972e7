"""Hybrids of attention and gated delta nets: Qwen3-Next, Qwen3.5, OLMo hybrid."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch

from ..attention import AllHeads, Attention
from ..checkpoint_map import Tensors, Weight, joined, same
from ..decoder import Decoder
from ..errors import ArchError
from ..feed_forward import SwiGLU
from ..layer import Layer
from ..norm import Norm, OffsetRMSNorm, RMSNorm
from ..residual import ReorderedNorm
from ..rope import RoPE
from ..variants.delta_net import GatedDeltaNet
from ..variants.moe import MoE, SoftmaxRouter
from .family import DecoderFamily
from .llama import NAMES, norm
from .moe import BY_NAME, MOE_NAMES
from .reading import Config, Entries, heads, needed, refuse, rotary, rotary_entries


def _kinds(config: Entries, step: int = 4) -> list[str]:
    """`layer_types`, or attention in every fourth layer."""
    count = needed(config, "num_hidden_layers")
    every = config.get("full_attention_interval", step)
    usual = ["full_attention" if (index + 1) % every == 0 else "linear_attention" for index in range(count)]
    kinds: list[str] = config.get("layer_types") or usual
    if set(kinds) - {"full_attention", "linear_attention"}:
        raise ArchError(f"config.json has layer_types {sorted(set(kinds))}; supported are full and linear attention")
    return kinds


def _delta(config: Entries, eps: float, negative: bool = False) -> GatedDeltaNet:
    refuse(config, "a hybrid", hidden_act=("silu",))
    return GatedDeltaNet(
        needed(config, "linear_num_value_heads"),
        needed(config, "linear_num_key_heads"),
        needed(config, "linear_key_head_dim"),
        needed(config, "linear_value_head_dim"),
        config.get("linear_conv_kernel_dim", 4),
        eps,
        negative,
    )


def _delta_entries(mixer: GatedDeltaNet) -> Config:
    return {
        "linear_num_value_heads": mixer.num_heads,
        "linear_num_key_heads": mixer.num_key_heads,
        "linear_key_head_dim": mixer.d_key,
        "linear_value_head_dim": mixer.d_value,
        "linear_conv_kernel_dim": mixer.width,
    }


def mixers_of(spec: Decoder) -> list[Any]:
    """The mixer of each layer."""
    return [layer.mixer if isinstance(layer, Layer) else None for layer in spec.layers]


def kinds_of(mixers: Sequence[Any], attention: type[Any]) -> list[str]:
    """What `layer_types` says of them."""
    return ["full_attention" if isinstance(mixer, attention) else "linear_attention" for mixer in mixers]


def _attention_entries(spec: Decoder) -> Config | None:
    """The kinds of the layers, and what config.json says of the attention among them."""
    mixers = mixers_of(spec)
    attention = next((mixer for mixer in mixers if isinstance(mixer, Attention)), None)
    if attention is None or not isinstance(spec.norm, RMSNorm | OffsetRMSNorm):
        return None
    written: Config = {
        "layer_types": kinds_of(mixers, Attention),
        "num_attention_heads": attention.num_heads,
        "num_key_value_heads": attention.num_kv_heads,
        "head_dim": attention.d_head,
        "attention_bias": attention.bias,
        "rms_norm_eps": spec.norm.eps,
        "hidden_act": "silu",
    }
    if isinstance(attention.position, RoPE):
        rope = rotary_entries(attention.position, attention.d_head)
        if rope is None:
            return None
        written["rope_parameters"] = {"partial_rotary_factor": 1.0} | rope
    return written


def _next_feed_forward(config: Entries, index: int) -> SwiGLU | MoE:
    step = config.get("decoder_sparse_step", 1)
    if "num_experts" not in config or index in (config.get("mlp_only_layers") or []) or (index + 1) % step:
        return SwiGLU(needed(config, "intermediate_size"))
    router = SoftmaxRouter(needed(config, "num_experts_per_tok"), config.get("norm_topk_prob", True))
    shared = SwiGLU(needed(config, "shared_expert_intermediate_size"))
    width = needed(config, "moe_intermediate_size")
    return MoE(needed(config, "num_experts"), width, router, shared=shared, shared_gate=True)


def _next_layer(config: Entries, index: int) -> Layer:
    own = OffsetRMSNorm(config.get("rms_norm_eps", 1e-6))
    feed_forward = _next_feed_forward(config, index)
    if _kinds(config)[index] == "linear_attention":
        return Layer(_delta(config, own.eps), feed_forward, own)
    num_heads, num_kv_heads, d_head = heads(config)
    bias = config.get("attention_bias", False)
    position = rotary(config, d_head, turned=0.25)
    mixer = Attention(num_heads, num_kv_heads, d_head, position, own, bias, bias, gate=True)
    return Layer(mixer, feed_forward, own)


def _next_entries(spec: Decoder) -> Config | None:
    written, mixers = _attention_entries(spec), mixers_of(spec)
    delta = next((mixer for mixer in mixers if isinstance(mixer, GatedDeltaNet)), None)
    if written is None or delta is None:
        return None
    blocks = [getattr(layer, "feed_forward", None) for layer in spec.layers]
    dense = [index for index, block in enumerate(blocks) if isinstance(block, SwiGLU)]
    written |= _delta_entries(delta)
    written["intermediate_size"] = next((block.d_ff for block in blocks if isinstance(block, SwiGLU)), 1)
    sparse = next((block for block in blocks if isinstance(block, MoE)), None)
    if sparse is None or sparse.shared is None or not isinstance(sparse.router, SoftmaxRouter):
        return written if len(dense) == len(blocks) else None
    return written | {
        "num_experts": sparse.num_experts,
        "num_experts_per_tok": sparse.router.top_k,
        "norm_topk_prob": sparse.router.renormalise,
        "moe_intermediate_size": sparse.d_ff,
        "shared_expert_intermediate_size": sparse.shared.d_ff,
        "mlp_only_layers": dense,
        "decoder_sparse_step": 1,
    }


def _grouped(theirs: str, ours: Sequence[str], groups: int, sizes: Sequence[int]) -> Weight:
    """Maps stored together: for each of the groups so many rows of each."""

    def read(tensors: Tensors) -> Tensors:
        fused = tensors[0].view(groups, sum(sizes), *tensors[0].shape[1:])
        return tuple(part.flatten(0, 1) for part in torch.split(fused, list(sizes), 1))

    def write(tensors: Tensors) -> Tensors:
        parts = [part.view(groups, size, *part.shape[1:]) for part, size in zip(tensors, sizes, strict=True)]
        return (torch.cat(parts, 1).flatten(0, 1),)

    return Weight((theirs,), tuple(ours), read, write)


def _gated_queries(ours: str, theirs: str, mixer: Attention) -> Iterable[Weight]:
    """Queries and their gates, head by head."""
    for kind in ("weight", "bias") if mixer.bias else ("weight",):
        parts = (f"{ours}.mixer.block.query.{kind}", f"{ours}.mixer.block.gate.{kind}")
        yield _grouped(f"{theirs}.self_attn.q_proj.{kind}", parts, mixer.num_heads, (mixer.d_head,) * 2)


def _state_weights(ours: str, theirs: str, norm_name: str, out: str) -> Iterable[Weight]:
    """What all gated delta nets have under nearly the same names."""
    for name, kind in (("A_log", "log_rate"), ("dt_bias", "decay_bias"), (f"{norm_name}.weight", "norm_weight")):
        yield same(f"{theirs}.{name}", f"{ours}.{kind}")
    yield same(f"{theirs}.{out}.weight", f"{ours}.output.weight")


def _sizes(mixer: GatedDeltaNet) -> tuple[int, int, int]:
    keys = mixer.num_key_heads * mixer.d_key
    return keys, keys, mixer.num_heads * mixer.d_value


def _qwen_fused(spec: Decoder, ours: str, theirs: str, grouped: bool) -> Iterable[Weight]:
    yield from BY_NAME(spec, ours, theirs)
    mixer = mixers_of(spec)[int(ours.rpartition(".")[2])]
    if isinstance(mixer, Attention):
        yield from _gated_queries(ours, theirs, mixer)
        return
    if not isinstance(mixer, GatedDeltaNet):
        return
    block, inner = f"{ours}.mixer.block", f"{theirs}.linear_attn"
    yield from _state_weights(block, inner, "norm", "out_proj")
    yield same(f"{inner}.conv1d.weight", f"{block}.convolution.weight")
    maps = [f"{block}.{part}.weight" for part in ("query", "key", "value", "gate", "strength", "decay")]
    shared = mixer.num_heads // mixer.num_key_heads
    if grouped:
        widths = (mixer.d_key, mixer.d_key, shared * mixer.d_value, shared * mixer.d_value)
        yield _grouped(f"{inner}.in_proj_qkvz.weight", maps[:4], mixer.num_key_heads, widths)
        yield _grouped(f"{inner}.in_proj_ba.weight", maps[4:], mixer.num_key_heads, (shared, shared))
        return
    yield joined(f"{inner}.in_proj_qkv.weight", maps[:3], _sizes(mixer))
    for name, part in zip(("z", "b", "a"), maps[3:], strict=True):
        yield same(f"{inner}.in_proj_{name}.weight", part)


_QWEN_NAMES = MOE_NAMES | {
    "feed_forward.block.shared.gate": "mlp.shared_expert.gate_proj",
    "feed_forward.block.shared.up": "mlp.shared_expert.up_proj",
    "feed_forward.block.shared.down": "mlp.shared_expert.down_proj",
    "feed_forward.block.shared_gate": "mlp.shared_expert_gate",
}


def _offset_norm(config: Entries) -> Norm:
    return OffsetRMSNorm(config.get("rms_norm_eps", 1e-6))


def _dense_entries(spec: Decoder) -> Config | None:
    is_sparse = any(isinstance(getattr(layer, "feed_forward", None), MoE) for layer in spec.layers)
    return None if is_sparse else _next_entries(spec)


QWEN3_NEXT = DecoderFamily(
    "qwen3_next",
    "Qwen3NextForCausalLM",
    _next_layer,
    _offset_norm,
    _next_entries,
    _QWEN_NAMES,
    fused=lambda spec, ours, theirs: _qwen_fused(spec, ours, theirs, True),
    mixer=(Attention, GatedDeltaNet),
)
QWEN3_5 = DecoderFamily(
    "qwen3_5_text",
    "Qwen3_5ForCausalLM",
    _next_layer,
    _offset_norm,
    lambda spec: (
        None if any(isinstance(getattr(each, "feed_forward", 0), MoE) for each in spec.layers) else _next_entries(spec)
    ),
    _QWEN_NAMES,
    fused=lambda spec, ours, theirs: _qwen_fused(spec, ours, theirs, False),
    mixer=(Attention, GatedDeltaNet),
)
QWEN3_5_MOE = replace(
    QWEN3_5, model_type="qwen3_5_moe_text", architecture="Qwen3_5MoeForCausalLM", entries=_next_entries
)


def three_convolutions(ours: str, theirs: str, sizes: Sequence[int]) -> Weight:
    """Convolutions of q, k and v that are stored apart."""
    return Weight(
        tuple(f"{theirs}.{part}_conv1d.weight" for part in "qkv"),
        (f"{ours}.convolution.weight",),
        lambda tensors: (torch.cat(tensors),),
        lambda tensors: torch.split(tensors[0], list(sizes)),
    )


def _olmo_layer(config: Entries, index: int) -> Layer:
    own, feed_forward = norm(config), SwiGLU(needed(config, "intermediate_size"))
    if _kinds(config)[index] == "linear_attention":
        # Whatever rms_norm_eps says.
        return Layer(_delta(config, 1e-5, config.get("linear_allow_neg_eigval", True)), feed_forward, own)
    num_heads, num_kv_heads, d_head = heads(config)
    bias, has_rope = config.get("attention_bias", False), (config.get("rope_parameters") or {}).get("rope_theta")
    position = rotary(config, d_head) if has_rope else None
    mixer = Attention(num_heads, num_kv_heads, d_head, position, AllHeads(own), bias, bias)
    return Layer(mixer, feed_forward, own, ReorderedNorm())


def _olmo_entries(spec: Decoder) -> Config | None:
    written, mixers = _attention_entries(spec), mixers_of(spec)
    delta = next((mixer for mixer in mixers if isinstance(mixer, GatedDeltaNet)), None)
    block = getattr(spec.layers[0], "feed_forward", None)
    if written is None or delta is None or not isinstance(block, SwiGLU):
        return None
    own = {"linear_allow_neg_eigval": delta.negative, "intermediate_size": block.d_ff, "pad_token_id": None}
    written.setdefault("rope_parameters", {"rope_type": "default", "rope_theta": None})
    return written | _delta_entries(delta) | own


def _olmo_fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    mixer = mixers_of(spec)[int(ours.rpartition(".")[2])]
    if not isinstance(mixer, GatedDeltaNet):
        yield same(f"{theirs}.feedforward_layer_norm.weight", f"{ours}.mixer.branch_norm.weight")
        return
    block, inner = f"{ours}.mixer.block", f"{theirs}.linear_attn"
    yield same(f"{theirs}.attention_layer_norm.weight", f"{ours}.mixer.input_norm.weight")
    yield same(f"{theirs}.feedforward_layer_norm.weight", f"{ours}.feed_forward.input_norm.weight")
    yield from _state_weights(block, inner, "o_norm", "o_proj")
    yield three_convolutions(block, inner, _sizes(mixer))
    for name, part in zip("qkvabg", ("query", "key", "value", "decay", "strength", "gate"), strict=True):
        yield same(f"{inner}.{name}_proj.weight", f"{block}.{part}.weight")


OLMO_HYBRID = DecoderFamily(
    "olmo_hybrid",
    "OlmoHybridForCausalLM",
    _olmo_layer,
    norm,
    _olmo_entries,
    NAMES
    | {
        "mixer.block.query_norm.norm": "self_attn.q_norm",
        "mixer.block.key_norm.norm": "self_attn.k_norm",
        "feed_forward.branch_norm": "post_feedforward_layernorm",
    },
    fused=_olmo_fused,
    mixer=(Attention, GatedDeltaNet),
)
