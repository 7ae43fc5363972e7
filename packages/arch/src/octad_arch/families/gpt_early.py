"""GPT-Neo, CodeGen, MPT and Persimmon: kin of GPT-2, GPT-J, BLOOM and GPT-NeoX."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from ..attention import Attention
from ..bias import ALiBi
from ..checkpoint_map import Tensors, Weight, joined
from ..decoder import Decoder
from ..errors import require
from ..feed_forward import MLP
from ..layer import Layer
from ..norm import LayerNorm
from ..position import LearnedPositions
from .family import DecoderFamily
from .gpt import GPT_J, eps_of, first_parts, fused_by_head, norm_of, rotary_mlp_entries
from .reading import Config, Entries, activation, activation_name, heads, needed, refuse, rotary

# GPT-Neo: scores without a scale, windows in every other layer.


def _neo_kinds(config: Entries) -> list[str]:
    types = config.get("attention_types") or [[["global", "local"], 12]]
    return [kind for kinds, times in types for _ in range(times) for kind in kinds]


def _neo_layer(config: Entries, index: int) -> Layer:
    num_heads, _, d_head = heads(config)
    kinds, count = _neo_kinds(config), needed(config, "num_hidden_layers")
    require(len(kinds) == count, f"config.json has attention_types for {len(kinds)} layers, but num_layers={count}")
    window = config.get("window_size", 256) if kinds[index] == "local" else None
    mixer = Attention(num_heads, num_heads, d_head, None, output_bias=True, window=window, scale=1.0)
    d_ff = config.get("intermediate_size") or 4 * needed(config, "hidden_size")
    feed_forward = MLP(d_ff, activation(config, "activation_function", "gelu_new"), bias=True)
    return Layer(mixer, feed_forward, norm_of("layer_norm_epsilon")(config))


def _neo_entries(spec: Decoder) -> Config | None:
    found = first_parts(spec)
    mixers = [getattr(each, "mixer", None) for each in spec.layers]
    windows = [mixer.window for mixer in mixers if isinstance(mixer, Attention)]
    if found is None or not isinstance(spec.position, LearnedPositions):
        return None
    return {
        "intermediate_size": found[1].d_ff,
        "activation_function": activation_name(found[1].activation, "gelu_new"),
        "layer_norm_epsilon": eps_of(spec),
        "attention_types": [[["local" if window else "global" for window in windows], 1]],
        "window_size": next((window for window in windows if window), 256),
    }


GPT_NEO = DecoderFamily(
    "gpt_neo",
    "GPTNeoForCausalLM",
    _neo_layer,
    norm_of("layer_norm_epsilon"),
    _neo_entries,
    {
        "mixer.input_norm": "ln_1",
        "mixer.block.query": "attn.attention.q_proj",
        "mixer.block.key": "attn.attention.k_proj",
        "mixer.block.value": "attn.attention.v_proj",
        "mixer.block.output": "attn.attention.out_proj",
        "feed_forward.input_norm": "ln_2",
        "feed_forward.block.up": "mlp.c_fc",
        "feed_forward.block.down": "mlp.c_proj",
    },
    {
        "embedding": "transformer.wte",
        "position.table": "transformer.wpe",
        "norm": "transformer.ln_f",
        "head": "lm_head",
    },
    "transformer.h.{i}",
    lambda config: {"position": LearnedPositions(config.get("max_position_embeddings", 2048))},
    tied=True,
    aliases={"num_hidden_layers": "num_layers", "num_attention_heads": "num_heads"},
)

# CodeGen: GPT-J with q, v and k of each quarter of the heads in one matrix.

_PARTS = 4


def _codegen_fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    found = first_parts(spec)
    assert found is not None
    require(
        found[0].num_heads % _PARTS == 0, f"num_heads={found[0].num_heads} of CodeGen must be a multiple of {_PARTS}"
    )

    def read(tensors: Tensors) -> Tensors:
        fused = tensors[0].view(_PARTS, 3, -1, tensors[0].shape[1])
        return tuple(part.flatten(0, 1) for part in fused.unbind(1))

    def write(tensors: Tensors) -> Tensors:
        return (torch.stack([part.view(_PARTS, -1, part.shape[1]) for part in tensors], 1).flatten(0, 2),)

    names = tuple(f"{ours}.mixer.{part}.weight" for part in ("query", "value", "key"))
    yield Weight((f"{theirs}.attn.qkv_proj.weight",), names, read, write)


CODEGEN = replace(GPT_J, model_type="codegen", architecture="CodeGenForCausalLM", fused=_codegen_fused)

# MPT: BLOOM without offsets and without a norm of the embedding.


def _mpt_layer(config: Entries, index: int) -> Layer:
    attention = config.get("attn_config") or {}
    refuse(attention, "mpt", clip_qkv=(None,), alibi=(True,), alibi_bias_max=(8,), qk_ln=(False,), prefix_lm=(False,))
    refuse(config, "mpt", no_bias=(True,), logit_scale=(None,))
    num_heads, _, d_head = heads(config)
    powers = f"num_heads={num_heads} of MPT must be a power of 2: for others its slopes come in another order"
    require(num_heads & (num_heads - 1) == 0, powers)
    scale = attention.get("softmax_scale")
    mixer = Attention(num_heads, num_heads, d_head, None, position_bias=ALiBi(), scale=scale)
    return Layer(mixer, MLP(4 * needed(config, "hidden_size")), _mpt_norm(config))


def _mpt_norm(config: Entries) -> LayerNorm:
    return LayerNorm(config.get("layer_norm_epsilon", 1e-5), bias=False)


def _mpt_entries(spec: Decoder) -> Config | None:
    found = first_parts(spec)
    if found is None:
        return None
    attention = {"alibi": True, "softmax_scale": found[0].scale}
    return {"layer_norm_epsilon": eps_of(spec), "expansion_ratio": 4, "attn_config": attention}


def _mpt_fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    parts = [f"{ours}.mixer.block.{part}.weight" for part in ("query", "key", "value")]
    yield joined(f"{theirs}.attn.Wqkv.weight", parts, (spec.d_model,) * 3)


MPT = DecoderFamily(
    "mpt",
    "MptForCausalLM",
    _mpt_layer,
    _mpt_norm,
    _mpt_entries,
    {
        "mixer.input_norm": "norm_1",
        "mixer.block.output": "attn.out_proj",
        "feed_forward.input_norm": "norm_2",
        "feed_forward.block.up": "ffn.up_proj",
        "feed_forward.block.down": "ffn.down_proj",
    },
    {"embedding": "transformer.wte", "norm": "transformer.norm_f", "head": "lm_head"},
    "transformer.blocks.{i}",
    tied=True,
    fused=_mpt_fused,
    aliases={
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "max_position_embeddings": "max_seq_len",
    },
)

# Persimmon: GPT-NeoX in series, with normalised heads and ReLU².


def _persimmon_layer(config: Entries, index: int) -> Layer:
    num_heads, _, d_head = heads(config)
    norm = norm_of("layer_norm_eps")(config)
    qk_norm = norm if config.get("qk_layernorm", True) else None
    position = rotary(config, d_head, turned=0.5)
    mixer = Attention(num_heads, num_heads, d_head, position, qk_norm, bias=True, output_bias=True)
    return Layer(mixer, MLP(needed(config, "intermediate_size"), activation(config, default="relu2"), True), norm)


def _persimmon_entries(spec: Decoder) -> Config | None:
    written, found = rotary_mlp_entries(spec, "hidden_act", "relu2"), first_parts(spec)
    if written is None or found is None:
        return None
    more: dict[str, Any] = {"layer_norm_eps": eps_of(spec), "qk_layernorm": found[0].qk_norm is not None}
    return written | more


PERSIMMON = DecoderFamily(
    "persimmon",
    "PersimmonForCausalLM",
    _persimmon_layer,
    norm_of("layer_norm_eps"),
    _persimmon_entries,
    {
        "mixer.input_norm": "input_layernorm",
        "mixer.block.query_norm": "self_attn.q_layernorm",
        "mixer.block.key_norm": "self_attn.k_layernorm",
        "mixer.block.output": "self_attn.dense",
        "feed_forward.input_norm": "post_attention_layernorm",
        "feed_forward.block.up": "mlp.dense_h_to_4h",
        "feed_forward.block.down": "mlp.dense_4h_to_h",
    },
    {"embedding": "model.embed_tokens", "norm": "model.final_layernorm", "head": "lm_head"},
    fused=fused_by_head("self_attn.query_key_value", "mixer.block"),
)
