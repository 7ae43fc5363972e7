"""Falcon: parallel blocks with one norm or two, one key head or several, rotary positions or ALiBi."""

from collections.abc import Iterable

import torch

from ..attention import Attention
from ..bias import ALiBi
from ..checkpoint_map import Tensors, Weight, same
from ..decoder import Decoder
from ..errors import require
from ..feed_forward import MLP
from ..layer import Layer, LayerSpec, ParallelLayer
from ..norm import LayerNorm
from ..rope import RoPE
from .family import DecoderFamily
from .gpt import eps_of, first_parts, norm_of
from .reading import Config, Entries, activation, activation_name, needed, rotary, rotary_entries


def _kv_heads(config: Entries, num_heads: int) -> int:
    if config.get("new_decoder_architecture") or not config.get("multi_query", True):
        return config.get("num_kv_heads") or num_heads
    return 1


def _layer(config: Entries, index: int) -> LayerSpec:
    num_heads, d_model = needed(config, "num_attention_heads"), needed(config, "hidden_size")
    require(d_model % num_heads == 0, f"num_attention_heads={num_heads} does not divide hidden_size={d_model}")
    d_head, bias, has_bias = d_model // num_heads, config.get("bias", False), config.get("alibi", False)
    mixer = Attention(
        num_heads,
        _kv_heads(config, num_heads),
        d_head,
        None if has_bias else rotary(config, d_head),
        bias=bias,
        output_bias=bias,
        position_bias=ALiBi(d_head**-0.5, is_rounded=True) if has_bias else None,
    )
    feed_forward = MLP(config.get("ffn_hidden_size") or 4 * d_model, activation(config, "activation", "gelu"), bias)
    norm, is_new = norm_of("layer_norm_epsilon")(config), config.get("new_decoder_architecture", False)
    if not is_new and not config.get("parallel_attn", True):
        return Layer(mixer, feed_forward, norm)
    norms = config.get("num_ln_in_parallel_attn") or (2 if is_new else 1)
    require(norms == 1 or is_new, "config.json of falcon has two norms a layer without new_decoder_architecture")
    return ParallelLayer(mixer, feed_forward, norm, shares_norm=norms == 1)


def _entries(spec: Decoder) -> Config | None:
    found = first_parts(spec)
    if found is None or not isinstance(found[1], MLP):
        return None
    mixer, feed_forward = found
    first, act = spec.layers[0], activation_name(feed_forward.activation, "gelu")
    rope = rotary_entries(mixer.position, mixer.d_head) if isinstance(mixer.position, RoPE) else None
    is_new = isinstance(first, ParallelLayer) and not (first.shares_norm and mixer.num_kv_heads in (1, mixer.num_heads))
    if act is None or (rope is None and mixer.position_bias is None):
        return None
    return {
        "ffn_hidden_size": feed_forward.d_ff,
        "activation": act,
        "layer_norm_epsilon": eps_of(spec),
        "bias": mixer.bias,
        "alibi": rope is None,
        "new_decoder_architecture": is_new,
        "num_ln_in_parallel_attn": (1 if first.shares_norm else 2) if isinstance(first, ParallelLayer) else None,
        "parallel_attn": isinstance(first, ParallelLayer),
        "multi_query": mixer.num_kv_heads == 1,
        "num_kv_heads": mixer.num_kv_heads,
    } | ({} if rope is None else {"rope_parameters": rope})


def _by_group(theirs: str, ours: tuple[str, ...], mixer: Attention) -> Weight:
    """A fused q, k, v: for each key head its queries, itself and its value."""
    groups, queries = mixer.num_kv_heads, mixer.num_heads // mixer.num_kv_heads

    def read(tensors: Tensors) -> Tensors:
        fused = tensors[0].view(groups, queries + 2, mixer.d_head, *tensors[0].shape[1:])
        return tuple(part.flatten(0, 2) for part in torch.split(fused, [queries, 1, 1], 1))

    def write(tensors: Tensors) -> Tensors:
        parts = [part.view(groups, -1, mixer.d_head, *part.shape[1:]) for part in tensors]
        return (torch.cat(parts, 1).flatten(0, 2),)

    return Weight((theirs,), ours, read, write)


def _fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    found, first = first_parts(spec), spec.layers[0]
    assert found is not None
    prefix = f"{ours}.mixer" if isinstance(first, ParallelLayer) else f"{ours}.mixer.block"
    for kind in ("weight", "bias") if found[0].bias else ("weight",):
        parts = tuple(f"{prefix}.{part}.{kind}" for part in ("query", "key", "value"))
        yield _by_group(f"{theirs}.self_attention.query_key_value.{kind}", parts, found[0])
    if isinstance(first, ParallelLayer) and isinstance(first.norm, LayerNorm):
        name = "input_layernorm" if first.shares_norm else "ln_attn"
        for kind, is_there in (("weight", first.norm.gain), ("bias", first.norm.bias)):
            if is_there:
                yield same(f"{theirs}.{name}.{kind}", f"{ours}.mixer_norm.{kind}")


FALCON = DecoderFamily(
    "falcon",
    "FalconForCausalLM",
    _layer,
    norm_of("layer_norm_epsilon"),
    _entries,
    {
        "feed_forward_norm": "ln_mlp",
        "mixer.output": "self_attention.dense",
        "feed_forward.up": "mlp.dense_h_to_4h",
        "feed_forward.down": "mlp.dense_4h_to_h",
        "mixer.input_norm": "input_layernorm",
        "feed_forward.input_norm": "post_attention_layernorm",
        "mixer.block.output": "self_attention.dense",
        "feed_forward.block.up": "mlp.dense_h_to_4h",
        "feed_forward.block.down": "mlp.dense_4h_to_h",
    },
    {"embedding": "transformer.word_embeddings", "norm": "transformer.ln_f", "head": "lm_head"},
    "transformer.h.{i}",
    tied=True,
    fused=_fused,
)
