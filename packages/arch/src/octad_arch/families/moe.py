"""Families with sparse experts: Mixtral, OLMoE, Qwen2-MoE, Qwen3-MoE, GLM-4.5."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from ..attention import AllHeads, Attention
from ..checkpoint_map import Weight, same, stacked
from ..decoder import Decoder
from ..feed_forward import SwiGLU
from ..layer import Layer
from ..norm import RMSNorm
from ..rope import RoPE
from ..variants.moe import MoE, SigmoidRouter, SoftmaxRouter
from .family import DecoderFamily
from .llama import NAMES, layer, norm
from .reading import Config, Entries, activation, activation_name, needed, refuse, rotary, rotary_entries

MOE_NAMES = NAMES | {
    "feed_forward.block.router": "mlp.gate",
    "feed_forward.block.shared.gate": "mlp.shared_experts.gate_proj",
    "feed_forward.block.shared.up": "mlp.shared_experts.up_proj",
    "feed_forward.block.shared.down": "mlp.shared_experts.down_proj",
}
"""Our modules of a layer and theirs, where experts and what all tokens share stand in `mlp`."""


def stored_experts(block: str, gate: str, up: str, down: str) -> Callable[[Decoder, str, str], Iterable[Weight]]:
    """Experts that are stored one by one, under these names."""

    def fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
        sparse = getattr(spec.layers[int(ours.rpartition(".")[2])], "feed_forward", None)
        if not isinstance(sparse, MoE):
            return
        for part, name in (("gate_EFD", gate), ("up_EFD", up), ("down_EDF", down)):
            names = [f"{theirs}.{block}.experts.{expert}.{name}.weight" for expert in range(sparse.num_experts)]
            yield stacked(names, f"{ours}.feed_forward.block.{part}")
        if sparse.router.is_balanced_by_bias:
            yield same(f"{theirs}.{block}.gate.e_score_correction_bias", f"{ours}.feed_forward.block.router_bias")

    return fused


BY_NAME = stored_experts("mlp", "gate_proj", "up_proj", "down_proj")
"""The usual names of the experts of a layer."""


def _parts(spec: Decoder) -> tuple[Attention, MoE, RoPE] | None:
    """The attention of the first layer and the first experts, where the layers are of these kinds."""
    layers = [each for each in spec.layers if isinstance(each, Layer)]
    sparse = next((each.feed_forward for each in layers if isinstance(each.feed_forward, MoE)), None)
    mixer = layers[0].mixer if layers else None
    if len(layers) != len(spec.layers) or sparse is None or not isinstance(mixer, Attention):
        return None
    return (mixer, sparse, mixer.position) if isinstance(mixer.position, RoPE) else None


def moe_entries(spec: Decoder) -> Config | None:
    """What models of attention and experts write alike; None for layers of other kinds."""
    parts = _parts(spec)
    if parts is None or not isinstance(spec.norm, RMSNorm):
        return None
    mixer, sparse, position = parts
    rope, act = rotary_entries(position, mixer.d_head), activation_name(sparse.activation, "silu")
    if rope is None or act is None:
        return None
    return {
        "num_key_value_heads": mixer.num_kv_heads,
        "head_dim": mixer.d_head,
        "hidden_act": act,
        "rms_norm_eps": spec.norm.eps,
        "rope_theta": position.theta,
        "rope_parameters": rope,
        "attention_bias": mixer.bias,
        "num_experts_per_tok": sparse.router.top_k,
    }


def _attention_layer(config: Entries, index: int) -> tuple[Layer, Attention]:
    plain = layer(dict(config) | {"mlp_bias": False, "intermediate_size": 1}, index)
    assert isinstance(plain.mixer, Attention)
    return plain, plain.mixer


def _mixtral_layer(config: Entries, index: int) -> Layer:
    plain, mixer = _attention_layer(dict(config) | {"attention_bias": False}, index)
    router = SoftmaxRouter(config.get("num_experts_per_tok", 2))
    sparse = MoE(needed(config, "num_local_experts"), needed(config, "intermediate_size"), router, activation(config))
    return replace(plain, mixer=replace(mixer, window=config.get("sliding_window")), feed_forward=sparse)


def _mixtral_entries(spec: Decoder) -> Config | None:
    written, parts = moe_entries(spec), _parts(spec)
    if written is None or parts is None:
        return None
    sizes = {"num_local_experts": parts[1].num_experts, "intermediate_size": parts[1].d_ff}
    return written | sizes | {"sliding_window": parts[0].window}


MIXTRAL = DecoderFamily(
    "mixtral",
    "MixtralForCausalLM",
    _mixtral_layer,
    norm,
    _mixtral_entries,
    MOE_NAMES | {"feed_forward.block.router": "block_sparse_moe.gate"},
    fused=stored_experts("block_sparse_moe", "w1", "w3", "w2"),
)


def _softmax_moe(config: Entries, d_ff: str, default: bool) -> MoE:
    router = SoftmaxRouter(needed(config, "num_experts_per_tok"), config.get("norm_topk_prob", default))
    count = "num_experts" if "num_experts" in config else "num_local_experts"
    return MoE(needed(config, count), needed(config, d_ff), router, activation(config))


def _olmoe_layer(config: Entries, index: int) -> Layer:
    refuse(config, "olmoe", clip_qkv=(None,))
    plain, mixer = _attention_layer(dict(config) | {"head_dim": None}, index)
    sparse = _softmax_moe(config, "intermediate_size", False)
    return replace(plain, mixer=replace(mixer, qk_norm=AllHeads(norm(config))), feed_forward=sparse)


def _softmax_entries(spec: Decoder, d_ff: str) -> Config | None:
    written, parts = moe_entries(spec), _parts(spec)
    if written is None or parts is None or not isinstance(parts[1].router, SoftmaxRouter):
        return None
    sparse, router = parts[1], parts[1].router
    return written | {d_ff: sparse.d_ff, "num_experts": sparse.num_experts, "norm_topk_prob": router.renormalise}


OLMOE = DecoderFamily(
    "olmoe",
    "OlmoeForCausalLM",
    _olmoe_layer,
    norm,
    lambda spec: _softmax_entries(spec, "intermediate_size"),
    MOE_NAMES
    | {
        "mixer.block.query_norm.norm": "self_attn.q_norm",
        "mixer.block.key_norm.norm": "self_attn.k_norm",
    },
    fused=BY_NAME,
)


def _is_sparse(config: Entries, index: int) -> bool:
    step = config.get("decoder_sparse_step", 1)
    return index not in (config.get("mlp_only_layers") or []) and (index + 1) % step == 0


def _dense(config: Entries) -> SwiGLU:
    return SwiGLU(needed(config, "intermediate_size"), activation=activation(config))


def _qwen3_moe_layer(config: Entries, index: int) -> Layer:
    refuse(config, "qwen3_moe", use_sliding_window=(False, None))
    plain, mixer = _attention_layer(config, index)
    feed_forward = _softmax_moe(config, "moe_intermediate_size", False) if _is_sparse(config, index) else _dense(config)
    return replace(plain, mixer=replace(mixer, qk_norm=norm(config)), feed_forward=feed_forward)


def _qwen_moe_entries(spec: Decoder) -> Config | None:
    written = _softmax_entries(spec, "moe_intermediate_size")
    if written is None:
        return None
    blocks = [getattr(each, "feed_forward", None) for each in spec.layers]
    dense = [index for index, block in enumerate(blocks) if isinstance(block, SwiGLU)]
    width = next((block.d_ff for block in blocks if isinstance(block, SwiGLU)), 1)
    return written | {"mlp_only_layers": dense, "decoder_sparse_step": 1, "intermediate_size": width}


QWEN3_MOE = DecoderFamily(
    "qwen3_moe", "Qwen3MoeForCausalLM", _qwen3_moe_layer, norm, _qwen_moe_entries, MOE_NAMES, fused=BY_NAME
)


def _qwen2_moe_layer(config: Entries, index: int) -> Layer:
    refuse(config, "qwen2_moe", use_sliding_window=(False, None))
    plain, mixer = _attention_layer(dict(config) | {"attention_bias": False, "head_dim": None}, index)
    mixer = replace(mixer, bias=config.get("qkv_bias", True))
    if not _is_sparse(config, index):
        return replace(plain, mixer=mixer, feed_forward=_dense(config))
    shared = SwiGLU(needed(config, "shared_expert_intermediate_size"), activation=activation(config))
    sparse = replace(_softmax_moe(config, "moe_intermediate_size", False), shared=shared, shared_gate=True)
    return replace(plain, mixer=mixer, feed_forward=sparse)


def _qwen2_moe_entries(spec: Decoder) -> Config | None:
    written, parts = _qwen_moe_entries(spec), _parts(spec)
    if written is None or parts is None or parts[1].shared is None:
        return None
    return written | {"shared_expert_intermediate_size": parts[1].shared.d_ff, "qkv_bias": parts[0].bias}


QWEN2_MOE = DecoderFamily(
    "qwen2_moe",
    "Qwen2MoeForCausalLM",
    _qwen2_moe_layer,
    norm,
    _qwen2_moe_entries,
    MOE_NAMES
    | {
        "feed_forward.block.shared.gate": "mlp.shared_expert.gate_proj",
        "feed_forward.block.shared.up": "mlp.shared_expert.up_proj",
        "feed_forward.block.shared.down": "mlp.shared_expert.down_proj",
        "feed_forward.block.shared_gate": "mlp.shared_expert_gate",
    },
    fused=BY_NAME,
)


def _glm4_moe_layer(config: Entries, index: int) -> Layer:
    plain, mixer = _attention_layer(config, index)
    position = rotary(config, mixer.d_head, turned=0.5)
    qk_norm = norm(config) if config.get("use_qk_norm") else None
    mixer = replace(mixer, position=position, qk_norm=qk_norm, output_bias=False)
    if index < config.get("first_k_dense_replace", 1):
        return replace(plain, mixer=mixer, feed_forward=_dense(config))
    width = needed(config, "moe_intermediate_size")
    router = SigmoidRouter(
        needed(config, "num_experts_per_tok"),
        float(config.get("routed_scaling_factor", 1.0)),
        config.get("norm_topk_prob", True),
        config.get("n_group", 1),
        config.get("topk_group", 1),
    )
    shared = SwiGLU(width * config.get("n_shared_experts", 1), activation=activation(config))
    return replace(
        plain,
        mixer=mixer,
        feed_forward=MoE(needed(config, "n_routed_experts"), width, router, activation(config), shared),
    )


def _glm4_moe_entries(spec: Decoder) -> Config | None:
    written, parts = moe_entries(spec), _parts(spec)
    if written is None or parts is None or not isinstance(parts[1].router, SigmoidRouter) or parts[1].shared is None:
        return None
    mixer, sparse, _ = parts
    router = parts[1].router
    blocks = [getattr(each, "feed_forward", None) for each in spec.layers]
    first = next(index for index, block in enumerate(blocks) if isinstance(block, MoE))
    width = next((block.d_ff for block in blocks if isinstance(block, SwiGLU)), 1)
    written["rope_parameters"].setdefault("partial_rotary_factor", 1.0)
    return written | {
        "intermediate_size": width,
        "moe_intermediate_size": sparse.d_ff,
        "n_routed_experts": sparse.num_experts,
        "n_shared_experts": parts[1].shared.d_ff // sparse.d_ff,
        "first_k_dense_replace": first,
        "routed_scaling_factor": router.scale,
        "norm_topk_prob": router.renormalise,
        "n_group": router.groups,
        "topk_group": router.kept_groups,
        "use_qk_norm": mixer.qk_norm is not None,
    }


GLM4_MOE = DecoderFamily(
    "glm4_moe", "Glm4MoeForCausalLM", _glm4_moe_layer, norm, _glm4_moe_entries, MOE_NAMES, fused=BY_NAME
)
