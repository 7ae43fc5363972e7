"""Phi, StableLM, StarCoder 2, OPT and BLOOM: LayerNorm as in GPT, with positions and blocks of later years."""

from typing import Any

from ..attention import Attention
from ..bias import ALiBi
from ..decoder import Decoder
from ..feed_forward import MLP, SwiGLU
from ..layer import Layer, ParallelLayer
from ..norm import LayerNorm
from ..position import LearnedPositions
from .family import DecoderFamily
from .gpt import eps_of, first_parts, fused_by_head, norm_of, rotary_mlp_entries
from .reading import Config, Entries, activation, activation_name, heads, needed, refuse, rotary


def _phi_layer(config: Entries, index: int) -> ParallelLayer:
    refuse(config, "phi", qk_layernorm=(False,))
    num_heads, num_kv_heads, d_head = heads(dict(config) | {"head_dim": None})
    mixer = Attention(num_heads, num_kv_heads, d_head, rotary(config, d_head, turned=0.5), bias=True, output_bias=True)
    feed_forward = MLP(needed(config, "intermediate_size"), activation(config, default="gelu_new"), bias=True)
    return ParallelLayer(mixer, feed_forward, norm_of("layer_norm_eps")(config))


def _phi_entries(spec: Decoder) -> Config | None:
    written, found = rotary_mlp_entries(spec, "hidden_act", "gelu_new"), first_parts(spec)
    if written is None or found is None:
        return None
    return written | {"layer_norm_eps": eps_of(spec), "num_key_value_heads": found[0].num_kv_heads}


PHI = DecoderFamily(
    "phi",
    "PhiForCausalLM",
    _phi_layer,
    norm_of("layer_norm_eps"),
    _phi_entries,
    {
        "mixer_norm": "input_layernorm",
        "mixer.query": "self_attn.q_proj",
        "mixer.key": "self_attn.k_proj",
        "mixer.value": "self_attn.v_proj",
        "mixer.output": "self_attn.dense",
        "feed_forward.up": "mlp.fc1",
        "feed_forward.down": "mlp.fc2",
    },
    {
        "embedding": "model.embed_tokens",
        "norm": "model.final_layernorm",
        "head": "lm_head",
        "head_bias": "lm_head.bias",
    },
    options=lambda config: {"head_bias": True},
)

_SELF_ATTENTION = {
    "mixer.input_norm": "input_layernorm",
    "mixer.block.query": "self_attn.q_proj",
    "mixer.block.key": "self_attn.k_proj",
    "mixer.block.value": "self_attn.v_proj",
    "mixer.block.output": "self_attn.o_proj",
    "feed_forward.input_norm": "post_attention_layernorm",
}


def _stablelm_layer(config: Entries, index: int) -> Layer:
    refuse(config, "stablelm", qk_layernorm=(False,), use_parallel_residual=(False,))
    num_heads, num_kv_heads, d_head = heads(dict(config) | {"head_dim": None})
    position = rotary(config, d_head, turned=0.25)
    mixer = Attention(num_heads, num_kv_heads, d_head, position, bias=config.get("use_qkv_bias", False))
    feed_forward = SwiGLU(needed(config, "intermediate_size"), activation=activation(config))
    return Layer(mixer, feed_forward, norm_of("layer_norm_eps")(config))


def _stablelm_entries(spec: Decoder) -> Config | None:
    written, found = rotary_mlp_entries(spec, "hidden_act", "silu"), first_parts(spec)
    if written is None or found is None:
        return None
    more = {"layer_norm_eps": eps_of(spec), "num_key_value_heads": found[0].num_kv_heads}
    return written | more | {"use_qkv_bias": found[0].bias}


STABLELM = DecoderFamily(
    "stablelm",
    "StableLmForCausalLM",
    _stablelm_layer,
    norm_of("layer_norm_eps"),
    _stablelm_entries,
    _SELF_ATTENTION
    | {
        "feed_forward.block.gate": "mlp.gate_proj",
        "feed_forward.block.up": "mlp.up_proj",
        "feed_forward.block.down": "mlp.down_proj",
    },
)


def _starcoder2_layer(config: Entries, index: int) -> Layer:
    num_heads, num_kv_heads, d_head = heads(dict(config) | {"head_dim": None})
    bias = config.get("use_bias", True)
    position, window = rotary(config, d_head), config.get("sliding_window")
    mixer = Attention(num_heads, num_kv_heads, d_head, position, bias=bias, output_bias=bias, window=window)
    feed_forward = MLP(needed(config, "intermediate_size"), activation(config, default="gelu_pytorch_tanh"), bias=bias)
    return Layer(mixer, feed_forward, norm_of("norm_epsilon")(config))


def _starcoder2_entries(spec: Decoder) -> Config | None:
    written, found = rotary_mlp_entries(spec, "hidden_act", "gelu_pytorch_tanh"), first_parts(spec)
    if written is None or found is None:
        return None
    more = {"norm_epsilon": eps_of(spec), "num_key_value_heads": found[0].num_kv_heads, "use_bias": found[0].bias}
    return written | more | {"sliding_window": found[0].window}


STARCODER2 = DecoderFamily(
    "starcoder2",
    "Starcoder2ForCausalLM",
    _starcoder2_layer,
    norm_of("norm_epsilon"),
    _starcoder2_entries,
    _SELF_ATTENTION | {"feed_forward.block.up": "mlp.c_fc", "feed_forward.block.down": "mlp.c_proj"},
    tied=True,
)


def _opt_layer(config: Entries, index: int) -> Layer:
    width = needed(config, "hidden_size")
    refuse(
        config,
        "opt",
        word_embed_proj_dim=(width, None),
        _remove_final_layer_norm=(False,),
        layer_norm_elementwise_affine=(True,),
        do_layer_norm_before=(True,),
    )
    num_heads, _, d_head = heads(config)
    bias = config.get("enable_bias", True)
    mixer = Attention(num_heads, num_heads, d_head, None, bias=bias, output_bias=bias)
    feed_forward = MLP(needed(config, "ffn_dim"), activation(config, "activation_function", "relu"), bias=bias)
    return Layer(mixer, feed_forward, LayerNorm())


def _opt_entries(spec: Decoder) -> Config | None:
    found = first_parts(spec)
    if found is None:
        return None
    act = activation_name(found[1].activation, "relu")
    written = {"ffn_dim": found[1].d_ff, "activation_function": act, "enable_bias": found[0].bias}
    return written | {"word_embed_proj_dim": spec.d_model, "do_layer_norm_before": True}


OPT = DecoderFamily(
    "opt",
    "OPTForCausalLM",
    _opt_layer,
    lambda config: LayerNorm(),
    _opt_entries,
    {
        "mixer.input_norm": "self_attn_layer_norm",
        "mixer.block.query": "self_attn.q_proj",
        "mixer.block.key": "self_attn.k_proj",
        "mixer.block.value": "self_attn.v_proj",
        "mixer.block.output": "self_attn.out_proj",
        "feed_forward.input_norm": "final_layer_norm",
        "feed_forward.block.up": "fc1",
        "feed_forward.block.down": "fc2",
    },
    {
        "embedding": "model.decoder.embed_tokens",
        "position.table": "model.decoder.embed_positions",
        "norm": "model.decoder.final_layer_norm",
        "head": "lm_head",
    },
    "model.decoder.layers.{i}",
    lambda config: {"position": LearnedPositions(config.get("max_position_embeddings", 2048), offset=2)},
    tied=True,
)


def _bloom_layer(config: Entries, index: int) -> Layer:
    refuse(config, "bloom", apply_residual_connection_post_layernorm=(False,))
    num_heads, _, d_head = heads(config)
    mixer = Attention(num_heads, num_heads, d_head, None, bias=True, output_bias=True, position_bias=ALiBi())
    d_ff = 4 * needed(config, "hidden_size")
    return Layer(
        mixer, MLP(d_ff, activation({"hidden_act": "gelu_new"}), bias=True), norm_of("layer_norm_epsilon")(config)
    )


def _bloom_entries(spec: Decoder) -> Config | None:
    return None if first_parts(spec) is None else {"layer_norm_epsilon": eps_of(spec)}


def _bloom_options(config: Entries) -> dict[str, Any]:
    return {"embedding_norm": norm_of("layer_norm_epsilon")(config)}


BLOOM = DecoderFamily(
    "bloom",
    "BloomForCausalLM",
    _bloom_layer,
    norm_of("layer_norm_epsilon"),
    _bloom_entries,
    {
        "mixer.input_norm": "input_layernorm",
        "mixer.block.output": "self_attention.dense",
        "feed_forward.input_norm": "post_attention_layernorm",
        "feed_forward.block.up": "mlp.dense_h_to_4h",
        "feed_forward.block.down": "mlp.dense_4h_to_h",
    },
    {
        "embedding": "transformer.word_embeddings",
        "embedding_norm": "transformer.word_embeddings_layernorm",
        "norm": "transformer.ln_f",
        "head": "lm_head",
    },
    "transformer.h.{i}",
    _bloom_options,
    tied=True,
    fused=fused_by_head("self_attention.query_key_value", "mixer.block"),
    aliases={"num_hidden_layers": "n_layer", "num_attention_heads": "n_head"},
)
