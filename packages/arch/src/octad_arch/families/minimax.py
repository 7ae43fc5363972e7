"""MiniMax-Text-01: lightning attention, softmax attention in between, experts, a stream that is normalised itself."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch

from ..attention import Attention
from ..checkpoint_map import Tensors, Weight
from ..decoder import Decoder
from ..errors import require
from ..layer import Layer
from ..norm import RMSNorm
from ..residual import NormedStream
from ..rope import RoPE
from ..variants.lightning import LightningAttention
from ..variants.moe import MoE, SoftmaxRouter
from .family import DecoderFamily
from .llama import layer
from .moe import MOE_NAMES, stored_experts
from .reading import Config, Entries, activation, activation_name, heads, needed, refuse, rotary_entries

_EPS = 1e-6  # of what lightning attention reads, whatever rms_norm_eps says
_BLOCK_SIZE = 256  # of transformers' own computation, which stores tables of that size


def _norm(config: Entries) -> RMSNorm:
    return RMSNorm(config.get("rms_norm_eps", 1e-5))


def _share(index: int, count: int) -> float:
    """By which the rates of a layer are smaller than ALiBi's slopes."""
    return 1 - index / (count - 1 + 1e-5) + 1e-5


def _placement(config: Entries, branch: str) -> NormedStream:
    return NormedStream(float(config.get(f"{branch}_alpha_factor", 1)), float(config.get(f"{branch}_beta_factor", 1)))


def _layer(config: Entries, index: int) -> Layer:
    refuse(config, "minimax", router_jitter_noise=(0, 0.0, None), block_size=(_BLOCK_SIZE, None))
    own, kinds = _norm(config), config.get("layer_types")
    kind = kinds[index] if kinds else ("linear_attention" if index % 2 else "full_attention")
    plain = layer({"rope_theta": 1e6} | dict(config) | {"attention_bias": False, "mlp_bias": False}, index)
    assert isinstance(plain.mixer, Attention)
    mixer: Attention | LightningAttention = replace(plain.mixer, window=config.get("sliding_window"))
    if kind == "linear_attention":
        num_heads, _, d_head = heads(config)
        share = _share(index, needed(config, "num_hidden_layers"))
        mixer = LightningAttention(num_heads, d_head, share, activation(config), RMSNorm(_EPS))
    router = SoftmaxRouter(config.get("num_experts_per_tok", 2))
    sparse = MoE(needed(config, "num_local_experts"), needed(config, "intermediate_size"), router, activation(config))
    attention = _placement(config, "linear_attn" if kind == "linear_attention" else "full_attn")
    return Layer(mixer, sparse, own, _placement(config, "mlp"), mixer_placement=attention)


def _factors(branch: str, placement: object) -> Config:
    if not isinstance(placement, NormedStream):
        return {}
    return {f"{branch}_alpha_factor": placement.kept, f"{branch}_beta_factor": placement.added}


def _entries(spec: Decoder) -> Config | None:
    layers = [each for each in spec.layers if isinstance(each, Layer)]
    full = next((each for each in layers if isinstance(each.mixer, Attention)), None)
    linear = next((each for each in layers if isinstance(each.mixer, LightningAttention)), None)
    if len(layers) != len(spec.layers) or full is None or not isinstance(spec.norm, RMSNorm):
        return None
    mixer, sparse = full.mixer, full.feed_forward
    if not isinstance(mixer, Attention) or not isinstance(mixer.position, RoPE) or not isinstance(sparse, MoE):
        return None
    rope, act = rotary_entries(mixer.position, mixer.d_head), activation_name(sparse.activation, "silu")
    if rope is None or act is None:
        return None
    factors = _factors("full_attn", full.mixer_placement) | _factors("mlp", full.placement)
    if linear is not None:
        factors |= _factors("linear_attn", linear.mixer_placement)
    return factors | {
        "num_key_value_heads": mixer.num_kv_heads,
        "head_dim": mixer.d_head,
        "hidden_act": act,
        "rms_norm_eps": spec.norm.eps,
        "rope_theta": mixer.position.theta,
        "rope_parameters": rope,
        "sliding_window": mixer.window,
        "layer_types": [
            "full_attention" if isinstance(each.mixer, Attention) else "linear_attention" for each in layers
        ],
        "block_size": _BLOCK_SIZE,
        "num_local_experts": sparse.num_experts,
        "num_experts_per_tok": sparse.router.top_k,
        "intermediate_size": sparse.d_ff,
        "pad_token_id": None,
    }


def _tables(mixer: LightningAttention) -> Mapping[str, torch.Tensor]:
    """What transformers stores of the rates, which are no parameters: as it computes them, in its blocks."""
    rates, steps = mixer.rates()[:, None, None], torch.arange(1, _BLOCK_SIZE + 1)
    distance = rates * (steps[:, None] - steps[None, :])[None, None]
    return {
        "slope_rate": rates,
        "query_decay": torch.exp(-rates * steps[:, None]),
        "key_decay": torch.exp(-rates * (_BLOCK_SIZE - steps[:, None])),
        "diagonal_decay": torch.exp(torch.where(distance >= 0, -distance, -torch.inf)),
    }


def _known(mixer: LightningAttention, stored: Tensors) -> Tensors:
    """Nothing, where the stored rates are those of the specification, up to their rounding."""
    agrees = torch.allclose(stored[0].float(), mixer.rates()[:, None, None], rtol=1e-2)
    require(agrees, "the file has other decay rates (slope_rate) than its config.json implies")
    return ()


def _fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    yield from stored_experts("block_sparse_moe", "w1", "w3", "w2")(spec, ours, theirs)
    mixer = getattr(spec.layers[int(ours.rpartition(".")[2])], "mixer", None)
    if not isinstance(mixer, LightningAttention):
        return
    num_heads, d_head, block, inner = mixer.num_heads, mixer.d_head, f"{ours}.mixer.block", f"{theirs}.self_attn"

    def apart(tensors: Tensors) -> Tensors:  # the rows of each head stand together: its q, k and v
        parts = tensors[0].view(num_heads, 3, d_head, -1).unbind(1)
        return tuple(part.reshape(num_heads * d_head, -1) for part in parts)

    def together(tensors: Tensors) -> Tensors:
        return (torch.stack([part.view(num_heads, d_head, -1) for part in tensors], 1).flatten(0, 2),)

    names = tuple(f"{block}.{part}.weight" for part in ("query", "key", "value"))
    yield Weight((f"{inner}.qkv_proj.weight",), names, apart, together)
    for part, name in (("gate", "output_gate"), ("norm", "norm"), ("output", "out_proj")):
        yield Weight((f"{inner}.{name}.weight",), (f"{block}.{part}.weight",))
    tables = tuple(f"{inner}.{name}" for name in ("slope_rate", "query_decay", "key_decay", "diagonal_decay"))
    yield Weight(tables, (), lambda stored: _known(mixer, stored), lambda _: tuple(_tables(mixer).values()))


MINIMAX = DecoderFamily(
    "minimax",
    "MiniMaxForCausalLM",
    _layer,
    _norm,
    _entries,
    MOE_NAMES | {"feed_forward.block.router": "block_sparse_moe.gate"},
    fused=_fused,
    mixer=(Attention, LightningAttention),
)
