"""DeepSeek-V2, V3 and V3.2, Kimi K2 and GLM-4.7-Flash: latent attention, small experts, an indexer."""

import math
from collections.abc import Iterable
from dataclasses import replace

from ..checkpoint_map import Weight, same
from ..decoder import Decoder
from ..errors import require
from ..feed_forward import SwiGLU
from ..layer import Layer
from ..norm import RMSNorm
from ..rope import RoPE
from ..variants.indexer import Indexer
from ..variants.mla import LatentAttention
from ..variants.moe import MoE, Router, SigmoidRouter, SoftmaxRouter
from ..variants.rope_scaling import YaRN
from .family import DecoderFamily
from .llama import norm
from .moe import BY_NAME, MOE_NAMES
from .reading import (
    Config,
    Entries,
    activation,
    activation_name,
    needed,
    refuse,
    rope_parameters,
    rotary,
    rotary_entries,
)

_NAMES = MOE_NAMES | {
    "mixer.block.query_latent": "self_attn.q_a_proj",
    "mixer.block.query_norm": "self_attn.q_a_layernorm",
    "mixer.block.latent": "self_attn.kv_a_proj_with_mqa",
    "mixer.block.latent_norm": "self_attn.kv_a_layernorm",
    "mixer.block.key_value": "self_attn.kv_b_proj",
    "mixer.block.indexer.query": "self_attn.indexer.wq_b",
    "mixer.block.indexer.key": "self_attn.indexer.wk",
    "mixer.block.indexer.key_norm": "self_attn.indexer.k_norm",
    "mixer.block.indexer.weight": "self_attn.indexer.weights_proj",
}
_LATENT_EPS = 1e-6  # whatever rms_norm_eps says


def _mscale(factor: float, mscale: float) -> float:
    """0.1 mscale ln(factor) + 1: how much sharper YaRN makes the attention."""
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def latent_attention(config: Entries, neighbours: bool = True) -> LatentAttention:
    """The attention that a config.json of these families describes, without an indexer.

    YaRN with `mscale_all_dim` scales all scores by its square, and the rotated channels by `mscale` over it.
    """
    num_heads, d_rope = needed(config, "num_attention_heads"), needed(config, "qk_rope_head_dim")
    kv_heads = config.get("num_key_value_heads") or num_heads
    require(kv_heads == num_heads, f"config.json has num_key_value_heads={kv_heads}; latent attention has {num_heads}")
    d_nope = needed(config, "qk_nope_head_dim")
    parameters, scale = dict(rope_parameters(config)), None
    mscale, all_dim = parameters.pop("mscale", None), parameters.pop("mscale_all_dim", None)
    if parameters.get("rope_type", parameters.get("type", "default")) != "default" and all_dim:
        factor = float(parameters["factor"])
        scale = (d_nope + d_rope) ** -0.5 * _mscale(factor, all_dim) ** 2
        if mscale and parameters.get("attention_factor") is None:
            parameters["attention_factor"] = _mscale(factor, mscale) / _mscale(factor, all_dim)
    bias = config.get("attention_bias", False)
    return LatentAttention(
        num_heads,
        needed(config, "kv_lora_rank"),
        d_nope,
        d_rope,
        needed(config, "v_head_dim"),
        config.get("q_lora_rank"),
        rotary(dict(config) | {"rope_parameters": parameters}, d_rope, neighbours=neighbours),
        RMSNorm(_LATENT_EPS),
        bias,
        bias,
        scale,
    )


def latent_entries(mixer: LatentAttention) -> Config | None:
    """What config.json says of latent attention; None where it cannot."""
    position = mixer.position
    rope = rotary_entries(position, mixer.d_rope) if isinstance(position, RoPE) else None
    if rope is None or not isinstance(position, RoPE):
        return None
    if mixer.scale is not None and isinstance(position.scaling, YaRN) and position.scaling.factor > 1:
        sharper = math.sqrt(mixer.scale * math.sqrt(mixer.d_nope + mixer.d_rope))
        log = 0.1 * math.log(position.scaling.factor)
        # Rounded, since the entry that was read is a short decimal; `find_family` checks that it reads back the same.
        rope["mscale_all_dim"] = round((sharper - 1) / log, 10)
        mscale = round((position.scaling.attention_factor * sharper - 1) / log, 10)
        if mscale > 0 and rope.pop("attention_factor", None) is not None:
            rope["mscale"] = mscale
    return {
        "num_key_value_heads": mixer.num_heads,
        "kv_lora_rank": mixer.d_latent,
        "q_lora_rank": mixer.d_query_latent,
        "qk_nope_head_dim": mixer.d_nope,
        "qk_rope_head_dim": mixer.d_rope,
        "v_head_dim": mixer.d_value,
        "head_dim": mixer.d_rope,
        "rope_theta": position.theta,
        "rope_parameters": rope,
        "attention_bias": mixer.bias,
    }


def _fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    """The experts, and the queries, whose name tells whether they are made of a latent."""
    yield from BY_NAME(spec, ours, theirs)
    mixer = getattr(spec.layers[int(ours.rpartition(".")[2])], "mixer", None)
    if isinstance(mixer, LatentAttention):
        name = "q_proj" if mixer.d_query_latent is None else "q_b_proj"
        yield same(f"{theirs}.self_attn.{name}.weight", f"{ours}.mixer.block.query.weight")


def _layer(config: Entries, mixer: LatentAttention, router: Router, is_dense: bool) -> Layer:
    function, width = activation(config), needed(config, "moe_intermediate_size")
    if is_dense:
        return Layer(mixer, SwiGLU(needed(config, "intermediate_size"), activation=function), norm(config))
    shared = SwiGLU(width * config.get("n_shared_experts", 1), activation=function)
    return Layer(mixer, MoE(needed(config, "n_routed_experts"), width, router, function, shared), norm(config))


def _entries(spec: Decoder) -> tuple[Config, SoftmaxRouter | SigmoidRouter] | None:
    """What V2 and V3 write alike, and the router; None for layers of other kinds."""
    layers = [each for each in spec.layers if isinstance(each, Layer)]
    blocks = [each.feed_forward for each in layers]
    sparse = next((block for block in blocks if isinstance(block, MoE)), None)
    dense = next((block for block in blocks if isinstance(block, SwiGLU)), None)
    if sparse is None or sparse.shared is None or len(layers) != len(spec.layers) or not isinstance(spec.norm, RMSNorm):
        return None
    mixer, router = layers[0].mixer, sparse.router
    attention = latent_entries(mixer) if isinstance(mixer, LatentAttention) else None
    act = activation_name(sparse.activation, "silu")
    if attention is None or act is None or not isinstance(router, SoftmaxRouter | SigmoidRouter):
        return None
    return attention | {
        "hidden_act": act,
        "rms_norm_eps": spec.norm.eps,
        "intermediate_size": 1 if dense is None else dense.d_ff,
        "moe_intermediate_size": sparse.d_ff,
        "n_routed_experts": sparse.num_experts,
        "n_shared_experts": sparse.shared.d_ff // sparse.d_ff,
        "first_k_dense_replace": blocks.index(sparse),
        "num_experts_per_tok": router.top_k,
        "routed_scaling_factor": router.scale,
        "norm_topk_prob": router.renormalise,
        "n_group": router.groups,
        "topk_group": router.kept_groups,
    }, router


def _v2_layer(config: Entries, index: int) -> Layer:
    refuse(config, "deepseek_v2", topk_method=("greedy", "group_limited_greedy", None))
    # transformers ignores norm_topk_prob here; DeepSeek's own code reads it, and no published model sets it.
    refuse(config, "deepseek_v2", norm_topk_prob=(False, None), mlp_bias=(False, None))
    groups = (1, 1)
    if config.get("topk_method") == "group_limited_greedy":
        groups = needed(config, "n_group"), needed(config, "topk_group")
    scale = float(config.get("routed_scaling_factor", 1.0))
    router = SoftmaxRouter(needed(config, "num_experts_per_tok"), False, scale, *groups)
    return _layer(config, latent_attention(config), router, index < config.get("first_k_dense_replace", 0))


def _v2_entries(spec: Decoder) -> Config | None:
    found = _entries(spec)
    if found is None or not isinstance(found[1], SoftmaxRouter):
        return None
    method = "greedy" if found[1].groups == 1 else "group_limited_greedy"
    return found[0] | {"topk_method": method, "mlp_bias": False}


DEEPSEEK_V2 = DecoderFamily(
    "deepseek_v2",
    "DeepseekV2ForCausalLM",
    _v2_layer,
    norm,
    _v2_entries,
    _NAMES,
    fused=_fused,
    mixer=LatentAttention,
)


def _v3_router(config: Entries) -> SigmoidRouter:
    refuse(config, "deepseek_v3", topk_method=("noaux_tc", None), scoring_func=("sigmoid", None))
    return SigmoidRouter(
        needed(config, "num_experts_per_tok"),
        float(config.get("routed_scaling_factor", 2.5)),
        config.get("norm_topk_prob", True),
        config.get("n_group", 8),
        config.get("topk_group", 4),
    )


def _v3_layer(config: Entries, index: int) -> Layer:
    mixer = latent_attention(config, neighbours=config.get("rope_interleave", True) is not False)
    return _layer(config, mixer, _v3_router(config), index < config.get("first_k_dense_replace", 3))


def _v3_entries(spec: Decoder) -> Config | None:
    found = _entries(spec)
    if found is None or not isinstance(found[1], SigmoidRouter):
        return None
    position = getattr(getattr(spec.layers[0], "mixer", None), "position", None)
    neighbours = position.neighbours if isinstance(position, RoPE) else True
    return found[0] | {"rope_interleave": neighbours, "num_nextn_predict_layers": 0}


DEEPSEEK_V3 = DecoderFamily(
    "deepseek_v3",
    "DeepseekV3ForCausalLM",
    _v3_layer,
    norm,
    _v3_entries,
    _NAMES,
    fused=_fused,
    mixer=LatentAttention,
)
KIMI_K2 = replace(DEEPSEEK_V3, model_type="kimi_k2")


def _mlp_kinds(spec: Decoder) -> Config:
    sparse = [isinstance(each.feed_forward, MoE) for each in spec.layers if isinstance(each, Layer)]
    return {"mlp_layer_types": ["sparse" if is_sparse else "dense" for is_sparse in sparse]}


_LITE = {"n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.8, "rms_norm_eps": 1e-5}


def _lite_layer(config: Entries, index: int) -> Layer:
    kinds = config.get("mlp_layer_types")
    is_dense = index == 0 if kinds is None else kinds[index] == "dense"
    return _v3_layer(_LITE | dict(config) | {"first_k_dense_replace": index + is_dense}, index)


def _lite_entries(spec: Decoder) -> Config | None:
    written = _v3_entries(spec)
    return None if written is None else written | _mlp_kinds(spec)


GLM4_MOE_LITE = replace(
    DEEPSEEK_V3,
    model_type="glm4_moe_lite",
    architecture="Glm4MoeLiteForCausalLM",
    layer=_lite_layer,
    norm=lambda config: norm(_LITE | dict(config)),
    entries=_lite_entries,
)


def _v32_layer(config: Entries, index: int) -> Layer:
    kinds = config.get("mlp_layer_types")
    is_dense = index < config.get("first_k_dense_replace", 3) if kinds is None else kinds[index] == "dense"
    mixer = latent_attention(config)
    turned = mixer.position
    assert isinstance(turned, RoPE)
    indexer = Indexer(
        config.get("index_n_heads", 64),
        config.get("index_head_dim", 128),
        config.get("index_topk", 2048),
        replace(turned, channels=mixer.d_rope, neighbours=False),
    )
    return _layer(config, replace(mixer, indexer=indexer), _v3_router(config), is_dense)


def _v32_entries(spec: Decoder) -> Config | None:
    found, first = _entries(spec), spec.layers[0]
    if found is None or not isinstance(found[1], SigmoidRouter) or not isinstance(first, Layer):
        return None
    indexer = first.mixer.indexer if isinstance(first.mixer, LatentAttention) else None
    if indexer is None:
        return None
    sizes = {"index_n_heads": indexer.num_heads, "index_head_dim": indexer.d_head, "index_topk": indexer.top_k}
    return found[0] | sizes | _mlp_kinds(spec) | {"mlp_bias": False}


DEEPSEEK_V32 = DecoderFamily(
    "deepseek_v32",
    "DeepseekV32ForCausalLM",
    _v32_layer,
    norm,
    _v32_entries,
    _NAMES,
    fused=_fused,
    mixer=LatentAttention,
)
