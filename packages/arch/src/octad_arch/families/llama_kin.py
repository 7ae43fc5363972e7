"""OLMo 3, Seed-OSS, Ministral and nanochat: a step away from Llama, and from each other."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch import Tensor

from ..attention import AllHeads, Attention
from ..checkpoint_map import Tensors, Weight
from ..decoder import Decoder
from ..feed_forward import MLP
from ..layer import Layer
from ..norm import RMSNorm
from ..residual import PreNorm, ReorderedNorm
from ..rope import RoPE
from .family import DecoderFamily
from .llama import NAMES, entries, layer, norm
from .reading import Config, Entries, activation, heads, layer_kind, needed, refuse, rotary, rotary_entries


def _mixer(plain: Layer) -> Attention:
    assert isinstance(plain.mixer, Attention)
    return plain.mixer


def _mixers(spec: Decoder) -> list[Attention]:
    found = [getattr(each, "mixer", None) for each in spec.layers]
    return [mixer for mixer in found if isinstance(mixer, Attention)]


def _kinds(spec: Decoder) -> Config:
    """The windows of all layers, as a kind for each."""
    windows = [mixer.window for mixer in _mixers(spec)]
    kinds = ["full_attention" if window is None else "sliding_attention" for window in windows]
    return {"sliding_window": next(filter(None, windows), 4096), "layer_types": kinds}


# OLMo 3: OLMo 2 with windows in three layers of four, and a rotary embedding for each kind.


def _olmo3_layer(config: Entries, index: int) -> Layer:
    kind = layer_kind(config, index, "full_attention" if (index + 1) % 4 == 0 else "sliding_attention")
    ropes = config.get("rope_parameters") or {}
    plain = layer(
        dict(config) | {"mlp_bias": False, "head_dim": None, "rope_parameters": ropes.get(kind, ropes)}, index
    )
    position = rotary({"rope_parameters": ropes.get(kind, ropes)} | _context(config), _mixer(plain).d_head, kind, 5e5)
    window = config.get("sliding_window", 4096) if kind == "sliding_attention" else None
    mixer = replace(_mixer(plain), position=position, window=window, qk_norm=AllHeads(norm(config)))
    return replace(plain, mixer=mixer, placement=ReorderedNorm())


def _context(config: Entries) -> Config:
    return {"max_position_embeddings": config.get("max_position_embeddings")}


def _olmo3_entries(spec: Decoder) -> Config | None:
    written = entries(spec)
    if written is None:
        return None
    ropes: dict[str, Any] = {
        kind: {"rope_type": "default", "rope_theta": 5e5} for kind in ("full_attention", "sliding_attention")
    }
    for mixer in _mixers(spec):
        if isinstance(mixer.position, RoPE):
            kind = "full_attention" if mixer.window is None else "sliding_attention"
            ropes[kind] = rotary_entries(mixer.position, mixer.d_head)
    if None in ropes.values():
        return None
    del written["rope_theta"]
    return written | _kinds(spec) | {"rope_parameters": ropes, "pad_token_id": None}


OLMO3 = DecoderFamily(
    "olmo3",
    "Olmo3ForCausalLM",
    _olmo3_layer,
    norm,
    _olmo3_entries,
    NAMES
    | {
        "mixer.block.query_norm.norm": "self_attn.q_norm",
        "mixer.block.key_norm.norm": "self_attn.k_norm",
        "mixer.branch_norm": "post_attention_layernorm",
        "feed_forward.branch_norm": "post_feedforward_layernorm",
    },
)

# Seed-OSS: Llama with offsets of q, k and v, and of the output by themselves.


def _seed_oss_layer(config: Entries, index: int) -> Layer:
    plain = layer(config, index)
    bias, output_bias = config.get("attention_bias", True), config.get("attention_out_bias", False)
    return replace(plain, mixer=replace(_mixer(plain), bias=bias, output_bias=output_bias))


def _seed_oss_entries(spec: Decoder) -> Config | None:
    written = entries(spec)
    return None if written is None else written | {"attention_out_bias": _mixers(spec)[0].output_bias}


SEED_OSS = DecoderFamily("seed_oss", "SeedOssForCausalLM", _seed_oss_layer, norm, _seed_oss_entries, NAMES)

# Ministral: Mistral with a window in some layers.


def _ministral_layer(config: Entries, index: int) -> Layer:
    window = config.get("sliding_window")
    kind = layer_kind(config, index, "full_attention" if window is None else "sliding_attention")
    plain = layer(dict(config) | {"attention_bias": False, "mlp_bias": False}, index)
    return replace(plain, mixer=replace(_mixer(plain), window=window if kind == "sliding_attention" else None))


def _ministral_entries(spec: Decoder) -> Config | None:
    written = entries(spec)
    return None if written is None else written | _kinds(spec)


MINISTRAL = DecoderFamily("ministral", "MinistralForCausalLM", _ministral_layer, norm, _ministral_entries, NAMES)

# nanochat: norms without a gain, ReLU², capped logits. Its heads turn the other way round, which is the same with the
# halves of each query's and key's channels exchanged; a norm without a gain does not care.


def _nanochat_norm(config: Entries) -> RMSNorm:
    return RMSNorm(config.get("rms_norm_eps", 1e-6), gain=False)


def _nanochat_layer(config: Entries, index: int) -> Layer:
    num_heads, num_kv_heads, d_head = heads(dict(config) | {"head_dim": None})
    bias, gainless = config.get("attention_bias", False), _nanochat_norm(config)
    position = rotary(config, d_head)
    refuse(config, "nanochat", rope_scaling=(None,))
    mixer = Attention(num_heads, num_kv_heads, d_head, position, gainless, bias=bias, output_bias=bias)
    feed_forward = MLP(needed(config, "intermediate_size"), activation(config, default="relu2"))
    return Layer(mixer, feed_forward, gainless, PreNorm())


def _nanochat_entries(spec: Decoder) -> Config | None:
    written = entries(spec)
    return None if written is None else written | {"final_logit_softcapping": spec.logit_softcap}


def _nanochat_options(config: Entries) -> dict[str, Any]:
    return {"embedding_norm": _nanochat_norm(config), "logit_softcap": config.get("final_logit_softcapping", 15.0)}


def _halves_exchanged(tensors: Tensors, d_head: int) -> Tensors:
    def exchanged(tensor: Tensor) -> Tensor:
        by_head = tensor.view(-1, 2, d_head // 2, *tensor.shape[1:])
        return by_head.flip(1).reshape(tensor.shape)

    return tuple(map(exchanged, tensors))


def _nanochat_fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    mixer = _mixers(spec)[0]
    for kind in ("weight", "bias") if mixer.bias else ("weight",):
        for part, name in (("query", "q_proj"), ("key", "k_proj")):

            def exchange(tensors: Tensors) -> Tensors:
                return _halves_exchanged(tensors, mixer.d_head)

            place = (f"{theirs}.self_attn.{name}.{kind}",), (f"{ours}.mixer.block.{part}.{kind}",)
            yield Weight(*place, exchange, exchange)


NANOCHAT = DecoderFamily(
    "nanochat",
    "NanoChatForCausalLM",
    _nanochat_layer,
    _nanochat_norm,
    _nanochat_entries,
    NAMES | {"feed_forward.block.up": "mlp.fc1", "feed_forward.block.down": "mlp.fc2"},
    options=_nanochat_options,
    fused=_nanochat_fused,
)
