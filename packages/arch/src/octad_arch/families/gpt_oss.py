"""gpt-oss: windows in every other layer, sinks, offsets everywhere, and experts with a clamped gate."""

from collections.abc import Iterable
from dataclasses import replace

import torch

from ..activation import ClampedSwiGLU
from ..attention import Attention
from ..checkpoint_map import Tensors, Weight
from ..decoder import Decoder
from ..layer import Layer
from ..moe import MoE, SoftmaxRouter
from ..norm import RMSNorm
from ..rope import RoPE
from .family import DecoderFamily
from .llama import NAMES, layer
from .reading import Config, Entries, layer_kind, needed, refuse, rotary, rotary_entries

_YARN = {"rope_type": "yarn", "factor": 32.0, "truncate": False, "original_max_position_embeddings": 4096}


def _norm(config: Entries) -> RMSNorm:
    return RMSNorm(config.get("rms_norm_eps", 1e-5))


def _layer(config: Entries, index: int) -> Layer:
    refuse(config, "gpt_oss", hidden_act=("silu", None))
    ours: Config = {"attention_bias": True, "head_dim": 64, "rope_parameters": _YARN, "rope_theta": 150_000.0}
    ours |= {key: value for key, value in config.items() if value is not None} | {"mlp_bias": False}
    plain = layer(ours, index)
    assert isinstance(plain.mixer, Attention)
    kind = layer_kind(config, index, "full_attention" if index % 2 else "sliding_attention")
    window = config.get("sliding_window", 128) if kind == "sliding_attention" else None
    position = rotary(ours, plain.mixer.d_head)
    experts = MoE(
        config.get("num_local_experts", 128),
        needed(config, "intermediate_size"),
        SoftmaxRouter(config.get("num_experts_per_tok") or config.get("experts_per_token", 4)),
        unit=ClampedSwiGLU(config.get("swiglu_alpha", 1.702), config.get("swiglu_limit", 7.0)),
        bias=True,
    )
    mixer = replace(plain.mixer, position=position, window=window, sinks=True)
    return Layer(mixer, experts, _norm(config))


def _entries(spec: Decoder) -> Config | None:
    layers = [each for each in spec.layers if isinstance(each, Layer)]
    mixers = [each.mixer for each in layers if isinstance(each.mixer, Attention)]
    if len(mixers) != len(spec.layers) or not isinstance(spec.norm, RMSNorm):
        return None
    mixer, experts = mixers[0], layers[0].feed_forward
    if not (isinstance(experts, MoE) and isinstance(experts.unit, ClampedSwiGLU) and isinstance(mixer.position, RoPE)):
        return None
    rope, windows = rotary_entries(mixer.position, mixer.d_head), [each.window for each in mixers]
    return rope and {
        "num_key_value_heads": mixer.num_kv_heads,
        "head_dim": mixer.d_head,
        "hidden_act": "silu",
        "rms_norm_eps": spec.norm.eps,
        "rope_parameters": rope,
        "attention_bias": mixer.bias,
        "sliding_window": next(filter(None, windows), 128),
        "layer_types": ["full_attention" if window is None else "sliding_attention" for window in windows],
        "intermediate_size": experts.d_ff,
        "num_local_experts": experts.num_experts,
        "num_experts_per_tok": experts.router.top_k,
        "swiglu_alpha": experts.unit.alpha,
        "swiglu_limit": experts.unit.limit,
    }


def _turned(tensors: Tensors) -> Tensors:
    return tuple(tensor.transpose(-1, -2) for tensor in tensors)


def _fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    """Experts are stored together and turned, the columns of gate and up in turns."""
    block, experts = f"{ours}.feed_forward.block", f"{theirs}.mlp.experts"
    yield Weight(
        (f"{experts}.gate_up_proj",),
        (f"{block}.gate_EFD", f"{block}.up_EFD"),
        lambda tensors: _turned((tensors[0][..., ::2], tensors[0][..., 1::2])),
        lambda tensors: (torch.stack(_turned(tensors), -1).flatten(-2),),
    )
    yield Weight(
        (f"{experts}.gate_up_proj_bias",),
        (f"{block}.gate_bias", f"{block}.up_bias"),
        lambda tensors: (tensors[0][..., ::2], tensors[0][..., 1::2]),
        lambda tensors: (torch.stack(tensors, -1).flatten(-2),),
    )
    yield Weight((f"{experts}.down_proj",), (f"{block}.down_EDF",), _turned, _turned)
    yield Weight((f"{experts}.down_proj_bias",), (f"{block}.down_bias",))
    yield Weight((f"{theirs}.self_attn.sinks",), (f"{ours}.mixer.block.sinks",))


GPT_OSS = DecoderFamily(
    "gpt_oss",
    "GptOssForCausalLM",
    _layer,
    _norm,
    _entries,
    NAMES | {"feed_forward.block.router": "mlp.router"},
    fused=_fused,
)
