"""Kimi Linear: delta attention with a decay a channel, latent attention without positions, experts."""

from collections.abc import Iterable
from dataclasses import replace

from ..checkpoint_map import Weight, same
from ..decoder import Decoder
from ..feed_forward import SwiGLU
from ..layer import Layer
from ..norm import RMSNorm
from ..rope import RoPE
from ..variants.delta_net import KimiDeltaAttention
from ..variants.mla import LatentAttention
from ..variants.moe import MoE, SigmoidRouter
from .deepseek import latent_attention, latent_entries
from .family import DecoderFamily
from .hybrids import mixers_of, three_convolutions
from .llama import norm
from .moe import stored_experts
from .reading import Config, Entries, activation, activation_name, needed


def _kimi_layer(config: Entries, index: int) -> Layer:
    inner: Entries = config.get("linear_attn_config") or {}
    own, function = norm({"rms_norm_eps": 1e-5} | dict(config)), activation(config)
    kinds, sparse = _kimi_kinds(config), config.get("mlp_layer_types")
    is_sparse = index >= config.get("first_k_dense_replace", 1) if sparse is None else sparse[index] == "sparse"
    mixer: LatentAttention | KimiDeltaAttention
    if kinds[index] == "linear_attention":
        width = inner.get("short_conv_kernel_size", config.get("linear_conv_kernel_dim", 4))
        num_heads = inner.get("num_heads", config.get("linear_num_heads", 32))
        mixer = KimiDeltaAttention(num_heads, inner.get("head_dim", config.get("linear_head_dim", 128)), width, own.eps)
    else:
        mixer = replace(latent_attention(config), position=None)
    if not is_sparse:
        return Layer(mixer, SwiGLU(needed(config, "intermediate_size"), activation=function), own)
    router = SigmoidRouter(
        _either(config, "num_experts_per_tok", "num_experts_per_token"),
        float(config.get("routed_scaling_factor", 2.446)),
        bool(config.get("norm_topk_prob", config.get("moe_renormalize", True))),
        config.get("n_group", config.get("num_expert_group", 1)),
        config.get("topk_group", 1),
    )
    width = needed(config, "moe_intermediate_size")
    shared = SwiGLU(width * config.get("n_shared_experts", config.get("num_shared_experts", 1)), activation=function)
    experts = _either(config, "num_local_experts", "num_experts")
    return Layer(mixer, MoE(experts, width, router, function, shared), own)


def _either(config: Entries, first: str, second: str) -> int:
    return needed(config, first if first in config else second)


def _kimi_kinds(config: Entries) -> list[str]:
    inner: Entries = config.get("linear_attn_config") or {}
    if config.get("layer_types") or "full_attn_layers" not in inner:
        count = needed(config, "num_hidden_layers")
        usual = ["full_attention" if index and index % 4 == 0 else "linear_attention" for index in range(count)]
        return config.get("layer_types") or usual
    full = set(inner["full_attn_layers"])  # counted from 1
    count = needed(config, "num_hidden_layers")
    return ["full_attention" if index + 1 in full else "linear_attention" for index in range(count)]


def _kimi_entries(spec: Decoder) -> Config | None:
    mixers, blocks = mixers_of(spec), [getattr(layer, "feed_forward", None) for layer in spec.layers]
    latent = next((mixer for mixer in mixers if isinstance(mixer, LatentAttention)), None)
    delta = next((mixer for mixer in mixers if isinstance(mixer, KimiDeltaAttention)), None)
    sparse = next((block for block in blocks if isinstance(block, MoE)), None)
    if latent is None or delta is None or sparse is None or sparse.shared is None or not isinstance(spec.norm, RMSNorm):
        return None
    attention = latent_entries(replace(latent, position=RoPE()))
    act = activation_name(sparse.activation, "silu")
    if attention is None or act is None or not isinstance(sparse.router, SigmoidRouter):
        return None
    kept = {key: value for key, value in attention.items() if not key.startswith("rope")}
    router, dense = sparse.router, next((block.d_ff for block in blocks if isinstance(block, SwiGLU)), 1)
    return kept | {
        "num_attention_heads": latent.num_heads,
        "layer_types": [
            "full_attention" if isinstance(mixer, LatentAttention) else "linear_attention" for mixer in mixers
        ],
        "mlp_layer_types": ["sparse" if isinstance(block, MoE) else "dense" for block in blocks],
        "linear_num_heads": delta.num_heads,
        "linear_head_dim": delta.d_head,
        "linear_conv_kernel_dim": delta.width,
        "rms_norm_eps": spec.norm.eps,
        "hidden_act": act,
        "intermediate_size": dense,
        "moe_intermediate_size": sparse.d_ff,
        "num_local_experts": sparse.num_experts,
        "n_shared_experts": sparse.shared.d_ff // sparse.d_ff,
        "num_experts_per_tok": router.top_k,
        "routed_scaling_factor": router.scale,
        "norm_topk_prob": router.renormalise,
        "n_group": router.groups,
        "topk_group": router.kept_groups,
        "pad_token_id": None,
    }


def _kimi_fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    yield from stored_experts("block_sparse_moe", "w1", "w3", "w2")(spec, ours, theirs)
    mixer = mixers_of(spec)[int(ours.rpartition(".")[2])]
    block, inner = f"{ours}.mixer.block", f"{theirs}.self_attn"
    if not isinstance(mixer, KimiDeltaAttention):
        name = "q_proj" if mixer.d_query_latent is None else "q_b_proj"
        yield same(f"{inner}.{name}.weight", f"{block}.query.weight")
        return
    width = mixer.num_heads * mixer.d_head
    yield three_convolutions(block, inner, (width,) * 3)
    yield Weight(
        (f"{inner}.A_log",),
        (f"{block}.log_rate",),
        lambda tensors: (tensors[0].flatten(),),
        lambda tensors: (tensors[0].view(1, 1, -1, 1),),
    )
    yield same(f"{inner}.dt_bias", f"{block}.decay_bias")
    yield same(f"{inner}.o_norm.weight", f"{block}.norm_weight")
    names = {"q": "query", "k": "key", "v": "value", "b": "strength", "o": "output"}
    names |= {"f_a": "decay_down", "f_b": "decay_up", "g_a": "gate_down", "g_b": "gate_up"}
    for name, part in names.items():
        yield same(f"{inner}.{name}_proj.weight", f"{block}.{part}.weight")


KIMI_LINEAR = DecoderFamily(
    "kimi_linear",
    "KimiLinearForCausalLM",
    _kimi_layer,
    lambda config: norm({"rms_norm_eps": 1e-5} | dict(config)),
    _kimi_entries,
    {
        "mixer.input_norm": "input_layernorm",
        "feed_forward.input_norm": "post_attention_layernorm",
        "mixer.block.query_latent": "self_attn.q_a_proj",
        "mixer.block.query_norm": "self_attn.q_a_layernorm",
        "mixer.block.latent": "self_attn.kv_a_proj_with_mqa",
        "mixer.block.latent_norm": "self_attn.kv_a_layernorm",
        "mixer.block.key_value": "self_attn.kv_b_proj",
        "mixer.block.output": "self_attn.o_proj",
        "feed_forward.block.router": "block_sparse_moe.gate",
        "feed_forward.block.gate": "block_sparse_moe.gate_proj",
        "feed_forward.block.up": "block_sparse_moe.up_proj",
        "feed_forward.block.down": "block_sparse_moe.down_proj",
        "feed_forward.block.shared.gate": "block_sparse_moe.shared_experts.gate_proj",
        "feed_forward.block.shared.up": "block_sparse_moe.shared_experts.up_proj",
        "feed_forward.block.shared.down": "block_sparse_moe.shared_experts.down_proj",
    },
    fused=_kimi_fused,
    mixer=(LatentAttention, KimiDeltaAttention),
    aliases={"max_position_embeddings": "model_max_length"},
)
